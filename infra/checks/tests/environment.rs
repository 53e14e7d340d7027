//! The variables that the template gives a function are those that its code reads: no more, no fewer.

#![allow(clippy::unwrap_used, reason = "a test stops at what does not hold")]

use std::collections::BTreeMap;

use shiftwork_infra_checks::{Findings, sam_template, template};

fn read() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("TriggerFunction", shiftwork_trigger::ENVIRONMENT),
        ("IteratorFunction", shiftwork_iterator::ENVIRONMENT),
        ("JobLauncherFunction", shiftwork_job_launcher::ENVIRONMENT),
        ("JobCallbackFunction", shiftwork_job_callback::ENVIRONMENT),
        ("AuditUpdaterFunction", shiftwork_audit_updater::ENVIRONMENT),
        ("MetadataFixerFunction", shiftwork_metadata_fixer::ENVIRONMENT),
        ("SchemaWatcherFunction", shiftwork_schema_watcher::ENVIRONMENT),
        ("FileIntakeFunction", shiftwork_file_intake::ENVIRONMENT),
        ("CdcLoaderFunction", shiftwork_cdc_loader::ENVIRONMENT),
    ])
}

#[test]
fn the_template_sets_what_the_code_reads() {
    assert_eq!(template::environment(&sam_template(), &read()), Findings::new());
}

#[test]
fn a_variable_too_many_or_too_few_is_found() {
    let mut template = sam_template();
    let variables = &mut template["Resources"]["IteratorFunction"]["Properties"]["Environment"]["Variables"];
    variables["SCRIPTS_BUCKET"] = "x".into();
    variables.as_object_mut().unwrap().remove("LEASE_TABLE");
    let wanted = [
        "IteratorFunction: its code reads LEASE_TABLE, the template does not set it",
        "IteratorFunction: the template sets SCRIPTS_BUCKET, its code does not read it",
    ];
    assert_eq!(template::environment(&template, &read()), wanted.map(String::from).into());
}

/// The default connection is text that CloudFormation puts together; what comes out must be one that functions read, and the
/// same for all of them.
#[test]
fn the_default_connection_reads() {
    let template = sam_template();
    let of = |function: &str| &template["Resources"][function]["Properties"]["Environment"]["Variables"]["DEFAULT_CONNECTION"];
    let value = of("TriggerFunction");
    for (function, read) in read() {
        assert!(
            !read.contains(&"DEFAULT_CONNECTION") || of(function) == value,
            "{function} connects to somewhere else"
        );
    }
    for set in [&[][..], &["HasSecret"], &["HasCluster"], &["HasCluster", "HasDbUser"], &["HasCluster", "HasSecret"]] {
        let text: String = value["Fn::Join"][1].as_array().unwrap().iter().map(|part| text(part, set)).collect();
        let connection: shiftwork_protocol::Connection =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(connection.problem(), None, "{text}");
        assert_eq!(connection.cluster.is_some(), set.contains(&"HasCluster"), "{text}");
    }
}

fn text(part: &serde_json::Value, set: &[&str]) -> String {
    match part["Fn::If"].as_array() {
        Some(branches) => text(&branches[if set.contains(&branches[0].as_str().unwrap()) { 1 } else { 2 }], set),
        None => part["Fn::Sub"].as_str().or(part.as_str()).unwrap().to_owned(),
    }
}
