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

async fn texts(server: &support::TestServer, sql: &str) -> Value {
    let rows = server.rows(sql).await;
    let plain = |field: &Value| field.as_object().unwrap().values().next().unwrap().clone();
    rows.as_array().unwrap().iter().map(|row| row.as_array().unwrap().iter().map(plain).collect::<Value>()).collect()
}

#[tokio::test]
async fn csv_files_under_a_prefix_load_with_nulls_quotes_and_headers() {
    let server = support::start(&[]).await;
    server.finish("create table t (id int, name varchar(50), price numeric(8, 2))").await;
    server.bucket.put("lake/in/a.csv", "id,name,price\n1,\"Smith, \"\"J\"\"\",1.239\n2,,\n");
    server.bucket.put("lake/in/b.csv", "id,name,price\n3,two\\tlines,7\n");
    server.bucket.put("lake/other/c.csv", "garbage");
    let end = server.finish(&format!("copy t from 's3://lake/in/' {ROLE} csv ignoreheader 1")).await;
    assert_eq!(end["ResultRows"], 3);
    assert_eq!(
        texts(&server, "select id, name, price from t order by id").await,
        // Redshift truncates decimals without ROUNDEC; an empty VARCHAR stays empty, an empty number is NULL.
        json!([[1, "Smith, \"J\"", "1.23"], [2, "", true], [3, "two\\tlines", "7.00"]])
    );
    server.drop_database().await;
}

#[tokio::test]
async fn compressed_delimited_and_json_files_load() {
    let server = support::start(&[]).await;
    server.finish("create table t (id int, name varchar(50), more super)").await;
    server.bucket.put("lake/gz/part", gzip("1|pipe|{\"a\": 1}\n2|\\N|\n"));
    server.finish(&format!("copy t from 's3://lake/gz/part' {ROLE} gzip")).await;
    let zstd = ruzstd::encoding::compress_to_vec(&b"3;semi\n"[..], ruzstd::encoding::CompressionLevel::Fastest);
    server.bucket.put("lake/zst/part", zstd);
    server.finish(&format!("copy t (id, name) from 's3://lake/zst/part' {ROLE} delimiter ';' zstd")).await;
    server.bucket.put(
        "lake/json/part",
        "{\"id\": 4, \"name\": \"js\\non\", \"more\": {\"k\": [1, 2]}}\n{\"id\": 5, \"extra\": true}",
    );
    server.finish(&format!("copy t from 's3://lake/json/' {ROLE} format json 'auto'")).await;
    assert_eq!(
        texts(&server, "select id, name, more from t order by id").await,
        json!([
            [1, "pipe", "{\"a\":1}"],
            [2, true, true],
            [3, "semi", true],
            [4, "js\non", "{\"k\":[1,2]}"],
            [5, true, true]
        ])
    );
    server.drop_database().await;
}

#[tokio::test]
async fn a_manifest_selects_the_files() {
    let server = support::start(&[]).await;
    server.finish("create table t (id int)").await;
    server.bucket.put("lake/x/1", "1\n");
    server.bucket.put("lake/x/2", "2\n");
    let manifest = |second: &str| {
        json!({ "entries": [{ "url": "s3://lake/x/1", "mandatory": true }, { "url": second, "mandatory": true }] })
            .to_string()
    };
    server.bucket.put("lake/good.manifest", manifest("s3://lake/x/2"));
    server.bucket.put("lake/bad.manifest", manifest("s3://lake/x/none"));
    let copy = |name: &str| format!("copy t from 's3://lake/{name}.manifest' {ROLE} manifest");
    let end = server.run(&copy("bad")).await;
    assert_eq!(end["Status"], "FAILED");
    assert!(end["Error"].as_str().unwrap().contains("s3://lake/x/none is in the manifest as mandatory"), "{end}");
    assert_eq!(texts(&server, "select count(*) from t").await, json!([[0]]), "a failed load keeps no rows");
    server.finish(&copy("good")).await;
    assert_eq!(texts(&server, "select id from t order by id").await, json!([[1], [2]]));
    server.drop_database().await;
}

