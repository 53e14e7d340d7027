//! The position of an event in the source database: `dw_md_position`, a text whose order is the order of the changes of a row.
//!
//! The changes of a row are ordered by *commit*. The position of a change in the log is not sufficient: a transaction that is open while a
//! snapshot is read writes its change before the snapshot's position but commits after it, so its change is the later one.

use std::{borrow::Cow, fmt::Write as _, hash::Hasher as _};

use sha2::{Digest as _, Sha256};
use twox_hash::XxHash3_64;

use crate::{
    json::RawJson,
    number::padded,
    refusal::{Refusal, RefusalKind},
    scan::digits,
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
    /// No place in the log. The order of the transport orders the changes: Debezium writes all changes of a row to one partition, in their
    /// order. The source time cannot be used there: a row of a snapshot has the time when it was read, which is after changes that it
    /// does not contain. Files have no order among them, so the changes in files are ordered by the source time first.
    Delivered {
        /// Source time in milliseconds since the epoch.
        millis: i64,
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
    /// The event does not say where in the log it is.
    Delivered {
        /// Source time in milliseconds since the epoch.
        millis: i64,
    },
}

impl Place {
    /// The position of an event at this place. `parts` are the texts that say which change the event is.
    pub(crate) fn position<P: AsRef<str>>(self, parts: impl IntoIterator<Item = P>) -> SourcePosition {
        match self {
            Self::Unique(place) => SourcePosition::Log(place),
            Self::Shared(place) => {
                let digest = digest(&place, parts);
                SourcePosition::Shared { place, digest }
            }
            Self::Delivered { millis } => SourcePosition::Delivered { millis, digest: digest(&of_time(millis), parts) },
        }
    }
}

/// The members of `source` that say where in the database's log a change is, and those that tell apart the changes at one place.
///
/// Only these are read, because a connector can add members at any upgrade and an event must keep its position when it is sent again.
#[derive(Debug, Default)]
pub(crate) struct Log<'a> {
    ts_ms: Option<RawJson<'a>>,
    sequence: Option<RawJson<'a>>,
    /// PostgreSQL.
    lsn: Option<RawJson<'a>>,
    /// MySQL, MariaDB.
    file: Option<RawJson<'a>>,
    pos: Option<RawJson<'a>>,
    row: Option<RawJson<'a>>,
    /// SQL Server, Db2, Informix.
    commit_lsn: Option<RawJson<'a>>,
    change_lsn: Option<RawJson<'a>>,
    event_serial_no: Option<RawJson<'a>>,
    /// Oracle, YashanDB.
    scn: Option<RawJson<'a>>,
    commit_scn: Option<RawJson<'a>>,
    rs_id: Option<RawJson<'a>>,
    ssn: Option<RawJson<'a>>,
    lcr_position: Option<RawJson<'a>>,
    transaction: Option<RawJson<'a>>,
    /// MongoDB.
    ord: Option<RawJson<'a>>,
    /// Vitess.
    shard: Option<RawJson<'a>>,
    vgtid: Option<RawJson<'a>>,
    /// Spanner.
    server_transaction_id: Option<RawJson<'a>>,
    mod_number: Option<RawJson<'a>>,
    /// CockroachDB.
    ts_hlc: Option<RawJson<'a>>,
    /// TiDB.
    commit_ts: Option<RawJson<'a>>,
}

impl<'a> Log<'a> {
    /// Reads all members in one pass.
    pub(crate) fn read(source: RawJson<'a>) -> Self {
        let mut log = Self::default();
        for (name, member) in source.members() {
            log.take(&name, member);
        }
        log
    }

