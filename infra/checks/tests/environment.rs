//! The template sets exactly the variables that the code of a function reads.

#![allow(clippy::unwrap_used, reason = "a test stops at what does not hold")]

use shiftwork_infra_checks::{Findings, sam_template, source::Source, template};

#[test]
fn the_template_sets_what_the_code_reads() {
    assert_eq!(template::environment(&sam_template(), &Source::read().functions), Findings::new());
}

#[test]
fn a_missing_and_an_unread_variable_are_found() {
    let mut template = sam_template();
    let variables = &mut template["Resources"]["IteratorFunction"]["Properties"]["Environment"]["Variables"];
    variables["SCRIPTS_BUCKET"] = "x".into();
    variables.as_object_mut().unwrap().remove("LEASE_TABLE");
    let wanted = [
        "IteratorFunction: its code reads LEASE_TABLE: set it in the template",
        "IteratorFunction: its code does not read SCRIPTS_BUCKET: remove it from the template",
    ];
    assert_eq!(template::environment(&template, &Source::read().functions), wanted.map(String::from).into());
}

/// Without one of them a function exits before its first response, and the benchmark has no result.
#[test]
fn the_benchmark_of_starts_sets_what_the_code_reads() {
    let benchmark = shiftwork_infra_checks::text("benches/src/start/run.rs");
    for function in Source::read().functions {
        for variable in function.variables {
            assert!(benchmark.contains(&format!("(\"{variable}\", ")), "{}: {variable} is not set", function.name);
        }
    }
}

/// CloudFormation joins the default connection from parts. The result must be a valid connection, and the same for every
/// function.
#[test]
fn the_default_connection_is_valid() {
    let template = sam_template();
    let of = |function: &str| &template["Resources"][function]["Properties"]["Environment"]["Variables"]["DEFAULT_CONNECTION"];
    let value = of("TriggerFunction");
    for function in Source::read().functions {
        let other = of(&function.resource("Function"));
        assert!(other.is_null() || other == value, "{} has another default connection", function.name);
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
