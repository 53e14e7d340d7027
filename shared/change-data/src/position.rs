//! The position of an event in the source database: `dw_md_position`, a text whose order is the order of the changes of a row.
//!
//! The changes of a row are ordered by *commit*. The position of a change in the log is not sufficient: a transaction that is open while a
//! snapshot is read writes its change before the snapshot's position but commits after it, so its change is the later one.

use std::{fmt::Write as _, hash::Hasher as _};

use sha2::{Digest as _, Sha256};
use twox_hash::XxHash3_64;

use crate::{
    json::RawJson,
    refusal::{Refusal, RefusalKind},
    transport::{Offset, Partition},
};

/// The position of an event in its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourcePosition {
    /// A place in the log of the database, which no other change of the row has.
    Log(String),
    /// A place that several changes of a row can share: the events of one transaction of MongoDB, or of one unit of time. The order of
    /// the transport orders them, and the digest of the change tells them from a repetition: an event that the producer sends again
    /// has another offset and the same digest.
    Shared {
        place: String,
        /// 16 hexadecimal digits.
        digest: String,
    },
}

/// A place in the log of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// No other change of the row has the place.
    Unique(String),
    /// Several changes of a row can have the place.
    Shared(String),
}

impl Place {
    /// The position of an event at this place. `parts` are the texts that say which change the event is.
    pub(crate) fn position<'p>(self, parts: impl IntoIterator<Item = &'p str>) -> SourcePosition {
        match self {
            Self::Unique(place) => SourcePosition::Log(place),
            Self::Shared(place) => {
                let mut digest = XxHash3_64::with_seed(0);
                for part in parts {
                    digest.write(part.as_bytes());
                    digest.write(&[0]);
                }
                SourcePosition::Shared { place, digest: format!("{:016x}", digest.finish()) }
            }
        }
    }
}

/// Members of `source` that differ when a connector reads the same change again.
const OF_READING: [&str; 5] = ["version", "snapshot", "low_watermark", "read_at_timestamp", "partition_token"];

/// The texts of `source` that say which change an event of a shared place is.
pub(crate) fn parts_of_source(source: RawJson<'_>) -> impl Iterator<Item = &str> {
    source.members().filter(|(name, _)| !OF_READING.contains(&&**name)).map(|(_, member)| member.get())
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
            Self::Shared { place, digest } if partition.as_str().len() <= 300 => {
                write!(out, "{place}/{partition}/{offset}#{digest}")
            }
            Self::Shared { place, digest } => {
                write!(out, "{place}/{}/{offset}#{digest}", hex::encode(Sha256::digest(partition.as_str())))
            }
        };
        out
    }
}

/// The place in Debezium's `source`, by its connector. `micros` is the source time.
pub(crate) fn of_debezium(connector: &str, source: RawJson<'_>, micros: i64) -> Result<Place, Refusal> {
    let place = match connector {
        "postgresql" => postgresql(source).map(Place::Unique),
        "mysql" | "mariadb" => mysql(source).map(Place::Unique),
        "sqlserver" | "db2" | "informix" => change_tables(source).map(Place::Unique),
        "oracle" => oracle(source),
        "yashandb" => oracle(source).or_else(|| Some(Place::Shared(of_time(micros)))),
        "mongodb" => mongodb(source).map(Place::Shared),
        // The log has no position that can be sorted.
        _ => Some(Place::Shared(of_time(micros))),
    };
    place.ok_or_else(|| {
        Refusal::new(
            RefusalKind::Incomplete,
            format!(
                "`source` does not have the position in the {connector} log, which Debezium's connectors always write"
            ),
        )
    })
}

fn of_time(micros: i64) -> String {
    format!("{micros:020}")
}

