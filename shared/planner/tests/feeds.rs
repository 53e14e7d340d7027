//! Jobs of kind `copy`: what a feed and a job come to, and what is said where they do not fit.

mod desk;

use desk::{asked, inputs, job, lines, read};
use serde_json::json;
use shiftwork_planner::{PlanInputs, Script, check, feed_names, plan, workflow};
use shiftwork_protocol::{Work, keys::feed_key};

const FEED: &str = "feed: orders\nbucket: landing\nkeys: \"orders/**.csv.gz\"\nformat: csv\ncompression: gzip\n";

fn with(feeds: &[(&str, &str)]) -> PlanInputs {
    let feed = |(name, text): &(&str, &str)| {
        let script = Script { key: feed_key(name), version_id: "v1".into(), text: (*text).to_owned() };
        ((*name).to_owned(), script)
    };
    PlanInputs { feeds: feeds.iter().map(feed).collect(), ..inputs("w", &[]) }
}

fn of_job(fields: &str) -> String {
    format!(
        "workflow_id: w\nworkflow_stages:\n  - execution_type: sequential\n    scripts:\n      - {{ job_name: load, kind: copy, {fields} }}\n"
    )
}

fn sql(feed: &str, fields: &str) -> String {
    let doc = read(&of_job(fields));
    let plan = plan(&doc, &with(&[("orders", feed)]), &asked(&json!({}))).unwrap_or_else(|p| panic!("{}", lines(&p)));
    let Work::Copy { files, feed, table, into, options, .. } = job(&plan, "load").work.clone() else {
        panic!("no copy")
    };
    assert_eq!((files.as_str(), feed.key.as_str(), table.is_empty()), ("orders", "feeds/orders.yaml", false));
    format!("{into} FROM '…' {options}")
}

#[test]
fn a_feed_becomes_a_copy() {
    let csv = format!(
        "{FEED}table: sales.orders\ncolumns: [id, \"it's\"]\nheader_lines: 2\ndelimiter: \"|\"\nnull_as: nil\n"
    );
    assert_eq!(
        sql(&csv, "files: pending(orders), iam_role: \"arn:aws:iam::123456789012:role/w\""),
        "COPY \"sales\".\"orders\" (\"id\", \"it's\") FROM '…' IAM_ROLE 'arn:aws:iam::123456789012:role/w' MANIFEST \
         FORMAT AS CSV DATEFORMAT 'auto' TIMEFORMAT 'auto' DELIMITER AS '|' NULL AS 'nil' IGNOREHEADER 2 GZIP"
    );
    let parquet = "feed: orders\nbucket: landing\nkeys: \"*.parquet\"\nformat: parquet\ntable: a.b\n";
    let parquet = sql(parquet, "files: \"pending( orders )\", table: x.y, columns: [c]");
    assert_eq!(parquet, "COPY \"x\".\"y\" (\"c\") FROM '…' IAM_ROLE DEFAULT MANIFEST FORMAT AS PARQUET");
    let nested = "feed: orders\nbucket: landing\nkeys: \"*.parquet\"\nformat: parquet\nnested: true\ntable: a.b\n";
    assert!(sql(nested, "files: pending(orders)").ends_with("FORMAT AS PARQUET SERIALIZETOJSON"));
    let json = "feed: orders\nbucket: landing\nkeys: \"*.json\"\nformat: json_lines\ncompression: zstd\ntable: a.b\n";
    assert!(sql(json, "files: pending(orders)").contains("FORMAT AS JSON 'auto' DATEFORMAT 'auto'"));
}

#[test]
fn a_workflow_names_the_feeds_it_needs() {
    let text = of_job("files: pending(orders)");
    let workflow = workflow(&read(&text)).unwrap_or_else(|p| panic!("{}", lines(&p)));
    assert_eq!(feed_names(&workflow).into_iter().collect::<Vec<_>>(), ["orders"]);
}

#[test]
fn what_does_not_fit_is_said_with_its_place_and_a_way_on() {
    let said = |feed: &str, fields: &str| lines(&check(&read(&of_job(fields)), &with(&[("orders", feed)])));
    for (feed, fields, words) in [
        (FEED, "files: pending(orders)", "feed `orders` names no table"),
        (FEED, "files: pending(oders), table: a.b", "there is no feed `feeds/oders.yaml`"),
        (FEED, "files: pending(oders), table: a.b", "did you mean `orders`?"),
        (FEED, "files: orders, table: a.b", "write `pending(<feed>)`"),
        (FEED, "files: pending(orders), table: a..b", "`a..b` is no table"),
        (FEED, "files: pending(orders), table: a.b, iam_role: me", "`me` is not a valid role"),
        ("feed: x\nbucket: b\nkeys: k\nformat: csv\n", "files: pending(orders)", "calls itself `x`"),
        (
            "feed: orders\nbucket: b\nkeys: \"{\"\nformat: csv\n",
            "files: pending(orders)",
            "feeds/orders.yaml:3:1 ($.keys): a `{` is never closed",
        ),
        (
            "feed: orders\nbucket: b\nkeys: k\nformat: xml\n",
            "files: pending(orders), table: a.b",
            "brings xml, which COPY does not read",
        ),
    ] {
        let said = said(feed, fields);
        assert!(said.contains(words), "{fields}: {said}");
    }
}

#[test]
fn mistakes_in_a_feed_are_said_all_at_once() {
    let feed = "feed: orders\nbucket: b\nkeys: \"{day:%Y}\"\nformat: parquet\ncompression: gzip\nheader_lines: 1\ndelimiter: \";\"\n\
        batch: { files: 5000, wait: soon, bytes: much }\nwork_items: { within: 500d }\nworkflow: w\n\
        expect: { header: [a], rows_from: all.count, max_age: \"3\" }\nexpected: { by: \"25:00\", time_zone: Mars/Base }\n";
    let said = lines(&check(&read(&of_job("files: pending(orders), table: a.b")), &with(&[("orders", feed)])));
    for words in [
        "feeds/orders.yaml:3:1 ($.keys): `%Y` does not make a whole date",
        "($.compression): Parquet is compressed within",
        "($.header_lines): `header_lines` does not go with format parquet",
        "($.delimiter): `delimiter` does not go with format parquet",
        "($.expect.rows_from): `all.count` is the same for every file",
        "($.expect.max_age): `3` is not a valid duration",
        "($.batch.files): a batch has 1 to 1000 files",
        "($.batch.wait): `soon` is not a valid duration",
        "($.batch.bytes): `much` is not a valid number of bytes",
        "($.work_items.within): `500d` is longer than 400 days",
        "($.work_items): the files go to a workflow and to workers",
        "($.expected.by): `25:00` is no time of the day",
        "($.expected.time_zone): `Mars/Base` is no time zone",
    ] {
        assert!(said.contains(words), "{words} is missing in:\n{said}");
    }
}
