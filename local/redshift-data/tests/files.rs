//! COPY and UNLOAD against S3, and ALTER TABLE APPEND.

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

mod support;

use std::io::{Read, Write};

use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

const ROLE: &str = "iam_role 'arn:aws:iam::000000000000:role/copy'";

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

async fn texts(stage: &support::Stage, sql: &str) -> Value {
    let rows = stage.rows(sql).await;
    let plain = |field: &Value| field.as_object().unwrap().values().next().unwrap().clone();
    rows.as_array().unwrap().iter().map(|row| row.as_array().unwrap().iter().map(plain).collect::<Value>()).collect()
}

#[tokio::test]
async fn csv_files_under_a_prefix_load_with_nulls_quotes_and_headers() {
    let stage = support::stage(&[]).await;
    stage.finish("create table t (id int, name varchar(50), price numeric(8, 2))").await;
    stage.bucket.put("lake/in/a.csv", "id,name,price\n1,\"Smith, \"\"J\"\"\",1.239\n2,,\n");
    stage.bucket.put("lake/in/b.csv", "id,name,price\n3,two\\tlines,7\n");
    stage.bucket.put("lake/other/c.csv", "garbage");
    let end = stage.finish(&format!("copy t from 's3://lake/in/' {ROLE} csv ignoreheader 1")).await;
    assert_eq!(end["ResultRows"], 3);
    assert_eq!(
        texts(&stage, "select id, name, price from t order by id").await,
        // Redshift cuts decimals without ROUNDEC; an empty VARCHAR stays empty, an empty number is NULL.
        json!([[1, "Smith, \"J\"", "1.23"], [2, "", true], [3, "two\\tlines", "7.00"]])
    );
    stage.strike().await;
}

#[tokio::test]
async fn compressed_delimited_and_json_files_load() {
    let stage = support::stage(&[]).await;
    stage.finish("create table t (id int, name varchar(50), more super)").await;
    stage.bucket.put("lake/gz/part", gzip("1|pipe|{\"a\": 1}\n2|\\N|\n"));
    stage.finish(&format!("copy t from 's3://lake/gz/part' {ROLE} gzip")).await;
    let zstd = ruzstd::encoding::compress_to_vec(&b"3;semi\n"[..], ruzstd::encoding::CompressionLevel::Fastest);
    stage.bucket.put("lake/zst/part", zstd);
    stage.finish(&format!("copy t (id, name) from 's3://lake/zst/part' {ROLE} delimiter ';' zstd")).await;
    stage.bucket.put(
        "lake/json/part",
        "{\"id\": 4, \"name\": \"js\\non\", \"more\": {\"k\": [1, 2]}}\n{\"id\": 5, \"extra\": true}",
    );
    stage.finish(&format!("copy t from 's3://lake/json/' {ROLE} format json 'auto'")).await;
    assert_eq!(
        texts(&stage, "select id, name, more from t order by id").await,
        json!([
            [1, "pipe", "{\"a\":1}"],
            [2, true, true],
            [3, "semi", true],
            [4, "js\non", "{\"k\":[1,2]}"],
            [5, true, true]
        ])
    );
    stage.strike().await;
}

#[tokio::test]
async fn a_manifest_names_the_files() {
    let stage = support::stage(&[]).await;
    stage.finish("create table t (id int)").await;
    stage.bucket.put("lake/x/1", "1\n");
    stage.bucket.put("lake/x/2", "2\n");
    let manifest = |second: &str| {
        json!({ "entries": [{ "url": "s3://lake/x/1", "mandatory": true }, { "url": second, "mandatory": true }] })
            .to_string()
    };
    stage.bucket.put("lake/good.manifest", manifest("s3://lake/x/2"));
    stage.bucket.put("lake/bad.manifest", manifest("s3://lake/x/none"));
    let copy = |name: &str| format!("copy t from 's3://lake/{name}.manifest' {ROLE} manifest");
    let end = stage.run(&copy("bad")).await;
    assert_eq!(end["Status"], "FAILED");
    assert!(end["Error"].as_str().unwrap().contains("s3://lake/x/none is in the manifest as mandatory"), "{end}");
    assert_eq!(texts(&stage, "select count(*) from t").await, json!([[0]]), "nothing of a failed load stays");
    stage.finish(&copy("good")).await;
    assert_eq!(texts(&stage, "select id from t order by id").await, json!([[1], [2]]));
    stage.strike().await;
}

