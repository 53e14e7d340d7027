//! `infra/schemas` holds the schemas of the types. `UPDATE_SCHEMAS=1` writes them.

#![allow(clippy::unwrap_used, reason = "a test stops at what does not hold")]

use std::{collections::BTreeSet, fs};

use shiftwork_infra_checks::{checkout, schemas};

#[test]
fn the_schemas_are_those_of_the_types() {
    let folder = checkout("infra/schemas");
    let update = std::env::var_os("UPDATE_SCHEMAS").is_some();
    if update {
        fs::create_dir_all(&folder).unwrap();
    }
    let all = schemas::all();
    for (name, schema) in &all {
        let (path, wanted) = (folder.join(name), schemas::written(schema));
        if update {
            fs::write(&path, &wanted).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == wanted,
            "infra/schemas/{name} is not what the type says: run UPDATE_SCHEMAS=1 cargo test -p shiftwork-infra-checks"
        );
    }
    let files: BTreeSet<_> =
        fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, all.iter().map(|(name, _)| (*name).to_owned()).collect(), "files without a type");
}
