//! Tests of jobs of kind `copy`: the statement of a feed and a job, and the problems of feeds and jobs.

mod support;

use serde_json::json;
use shiftwork_planner::{PlanInputs, Script, check, feed_names, plan, workflow};
use shiftwork_protocol::{Work, keys::feed_key};
use support::{inputs, job, lines, read, run_with};

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
    let plan =
        plan(&doc, &with(&[("orders", feed)]), &run_with(&json!({}))).unwrap_or_else(|p| panic!("{}", lines(&p)));
    let Work::Copy { files, feed, table, into, options, .. } = job(&plan, "load").work.clone() else {
        panic!("the work is not a copy")
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
    for (encoding, option) in
        [("utf8", None), ("utf16", Some("UTF16")), ("utf16le", Some("UTF16LE")), ("iso88591", Some("ISO88591"))]
    {
        let copy = sql(&format!("{FEED}table: a.b\nencoding: {encoding}\n"), "files: pending(orders)");
        let found = copy.split_once(" ENCODING AS ").map(|(_, rest)| rest.split(' ').next().unwrap());
        assert_eq!(found, option, "{copy}");
    }
    let parquet = "feed: orders\nbucket: landing\nkeys: \"*.parquet\"\nformat: parquet\ntable: a.b\n";
    let parquet = sql(parquet, "files: \"pending( orders )\", table: x.y, columns: [c]");
    assert_eq!(parquet, "COPY \"x\".\"y\" (\"c\") FROM '…' IAM_ROLE DEFAULT MANIFEST FORMAT AS PARQUET");
    let nested = "feed: orders\nbucket: landing\nkeys: \"*.parquet\"\nformat: parquet\nnested: true\ntable: a.b\n";
    assert!(sql(nested, "files: pending(orders)").ends_with("FORMAT AS PARQUET SERIALIZETOJSON"));
    let json = "feed: orders\nbucket: landing\nkeys: \"*.json\"\nformat: json_lines\ncompression: zstd\ntable: a.b\n";
    assert!(sql(json, "files: pending(orders)").contains("FORMAT AS JSON 'auto' DATEFORMAT 'auto'"));
}

#[test]
fn a_feed_that_assigns_fields_by_header_leaves_the_columns_to_the_launcher() {
    let feed = format!("{FEED}table: a.b\nheader_lines: 1\ncolumns: [id, shop]\ncolumns_by: header\n");
    assert_eq!(
        sql(&feed, "files: pending(orders)"),
        "COPY \"a\".\"b\" FROM '…' IAM_ROLE DEFAULT MANIFEST FORMAT AS CSV DATEFORMAT 'auto' TIMEFORMAT 'auto' IGNOREHEADER 1 GZIP"
    );
    let required = format!("{feed}expect: {{ header: [SHOP] }}\n");
    assert!(sql(&required, "files: pending(orders)").starts_with("COPY \"a\".\"b\" FROM"));
}

#[test]
fn the_feeds_that_a_workflow_needs_are_listed() {
    let text = of_job("files: pending(orders)");
    let workflow = workflow(&read(&text)).unwrap_or_else(|p| panic!("{}", lines(&p)));
    assert_eq!(feed_names(&workflow).into_iter().collect::<Vec<_>>(), ["orders"]);
}

