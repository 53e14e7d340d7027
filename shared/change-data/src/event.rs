//! Reads a record of a transport: a change of a row, or a record that is skipped.

use std::borrow::Cow;

use crate::{
    cloud_event,
    contract::{ALL_SERVERS, Format, Source},
    debezium::{self, Payload},
    dynamodb_event::{self, Around},
    flattened::Flattened,
    json::{self, Kind, RawJson},
    operation::Operation,
    position::SourcePosition,
    refusal::{Refusal, RefusalKind, SkipReason},
    time,
    value::Form,
};

/// The content of a record.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A change of rows of a table.
    Change(Box<RowChange<'a>>),
    /// A valid record that is not a change of a row.
    Skipped(SkipReason),
}

/// The table of a change.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The format of the event.
    pub format: Format,
    /// The connector's logical name (`source.name`, the topic prefix), if there is one.
    pub server: Option<String>,
    /// The database, if the source names one.
    pub database: Option<String>,
    /// The schema, if the source has schemas.
    pub schema: Option<String>,
    /// The table or collection.
    pub table: String,
}

impl Identity {
    /// The table, as contracts name it: `schema.table`; `database.table` without a schema; `table` without a database.
    pub fn table(&self) -> String {
        match self.schema.as_ref().or(self.database.as_ref()) {
            Some(around) => format!("{around}.{}", self.table),
            None => self.table.clone(),
        }
    }

    /// The table with its database and schema, where the source has both.
    pub fn full_table(&self) -> String {
        match (&self.database, &self.schema) {
            (Some(database), Some(schema)) => format!("{database}.{schema}.{}", self.table),
            (Some(_) | None, Some(_) | None) => self.table(),
        }
    }

    /// Whether this is the table of a contract's source, which may also be written as `database.schema.table`.
    pub fn is_of(&self, source: &Source) -> bool {
        let is_same = |server: &String| server == ALL_SERVERS || self.server.as_ref() == Some(server);
        let same_server = source.server.as_ref().is_none_or(is_same);
        self.format == source.format && same_server && self.is_named(&source.table)
    }

    fn is_named(&self, name: &str) -> bool {
        let Some(rest) = name.strip_suffix(self.table.as_str()) else { return false };
        let around = match rest.strip_suffix('.') {
            Some(around) => around,
            None if rest.is_empty() => return self.schema.is_none() && self.database.is_none(),
            None => return false,
        };
        match (&self.database, &self.schema) {
            (_, Some(schema)) if around == schema => true,
            (Some(database), Some(schema)) => {
                around.strip_suffix(schema.as_str()).and_then(|rest| rest.strip_suffix('.')) == Some(database)
            }
            (Some(database), None) => around == database,
            (None, _) => false,
        }
    }
}

/// A change of a row, before it is decoded by a contract.
#[derive(Debug, Clone)]
pub struct RowChange<'a> {
    /// The table.
    pub identity: Identity,
    /// The operation.
    pub operation: Operation,
    /// Source time, in microseconds since the epoch.
    pub changed_at: i64,
    /// Debezium's connector; empty if the event names none.
    pub(crate) connector: Cow<'a, str>,
    pub(crate) position: SourcePosition,
    pub(crate) before: Option<Cow<'a, str>>,
    pub(crate) after: Option<Cow<'a, str>>,
    /// The row's key, if the event has it separately from the row.
    pub(crate) key: Option<Cow<'a, str>>,
    /// The changed fields of a MongoDB update that does not have the whole document.
    pub(crate) partial: Option<Partial<'a>>,
    pub(crate) schema: Option<RawJson<'a>>,
    pub(crate) form: Form<'a>,
    pub(crate) wrapping: Wrapping<'a>,
}

/// What an event has around the images of its row.
#[derive(Debug, Clone)]
pub(crate) enum Wrapping<'a> {
    /// The envelope of Debezium or DynamoDB.
    Envelope,
    /// The attributes of a CloudEvent.
    CloudEvent,
    /// Nothing: the fields of the row are the members of the event.
    Flattened(Flattened<'a>),
}

impl<'a> Wrapping<'a> {
    pub(crate) const fn flattened(&self) -> Option<&Flattened<'a>> {
        match self {
            Self::Flattened(flattened) => Some(flattened),
            Self::Envelope | Self::CloudEvent => None,
        }
    }
}

/// The content of a MongoDB update that does not have the whole document.
#[derive(Debug, Clone, Default)]
pub(crate) struct Partial<'a> {
    /// A JSON object: field -> new value. A name with a dot is a part of a field.
    pub(crate) updated: Option<Cow<'a, str>>,
    pub(crate) removed: Vec<Cow<'a, str>>,
}