#[tokio::test]
async fn an_invalid_record_fails_the_load_and_its_batch() {
    let server = support::start(&[]).await;
    server.finish("create table t (id int, name varchar(5))").await;
    server.bucket.put("lake/in/1", "1,one\n2,two\n");
    server.bucket.put("lake/in/2", "3,three\nfour,4\n");
    let copy = format!("copy t from 's3://lake/in/' {ROLE} csv");
    let id = server.submit(json!({ "Sqls": ["insert into t values (0, 'zero')", copy] })).await;
    let end = server.ended(&id).await;
    assert_eq!(end["Status"], "FAILED");
    let error = end["Error"].as_str().unwrap();
    assert!(error.starts_with("Query #2 failed with ERROR: Load into table 't' failed."), "{error}");
    assert!(error.contains("s3://lake/in/2, record 2") && error.contains("column id"), "{error}");
    assert!(error.contains("invalid input syntax for type integer: \"four\""), "{error}");
    assert_eq!(texts(&server, "select count(*) from t").await, json!([[0]]));
    server.finish(&format!("{copy} maxerror 2")).await;
    assert_eq!(texts(&server, "select id from t order by id").await, json!([[1], [2], [3]]));
    server.bucket.put("lake/wide/1", "1,2,3\n");
    let end = server.run(&format!("copy t from 's3://lake/wide/' {ROLE} csv")).await;
    assert!(end["Error"].as_str().unwrap().contains("record 1: Extra column(s) found"), "{end}");
    let end = server.run(&format!("copy t from 's3://lake/none/' {ROLE} csv")).await;
    assert_eq!(end["Error"], "ERROR: The specified S3 prefix 'none/' does not exist");
    let end = server.run("copy t from 's3://lake/in/' csv").await;
    assert_eq!(end["Status"], "FAILED");
    server.drop_database().await;
}

#[tokio::test]
async fn load_errors_are_recorded_for_failed_and_noload_loads() {
    let server = support::start(&[]).await;
    server.finish("create table t (id int, name varchar(5))").await;
    for (file, text) in [("1", "id,name\n1,one\n"), ("2", "id,name\n2,two\nx,y\n"), ("3", "id,name\n3,much too long\n")]
    {
        server.bucket.put(&format!("lake/in/{file}"), text);
    }
    let copy = format!("copy t from 's3://lake/in/' {ROLE} csv ignoreheader 1");
    let check = format!("{copy} noload maxerror 100");
    let id = server.submit(json!({ "Sqls": [check, copy] })).await;
    let end = server.ended(&id).await;
    assert!(end["Error"].as_str().unwrap().starts_with("Query #2 failed with ERROR: Load into table 't'"), "{end}");
    let errors = "select distinct trim(file_name), line_number, trim(column_name) from sys_load_error_detail \
        where start_time >= cast('2020-01-01' as timestamp) order by 1";
    assert_eq!(
        texts(&server, errors).await,
        json!([["s3://lake/in/2", 3, "id"], ["s3://lake/in/3", 2, "name"]]),
        "the error of the second file does not prevent that of the third"
    );
    assert_eq!(texts(&server, "select count(*) from t").await, json!([[0]]));
    server.drop_database().await;
}

#[tokio::test]
async fn noload_checks_files_without_loading_them() {
    let server = support::start(&[]).await;
    server.finish("create table t (id int)").await;
    server.bucket.put("lake/in/1", "1\n");
    server.finish(&format!("copy t from 's3://lake/in/' {ROLE} csv noload")).await;
    assert_eq!(texts(&server, "select count(*) from t").await, json!([[0]]));
    server.drop_database().await;
}

