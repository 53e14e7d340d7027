use std::{collections::BTreeMap, fs};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use shiftwork_change_data::contract::{self, Proposal};

use super::{add, problems_of, problems_together, propose, regressions, warning};

const VALID: &str = "
contract: orders
source: { format: debezium, table: public.orders }
target: { schema: shop, table: orders }
key: [id]
columns: [{ name: id, type: bigint }, { name: note, type: varchar(9) }]
";

fn files(texts: &[(&str, &str)]) -> BTreeMap<String, String> {
    texts.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn problems_of_all_files_are_reported_and_a_duplicate_name_is_one() {
    let broken = VALID.replace("bigint", "bigit");
    let files = files(&[("a.yaml", VALID), ("b.yaml", VALID), ("c.yaml", &broken)]);
    let mut problems = Vec::new();
    let valid = problems_of(&files, &mut problems);
    assert_eq!(valid.keys().collect::<Vec<_>>(), ["a.yaml", "b.yaml"]);
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert!(problems[0].starts_with("b.yaml: contract `orders` is already defined in a.yaml"), "{problems:?}");
    assert!(problems[1].contains("did you mean `bigint`?"), "{problems:?}");
}

#[test]
fn two_contracts_with_one_table_are_a_problem() {
    let other = VALID.replace("contract: orders", "contract: orders_b");
    let valid = problems_of(&files(&[("a.yaml", VALID), ("b.yaml", &other)]), &mut Vec::new());
    let found = problems_together(valid.iter().map(|(file, contract)| (file.as_str(), contract)));
    assert_eq!(found.len(), 1);
    let shown = found[0].to_string();
    assert!(shown.contains("shop.orders is also a table of the contract in a.yaml"), "{shown}");
}

#[test]
fn a_contract_without_a_server_is_a_warning() {
    for (source, wanted) in [
        ("format: debezium, table: public.orders", true),
        ("format: debezium, table: public.orders, server: shop", false),
        ("format: debezium, table: public.orders, server: '*'", false),
        ("format: dynamodb, table: orders", false),
    ] {
        let text = VALID.replace("format: debezium, table: public.orders", source);
        let contract = contract::read("orders.yaml", &text).unwrap();
        assert_eq!(warning("orders.yaml", &contract).is_some(), wanted, "{source}");
    }
}

#[test]
fn a_contract_that_cannot_replace_the_deployed_one_is_reported() {
    let folder = std::env::temp_dir().join(format!("shiftwork-protocol-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("orders.yaml"), VALID).unwrap();
    let new = files(&[("new.yaml", &VALID.replace("varchar(9)", "varchar(8)"))]);
    let found = regressions(&problems_of(&new, &mut Vec::new()), &folder).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(found.len(), 1);
    assert!(
        found[0].to_string().starts_with("new.yaml: column `note` was varchar(9), and is varchar(8)"),
        "{}",
        found[0]
    );
}

/// A line of a file under `unclaimed/` is a record in base64, with its key.
#[test]
fn unclaimed_records_are_read_and_a_refused_line_has_its_reason() {
    let event = r#"{"op":"c","after":{"number":1},"source":{"connector":"postgresql","name":"shop","db":"crm","schema":"public","table":"orders","ts_ms":1,"lsn":1}}"#;
    let unclaimed = serde_json::json!({
        "partition": "kafka/shop/0", "offset": "1", "key": BASE64.encode(r#"{"number":1}"#),
        "record": { "base64": BASE64.encode(event) },
    });
    let mut proposal = Proposal::default();
    add(&mut proposal, unclaimed.to_string().as_bytes()).unwrap();
    assert!(add(&mut proposal, b"{\"half").unwrap_err().to_string().starts_with("not-json"));
    let contract = proposal.contracts().remove(0);
    assert_eq!((contract.key, contract.source.server.as_deref()), (vec!["number".to_owned()], Some("shop")));
}

/// Two tenants with one table name do not become one table, in one file of events or one after the other.
#[test]
fn tables_of_two_servers_have_contracts_and_tables_of_their_own() {
    let folder = std::env::temp_dir().join(format!("shiftwork-propose-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let event = |server: &str| {
        format!(
            r#"{{"op":"c","after":{{"id":1}},"source":{{"connector":"postgresql","name":"{server}","db":"{server}","schema":"public","table":"c","ts_ms":1,"lsn":1}}}}"#
        )
    };
    let asked = |name: &str, text: String| {
        let file = folder.join(name);
        fs::write(&file, text).unwrap();
        crate::args::ContractPropose { file, table: None, out: Some(folder.join("contracts")) }
    };
    propose(&asked("a.ndjson", event("tenant_a"))).unwrap();
    propose(&asked("b.ndjson", event("tenant_b"))).unwrap();
    propose(&asked("both.ndjson", [event("tenant_c"), event("tenant_d")].join("\n"))).unwrap();
    let contracts: Vec<_> = crate::files::below(&folder.join("contracts"))
        .unwrap()
        .iter()
        .map(|path| contract::read("c", &fs::read_to_string(path).unwrap()).unwrap())
        .collect();
    fs::remove_dir_all(&folder).unwrap();
    let servers: std::collections::BTreeSet<_> =
        contracts.iter().map(|contract| contract.source().server.clone()).collect();
    let targets: std::collections::BTreeSet<_> =
        contracts.iter().map(|contract| contract.target().table.clone()).collect();
    assert_eq!((contracts.len(), servers.len(), targets.len()), (4, 4, 4), "{targets:?}");
}