impl<'a> Event<'a> {
    /// Reads a record. `key` is the record's key, if the transport has keys (Kafka).
    ///
    /// If a member of an event is written more than once, the last one counts, as with most JSON parsers.
    ///
    /// # Errors
    /// The record is not valid JSON, not a change event of a supported format, or incomplete.
    pub fn read(value: &'a [u8], key: Option<&'a [u8]>) -> Result<Self, Refusal> {
        if value.trim_ascii().is_empty() {
            return Ok(Self::Skipped(SkipReason::Tombstone));
        }
        let raw = json::validated(value).map_err(|reason| Refusal::new(RefusalKind::NotJson, reason))?;
        match raw.kind() {
            Kind::Null => return Ok(Self::Skipped(SkipReason::Tombstone)),
            Kind::Object => {}
            Kind::Bool(_) | Kind::Number | Kind::String | Kind::Array => {
                return Err(not_an_event("a change event must be a JSON object"));
            }
        }
        let mut top = Top::default();
        let mut bare = Payload::default();
        let mut around = Around::default();
        for (name, member) in raw.members() {
            match &*name {
                "schema" => top.schema = member.some(),
                "payload" => top.payload = Some(member),
                "dynamodb" => top.dynamodb = member.some(),
                "eventName" => top.event_name = member.string(),
                "specversion" => top.is_cloud_event = member.kind() == Kind::String,
                _ => {}
            }
            // Without an envelope, these are the members of the payload.
            bare.take(&name, member);
            around.take(&name, member);
        }
        // A flattened row can have columns of any name, also those of an envelope.
        if bare.is_flattened() {
            return debezium::event(raw, &bare, None, key);
        }
        // A `payload` is the envelope's: a row can have a column `payload`, but a record is not a row.
        match top {
            Top { dynamodb: Some(record), event_name: Some(name), .. } => {
                dynamodb_event::read(&around, record, &name).map(|change| Self::Change(Box::new(change)))
            }
            Top { payload: Some(payload), .. } if payload.is_null() => Ok(Self::Skipped(SkipReason::Tombstone)),
            Top { payload: Some(payload), schema, .. } => debezium::read(payload, schema, key),
            Top { is_cloud_event: true, .. } if !bare.is_envelope() => cloud_event::read(raw, key),
            Top { payload: None, .. } => debezium::event(raw, &bare, None, key),
        }
    }

    /// The table of the change; `None` for a skipped record.
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Change(change) => Some(&change.identity),
            Self::Skipped(_) => None,
        }
    }
}

/// The table of a record, with which its contracts are found; `None` for a skipped record.
///
/// # Errors
/// As [`Event::read`].
pub fn identify(value: &[u8]) -> Result<Option<Identity>, Refusal> {
    Ok(match Event::read(value, None)? {
        Event::Change(change) => Some(change.identity),
        Event::Skipped(_) => None,
    })
}

#[derive(Default)]
struct Top<'a> {
    schema: Option<RawJson<'a>>,
    payload: Option<RawJson<'a>>,
    dynamodb: Option<RawJson<'a>>,
    event_name: Option<Cow<'a, str>>,
    is_cloud_event: bool,
}

pub(crate) fn not_an_event(reason: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::NotAnEvent, reason)
}

pub(crate) fn incomplete(reason: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::Incomplete, reason)
}

/// The source time, if a TIMESTAMP can hold it.
pub(crate) fn in_range(micros: i64) -> Option<i64> {
    time::is_timestamp(micros).then_some(micros)
}

#[cfg(test)]
mod tests {
    use super::Identity;
    use crate::contract::{Format, Source};

    fn source(table: &str, server: Option<&str>) -> Source {
        Source {
            format: Format::Debezium,
            table: table.into(),
            server: server.map(Into::into),
            unavailable_value: String::new(),
            generation: 0,
            without_deletes: false,
        }
    }

    #[test]
    fn a_contract_may_name_its_table_with_or_without_the_database() {
        let mut identity = Identity {
            format: Format::Debezium,
            server: Some("shop".into()),
            database: Some("crm".into()),
            schema: Some("public".into()),
            table: "orders".into(),
        };
        assert_eq!(identity.table(), "public.orders");
        assert!(
            identity.is_of(&source("public.orders", None))
                && identity.is_of(&source("crm.public.orders", Some("shop")))
                && identity.is_of(&source("public.orders", Some("*")))
        );
        for (table, server) in
            [("orders", None), ("crm.orders", None), ("erp.public.orders", None), ("public.orders", Some("b"))]
        {
            assert!(!identity.is_of(&source(table, server)), "{table}");
        }
        identity.schema = None;
        assert!(identity.is_of(&source("crm.orders", None)) && !identity.is_of(&source("public.orders", None)));
    }
}