    /// Takes a member. A member of another name is left out.
    #[inline]
    pub(crate) fn take(&mut self, name: &str, member: RawJson<'a>) {
        let of = match name {
            "ts_ms" => &mut self.ts_ms,
            "sequence" => &mut self.sequence,
            "lsn" => &mut self.lsn,
            "file" => &mut self.file,
            "pos" => &mut self.pos,
            "row" => &mut self.row,
            "commit_lsn" => &mut self.commit_lsn,
            "change_lsn" => &mut self.change_lsn,
            "event_serial_no" => &mut self.event_serial_no,
            "scn" => &mut self.scn,
            "commit_scn" => &mut self.commit_scn,
            "rs_id" => &mut self.rs_id,
            "ssn" => &mut self.ssn,
            "lcr_position" => &mut self.lcr_position,
            "txId" => &mut self.transaction,
            "ord" => &mut self.ord,
            "shard" => &mut self.shard,
            "vgtid" => &mut self.vgtid,
            "server_transaction_id" => &mut self.server_transaction_id,
            "mod_number" => &mut self.mod_number,
            "ts_hlc" => &mut self.ts_hlc,
            "commit_ts" => &mut self.commit_ts,
            _ => return,
        };
        *of = Some(member);
    }

    /// The texts that tell apart the changes at one place of a connector, besides the operation, the images and the key. All of them are
    /// members that the connector has had from its first version.
    pub(crate) fn identifying(&self, connector: &str) -> impl Iterator<Item = Cow<'a, str>> {
        let text = |member: Option<RawJson<'a>>| member.and_then(RawJson::digits);
        let texts = match connector {
            "oracle" | "yashandb" => [text(self.transaction), text(self.lcr_position), None],
            "vitess" => [text(self.shard), self.gtid(), None],
            "spanner" => [text(self.server_transaction_id), text(self.sequence), text(self.mod_number)],
            "cockroachdb" => [text(self.ts_hlc), None, None],
            "TiCDC" => [text(self.commit_ts), None, None],
            // The place of an event of MongoDB is its transaction. The members of other connectors are not known.
            _ => [None, None, None],
        };
        texts.into_iter().map(Option::unwrap_or_default)
    }

    /// Vitess: the transaction of the event's shard. `vgtid` is a text with an entry for each shard, and the entries of the other shards
    /// differ when the event is sent again. The whole text if it has no entry of the shard.
    fn gtid(&self) -> Option<Cow<'a, str>> {
        let whole = self.vgtid?.string()?;
        let shard = self.shard.and_then(RawJson::string);
        let entries = crate::json::validated(whole.as_bytes()).ok();
        let of_shard = entries.and_then(|entries| {
            let mut of_shard =
                entries.elements().filter(|entry| entry.member("shard").and_then(RawJson::string) == shard);
            Some(of_shard.next()?.member("gtid")?.string()?.into_owned())
        });
        Some(of_shard.map_or(whole, Cow::Owned))
    }

    /// The source time in milliseconds. All versions of a connector have `ts_ms`, but not the members that are more precise. `micros` is
    /// the time of an event without it.
    fn millis(&self, micros: i64) -> i64 {
        let millis = self.ts_ms.and_then(RawJson::i64).filter(|millis| *millis > 0);
        millis.unwrap_or_else(|| micros.div_euclid(1000))
    }
}

/// 16 hexadecimal digits that tell a change from the others of its place.
fn digest<P: AsRef<str>>(place: &str, parts: impl IntoIterator<Item = P>) -> String {
    let mut digest = XxHash3_64::with_seed(0);
    digest.write(place.as_bytes());
    for part in parts {
        digest.write(&[0]);
        digest.write(part.as_ref().as_bytes());
    }
    format!("{:016x}", digest.finish())
}

impl SourcePosition {
    /// The value of the column `dw_md_position`.
    pub(crate) fn render(&self, generation: u16, partition: &Partition, offset: &Offset) -> String {
        let mut out = String::new();
        // Generation 0 has no prefix. Letters sort after digits in ASCII and in every collation.
        if generation > 0 {
            let _ = write!(out, "g{generation:05}/");
        }
        let (place, digest) = match self {
            Self::Log(place) => {
                out.push_str(place);
                return out;
            }
            Self::Shared { place, digest } => (Cow::Borrowed(place.as_str()), digest),
            Self::Delivered { digest, .. } if partition.is_log() => (Cow::Owned(of_time(0)), digest),
            Self::Delivered { millis, digest } => (Cow::Owned(of_time(*millis)), digest),
        };
        let _ = if partition.as_str().len() <= 300 {
            write!(out, "{place}/{partition}/{offset}#{digest}")
        } else {
            write!(out, "{place}/{}/{offset}#{digest}", hex::encode(Sha256::digest(partition.as_str())))
        };
        out
    }
}

