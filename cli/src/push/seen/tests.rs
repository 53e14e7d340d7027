use std::process::Command;

use serde_json::json;

use super::*;
use crate::push::{Gone, Pusher, changes};

fn pusher(project: Option<&str>) -> Pusher {
    Pusher {
        project: project.map(Into::into),
        caller: "arn:aws:iam::123456789012:user/ben".into(),
        now: "2026-03-01T12:00:00Z".parse().unwrap(),
    }
}

fn nightly() -> Thing {
    Thing::new(Kind::Workflow, "nightly")
}

/// A deployment whose workflow `nightly` has this script and was pushed for this project.
fn present(script: &str, project: Option<&str>) -> Present {
    let record = Record {
        project: project.map(Into::into),
        pushed_by: "arn:aws:iam::123456789012:user/anna".into(),
        pushed_ts: "2026-03-01T11:00:00Z".parse().unwrap(),
        version: 4,
        file: "workflows/nightly.yaml".into(),
    };
    Present {
        scripts: BTreeMap::from([("workflows/nightly/a.sql".into(), sha256(script))]),
        workflows: BTreeMap::from([("nightly".into(), json!({ "workflow_id": "nightly" }))]),
        records: BTreeMap::from([(nightly(), record)]),
        ..Present::default()
    }
}

/// Files whose workflow `nightly` has this script.
fn desired(script: &str) -> Desired {
    Desired {
        scripts: BTreeMap::from([("workflows/nightly/a.sql".into(), script.into())]),
        workflows: BTreeMap::from([("nightly".into(), json!({ "workflow_id": "nightly" }))]),
        files: BTreeMap::from([(nightly(), "workflows/nightly.yaml".into())]),
        ..Desired::default()
    }
}

fn kinds(refusals: &[Refusal]) -> Vec<&'static str> {
    let kind = |refusal: &Refusal| match refusal {
        Refusal::Foreign { .. } => "foreign",
        Refusal::Unseen { .. } => "unseen",
    };
    refusals.iter().map(kind).collect()
}

#[test]
fn a_push_is_refused_if_it_replaces_what_was_not_seen_or_belongs_to_another_project() {
    // The case, the project of the record, the project of the push, whether the content was seen, the local script, the
    // refusals.
    type Case = (&'static str, Option<&'static str>, Option<&'static str>, bool, &'static str, &'static [&'static str]);
    let cases: [Case; 8] = [
        ("seen", Some("sales"), Some("sales"), true, "new", &[]),
        ("not seen", Some("sales"), Some("sales"), false, "new", &["unseen"]),
        ("not seen, but equal", Some("sales"), Some("sales"), false, "deployed", &[]),
        ("of another project", Some("marketing"), Some("sales"), true, "new", &["foreign"]),
        ("of another project and not seen", Some("marketing"), Some("sales"), false, "new", &["foreign", "unseen"]),
        ("of another project, but equal", Some("marketing"), Some("sales"), false, "deployed", &[]),
        ("of a project, pushed without one", Some("sales"), None, true, "new", &["foreign"]),
        ("of no project", None, Some("sales"), true, "new", &[]),
    ];
    for (case, owner, project, has_seen, script, expected) in cases {
        let present = present("deployed", owner);
        let changes = changes(desired(script), &present, Gone::default(), &pusher(project));
        let found = refusals(&changes, &present, project, |_, piece, digest| {
            assert_eq!((piece, digest), ("workflows/nightly/a.sql", &*sha256("deployed")), "{case}");
            has_seen
        });
        assert_eq!(kinds(&found), expected, "{case}");
    }
}

#[test]
fn a_deletion_of_what_was_not_seen_is_refused() {
    let present = present("deployed", Some("sales"));
    let changes = changes(
        Desired::default(),
        &present,
        Gone { things: [nightly()].into(), ..Gone::default() },
        &pusher(Some("sales")),
    );
    assert_eq!(kinds(&refusals(&changes, &present, Some("sales"), |_, _, _| false)), ["unseen"]);
    assert_eq!(kinds(&refusals(&changes, &present, Some("sales"), |_, _, _| true)), Vec::<&str>::new());
}

#[test]
fn a_refusal_names_who_pushed_and_shows_the_difference() {
    let present = present("deployed", Some("sales"));
    let changes = changes(desired("new"), &present, Gone::default(), &pusher(Some("marketing")));
    let found = refusals(&changes, &present, Some("marketing"), |_, _, _| false);
    let shown = render(&found, |piece| format!("  difference of {piece}\n"));
    assert_eq!(
        console::strip_ansi_codes(&shown),
        "error: workflow nightly belongs to project sales (version 4, pushed by user/anna for project sales at 2026-03-01 11:00:00 UTC)\n\
         error: workflows/nightly/a.sql of workflow nightly was changed in the deployment (version 4, pushed by user/anna for project \
         sales at 2026-03-01 11:00:00 UTC), and this checkout never had that content\n  difference of workflows/nightly/a.sql\n"
    );
}