/// The end of the transaction that committed before, and the position in the log. Debezium streams transactions in the order of their
/// commits, so the former never decreases; within a transaction the latter increases.
///
/// `sequence` has no commit if Debezium has not streamed one yet: for a row of the first snapshot, or a change of the first transaction
/// after it. Then the position in the log is written twice and followed by `/`, and a load decides which of the two is the later one.
fn postgresql(source: RawJson<'_>) -> Option<String> {
    let place = source.member("lsn")?.u64()?;
    let sequence = source.member("sequence").and_then(RawJson::string);
    let committed = sequence.and_then(|text| crate::json::validated(text.as_bytes()).ok()?.elements().next()?.u64());
    Some(match committed {
        Some(committed) => format!("{committed:020}/{place:020}"),
        None => format!("{place:020}/{place:020}/"),
    })
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
/// they contain all changes that were committed up to their position. Without a redo record (XStream, OpenLogReplicator, YashanDB) several
/// changes of a transaction can have one place.
fn oracle(source: RawJson<'_>) -> Option<Place> {
    let number = |name| source.member(name).and_then(RawJson::u64);
    let place = number("scn")?;
    let commit = number("commit_scn");
    let redo = source.member("rs_id").and_then(RawJson::string).unwrap_or_default();
    let redo = Some(redo.trim()).filter(|redo| redo.is_empty() || is_place(redo))?;
    let statement = number("ssn").unwrap_or(0);
    let is_shared = commit.is_some() && redo.is_empty();
    let place = format!("{:020}/{place:020}/{redo:0>32}/{statement:010}", commit.unwrap_or(place));
    Some(if is_shared { Place::Shared(place) } else { Place::Unique(place) })
}

/// Whether a text is a valid position in a log, which a row can hold.
fn is_place(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.' | b'x' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(is_part)
}

/// Time and ordinal in the oplog, which all events of a transaction share.
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
    use super::{Place, SourcePosition, of_debezium, parts_of_source};
    use crate::{
        json::validated,
        transport::{Offset, Partition},
    };

    fn place(connector: &str, source: &str) -> String {
        let place = of_debezium(connector, validated(source.as_bytes()).unwrap(), 7).unwrap();
        place.position(["c"]).render(0, &Partition::kafka("t", 0), &Offset::number(1))
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

    /// An event without a commit is marked: a load may move it behind a row of the snapshot.
    #[test]
    fn a_commit_that_is_not_known_is_not_a_commit_at_the_same_place() {
        let at = |sequence: &str| place("postgresql", &format!(r#"{{"lsn":100,"sequence":"{sequence}"}}"#));
        let (unknown, known) = (at(r#"[null,\"100\"]"#), at(r#"[\"100\",\"100\"]"#));
        assert_eq!(unknown, "00000000000000000100/00000000000000000100/");
        assert_eq!(known, "00000000000000000100/00000000000000000100");
        assert_eq!(place("postgresql", r#"{"lsn":100}"#), unknown);
        assert!(unknown < place("postgresql", r#"{"lsn":101,"sequence":"[\"100\",\"101\"]"}"#));
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
        let digest = "2e4c5da8e0de4d4e".len();
        let text = place("spanner", "{}");
        assert_eq!(text[..text.len() - digest], *"00000000000000000007/kafka/t/0/00000000000000000001#");
        let long = Partition::s3("bucket", &"k".repeat(600), "v");
        let longest = Place::Shared(format!("{:020}/{:020}/{:032}/{:010}", u64::MAX, u64::MAX, 0, u32::MAX));
        assert!(longest.position([]).render(u16::MAX, &long, &Offset::number(1)).len() <= 512);
    }

    /// Events at one place have the order of the transport, and a digest that an event keeps when it is sent again.
    #[test]
    fn changes_that_share_a_place_differ_by_their_digest() {
        let at = |offset: u64, parts: &[&str]| {
            let place = of_debezium("mongodb", validated(br#"{"ts_ms":5,"ord":1}"#).unwrap(), 7).unwrap();
            place.position(parts.iter().copied()).render(0, &Partition::kafka("t", 0), &Offset::number(offset))
        };
        let (one, two, again) = (at(1, &["c", "{}"]), at(2, &["u", "{}"]), at(3, &["c", "{}"]));
        assert!(one < two && two < again);
        let digest = |text: &str| text[text.len() - 17..].to_owned();
        assert!(digest(&one).starts_with('#') && digest(&one) == digest(&again) && digest(&one) != digest(&two));
        assert_ne!(digest(&at(1, &["a", "b"])), digest(&at(1, &["ab", ""])));
    }

    #[test]
    fn a_digest_leaves_out_what_differs_when_a_change_is_read_again() {
        let source = validated(br#"{"version":"3","sequence":"1","read_at_timestamp":5,"mod_number":0}"#).unwrap();
        assert_eq!(parts_of_source(source).collect::<Vec<_>>(), ["\"1\"", "0"]);
    }

    /// Without the redo record, as with XStream, a transaction can change a row twice at one system change number.
    #[test]
    fn oracle_without_a_redo_record_shares_its_place() {
        let of = |source: &str| of_debezium("oracle", validated(source.as_bytes()).unwrap(), 7).unwrap();
        assert!(matches!(of(r#"{"scn":"990","commit_scn":"1010"}"#), Place::Shared(_)));
        assert!(matches!(of(r#"{"scn":"990","commit_scn":"1010","rs_id":"0x1.2"}"#), Place::Unique(_)));
        assert!(matches!(of(r#"{"scn":"990"}"#), Place::Unique(_)), "a row of a snapshot");
    }

    #[test]
    fn an_event_without_a_position_is_incomplete() {
        let source = validated(br#"{"ts_ms":1}"#).unwrap();
        assert!(of_debezium("postgresql", source, 1).unwrap_err().to_string().contains("postgresql log"));
    }
}
