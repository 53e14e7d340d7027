//! Parquet files of a feed: columns are matched by position, and invalid files are quarantined with a reason.

use std::sync::Arc;

use parquet::{
    basic::Compression,
    data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};
use shiftwork_e2e::{LANDING, Stack, count};
use shiftwork_protocol::file::{FileRecord, FileStatus};

/// A file with three rows, whose numbers start at `10 * n`, with the given columns.
fn file(n: i32, word: &str, columns: &str) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(&format!("message m {{ {columns} }}")).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::clone(&schema), properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for field in schema.get_fields() {
        let mut column = group.next_column().unwrap().unwrap();
        let numbers = [10 * n, 10 * n + 1, 10 * n + 2];
        match field.get_physical_type() {
            parquet::basic::Type::INT32 => column.typed::<Int32Type>().write_batch(&numbers, None, None).unwrap(),
            parquet::basic::Type::INT64 => {
                column.typed::<Int64Type>().write_batch(&numbers.map(i64::from), None, None).unwrap()
            }
            _ => {
                let words = ["a\tb", word].map(ByteArray::from);
                column.typed::<ByteArrayType>().write_batch(&words, Some(&[1, 0, 1]), None).unwrap()
            }
        };
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.into_inner().unwrap()
}

const COLUMNS: &str = "required int32 n; optional binary word (UTF8);";

fn good(n: i32) -> Vec<u8> {
    file(n, "\\N, \"c\"", COLUMNS)
}

fn expected(files: impl Iterator<Item = i64>) -> Vec<i64> {
    files.flat_map(|n| [10 * n, 10 * n + 1, 10 * n + 2]).collect()
}

fn reason_of<'a>(files: &'a [FileRecord], name: &str) -> &'a str {
    let file = files.iter().find(|file| file.key.ends_with(name)).unwrap_or_else(|| panic!("{name} is not registered"));
    assert_eq!(file.file_status, FileStatus::Quarantined, "{name}: {:?}", file.reason);
    file.reason.as_deref().unwrap_or_default()
}

#[tokio::test]
async fn invalid_parquet_files_are_quarantined_with_a_reason_and_the_others_are_loaded() {
    let stack = Stack::shared().await;
    let landing =
        stack.parquet_landing("parquet", LANDING, "workflow: \"{s}\"\nbatch: { files: 100, wait: 5s }\n").await;
    for n in 0..10 {
        landing.put(&format!("day=1/{n} ü.parquet"), good(n)).await;
    }
    let whole = good(10);
    landing.put("cut.parquet", &whole[..whole.len() - 1]).await;
    landing.put("text.parquet", "n,word\n1,a\n").await;
    landing.put("empty.parquet", "").await;
    landing.put("day=1/long word.parquet", file(11, "longer than twenty characters", COLUMNS)).await;
    landing.put("wide.parquet", file(12, "a", &COLUMNS.replace("int32", "int64"))).await;
    landing.put("three.parquet", file(13, "a", &format!("{COLUMNS} required int32 more;"))).await;
    let files = landing.settled(16).await;
    assert_eq!((count(&files, FileStatus::Processed), count(&files, FileStatus::Quarantined)), (10, 6));
    assert_eq!(landing.rows().await, expected(0..10));
    let words = landing.flow.sql("select distinct coalesce(word, 'NULL') from {s}.t order by 1").await;
    assert_eq!(words, [["NULL"], ["\\N, \"c\""], ["a\tb"]]);
    for (name, reason) in [
        ("cut.parquet", "not a complete Parquet file"),
        ("text.parquet", "not with `PAR1`"),
        ("empty.parquet", "it has 0 bytes"),
        ("long word.parquet", "The length of the data column word is longer than the length defined in the table"),
        ("wide.parquet", "has an incompatible Parquet schema"),
        ("three.parquet", "Table columns: 2, Data columns: 3"),
    ] {
        let found_reason = reason_of(&files, name);
        assert!(found_reason.contains(reason), "{name}: {found_reason}");
    }
}

#[tokio::test]
async fn column_names_and_row_counts_of_parquet_files_are_checked_before_the_load() {
    let stack = Stack::shared().await;
    let expect = "expect: { header: [n, word], rows_from: \"{key}.count\" }\n";
    let landing = stack.parquet_landing("names", LANDING, expect).await;
    let other = "required int32 n; optional binary wort (UTF8);";
    for (name, content, rows) in [
        ("fine.parquet", good(1), "3"),
        ("short.parquet", good(2), "4"),
        // The types of the columns match the table, only a name does not.
        ("other.parquet", file(3, "a", other), "3"),
    ] {
        landing.put(name, content).await;
        landing.put(&format!("{name}.count"), rows).await;
    }
    landing.until("three registered files", |files| files.len() == 3).await;
    landing.flow.start().await.end().await.succeeded();
    let files = landing.settled(3).await;
    assert_eq!(landing.rows().await, expected(1..2));
    assert!(reason_of(&files, "short.parquet").contains("the file has 3 rows, and its control file says 4"));
    assert!(reason_of(&files, "other.parquet").contains("the columns are `n,wort`, expected `n,word`"));
}

#[tokio::test]
async fn nested_columns_are_loaded_into_super() {
    let stack = Stack::shared().await;
    let landing = stack.parquet_landing("nested", LANDING, "nested: true\n").await;
    landing.flow.sql("drop table {s}.t").await;
    landing.flow.sql("create table {s}.t (n int, doc super)").await;
    let columns = "required int32 n; optional group doc { optional binary word (UTF8); }";
    let schema = Arc::new(parse_message_type(&format!("message m {{ {columns} }}")).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int32Type>().write_batch(&[7, 8], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&[ByteArray::from("x")], Some(&[2, 0]), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    landing.put("a.parquet", writer.into_inner().unwrap()).await;
    landing.until("one registered file", |files| files.len() == 1).await;
    landing.flow.start().await.end().await.succeeded();
    assert_eq!(landing.flow.sql("select n from {s}.t where doc.word::varchar = 'x'").await, [["7"]]);
    assert_eq!(landing.rows().await, [7, 8]);
}