#[test]
fn problems_of_a_copy_job_have_a_place_and_a_hint() {
    let problems =
        |feed: &str, fields: &str| lines(&check(&read(&of_job(fields)), &with(&[("orders", feed)])).problems);
    for (feed, fields, expected) in [
        (FEED, "files: pending(orders)", "feed `orders` has no table"),
        (FEED, "files: pending(oders), table: a.b", "the feed `feeds/oders.yaml` does not exist"),
        (FEED, "files: pending(oders), table: a.b", "did you mean `orders`?"),
        (FEED, "files: orders, table: a.b", "write `pending(<feed>)`"),
        (FEED, "files: pending(orders), table: a..b", "`a..b` is not a valid name of a table"),
        (FEED, "files: pending(orders), table: a.b, iam_role: me", "`me` is not a valid role"),
        ("feed: x\nbucket: b\nkeys: k\nformat: csv\n", "files: pending(orders)", "has the feed name `x`"),
        (
            "feed: orders\nbucket: b\nkeys: \"{\"\nformat: csv\n",
            "files: pending(orders)",
            "feeds/orders.yaml:3:1 ($.keys): a `{` has no closing `}`",
        ),
        (
            "feed: orders\nbucket: b\nkeys: k\nformat: csv\ntable: a.b\nheader_lines: 1\ncolumns: [first_name, last_name]\nexpect: { header: [last_name, first_name] }\n",
            "files: pending(orders)",
            "feeds/orders.yaml:7:1 ($.columns): column 1 is `first_name`, which is field 2 of `expect.header`",
        ),
        (
            "feed: orders\nbucket: b\nkeys: k\nformat: csv\ntable: a.b\nheader_lines: 1\nexpect: { header: [Last_Name, first_name] }\n",
            "files: pending(orders), columns: [first_name, last_name]",
            "column 1 is `first_name`, which is field 2 of `expect.header`",
        ),
        (
            "feed: orders\nbucket: b\nkeys: k\nformat: parquet\ntable: a.b\ncolumns: [a]\nexpect: { header: [a, b] }\n",
            "files: pending(orders)",
            "1 columns are loaded, and `expect.header` has 2 fields",
        ),
        (
            "feed: orders\nbucket: b\nkeys: k\nformat: csv\ntable: a.b\nexpect: { header: [a, b] }\n",
            "files: pending(orders)",
            "without `header_lines`, COPY loads the header as a row",
        ),
        (
            "feed: orders\nbucket: b\nkeys: k\nformat: csv\ntable: a.b\ncolumns: [id, name, ID]\n",
            "files: pending(orders)",
            "feeds/orders.yaml:6:1 ($.columns): column `ID` is listed twice",
        ),
        (
            "feed: orders\nbucket: b\nkeys: k\nformat: csv\ntable: a.b\nheader_lines: 1\ncolumns_by: header\n",
            "files: pending(orders)",
            "feeds/orders.yaml:7:1 ($.columns_by): `columns` does not say which columns a header may name",
        ),
        (
            "feed: orders\nbucket: b\nkeys: k\nformat: csv\ntable: a.b\ncolumns: [a]\ncolumns_by: header\n",
            "files: pending(orders)",
            "($.columns_by): without `header_lines`, COPY loads the header as a row",
        ),
        (
            "feed: orders\nbucket: b\nkeys: k\nformat: csv\ntable: a.b\nheader_lines: 1\ncolumns: [a, b]\ncolumns_by: header\nexpect: { header: [a, c] }\n",
            "files: pending(orders)",
            "($.expect.header): `c` is not one of `columns`",
        ),
        (
            "feed: orders\nbucket: b\nkeys: k\nformat: csv\ncompression: bzip2\ntable: a.b\nheader_lines: 1\ncolumns: [a]\ncolumns_by: header\n",
            "files: pending(orders)",
            "($.columns_by): the headers of bzip2 files are not read",
        ),
        (
            "feed: orders\nbucket: b\nkeys: k\nformat: json_lines\ntable: a.b\ncolumns: [a]\ncolumns_by: header\n",
            "files: pending(orders)",
            "($.columns_by): format json_lines does not support `columns_by`",
        ),
        (
            "feed: orders\nbucket: b\nkeys: k\nformat: csv\ntable: a.b\nheader_lines: 1\ncolumns: [a]\ncolumns_by: header\nwork_items: { within: 1h }\n",
            "files: pending(orders)",
            "($.columns_by): workers read the files of this feed, not COPY",
        ),
        (
            "feed: orders\nbucket: b\nkeys: k\nformat: csv\ntable: a.b\nheader_lines: 1\ncolumns: [a]\ncolumns_by: header\n",
            "files: pending(orders), columns: [a]",
            "the headers of the files name the columns (`columns_by: header`)",
        ),
        (
            "feed: orders\nbucket: b\nkeys: k\nformat: xml\n",
            "files: pending(orders), table: a.b",
            "has format xml, which COPY does not read",
        ),
    ] {
        let found = problems(feed, fields);
        assert!(found.contains(expected), "{fields}: {found}");
    }
}

#[test]
fn all_problems_of_a_feed_are_reported_together() {
    let feed = "feed: orders\nbucket: b\nkeys: \"{day:%Y}\"\nformat: parquet\ncompression: gzip\nheader_lines: 1\ndelimiter: \";\"\n\
        batch: { files: 5000, wait: soon, bytes: much }\nwork_items: { within: 500d }\nworkflow: w\n\
        expect: { header: [a], rows_from: all.count, max_age: \"3\" }\nexpected: { by: \"25:00\", time_zone: Mars/Base }\n";
    let found =
        lines(&check(&read(&of_job("files: pending(orders), table: a.b")), &with(&[("orders", feed)])).problems);
    for expected in [
        "feeds/orders.yaml:3:1 ($.keys): `%Y` is not a complete date",
        "($.compression): Parquet files are compressed internally",
        "($.header_lines): format parquet does not support `header_lines`",
        "($.delimiter): format parquet does not support `delimiter`",
        "($.expect.rows_from): `all.count` is the same key for every file",
        "($.expect.max_age): `3` is not a valid duration",
        "($.batch.files): a batch can have 1 to 1000 files",
        "($.batch.wait): `soon` is not a valid duration",
        "($.batch.bytes): `much` is not a valid size",
        "($.work_items.within): `500d` is longer than 400 days",
        "($.work_items): `work_items` and `workflow` exclude each other",
        "($.expected.by): `25:00` is not a valid time of day",
        "($.expected.time_zone): `Mars/Base` is not a valid time zone",
    ] {
        assert!(found.contains(expected), "{expected} is missing in:\n{found}");
    }
}
