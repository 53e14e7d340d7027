use std::{collections::BTreeMap, fs};

use super::{problems_of, regressions};

const SOUND: &str = "
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
fn problems_are_said_of_every_file_and_of_two_that_share_a_name() {
    let broken = SOUND.replace("bigint", "bigit");
    let files = files(&[("a.yaml", SOUND), ("b.yaml", SOUND), ("c.yaml", &broken)]);
    let mut problems = Vec::new();
    let sound = problems_of(&files, &mut problems);
    assert_eq!(sound.keys().collect::<Vec<_>>(), ["a.yaml", "b.yaml"]);
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert!(problems[0].starts_with("b.yaml: contract `orders` is written in a.yaml already"), "{problems:?}");
    assert!(problems[1].contains("did you mean `bigint`?"), "{problems:?}");
}

#[test]
fn a_contract_that_cannot_take_the_place_of_the_deployed_one_is_named() {
    let folder = std::env::temp_dir().join(format!("shiftwork-protocol-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("orders.yaml"), SOUND).unwrap();
    let new = files(&[("new.yaml", &SOUND.replace("varchar(9)", "varchar(8)"))]);
    let found = regressions(&problems_of(&new, &mut Vec::new()), &folder).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(found.len(), 1);
    assert!(
        found[0].to_string().starts_with("new.yaml: column `note` was varchar(9), and is varchar(8)"),
        "{}",
        found[0]
    );
}
