//! COPY of Parquet: supported files are loaded, other files fail with the errors of Redshift.

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

mod support;

use std::sync::Arc;

use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, FloatType,
    Int32Type, Int64Type, Int96, Int96Type,
};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};

const ROLE: &str = "iam_role 'arn:aws:iam::000000000000:role/copy'";

type Group<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

/// A file with this number of row groups, each written by `fill`.
fn file(schema: &str, codec: Compression, groups: i64, fill: impl Fn(i64, &mut Group<'_>)) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(&format!("message m {{ {schema} }}")).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(codec).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    for number in 0..groups {
        let mut group = writer.next_row_group().unwrap();
        fill(number, &mut group);
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

/// Writes the next column of a row group; `defined` contains the definition level of each row.
fn column<T: DataType>(group: &mut Group<'_>, values: &[T::T], defined: Option<&[i16]>) {
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<T>().write_batch(values, defined, None).unwrap();
    column.close().unwrap();
}

fn words(words: &[&str]) -> Vec<ByteArray> {
    words.iter().map(|word| ByteArray::from(*word)).collect()
}

/// A file with two columns: integers and strings.
fn pairs(rows: &[(i64, &str)]) -> Vec<u8> {
    file("required int64 n; optional binary word (UTF8);", Compression::SNAPPY, 1, |_, group| {
        column::<Int64Type>(group, &rows.iter().map(|row| row.0).collect::<Vec<_>>(), None);
        column::<ByteArrayType>(
            group,
            &words(&rows.iter().map(|row| row.1).collect::<Vec<_>>()),
            Some(&vec![1; rows.len()]),
        );
    })
}

async fn texts(server: &support::TestServer, sql: &str) -> Value {
    let rows = server.rows(sql).await;
    let plain = |field: &Value| field.as_object().unwrap().values().next().unwrap().clone();
    rows.as_array().unwrap().iter().map(|row| row.as_array().unwrap().iter().map(plain).collect::<Value>()).collect()
}

async fn error(server: &support::TestServer, sql: &str) -> String {
    let end = server.run(sql).await;
    assert_eq!(end["Status"], "FAILED", "{sql}: {end}");
    end["Error"].as_str().unwrap().to_owned()
}

fn copy(options: &str) -> String {
    format!("copy t from 's3://lake/in/' {ROLE} format as parquet {options}")
}

#[tokio::test]
async fn every_type_is_loaded_unchanged_with_every_codec() {
    let server = support::start(&[]).await;
    server
        .finish(
            "create table t (b bool, s smallint, i int, l bigint, r real, d double precision, n numeric(9, 2), big numeric(38, 4), \
             v varchar(20), day date, milli timestamp, micro timestamp, legacy timestamp)",
        )
        .await;
    let schema = "optional boolean b; optional int32 s (INT_16); optional int32 i; optional int64 l; optional float r; \
        optional double d; optional int32 n (DECIMAL(9, 2)); optional fixed_len_byte_array(16) big (DECIMAL(38, 4)); \
        optional binary v (UTF8); optional int32 day (DATE); optional int64 milli (TIMESTAMP_MILLIS); \
        optional int64 micro (TIMESTAMP_MICROS); optional int96 legacy;";
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
    ];
    for (number, codec) in codecs.into_iter().enumerate() {
        let bytes = file(schema, codec, 1, |_, group| {
            let some = Some(&[1, 0, 1][..]);
            column::<BoolType>(group, &[true, false], some);
            column::<Int32Type>(group, &[-7, 32_767], some);
            column::<Int32Type>(group, &[i32::MIN, 0], some);
            column::<Int64Type>(group, &[i64::MAX, -1], some);
            column::<FloatType>(group, &[0.5, -2.25], some);
            column::<DoubleType>(group, &[1e300, 0.1], some);
            column::<Int32Type>(group, &[-5, 1_250], some);
            let big = |number: i128| FixedLenByteArray::from(number.to_be_bytes().to_vec());
            column::<FixedLenByteArrayType>(group, &[big(-123_456_789_012_345_678_901_234), big(1)], some);
            column::<ByteArrayType>(group, &words(&["tab\t\\N", ""]), some);
            column::<Int32Type>(group, &[-1, 20_455], some);
            column::<Int64Type>(group, &[1_767_323_045_678, -1], some);
            column::<Int64Type>(group, &[1_767_323_045_678_901, 0], some);
            let mut old = Int96::new();
            let nanos: u64 = 3_600_000_001_000;
            old.set_data((nanos & 0xFFFF_FFFF) as u32, (nanos >> 32) as u32, 2_440_589);
            column::<Int96Type>(group, &[old, old], some);
        });
        server.bucket.put("lake/in/a.parquet", bytes);
        let end = server.finish(&copy("")).await;
        assert_eq!(end["ResultRows"], 3, "{codec}");
        let rows = texts(
            &server,
            "select b, s, i, l, r, d, n, big, v, day, milli, micro, legacy from t order by l desc nulls last",
        )
        .await;
        assert_eq!(
            rows,
            json!([
                [
                    true,
                    -7,
                    i32::MIN,
                    i64::MAX,
                    0.5,
                    1e300,
                    "-0.05",
                    "-12345678901234567890.1234",
                    "tab\t\\N",
                    "1969-12-31",
                    "2026-01-02 03:04:05.678",
                    "2026-01-02 03:04:05.678901",
                    "1970-01-02 01:00:00.000001"
                ],
                [
                    false,
                    32_767,
                    0,
                    -1,
                    -2.25,
                    0.1,
                    "12.50",
                    "0.0001",
                    "",
                    "2026-01-02",
                    "1969-12-31 23:59:59.999",
                    "1970-01-01 00:00:00",
                    "1970-01-02 01:00:00.000001"
                ],
                [true, true, true, true, true, true, true, true, true, true, true, true, true]
            ]),
            "{codec}, file {number}"
        );
        server.finish("truncate t").await;
    }
    server.drop_database().await;
}

#[tokio::test]
async fn many_rows_and_row_groups_keep_their_order_and_nulls() {
    let server = support::start(&[]).await;
    server.finish("create table t (n bigint, half int)").await;
    let bytes = file("required int64 n; optional int32 half;", Compression::SNAPPY, 3, |number, group| {
        let n: Vec<i64> = (number * 5_000..(number + 1) * 5_000).collect();
        column::<Int64Type>(group, &n, None);
        let even: Vec<i16> = n.iter().map(|n| i16::from(n % 2 == 0)).collect();
        let half: Vec<i32> = n.iter().filter(|n| *n % 2 == 0).map(|n| i32::try_from(n / 2).unwrap()).collect();
        column::<Int32Type>(group, &half, Some(&even));
    });
    server.bucket.put("lake/in/a.parquet", bytes);
    assert_eq!(server.finish(&copy("")).await["ResultRows"], 15_000);
    let wrong =
        "select count(*) from t where case when n % 2 = 0 then coalesce(half, -1) <> n / 2 else half is not null end";
    assert_eq!(texts(&server, wrong).await, json!([[0]]));
    assert_eq!(texts(&server, "select count(distinct n), min(n), max(n) from t").await, json!([[15_000, 0, 14_999]]));
    server.drop_database().await;
}

#[tokio::test]
async fn columns_are_matched_by_position_and_their_number_must_match() {
    let server = support::start(&[]).await;
    server.finish("create table t (a bigint, b varchar(20), c int default 9)").await;
    server.bucket.put("lake/in/a b=1.parquet", pairs(&[(1, "x")]));
    let words = error(&server, &copy("")).await;
    assert!(words.starts_with("ERROR: Spectrum Scan Error\n"), "{words}");
    let context = "Unmatched number of columns between table and file. Table columns: 3, Data columns: 2, File name: \
        https://s3.us-east-1.amazonaws.com/lake/in/a%20b%3D1.parquet";
    assert!(words.contains(context), "{words}");
    let found =
        texts(&server, "select trim(file_name), error_code, trim(error_message) from sys_load_error_detail").await;
    assert_eq!(found, json!([["https://s3.us-east-1.amazonaws.com/lake/in/a%20b%3D1.parquet", 15_007, context]]));
    server.finish(&copy("fillrecord")).await;
    server.finish(&copy("").replace("copy t", "copy t (a, b)")).await;
    assert_eq!(texts(&server, "select a, b, c from t order by c").await, json!([[1, "x", 9], [1, "x", true]]));
    server.drop_database().await;
}

#[tokio::test]
async fn columns_that_do_not_fit_the_table_fail_the_load() {
    let server = support::start(&[]).await;
    server.bucket.put("lake/in/1.parquet", pairs(&[(1, "fits")]));
    server.bucket.put("lake/in/2.parquet", pairs(&[(2, "does not")]));
    let long = "The length of the data column w is longer than the length defined in the table. Table: 5, Data: 8";
    let schema = "has an incompatible Parquet schema for column 's3://lake/in/1.parquet.n'. Column type: INT, Parquet schema:\n\
        required int64 n [i:0 d:0 r:0]";
    for (columns, context) in [
        ("n bigint, w varchar(5)", long),
        ("n int, w varchar(20)", schema),
        ("n numeric(18, 0), w varchar(20)", "Column type: DECIMAL(18, 0), Parquet schema:\nrequired int64 n"),
        ("n bigint, w date", "for column 's3://lake/in/1.parquet.w'. Column type: DATE"),
        ("n bigint, w timestamptz", "into column w of type TIMESTAMPTZ is not supported by this server"),
        ("n bigint, w super", "SUPER column in COPY query requires SERIALIZETOJSON option"),
    ] {
        server.finish(&format!("create table t ({columns})")).await;
        let words = error(&server, &copy("")).await;
        assert!(words.contains(context), "{columns}: {words}");
        assert_eq!(texts(&server, "select count(*) from t").await, json!([[0]]), "a failed load keeps no rows");
        server.finish("drop table t").await;
    }
    server.drop_database().await;
}

#[tokio::test]
async fn a_damaged_file_fails_the_load_with_its_file_name() {
    let server = support::start(&[]).await;
    server.finish("create table t (n bigint, word varchar(2000))").await;
    let long = "word ".repeat(300);
    let whole = pairs(&[(1, &long), (2, "b")]);
    server.bucket.put("lake/in/1.parquet", whole.clone());
    let mut flipped = whole.clone();
    flipped[40..60].fill(0xFF);
    for (what, bytes) in [
        ("truncated", whole[..whole.len() - 20].to_vec()),
        ("text", b"n,word\n1,a\n2,b\n".to_vec()),
        ("empty", Vec::new()),
        ("magic numbers only", b"PAR1PAR1PAR1".to_vec()),
        ("flipped", flipped),
    ] {
        server.bucket.put("lake/in/2.parquet", bytes);
        let words = error(&server, &copy("")).await;
        assert!(words.contains("File 'https://s3.us-east-1.amazonaws.com/lake/in/2.parquet'"), "{what}: {words}");
        assert_eq!(texts(&server, "select count(*) from t").await, json!([[0]]), "{what}");
    }
    server.drop_database().await;
}

#[tokio::test]
async fn a_manifest_must_contain_the_length_of_each_file() {
    let server = support::start(&[]).await;
    server.finish("create table t (n bigint, word varchar(20))").await;
    let bytes = pairs(&[(1, "a")]);
    let length = bytes.len();
    server.bucket.put("lake/in/1.parquet", bytes);
    let entry = |meta: Value| {
        let mut entry = json!({ "url": "s3://lake/in/1.parquet", "mandatory": true });
        if !meta.is_null() {
            entry["meta"] = meta;
        }
        json!({ "entries": [entry] }).to_string()
    };
    let copy = copy("manifest").replace("lake/in/", "lake/m");
    for (meta, words) in [
        (Value::Null, "ERROR: File entry does not have 'meta' key."),
        (json!({}), "ERROR: File entry does not have 'content_length' key."),
        (json!({ "content_length": length + 1 }), "416 Message: InvalidRange"),
        (json!({ "content_length": length - 1 }), "has an invalid version number"),
    ] {
        server.bucket.put("lake/m", entry(meta));
        let found = error(&server, &copy).await;
        assert!(found.contains(words), "{found}");
    }
    server.bucket.put("lake/m", entry(json!({ "content_length": length })));
    server.finish(&copy).await;
    server.bucket.put("lake/m", entry(json!({ "content_length": length })).replace("1.parquet", "none.parquet"));
    assert!(error(&server, &copy).await.contains("File not found: https://"));
    assert_eq!(texts(&server, "select n, word from t").await, json!([[1, "a"]]));
    server.drop_database().await;
}

#[tokio::test]
async fn lists_and_structs_are_loaded_into_super() {
    let server = support::start(&[]).await;
    server.finish("create table t (n bigint, doc super, word super)").await;
    let schema = "required int64 n; optional group doc { optional binary a (UTF8); optional group l (LIST) \
        { repeated group list { optional int32 element; } } } optional binary word (UTF8);";
    let bytes = file(schema, Compression::SNAPPY, 1, |_, group| {
        column::<Int64Type>(group, &[1, 2], None);
        column::<ByteArrayType>(group, &words(&["q\"uote"]), Some(&[2, 0]));
        // The first row has a list of 3 and null, the second row has no struct.
        let mut list = group.next_column().unwrap().unwrap();
        list.typed::<Int32Type>().write_batch(&[3], Some(&[4, 3, 0]), Some(&[0, 1, 0])).unwrap();
        list.close().unwrap();
        column::<ByteArrayType>(group, &words(&["w"]), Some(&[1, 0]));
    });
    server.bucket.put("lake/in/a.parquet", bytes);
    server.finish(&copy("serializetojson")).await;
    assert_eq!(
        texts(&server, "select n, doc, word from t order by n").await,
        json!([[1, "{\"a\":\"q\\\"uote\",\"l\":[3,null]}", "\"w\""], [2, true, true]])
    );
    assert_eq!(texts(&server, "select doc.l[0]::int from t where n = 1").await, json!([[3]]));
    let long = "x".repeat(65_536);
    server.bucket.put("lake/in/a.parquet", pairs(&[(1, &long)]));
    let words = error(&server, &copy("serializetojson").replace("copy t", "copy t (n, word)")).await;
    assert!(words.contains("1224 String value exceeds the max size of 65535 bytes"), "{words}");
    server.drop_database().await;
}