/// The place of an event in the log of its connector. `micros` is the source time.
pub(crate) fn of_debezium(connector: &str, log: &Log<'_>, micros: i64) -> Result<Place, Refusal> {
    let place = match connector {
        "postgresql" => postgresql(log).map(Place::Unique),
        "mysql" | "mariadb" => mysql(log).map(Place::Unique),
        "sqlserver" | "db2" | "informix" => change_tables(log).map(Place::Unique),
        "oracle" => oracle(log),
        "yashandb" => oracle(log).or_else(|| Some(Place::Shared(of_time(log.millis(micros))))),
        "mongodb" => mongodb(log).map(Place::Shared),
        // The log has no position that can be sorted.
        _ => Some(Place::Shared(of_time(log.millis(micros)))),
    };
    place.ok_or_else(|| {
        Refusal::new(
            RefusalKind::Incomplete,
            format!(
                "the event does not have the position in the {connector} log, which Debezium's connectors always write to `source`"
            ),
        )
    })
}

/// Whether a flattened event, which has only those members of `source` that its connector was told to add, has the place in the log.
pub(crate) fn is_complete(connector: &str, log: &Log<'_>) -> bool {
    match connector {
        "postgresql" => log.lsn.is_some(),
        "mysql" | "mariadb" => log.file.is_some() && log.pos.is_some(),
        "sqlserver" | "db2" | "informix" => log.commit_lsn.is_some() && log.change_lsn.is_some(),
        "oracle" => log.scn.is_some() && log.commit_scn.is_some(),
        "mongodb" => log.ts_ms.is_some() && log.ord.is_some(),
        "" => false,
        _ => log.ts_ms.is_some(),
    }
}

/// The place of a flattened event.
///
/// # Errors
/// A member of the place is not valid.
pub(crate) fn of_flattened(connector: &str, log: &Log<'_>, micros: i64) -> Result<Place, Refusal> {
    if !is_complete(connector, log) {
        return Ok(Place::Delivered { millis: log.millis(micros) });
    }
    let place = of_debezium(connector, log, micros)?;
    // Without the number of the row, or the redo record, several changes of a row can have the place.
    let is_shared = match connector {
        "mysql" | "mariadb" => log.row.is_none(),
        "oracle" => log.rs_id.is_none(),
        _ => false,
    };
    Ok(match place {
        Place::Unique(place) if is_shared => Place::Shared(place),
        place => place,
    })
}