#[tokio::test]
async fn a_bad_record_fails_the_load_and_the_batch_around_it() {
    let stage = support::stage(&[]).await;
    stage.finish("create table t (id int, name varchar(5))").await;
    stage.bucket.put("lake/in/1", "1,one\n2,two\n");
    stage.bucket.put("lake/in/2", "3,three\nfour,4\n");
    let copy = format!("copy t from 's3://lake/in/' {ROLE} csv");
    let id = stage.submit(json!({ "Sqls": ["insert into t values (0, 'zero')", copy] })).await;
    let end = stage.ended(&id).await;
    assert_eq!(end["Status"], "FAILED");
    let error = end["Error"].as_str().unwrap();
    assert!(error.starts_with("Query #2 failed with ERROR: Load into table 't' failed."), "{error}");
    assert!(error.contains("s3://lake/in/2, record 2") && error.contains("column id"), "{error}");
    assert!(error.contains("invalid input syntax for type integer: \"four\""), "{error}");
    assert_eq!(texts(&stage, "select count(*) from t").await, json!([[0]]));
    stage.finish(&format!("{copy} maxerror 2")).await;
    assert_eq!(texts(&stage, "select id from t order by id").await, json!([[1], [2], [3]]));
    stage.bucket.put("lake/wide/1", "1,2,3\n");
    let end = stage.run(&format!("copy t from 's3://lake/wide/' {ROLE} csv")).await;
    assert!(end["Error"].as_str().unwrap().contains("record 1: Extra column(s) found"), "{end}");
    let end = stage.run(&format!("copy t from 's3://lake/none/' {ROLE} csv")).await;
    assert_eq!(end["Error"], "ERROR: The specified S3 prefix 'none/' does not exist");
    let end = stage.run("copy t from 's3://lake/in/' csv").await;
    assert_eq!(end["Status"], "FAILED");
    stage.strike().await;
}

#[tokio::test]
async fn load_errors_are_kept_whatever_became_of_the_load() {
    let stage = support::stage(&[]).await;
    stage.finish("create table t (id int, name varchar(5))").await;
    for (file, text) in [("1", "id,name\n1,one\n"), ("2", "id,name\n2,two\nx,y\n"), ("3", "id,name\n3,much too long\n")]
    {
        stage.bucket.put(&format!("lake/in/{file}"), text);
    }
    let copy = format!("copy t from 's3://lake/in/' {ROLE} csv ignoreheader 1");
    let check = format!("{copy} noload maxerror 100");
    let id = stage.submit(json!({ "Sqls": [check, copy] })).await;
    let end = stage.ended(&id).await;
    assert!(end["Error"].as_str().unwrap().starts_with("Query #2 failed with ERROR: Load into table 't'"), "{end}");
    let errors = "select distinct trim(file_name), line_number, trim(column_name) from sys_load_error_detail \
        where start_time >= cast('2020-01-01' as timestamp) order by 1";
    assert_eq!(
        texts(&stage, errors).await,
        json!([["s3://lake/in/2", 3, "id"], ["s3://lake/in/3", 2, "name"]]),
        "the second file's error did not keep the third one's"
    );
    assert_eq!(texts(&stage, "select count(*) from t").await, json!([[0]]));
    stage.strike().await;
}

#[tokio::test]
async fn noload_checks_and_loads_nothing() {
    let stage = support::stage(&[]).await;
    stage.finish("create table t (id int)").await;
    stage.bucket.put("lake/in/1", "1\n");
    stage.finish(&format!("copy t from 's3://lake/in/' {ROLE} csv noload")).await;
    assert_eq!(texts(&stage, "select count(*) from t").await, json!([[0]]));
    stage.strike().await;
}