#[test]
fn the_state_is_kept_for_each_deployment_and_ignored_by_git() {
    let root = tempfile::tempdir().unwrap();
    let mut state = State::read(root.path()).unwrap();
    state.see(
        "1/r/s",
        [("workflows/a".to_owned(), Some("x".to_owned())), ("workflows/b".to_owned(), Some("y".to_owned()))],
    );
    state.see("1/r/s", [("workflows/b".to_owned(), None)]);
    state.write(root.path()).unwrap();
    let read = State::read(root.path()).unwrap();
    assert_eq!(read, state);
    assert!(read.has("1/r/s", "workflows/a", "x") && !read.has("1/r/s", "workflows/a", "y"));
    assert!(!read.has("2/r/s", "workflows/a", "x") && !read.has("1/r/s", "workflows/b", "y"));
    assert_eq!(fs::read_to_string(root.path().join(".shiftwork/.gitignore")).unwrap(), "*\n");
    fs::write(root.path().join(".shiftwork/pushed.json"), "not JSON").unwrap();
    assert_eq!(State::read(root.path()).unwrap(), State::default());
}

/// A repository with a workflow, a script, a contract and connections, in two versions.
fn repository() -> tempfile::TempDir {
    let repository = tempfile::tempdir().unwrap();
    let root = repository.path();
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
        let run = Command::new("git").arg("-C").arg(root).args(identity).args(arguments).output().unwrap();
        assert!(run.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
    };
    git(&["init", "-q", "-b", "main"]);
    for version in ["1", "2"] {
        for (path, text) in [
            (
                "workflows/nightly.yaml",
                format!("# a comment\nworkflow_id: nightly\nworkflow_description: v{version}\n"),
            ),
            ("workflows/nightly/a.sql", format!("select {version};\n")),
            ("workflows/connections.yaml", format!("main: {{ workgroup: wg, database: dev{version} }}\n")),
            ("contracts/orders.yaml", format!("contract: orders # v{version}\n")),
        ] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        git(&["add", "."]);
        git(&["commit", "-q", "-m", version]);
    }
    repository
}

#[test]
fn a_content_of_the_git_history_was_seen() {
    let repository = repository();
    let (state, present) = (State::default(), present("", None));
    let files = BTreeMap::from([
        (nightly(), "workflows/nightly.yaml".to_owned()),
        (Thing::new(Kind::Contract, "orders"), "contracts/orders.yaml".to_owned()),
        (Thing::new(Kind::Connection, "main"), "workflows/connections.yaml".to_owned()),
    ]);
    let checkout =
        Checkout { root: repository.path(), state: &state, deployment: "1/r/s", files: &files, present: &present };
    let connection = |database: &str| json!({ "workgroup": "wg", "database": database });
    let item = |version: &str| json!({ "workflow_id": "nightly", "workflow_description": version });
    for (piece, digest, expected) in [
        ("workflows/nightly", digest(&item("v1")), true),
        ("workflows/nightly", digest(&item("v2")), true),
        ("workflows/nightly", digest(&item("v3")), false),
        ("workflows/nightly/a.sql", sha256("select 1;\n"), true),
        ("workflows/nightly/a.sql", sha256("select 1;\r\n"), true),
        ("workflows/nightly/a.sql", sha256("select 3;\n"), false),
        ("workflows/nightly/b.sql", sha256("select 1;\n"), false),
        ("contracts/orders.yaml", sha256("contract: orders # v1\n"), true),
        ("contracts/orders.yaml", sha256("contract: orders # v3\n"), false),
        ("connections/main", digest(&connection("dev1")), true),
        ("connections/main", digest(&connection("dev3")), false),
    ] {
        let thing = thing_of(piece).unwrap();
        assert_eq!(checkout.has_seen(&thing, piece, &digest), expected, "{piece}");
    }
}

#[test]
fn the_file_of_a_deleted_thing_is_the_recorded_one() {
    let repository = repository();
    let (state, present, none) = (State::default(), present("", None), BTreeMap::new());
    let checkout =
        Checkout { root: repository.path(), state: &state, deployment: "1/r/s", files: &none, present: &present };
    let item = json!({ "workflow_id": "nightly", "workflow_description": "v1" });
    assert!(checkout.has_seen(&nightly(), "workflows/nightly", &digest(&item)));
    let unrecorded = Thing::new(Kind::Workflow, "other");
    assert!(!checkout.has_seen(&unrecorded, "workflows/other", &digest(&item)));
}
