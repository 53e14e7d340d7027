//! Who made an event, and when and where in the database's log: the members of Debezium's `source`.

use std::borrow::Cow;

use crate::{event::in_range, json::RawJson, position::Log};

/// The members of `source` that are used. A text that is empty is `None`.
#[derive(Default)]
pub(crate) struct Origin<'a> {
    pub(crate) connector: Option<Cow<'a, str>>,
    pub(crate) name: Option<Cow<'a, str>>,
    pub(crate) db: Option<Cow<'a, str>>,
    pub(crate) schema: Option<Cow<'a, str>>,
    pub(crate) table: Option<Cow<'a, str>>,
    pub(crate) collection: Option<Cow<'a, str>>,
    pub(crate) log: Log<'a>,
    times: Times,
}

/// The source time of an event, in nanoseconds, microseconds and milliseconds since the epoch.
#[derive(Default)]
struct Times {
    nanos: Option<i64>,
    micros: Option<i64>,
    millis: Option<i64>,
}

impl<'a> Origin<'a> {
    /// Reads all members in one pass.
    pub(crate) fn read(source: RawJson<'a>) -> Self {
        let mut origin = Self::default();
        for (name, member) in source.members() {
            origin.take(&name, member);
        }
        origin
    }

    /// Takes a member. If a member is written more than once, the last one counts.
    #[inline]
    pub(crate) fn take(&mut self, name: &str, member: RawJson<'a>) {
        let text = |member: RawJson<'a>| member.string().filter(|text| !text.is_empty());
        match name {
            "connector" => self.connector = text(member),
            "name" => self.name = text(member),
            "db" => self.db = text(member),
            "schema" => self.schema = text(member),
            "table" => self.table = text(member),
            "collection" => self.collection = text(member),
            "ts_ns" => self.times.nanos = member.i64(),
            "ts_us" => self.times.micros = member.i64(),
            "ts_ms" => {
                self.times.millis = member.i64();
                self.log.take(name, member);
            }
            _ => self.log.take(name, member),
        }
    }

    /// Source time in microseconds since the epoch, from the most precise member. Snapshots of some connectors have no source time; then
    /// it is `ts_ms`, the time when Debezium processed the event.
    pub(crate) fn changed_at(&self, ts_ms: Option<i64>) -> Option<i64> {
        let Times { nanos, micros, millis } = self.times;
        let of_millis = |millis: i64| millis.checked_mul(1000);
        let source = micros.or_else(|| nanos.map(|nanos| nanos.div_euclid(1000)));
        let source = source.or_else(|| millis.and_then(of_millis));
        source.filter(|micros| *micros > 0).or_else(|| ts_ms.and_then(of_millis)).and_then(in_range)
    }

    /// The table of the event, for the digest of a change.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let names = [&self.name, &self.db, &self.schema, &self.table, &self.collection];
        names.into_iter().map(|name| name.as_deref().unwrap_or_default())
    }
}
