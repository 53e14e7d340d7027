//! Object keys: what `shared/protocol/src/keys.rs` says, the roles allow, and the page shows.

#![allow(clippy::unwrap_used, reason = "a test stops at what does not hold")]

use std::{env, fs};

use shiftwork_infra_checks::{checkout, keys, sam_template, text};

#[test]
fn roles_may_do_what_functions_do_and_no_more() {
    let differences = keys::differences(&sam_template());
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn a_missing_and_a_needless_permission_are_found() {
    let mut template = sam_template().to_string();
    template = template.replace("${StagingBucket.Arn}/findings/*", "${StagingBucket.Arn}/discoveries/*");
    let differences = keys::differences(&serde_json::from_str(&template).unwrap());
    let about = |place: &str, words: &str| {
        differences.iter().filter(|line| line.contains(place) && line.contains(words)).count()
    };
    assert_eq!(about("SchemaWatcherRole s3:PutObject StagingBucket/findings/:", "does not allow it"), 1);
    assert_eq!(about("SchemaWatcherRole s3:PutObject StagingBucket/discoveries/:", "does not have it"), 1);
    assert_eq!(differences.len(), 4, "{differences:#?}");
}

#[test]
fn the_page_of_object_keys_is_up_to_date() {
    let page = keys::page();
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(checkout("docs/object-keys.md"), &page).unwrap();
    }
    assert_eq!(text("docs/object-keys.md"), page, "UPDATE_DOCS=1 cargo test -p shiftwork-infra-checks --test keys");
}
