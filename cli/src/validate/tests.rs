use std::{collections::BTreeMap, io, path::Path};

use super::{problems, summary};
use crate::{
    check::{Checked, check},
    files::{File, Files},
};

fn checked(workflows: &[(&str, &str)], connections: &str, scripts: &[(&str, &str)]) -> Checked {
    let file = |(path, text): (&str, &str)| File { path: path.into(), text: text.into() };
    let files = Files {
        workflows: workflows.iter().map(|pair| file(*pair)).collect(),
        connections: vec![file(("workflows/connections.yaml", connections))],
        whole: true,
        ..Files::default()
    };
    let scripts: BTreeMap<_, _> = scripts.iter().copied().collect();
    check(&files, &|path: &Path| match scripts.get(path.to_str().unwrap()) {
        Some(&"unreadable") => Err(io::Error::other("stream did not contain valid UTF-8")),
        text => Ok(text.map(|text| (*text).to_owned())),
    })
}

const GOOD: &str = "\
workflow_id: good
workflow_stages:
  - { execution_type: sequential, scripts: [a.sql, dir/b.sql] }
";

#[test]
fn valid_files_print_only_a_summary() {
    let checked = checked(
        &[("workflows/good.yaml", GOOD)],
        "reporting: { workgroup: wg, database: dev }\n",
        &[("workflows/good/a.sql", "SELECT 1"), ("workflows/good/dir/b.sql", "SELECT :run_date")],
    );
    assert_eq!(problems(&checked, false), "");
    assert_eq!(summary(&checked), "1 workflow, 2 scripts, 1 connection: no problems");
    let keys: Vec<_> = checked.workflows[0].scripts.keys().collect();
    assert_eq!(keys, ["workflows/good/a.sql", "workflows/good/dir/b.sql"]);
}

#[test]
fn every_problem_is_shown_at_its_place() {
    let broken = "\
workflow_id: broken
workflow_stages:
  - execution_typ: parallel
    scripts:
      - a.sql
      - job_name: call
        kind: procedure
        call: load.orders(:nowhere)
        depends_on: [b.sql]
  - execution_type: parallel
    scripts: []
";
    let checked = checked(
        &[
            ("workflows/broken.yaml", broken),
            ("workflows/good.yaml", GOOD),
            ("workflows/same.yaml", GOOD),
            ("workflows/not.yaml", "a: [1\nb: 2"),
        ],
        "reporting: { database: dev }\n",
        &[("workflows/good/a.sql", "SELECT 'open"), ("workflows/good/dir/b.sql", "unreadable")],
    );
    insta::assert_snapshot!(format!("{}{}\n", problems(&checked, false), summary(&checked)));
}

#[test]
fn colours_do_not_change_the_text() {
    let checked = checked(&[("workflows/good.yaml", GOOD)], "", &[]);
    let coloured = problems(&checked, true);
    assert!(coloured.contains("\u{1b}["));
    assert_eq!(console::strip_ansi_codes(&coloured), problems(&checked, false));
}

#[test]
fn feeds_are_checked_against_the_workflows_that_load_their_files() {
    let workflow = "workflow_id: load\nworkflow_stages:\n  - execution_type: sequential\n    scripts: [{ job_name: files, kind: copy, files: pending(orders) }]\n";
    let feed = |name: &str, more: &str| File {
        path: format!("feeds/{name}.yaml").into(),
        text: format!("feed: {name}\nbucket: landing\nkeys: {name}/*\nformat: csv\ntable: a.b\n{more}"),
    };
    let check_feeds = |feeds: Vec<File>| {
        let workflows = vec![File { path: "workflows/load.yaml".into(), text: workflow.into() }];
        let checked = check(&Files { workflows, feeds, whole: true, ..Files::default() }, &|_: &Path| Ok(None));
        (problems(&checked, false), checked.feeds.len())
    };
    assert_eq!(check_feeds(vec![feed("orders", "workflow: load\n")]), (String::new(), 1));
    let (mismatch, _) = check_feeds(vec![feed("orders", ""), feed("clicks", "workflow: load\n")]);
    assert!(
        mismatch.contains("does not load the files of this feed") && mismatch.contains("pending(clicks)"),
        "{mismatch}"
    );
    let (broken, _) = check_feeds(vec![feed("orders", "colums: [a]\n")]);
    assert!(broken.contains("feeds/orders.yaml:6:1") && broken.contains("did you mean `columns`?"), "{broken}");
    let misnamed = File { path: "feeds/other.yaml".into(), ..feed("orders", "") };
    assert!(check_feeds(vec![misnamed]).0.contains("rename the file to orders.yaml"));
}