#[tokio::test]
async fn unload_writes_files_and_will_not_write_over_others() {
    let stage = support::stage(&[]).await;
    stage.finish("create table t (id int, name varchar(20))").await;
    stage.finish("insert into t values (1, 'a|b'), (2, null), (3, 'q\"uote')").await;
    let unload =
        |options: &str| format!("unload ('select id, name from t order by id') to 's3://lake/out/t_' {ROLE} {options}");
    let end = stage.finish(&unload("csv header parallel off")).await;
    assert_eq!(end["ResultRows"], 3);
    assert_eq!(stage.bucket.text("lake/out/t_000"), "id,name\n1,a|b\n2,\n3,\"q\"\"uote\"\n");
    let end = stage.run(&unload("csv header parallel off")).await;
    assert_eq!(end["Status"], "FAILED");
    assert!(end["Error"].as_str().unwrap().starts_with("ERROR: Specified unload destination on S3 is not empty."));
    stage.finish(&unload("parallel off allowoverwrite addquotes")).await;
    assert_eq!(stage.bucket.text("lake/out/t_000"), "\"1\"|\"a|b\"\n\"2\"|\n\"3\"|\"q\"uote\"\n");
    stage.finish(&unload("format json gzip manifest cleanpath")).await;
    assert_eq!(
        stage.bucket.keys(),
        ["lake/out/t_0000_part_00.gz", "lake/out/t_0001_part_00.gz", "lake/out/t_manifest"]
    );
    let mut text = String::new();
    GzDecoder::new(&stage.bucket.get("lake/out/t_0000_part_00.gz").unwrap()[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, "{\"id\":1,\"name\":\"a|b\"}\n{\"id\":3,\"name\":\"q\\\"uote\"}\n");
    let manifest: Value = serde_json::from_str(&stage.bucket.text("lake/out/t_manifest")).unwrap();
    assert_eq!(manifest["entries"][1]["url"], "s3://lake/out/t_0001_part_00.gz");
    let end = stage.run(&unload("format parquet cleanpath")).await;
    assert!(end["Error"].as_str().unwrap().contains("PARQUET is not known here"), "{end}");
    assert_eq!(stage.bucket.keys().len(), 3, "a refused UNLOAD deletes nothing");
    stage.strike().await;
}

#[tokio::test]
async fn what_is_unloaded_loads_again() {
    let stage = support::stage(&[]).await;
    stage.finish("create table t (id int, name varchar(100), at timestamp)").await;
    stage
        .finish("insert into t values (1, 'a,b \"c\" d', '2026-01-02 03:04:05.678'), (2, 'back\\\\slash | pipe', null)")
        .await;
    stage.finish("create table back (id int, name varchar(100), at timestamp)").await;
    for (unload, copy) in
        [("csv", "csv"), ("escape", "escape"), ("format json", "format json 'auto'"), ("csv gzip", "csv gzip")]
    {
        stage.finish(&format!("unload ('select * from t') to 's3://lake/rt/' {ROLE} {unload} cleanpath")).await;
        stage.finish("delete from back").await;
        stage.finish(&format!("copy back from 's3://lake/rt/' {ROLE} {copy}")).await;
        let difference = "select count(*) from (select * from t except select * from back) d";
        assert_eq!(texts(&stage, difference).await, json!([[0]]), "{unload}");
        assert_eq!(texts(&stage, "select count(*) from back").await, json!([[2]]), "{unload}");
    }
    stage.strike().await;
}

#[tokio::test]
async fn append_moves_rows_and_stands_alone() {
    let stage = support::stage(&[]).await;
    stage.finish("create table target (id int, name varchar(10), seen bool default true)").await;
    stage.finish("create table source (name varchar(10), id int)").await;
    stage.finish("insert into source values ('a', 1), ('b', 2)").await;
    let end = stage.run("alter table target append from source").await;
    assert_eq!(end["Status"], "FAILED");
    assert!(end["Error"].as_str().unwrap().contains("FILLTARGET"), "{end}");
    let id = stage.submit(json!({ "Sqls": ["alter table target append from source filltarget"] })).await;
    let end = stage.ended(&id).await;
    assert!(end["Error"].as_str().unwrap().contains("cannot run inside a transaction block"), "{end}");
    stage.finish("alter table target append from source filltarget").await;
    assert_eq!(
        texts(&stage, "select id, name, seen from target order by id").await,
        json!([[1, "a", true], [2, "b", true]])
    );
    assert_eq!(texts(&stage, "select count(*) from source").await, json!([[0]]));
    stage.strike().await;
}
