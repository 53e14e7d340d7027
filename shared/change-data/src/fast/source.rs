//! Reads `source` of an event: the table, the time of the change, and its position in the log.

use super::{
    plan::integer,
    shape::{Member, Miss, Read, Shape},
    time::Calendar,
    write::Row,
};
use crate::{
    contract::{self, Format},
    event::Identity,
    json::RawJson,
    position::{self, Log, Place, SourcePosition},
    scan::{self, Kind, Span},
    transport::{Offset, Partition},
};

/// Members of `source` that are used. The first ones are the identity of the table.
const MEMBERS: [&str; 11] =
    ["connector", "name", "db", "schema", "table", "collection", "ts_us", "ts_ns", "ts_ms", "lsn", "sequence"];
const IDENTITY: usize = 6;
const IDENTITY_BITS: u32 = (1 << IDENTITY) - 1;
const CONNECTOR: usize = 0;
const NAME: usize = 1;
const DB: usize = 2;
const SCHEMA: usize = 3;
const TABLE: usize = 4;
const COLLECTION: usize = 5;
const TS_US: usize = 6;
const TS_NS: usize = 7;
const TS_MS: usize = 8;
const LSN: usize = 9;
const SEQUENCE: usize = 10;

/// The shape of `source`, and the values of the last event.
#[derive(Debug, Default)]
pub(super) struct Source {
    shape: Shape,
    values: [Span; MEMBERS.len()],
    /// Identity members of the last event of the contract's table, as JSON. Empty if there was none.
    known: [Box<str>; IDENTITY],
    has_known: bool,
    /// Bits of the members that the event has, of those that are the same as when the shape was learned, and of those that were the
    /// identity of an event of the contract's table.
    read: Read,
    trusted: Option<u32>,
    is_postgresql: bool,
    calendar: Calendar,
    micros: i64,
}

impl Source {
    #[inline]
    pub(super) fn read(&mut self, record: &[u8], at: usize) -> Result<usize, Miss> {
        self.values = Default::default();
        let (end, read) = self.shape.read_constants(record, at, &mut self.values)?;
        self.read = read;
        Ok(end)
    }

    pub(super) fn learn(&mut self, members: &[Member<'_>]) {
        self.trusted = None;
        self.shape.learn(members, |name| MEMBERS.iter().position(|member| *member == name).unwrap_or(usize::MAX));
    }

    /// Whether the event is certainly of the contract's table.
    #[inline]
    pub(super) fn is_of(&mut self, record: &str, source: &contract::Source) -> bool {
        let (there, constant) = (self.read.there & IDENTITY_BITS, self.read.constant & IDENTITY_BITS);
        if self.trusted == Some(there) && there == constant {
            return true;
        }
        let is_of = self.is_known(record) || self.is_of_anew(record, source);
        self.trusted = (is_of && there == constant).then_some(there);
        is_of
    }

    fn is_known(&self, record: &str) -> bool {
        let json = |at: usize| self.values[at].json(record).unwrap_or_default();
        self.has_known && (0..IDENTITY).all(|at| json(at) == &*self.known[at])
    }

    #[cold]
    fn is_of_anew(&mut self, record: &str, source: &contract::Source) -> bool {
        let bytes = record.as_bytes();
        let text = |at: usize| {
            let span = self.values[at];
            match span.kind {
                Kind::Plain | Kind::Comma => {
                    std::str::from_utf8(span.of(bytes)).ok().filter(|text| !text.is_empty()).map(str::to_owned)
                }
                _ => None,
            }
        };
        // A value that is empty or not a string is left to the full decoder.
        let is_text = |at: usize| text(at).is_some() || !self.values[at].is_some();
        if !(0..IDENTITY).all(is_text) || text(COLLECTION).is_some() || text(CONNECTOR).as_deref() == Some("mongodb") {
            return false;
        }
        let Some(table) = text(TABLE) else { return false };
        let identity =
            Identity { format: Format::Debezium, server: text(NAME), database: text(DB), schema: text(SCHEMA), table };
        if !identity.is_of(source) {
            return false;
        }
        self.is_postgresql = text(CONNECTOR).as_deref() == Some("postgresql");
        self.known = std::array::from_fn(|at| self.values[at].json(record).unwrap_or_default().into());
        self.has_known = true;
        true
    }

    /// Writes the time of the change, from the most precise field.
    #[inline]
    pub(super) fn write_time(&mut self, record: &[u8], row: &mut Row) -> Option<()> {
        let finest = [TS_US, TS_NS, TS_MS].into_iter().find(|at| self.values[*at].is_some())?;
        let span = self.values[finest];
        let count = integer(span.of(record)).filter(|count| span.kind == Kind::Integer && *count > 0);
        self.micros = match finest {
            TS_US => count?,
            TS_NS => nanoseconds(span, record)?,
            _ => count?.checked_mul(1000)?,
        };
        let (text, length) = self.calendar.timestamp(self.micros)?;
        row.first(text, length);
        Some(())
    }

    /// Writes the position of the event in the log.
    #[inline]
    pub(super) fn write_position(
        &self,
        record: &str,
        source: Span,
        generation: u16,
        partition: &Partition,
        offset: &Offset,
        row: &mut Row,
    ) -> Option<()> {
        if generation == 0 && self.is_postgresql && self.write_lsn(record.as_bytes(), row).is_some() {
            return Some(());
        }
        let connector = std::str::from_utf8(self.values[CONNECTOR].of(record.as_bytes())).ok()?;
        let log = Log::read(RawJson::known(source.json(record)?));
        let place = position::of_debezium(connector, &log, self.micros).ok()?;
        // The digest of a shared place is of the whole event, which the full decoder has.
        let Place::Unique(place) = place else { return None };
        let mut field = Vec::new();
        crate::csv::text(&mut field, &SourcePosition::Log(place).render(generation, partition, offset));
        row.make_room(field.len());
        row.bytes(&field);
        Some(())
    }

    /// Writes the end of the transaction that committed before, and the position in the log.
    #[inline]
    fn write_lsn(&self, record: &[u8], row: &mut Row) -> Option<()> {
        let lsn = self.values[LSN].of(record);
        // [\"24023119\",\"24023128\"]
        let [b'[', b'\\', b'"', sequence @ ..] = self.values[SEQUENCE].of(record) else { return None };
        let (committed, behind) = sequence.split_at_checked(scan::digits(sequence, 0))?;
        let [b'\\', b'"', b',', b'\\', b'"', last @ ..] = behind else { return None };
        let [b'\\', b'"', b']'] = last.get(scan::digits(last, 0)..)? else { return None };
        let is_number = |digits: &[u8]| (1..=19).contains(&digits.len());
        let is_place = self.values[LSN].kind == Kind::Integer && !matches!(lsn, [b'-', ..]);
        if !is_place || !is_number(committed) || !is_number(lsn) {
            return None;
        }
        row.padded(committed);
        row.byte(b'/');
        row.padded(lsn);
        Some(())
    }
}

/// The microseconds of a count of nanoseconds of 19 digits, which it has from 2001 to 2262.
fn nanoseconds(span: Span, record: &[u8]) -> Option<i64> {
    let digits = span.of(record);
    let is_count = span.kind == Kind::Integer && digits.len() == 19 && !digits.starts_with(b"-");
    let fits = digits <= b"9223372036854775807".as_slice();
    if is_count && fits { integer(digits.get(..16)?) } else { None }
}
