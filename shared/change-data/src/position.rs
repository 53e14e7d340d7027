//! Where the source database had an event: `dw_md_position`, text whose order is the order in which the changes of a row took place.
//!
//! What orders the changes of a row is the order of *commits*. The place of a change in the log is not enough: a transaction that was open
//! while a snapshot was read has written before the snapshot's place and commits behind it, and its change is the later one.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::{
    json::RawJson,
    refusal::{Refusal, RefusalKind},
    transport::{Offset, Partition},
};

/// Where the source had an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourcePosition {
    /// A place in its log.
    Log(String),
    /// The log says nothing that sorts: source time in microseconds, and then the transport's order.
    Time(i64),
}

impl SourcePosition {
    /// As the column has it.
    pub(crate) fn render(&self, generation: u16, partition: &Partition, offset: &Offset) -> String {
        let mut out = String::new();
        // The first database has no prefix. Letters are behind digits, in ASCII and in every collation.
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

/// Of Debezium's `source`, by its connector.
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
            format!("`source` does not say where the {connector} log has the event; Debezium's connectors always do"),
        )
    })
}

/// End of the transaction that committed before, and the place in the log. Debezium streams transactions in the order of their commits, so
/// the former does not fall; within a transaction, and so within what it did to a row, the latter rises.
fn postgresql(source: RawJson<'_>) -> Option<String> {
    let place = source.member("lsn")?.u64()?;
    let sequence = source.member("sequence").and_then(RawJson::string);
    let committed = sequence.and_then(|text| crate::json::validated(text.as_bytes()).ok()?.elements().next()?.u64());
    Some(format!("{:020}/{place:020}", committed.unwrap_or(place)))
}

/// Number of the log's file, place in it, row of the event there. The time of the event says nothing: a snapshot's rows bear the time at
/// which they were read, which is behind changes that the snapshot does not have.
fn mysql(source: RawJson<'_>) -> Option<String> {
    let file = source.member("file")?.string()?;
    let (_, number) = file.rsplit_once('.')?;
    let number: u64 = number.parse().ok()?;
    let place = source.member("pos")?.u64()?;
    let row = source.member("row").and_then(RawJson::u64).unwrap_or(0);
    Some(format!("{number:010}/{place:020}/{row:010}"))
}

/// Commit, change, serial: `00000027:00000758:0005`, of a width that does not change, or numbers.
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

/// Commit, change, and the redo record and statement in it. A snapshot's rows have no commit of their own: what committed up to their
/// place is in them.
fn oracle(source: RawJson<'_>) -> Option<String> {
    let number = |name| source.member(name).and_then(RawJson::u64);
    let place = number("scn")?;
    let commit = number("commit_scn").unwrap_or(place);
    let redo = source.member("rs_id").and_then(RawJson::string).unwrap_or_default();
    let redo = Some(redo.trim()).filter(|redo| redo.is_empty() || is_place(redo))?;
    let statement = number("ssn").unwrap_or(0);
    Some(format!("{commit:020}/{place:020}/{redo:0>32}/{statement:010}"))
}

/// Whether a text is a place in a log as databases write it, and not something that the row could not hold.
fn is_place(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.' | b'x' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(is_part)
}

/// Time and ordinal of the oplog, and the place in the transaction where the connector adds it.
fn mongodb(source: RawJson<'_>) -> Option<String> {
    let millis = source.member("ts_ms")?.u64()?;
    let ordinal = source.member("ord").and_then(RawJson::u64).unwrap_or(0);
    Some(format!("{millis:020}/{ordinal:010}"))
}

/// Of a DynamoDB stream: its sequence number, which rises with every change of an item.
pub(crate) fn of_sequence_number(digits: &str) -> Option<SourcePosition> {
    Offset::sequence_number(digits).map(|padded| SourcePosition::Log(padded.as_str().into()))
}

/// Of DynamoDB's Kinesis format, which has no sequence numbers: time of the change, and the event's id so that the same event twice has
/// one position. Two changes of an item within the unit of the time are in no order (AWS advises microseconds).
/// None for an id that is none.
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
    fn a_change_that_commits_behind_a_snapshot_is_later_than_the_snapshots_row() {
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
    fn another_database_is_later_than_all_of_the_one_before() {
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
    fn an_event_without_its_place_is_incomplete() {
        let source = validated(br#"{"ts_ms":1}"#).unwrap();
        assert!(of_debezium("postgresql", source, 1).unwrap_err().to_string().contains("postgresql log"));
    }
}