/// The connector of a flattened event that does not name it, from the members that only this connector has. Empty if there are none.
pub(crate) fn connector_of(log: &Log<'_>) -> &'static str {
    let connectors = [
        ("mysql", log.file.or(log.pos)),
        ("sqlserver", log.commit_lsn.or(log.change_lsn)),
        ("oracle", log.scn.or(log.commit_scn)),
        ("postgresql", log.lsn),
        ("mongodb", log.ord),
        ("vitess", log.vgtid),
        ("spanner", log.server_transaction_id),
        ("cockroachdb", log.ts_hlc),
        ("TiCDC", log.commit_ts),
    ];
    connectors.into_iter().find(|(_, member)| member.is_some()).map_or("", |(connector, _)| connector)
}

fn of_time(millis: i64) -> String {
    format!("{millis:020}")
}

/// The end of the transaction that committed before, and the position in the log. Debezium streams transactions in the order of their
/// commits, so the former never decreases; within a transaction the latter increases.
///
/// `sequence` has no commit if Debezium has not streamed one yet: for a row of the first snapshot, or a change of the first transaction
/// after it. Then the position in the log is written twice and followed by `/`, and a load decides which of the two is the later one.
fn postgresql(log: &Log<'_>) -> Option<String> {
    let place = log.lsn?.u64()?;
    let committed = log.sequence.and_then(|sequence| plain_commit(sequence).or_else(|| commit(sequence)));
    let mut text = joined([(committed.unwrap_or(place), 20), (place, 20)]);
    if committed.is_none() {
        text.push('/');
    }
    Some(text)
}

/// The first number of `sequence`, a text of JSON.
fn commit(sequence: RawJson<'_>) -> Option<u64> {
    let text = sequence.string()?;
    crate::json::validated(text.as_bytes()).ok()?.elements().next()?.u64()
}

/// The first number of `sequence` as Debezium writes it, `"[\"24023119\",\"24023128\"]"`, whose escapes need not be replaced.
fn plain_commit(sequence: RawJson<'_>) -> Option<u64> {
    let numbers = sequence.get().strip_prefix(r#""[\""#)?.strip_suffix(r#"\"]""#)?;
    let (committed, behind) = numbers.split_at_checked(digits(numbers.as_bytes(), 0))?;
    let last = behind.strip_prefix(r#"\",\""#)?;
    let is_number = !last.is_empty() && digits(last.as_bytes(), 0) == last.len();
    is_number.then(|| committed.parse().ok()).flatten()
}

/// The number of the log file, the position in it, and the row of the event. The time of the event cannot be used: rows of a snapshot have
/// the time when they were read, which is after changes that the snapshot does not contain.
fn mysql(log: &Log<'_>) -> Option<String> {
    let file = log.file?.string()?;
    let (_, number) = file.rsplit_once('.')?;
    let number: u64 = number.parse().ok()?;
    let place = log.pos?.u64()?;
    let row = log.row.and_then(RawJson::u64).unwrap_or(0);
    Some(joined([(number, 10), (place, 20), (row, 10)]))
}

/// The log sequence numbers of the commit and the change, and the serial number. They have a fixed width (`00000027:00000758:0005`) or are
/// numbers.
fn change_tables(log: &Log<'_>) -> Option<String> {
    let place = |member: Option<RawJson<'_>>| match member.and_then(RawJson::some) {
        Some(place) => place.digits().filter(|place| is_place(place)).map(|place| Some(place.into_owned())),
        None => Some(None),
    };
    let (commit, change) = (place(log.commit_lsn)?, place(log.change_lsn)?);
    let commit = commit.or_else(|| change.clone())?;
    let change = change.unwrap_or_default();
    let serial = log.event_serial_no.and_then(RawJson::u64).unwrap_or(0);
    let padded = |place: &str| if place.contains(':') { place.to_ascii_lowercase() } else { format!("{place:0>22}") };
    Some(format!("{}/{}/{serial:010}", padded(&commit), padded(&change)))
}

/// The system change numbers of the commit and the change, the redo record and the statement in it. Rows of a snapshot have no commit:
/// they contain all changes that were committed up to their position. Without a redo record (XStream, OpenLogReplicator, YashanDB) several
/// changes of a transaction can have one place.
fn oracle(log: &Log<'_>) -> Option<Place> {
    let place = log.scn?.u64()?;
    let commit = log.commit_scn.and_then(RawJson::u64);
    let redo = log.rs_id.and_then(RawJson::string).unwrap_or_default();
    let redo = Some(redo.trim()).filter(|redo| redo.is_empty() || is_place(redo))?;
    let statement = log.ssn.and_then(RawJson::u64).unwrap_or(0);
    let is_shared = commit.is_some() && redo.is_empty();
    let place = format!("{:020}/{place:020}/{redo:0>32}/{statement:010}", commit.unwrap_or(place));
    Some(if is_shared { Place::Shared(place) } else { Place::Unique(place) })
}

/// Time and ordinal in the oplog, which all events of a transaction share.
fn mongodb(log: &Log<'_>) -> Option<String> {
    let millis = log.ts_ms?.u64()?;
    let ordinal = log.ord.and_then(RawJson::u64).unwrap_or(0);
    Some(joined([(millis, 20), (ordinal, 10)]))
}

/// Numbers with their least numbers of digits, with slashes between them.
fn joined<const N: usize>(numbers: [(u64, usize); N]) -> String {
    let mut text = String::with_capacity(LONGEST_PLACE);
    for (index, (number, width)) in numbers.into_iter().enumerate() {
        if index > 0 {
            text.push('/');
        }
        padded(&mut text, number, width);
    }
    text
}

/// Bytes of three numbers of 20 digits with slashes between them.
const LONGEST_PLACE: usize = 62;

/// Whether a text is a valid position in a log, which a row can hold.
fn is_place(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.' | b'x' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(is_part)
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
mod tests;
