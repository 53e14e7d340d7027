use std::{collections::BTreeMap, fs};

use super::{problems_of, regressions};

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
