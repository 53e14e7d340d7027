//! The position of an event in the source database: `dw_md_position`, a text whose order is the order of the changes of a row.
//!
//! The changes of a row are ordered by *commit*. The position of a change in the log is not sufficient: a transaction that is open while a
//! snapshot is read writes its change before the snapshot's position but commits after it, so its change is the later one.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::{
    json::RawJson,
    refusal::{Refusal, RefusalKind},
    transport::{Offset, Partition},
};

/// The position of an event in its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourcePosition {
    /// A position in the log of the database.
    Log(String),
    /// Source time in microseconds, followed by the order of the transport, if the log has no position that can be sorted.
    Time(i64),
}

impl SourcePosition {
    /// The value of the column `dw_md_position`.
    pub(crate) fn render(&self, generation: u16, partition: &Partition, offset: &Offset) -> String {
        let mut out = String::new();
        // Generation 0 has no prefix. Letters sort after digits in ASCII and in every collation.
        if generation > 0 {
            let _ = write!(out, "g{generation:05}/");
        }
        let _ = match self {
            Self::Log(place) => write!(out, "{place}"),
            Self::Time(micros) if partition.as_str().len() <= 300 => write!(out, "{micros:020}/{partition}/{offset}"),
            Self::Time(micros) => {
                write!(out, "{micros:020}/{}/{offset}", hex::encode(Sha256::digest(partition.as_str())))
            }
        };
        out
    }
}

/// The position in Debezium's `source`, by its connector.
pub(crate) fn of_debezium(connector: &str, source: RawJson<'_>, micros: i64) -> Result<SourcePosition, Refusal> {
    let place = match connector {
        "postgresql" => postgresql(source),
        "mysql" | "mariadb" => mysql(source),
        "sqlserver" | "db2" | "informix" => change_tables(source),
        "oracle" => oracle(source),
        "mongodb" => mongodb(source),
        _ => return Ok(SourcePosition::Time(micros)),
    };
    place.map(SourcePosition::Log).ok_or_else(|| {
        Refusal::new(
            RefusalKind::Incomplete,
            format!(
                "`source` does not have the position in the {connector} log, which Debezium's connectors always write"
            ),
        )
    })
}

/// The end of the transaction that committed before, and the position in the log. Debezium streams transactions in the order of their
/// commits, so the former never decreases; within a transaction the latter increases.
fn postgresql(source: RawJson<'_>) -> Option<String> {
    let place = source.member("lsn")?.u64()?;
    let sequence = source.member("sequence").and_then(RawJson::string);
    let committed = sequence.and_then(|text| crate::json::validated(text.as_bytes()).ok()?.elements().next()?.u64());
    Some(format!("{:020}/{place:020}", committed.unwrap_or(place)))
}

/// The number of the log file, the position in it, and the row of the event. The time of the event cannot be used: rows of a snapshot have
/// the time when they were read, which is after changes that the snapshot does not contain.
fn mysql(source: RawJson<'_>) -> Option<String> {
    let file = source.member("file")?.string()?;
    let (_, number) = file.rsplit_once('.')?;
    let number: u64 = number.parse().ok()?;
    let place = source.member("pos")?.u64()?;
    let row = source.member("row").and_then(RawJson::u64).unwrap_or(0);
    Some(format!("{number:010}/{place:020}/{row:010}"))
}

/// The log sequence numbers of the commit and the change, and the serial number. They have a fixed width (`00000027:00000758:0005`) or are
/// numbers.
fn change_tables(source: RawJson<'_>) -> Option<String> {
    let place = |name| match source.member(name).and_then(RawJson::some) {
        Some(place) => place.digits().filter(|place| is_place(place)).map(Some),
        None => Some(None),
    };
    let (commit, change) = (place("commit_lsn")?, place("change_lsn")?);
    let commit = commit.or_else(|| change.clone())?;
    let change = change.unwrap_or_default();
    let serial = source.member("event_serial_no").and_then(RawJson::u64).unwrap_or(0);
    let padded = |place: &str| if place.contains(':') { place.to_ascii_lowercase() } else { format!("{place:0>22}") };
    Some(format!("{}/{}/{serial:010}", padded(&commit), padded(&change)))
}

/// The system change numbers of the commit and the change, the redo record and the statement in it. Rows of a snapshot have no commit:
/// they contain all changes that were committed up to their position.
fn oracle(source: RawJson<'_>) -> Option<String> {
    let number = |name| source.member(name).and_then(RawJson::u64);
    let place = number("scn")?;
    let commit = number("commit_scn").unwrap_or(place);
    let redo = source.member("rs_id").and_then(RawJson::string).unwrap_or_default();
    let redo = Some(redo.trim()).filter(|redo| redo.is_empty() || is_place(redo))?;
    let statement = number("ssn").unwrap_or(0);
    Some(format!("{commit:020}/{place:020}/{redo:0>32}/{statement:010}"))
}

