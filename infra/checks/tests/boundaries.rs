//! Code keeps to its layer.

use shiftwork_infra_checks::{boundaries, pages::Pages};

#[test]
fn sdk_types_stay_in_the_adapters_and_functions_do_not_depend_on_each_other() {
    let findings = boundaries::findings(&Pages::read());
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn what_crosses_a_boundary_is_one_finding_that_names_the_place() {
    let sdk = "use aws_sdk_s3::Client;\n";
    assert_eq!(
        boundaries::of_source("functions/trigger/src/lib.rs", sdk),
        ["functions/trigger/src/lib.rs:1: uses a type of the AWS SDK; only shared/aws/ and cli/src/aws/ may"]
    );
    assert!(boundaries::of_source("shared/aws/src/scripts.rs", sdk).is_empty());
    assert_eq!(boundaries::of_source("functions/trigger/src/main.rs", &"\n".repeat(26)).len(), 1);
    let pages = Pages::read();
    let manifest = "[dependencies]\nshiftwork-iterator.workspace = true\nshiftwork-ports.workspace = true\n";
    assert_eq!(boundaries::of_manifest(&pages, "functions/trigger/Cargo.toml", manifest).len(), 1);
}
