use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use shiftwork_change_data::{compiled::Compiled, contract, transport::Partition};

use super::{each_line, open, stage, summary, table};

const CONTRACT: &str = "
contract: orders
source: { format: debezium, table: public.orders }
target: { schema: shop, table: orders }
key: [id]
columns: [{ name: id, type: bigint }]
";

const EVENTS: &str = concat!(
    r#"{"op":"c","after":{"id":1,"new":2},"source":{"connector":"postgresql","schema":"public","table":"orders","ts_ms":1,"lsn":1}}"#,
    "\n\n",
    r#"{"op":"c","after":{"id":1},"source":{"connector":"postgresql","schema":"public","table":"carts","ts_ms":1,"lsn":1}}"#,
    "\r\n{\"ts_ms\":1}\n{\"op\":",
);

#[test]
fn every_line_of_a_file_has_a_row_or_a_count_in_the_summary() {
    let compiled = Compiled::new(contract::read("orders.yaml", CONTRACT).unwrap());
    let mut refused = Vec::new();
    let mut refuse = |line: u64, value: &[u8], _: &_| {
        refused.push((line, value.to_vec()));
        Ok(())
    };
    let partition = Partition::from_text("file/orders");
    let (rows, counts) = stage(EVENTS.as_bytes(), &compiled, partition, Vec::new(), &mut refuse).unwrap();
    let wanted = concat!(
        r#"1,1970-01-01 00:00:00.001,create,"{""new"":2}",\N,\N,00000000000000000001/00000000000000000001/,"#,
        "file/orders,00000000000000000001\n"
    );
    assert_eq!(String::from_utf8(rows).unwrap(), wanted);
    assert_eq!(refused, [(5, b"{\"op\":".to_vec())]);
    crate::table::tests::holds(&table(&counts));
    let summary = summary(&counts, std::time::Duration::from_secs(1));
    for text in ["1 row, 1 with dw_md_missing_data", "for other tables", "skipped: heartbeat", "refused: not-json"] {
        assert!(summary.contains(text), "{text} is not in\n{summary}");
    }
}

#[test]
fn a_gzip_file_is_decompressed() {
    let folder = std::env::temp_dir().join(format!("shiftwork-decode-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in [("plain", EVENTS.as_bytes().to_vec()), ("packed", gzip(EVENTS))] {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut lines = Vec::new();
        let input = open(&path, &indicatif::ProgressBar::hidden()).unwrap();
        each_line(input, |number, line| {
            lines.push((number, line.len()));
            Ok(())
        })
        .unwrap();
        let wanted: Vec<_> = (1u64..).zip(EVENTS.lines()).map(|(number, line)| (number, line.len())).collect();
        assert_eq!(lines, wanted.into_iter().filter(|(_, length)| *length > 0).collect::<Vec<_>>(), "{name}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A gzip file with two members, the form that tools write when they append to a file.
fn gzip(text: &str) -> Vec<u8> {
    let (head, tail) = text.split_at(10);
    let mut out = Vec::new();
    for part in [head, tail] {
        let mut encoder = GzEncoder::new(&mut out, Compression::fast());
        encoder.write_all(part.as_bytes()).unwrap();
        encoder.finish().unwrap();
    }
    out
}