/// Whether a text is a valid position in a log, which a row can hold.
fn is_place(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.' | b'x' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(is_part)
}

/// Time and ordinal in the oplog, and the number of the event in its transaction if the connector adds it.
fn mongodb(source: RawJson<'_>) -> Option<String> {
    let millis = source.member("ts_ms")?.u64()?;
    let ordinal = source.member("ord").and_then(RawJson::u64).unwrap_or(0);
    Some(format!("{millis:020}/{ordinal:010}"))
}

/// The position in a DynamoDB stream: the sequence number, which increases with every change of an item.
pub(crate) fn of_sequence_number(digits: &str) -> Option<SourcePosition> {
    Offset::sequence_number(digits).map(|padded| SourcePosition::Log(padded.as_str().into()))
}

/// The position in DynamoDB's Kinesis format, which has no sequence numbers: the time of the change, and the event's id so that a repeated
/// event has the same position. The order of two changes of an item within one unit of time is undefined (AWS recommends microseconds).
/// `None` if the id is not valid.
pub(crate) fn of_creation(micros: i64, event_id: &str) -> Option<SourcePosition> {
    is_place(event_id).then(|| SourcePosition::Log(format!("{micros:020}/{event_id}")))
}

#[cfg(test)]
mod tests {
    use super::{SourcePosition, of_debezium};
    use crate::{
        json::validated,
        transport::{Offset, Partition},
    };

    fn place(connector: &str, source: &str) -> String {
        let position = of_debezium(connector, validated(source.as_bytes()).unwrap(), 7).unwrap();
        position.render(0, &Partition::kafka("t", 0), &Offset::number(1))
    }

    #[test]
    fn a_change_that_commits_after_a_snapshot_is_later_than_the_snapshot() {
        let snapshot = place("postgresql", r#"{"lsn":5000,"sequence":"[null,\"5000\"]"}"#);
        let change = place("postgresql", r#"{"lsn":4990,"sequence":"[\"5010\",\"4990\"]"}"#);
        assert!(snapshot < change);
        let snapshot = place("sqlserver", r#"{"change_lsn":null,"commit_lsn":"00000027:00000758:0005"}"#);
        let change = place(
            "sqlserver",
            r#"{"change_lsn":"00000027:00000750:0002","commit_lsn":"00000027:00000759:0001","event_serial_no":"2"}"#,
        );
        assert!(snapshot < change);
        let snapshot = place("oracle", r#"{"scn":"1000","commit_scn":null}"#);
        let change = place("oracle", r#"{"scn":"990","commit_scn":"1010","rs_id":" 0x000b.00012.0010 ","ssn":0}"#);
        assert!(snapshot < change);
    }

    #[test]
    fn the_next_file_of_a_log_is_later() {
        let at =
            |file: &str, pos: u32| place("mysql", &format!(r#"{{"file":"{file}","pos":{pos},"row":0,"ts_ms":0}}"#));
        assert!(at("mysql-bin.000009", 9_999_999) < at("mysql-bin.000010", 4));
        assert!(at("mysql-bin.999999", 4) < at("mysql-bin.1000000", 4));
    }

    #[test]
    fn a_higher_generation_is_later() {
        let (partition, offset) = (Partition::kafka("t", 0), Offset::number(1));
        let old = SourcePosition::Log("99999999999999999999".into()).render(0, &partition, &offset);
        let new = SourcePosition::Log("00000000000000000001".into());
        assert!(old < new.render(1, &partition, &offset));
        assert!(new.render(9, &partition, &offset) < new.render(10, &partition, &offset));
    }

    #[test]
    fn an_unknown_connector_is_ordered_by_time_and_transport() {
        assert_eq!(place("spanner", "{}"), "00000000000000000007/kafka/t/0/00000000000000000001");
        let long = Partition::s3("bucket", &"k".repeat(600), "v");
        assert!(SourcePosition::Time(i64::MAX).render(u16::MAX, &long, &Offset::number(1)).len() <= 512);
    }

    #[test]
    fn an_event_without_a_position_is_incomplete() {
        let source = validated(br#"{"ts_ms":1}"#).unwrap();
        assert!(of_debezium("postgresql", source, 1).unwrap_err().to_string().contains("postgresql log"));
    }
}