#[tokio::test]
async fn unload_writes_files_and_does_not_overwrite_others() {
    let server = support::start(&[]).await;
    server.finish("create table t (id int, name varchar(20))").await;
    server.finish("insert into t values (1, 'a|b'), (2, null), (3, 'q\"uote')").await;
    let unload =
        |options: &str| format!("unload ('select id, name from t order by id') to 's3://lake/out/t_' {ROLE} {options}");
    let end = server.finish(&unload("csv header parallel off")).await;
    assert_eq!(end["ResultRows"], 3);
    assert_eq!(server.bucket.text("lake/out/t_000"), "id,name\n1,a|b\n2,\n3,\"q\"\"uote\"\n");
    let end = server.run(&unload("csv header parallel off")).await;
    assert_eq!(end["Status"], "FAILED");
    assert!(end["Error"].as_str().unwrap().starts_with("ERROR: Specified unload destination on S3 is not empty."));
    server.finish(&unload("parallel off allowoverwrite addquotes")).await;
    assert_eq!(server.bucket.text("lake/out/t_000"), "\"1\"|\"a|b\"\n\"2\"|\n\"3\"|\"q\"uote\"\n");
    server.finish(&unload("format json gzip manifest cleanpath")).await;
    assert_eq!(
        server.bucket.keys(),
        ["lake/out/t_0000_part_00.gz", "lake/out/t_0001_part_00.gz", "lake/out/t_manifest"]
    );
    let mut text = String::new();
    GzDecoder::new(&server.bucket.get("lake/out/t_0000_part_00.gz").unwrap()[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, "{\"id\":1,\"name\":\"a|b\"}\n{\"id\":3,\"name\":\"q\\\"uote\"}\n");
    let manifest: Value = serde_json::from_str(&server.bucket.text("lake/out/t_manifest")).unwrap();
    assert_eq!(manifest["entries"][1]["url"], "s3://lake/out/t_0001_part_00.gz");
    let end = server.run(&unload("format parquet cleanpath")).await;
    assert!(end["Error"].as_str().unwrap().contains("PARQUET is not supported by this server"), "{end}");
    assert_eq!(server.bucket.keys().len(), 3, "a rejected UNLOAD deletes nothing");
    server.drop_database().await;
}

#[tokio::test]
async fn unloaded_files_can_be_loaded_again() {
    let server = support::start(&[]).await;
    server.finish("create table t (id int, name varchar(100), at timestamp)").await;
    server
        .finish("insert into t values (1, 'a,b \"c\" d', '2026-01-02 03:04:05.678'), (2, 'back\\\\slash | pipe', null)")
        .await;
    server.finish("create table back (id int, name varchar(100), at timestamp)").await;
    for (unload, copy) in
        [("csv", "csv"), ("escape", "escape"), ("format json", "format json 'auto'"), ("csv gzip", "csv gzip")]
    {
        server.finish(&format!("unload ('select * from t') to 's3://lake/rt/' {ROLE} {unload} cleanpath")).await;
        server.finish("delete from back").await;
        server.finish(&format!("copy back from 's3://lake/rt/' {ROLE} {copy}")).await;
        let difference = "select count(*) from (select * from t except select * from back) d";
        assert_eq!(texts(&server, difference).await, json!([[0]]), "{unload}");
        assert_eq!(texts(&server, "select count(*) from back").await, json!([[2]]), "{unload}");
    }
    server.drop_database().await;
}

#[tokio::test]
async fn append_moves_rows_and_is_rejected_in_a_batch() {
    let server = support::start(&[]).await;
    server.finish("create table target (id int, name varchar(10), seen bool default true)").await;
    server.finish("create table source (name varchar(10), id int)").await;
    server.finish("insert into source values ('a', 1), ('b', 2)").await;
    let end = server.run("alter table target append from source").await;
    assert_eq!(end["Status"], "FAILED");
    assert!(end["Error"].as_str().unwrap().contains("FILLTARGET"), "{end}");
    let id = server.submit(json!({ "Sqls": ["alter table target append from source filltarget"] })).await;
    let end = server.ended(&id).await;
    assert!(end["Error"].as_str().unwrap().contains("cannot run inside a transaction block"), "{end}");
    server.finish("alter table target append from source filltarget").await;
    assert_eq!(
        texts(&server, "select id, name, seen from target order by id").await,
        json!([[1, "a", true], [2, "b", true]])
    );
    assert_eq!(texts(&server, "select count(*) from source").await, json!([[0]]));
    server.drop_database().await;
}
