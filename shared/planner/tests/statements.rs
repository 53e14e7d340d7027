//! Snapshots of the statements that the planner generates. `local/checks/test_sql.py` parses each of them as Redshift SQL.

mod support;

use serde_json::json;
use shiftwork_planner::{PlanInputs, Script, plan};
use shiftwork_protocol::Work;
use shiftwork_protocol::keys::feed_key;
use support::{inputs, lines, read, run_with};

const FEEDS: [(&str, &str); 4] = [
    ("csv", "format: csv\ncompression: gzip\nheader_lines: 2\ndelimiter: \"|\"\nnull_as: nil\ncolumns: [id, \"it's\"]"),
    ("lines", "format: json_lines\ncompression: zstd"),
    ("parquet", "format: parquet"),
    ("nested", "format: parquet\nnested: true"),
];

const JOBS: &str = r#"
workflow_id: w
workflow_stages:
  - execution_type: parallel
    scripts:
      - { job_name: copy_csv, kind: copy, files: pending(csv), iam_role: "arn:aws:iam::123456789012:role/w" }
      - { job_name: copy_lines, kind: copy, files: pending(lines) }
      - { job_name: copy_nested, kind: copy, files: pending(nested) }
      - { job_name: copy_parquet, kind: copy, files: pending(parquet), table: x.y, columns: [c] }
      - { job_name: procedure, kind: procedure, call: "dwh.totals(:run_date, 7)" }
      - job_name: unload_csv
        kind: unload
        select: SELECT 'it''s' AS a, b FROM t
        to: s3://exports/{run_date}/
        delimiter: ";"
        null_as: nil
        header: true
        compression: gzip
        max_file_size: 100 MB
        manifest: true
        region: eu-west-1
        kms_key_id: 11111111-2222-3333-4444-555555555555
        allow_overwrite: true
      - job_name: unload_parquet
        kind: unload
        select: SELECT a, b FROM t
        to: s3://exports/parquet/
        iam_role: arn:aws:iam::123456789012:role/w
        format: parquet
        partition_by: [a]
        clean_path: true
"#;

#[test]
fn every_option_of_a_statement() {
    let feeds = FEEDS.map(|(name, fields)| {
        let text = format!("feed: {name}\nbucket: landing\nkeys: \"{name}/*\"\ntable: sales.orders\n{fields}\n");
        (name.to_owned(), Script { key: feed_key(name), version_id: "v1".into(), text })
    });
    let inputs = PlanInputs { feeds: feeds.into(), ..inputs("w", &[]) };
    let plan =
        plan(&read(JOBS), &inputs, &run_with(&json!({}))).unwrap_or_else(|problems| panic!("{}", lines(&problems)));
    let statement = |work: &Work| match work {
        // The launcher adds the key of the manifest.
        Work::Copy { into, options, .. } => format!("{into} FROM 's3://staging/manifests/a.json' {options}"),
        Work::Procedure { sql, .. } | Work::Unload { sql, .. } => sql.clone(),
        other => panic!("the work has no statement: {other:?}"),
    };
    let shown = plan.jobs.iter().map(|job| format!("-- {}\n{};\n", job.job_name, statement(&job.work)));
    insta::assert_snapshot!(shown.collect::<Vec<_>>().join("\n"));
}
