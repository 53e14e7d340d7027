//! Reads Debezium's JSON events of relational databases, and of MongoDB, whose images are strings of extended JSON.

use std::borrow::Cow;

use crate::{
    contract::Format,
    event::{Event, Identity, Partial, RowChange, in_range, incomplete, not_an_event},
    json::{self, Kind, RawJson},
    operation::Operation,
    position,
    refusal::{Refusal, RefusalKind, SkipReason},
    value::Form,
};

/// The members of a payload.
#[derive(Default)]
pub(crate) struct Payload<'a> {
    op: Option<RawJson<'a>>,
    before: Option<RawJson<'a>>,
    after: Option<RawJson<'a>>,
    source: Option<RawJson<'a>>,
    ts_ms: Option<i64>,
    update: Option<RawJson<'a>>,
    patch: Option<RawJson<'a>>,
    is_schema_change: bool,
    is_transaction: bool,
    is_flattened: bool,
    members: usize,
}

/// Reads the payload of an event.
pub(crate) fn read<'a>(
    raw: RawJson<'a>,
    schema: Option<RawJson<'a>>,
    key: Option<&'a [u8]>,
) -> Result<Event<'a>, Refusal> {
    if raw.kind() != Kind::Object {
        return Err(not_an_event("`payload` is not a JSON object"));
    }
    let mut payload = Payload::default();
    for (name, member) in raw.members() {
        payload.take(&name, member);
    }
    event(&payload, schema, key)
}

impl<'a> Payload<'a> {
    /// Takes the next member. If a member is written more than once, the last one counts.
    #[inline]
    pub(crate) fn take(&mut self, name: &str, member: RawJson<'a>) {
        self.members += 1;
        match name {
            "op" => self.op = Some(member),
            "before" => self.before = member.some(),
            "after" => self.after = member.some(),
            "source" => self.source = Some(member),
            "ts_ms" => self.ts_ms = member.i64(),
            "updateDescription" => self.update = member.some(),
            "patch" => self.patch = member.some(),
            "ddl" | "tableChanges" => self.is_schema_change = true,
            "status" => self.is_transaction = is_boundary(member),
            "__op" | "__deleted" => self.is_flattened = true,
            _ => {}
        }
    }
}

/// The event whose payload has these members.
pub(crate) fn event<'a>(
    payload: &Payload<'a>,
    schema: Option<RawJson<'a>>,
    key: Option<&'a [u8]>,
) -> Result<Event<'a>, Refusal> {
    let Some(op) = payload.op else { return skipped(payload) };
    let op = op.string().ok_or_else(|| not_an_event("`op` is not a string"))?;
    if op == "m" {
        return Ok(Event::Skipped(SkipReason::Message));
    }
    let operation = Operation::of_debezium(&op).ok_or_else(|| {
        let shown: String = op.chars().take(20).collect();
        Refusal::new(RefusalKind::UnknownOperation, format!("`op` is `{shown}`: it must be c, u, d, r, t or m"))
    })?;
    let source = payload.source.filter(|source| source.kind() == Kind::Object);
    let source = source.ok_or_else(|| {
        incomplete("`source` is missing, which names the table and the position in the database's log")
    })?;
    change(payload, operation, source, schema, key).map(|change| Event::Change(Box::new(change)))
}

/// Whether `status` is that of transaction metadata.
fn is_boundary(status: RawJson<'_>) -> bool {
    status.string().is_some_and(|status| matches!(&*status, "BEGIN" | "END"))
}

fn skipped<'a>(payload: &Payload<'a>) -> Result<Event<'a>, Refusal> {
    if payload.is_schema_change {
        Ok(Event::Skipped(SkipReason::SchemaChange))
    } else if payload.is_transaction {
        Ok(Event::Skipped(SkipReason::Transaction))
    } else if payload.members == 1 && payload.ts_ms.is_some() {
        Ok(Event::Skipped(SkipReason::Heartbeat))
    } else if payload.is_flattened {
        Err(not_an_event(
            "a flattened row: take ExtractNewRecordState out of the connector's transforms, for it throws away what came before and \
             where the log has it",
        ))
    } else {
        Err(not_an_event("the event has neither Debezium's `op` nor DynamoDB's `eventName`"))
    }
}

fn change<'a>(
    payload: &Payload<'a>,
    operation: Operation,
    source: RawJson<'a>,
    schema: Option<RawJson<'a>>,
    key: Option<&'a [u8]>,
) -> Result<RowChange<'a>, Refusal> {
    let origin = Origin::read(source);
    let connector = origin.connector.unwrap_or_default();
    let is_mongodb = connector == "mongodb" || origin.collection.is_some();
    let table = origin.collection.or(origin.table).ok_or_else(|| incomplete("`source` does not name a table"))?;
    let identity = Identity {
        format: if is_mongodb { Format::DebeziumMongodb } else { Format::Debezium },
        server: origin.name.map(Cow::into_owned),
        database: origin.db.map(Cow::into_owned),
        schema: origin.schema.map(Cow::into_owned),
        table: table.into_owned(),
    };
    let changed_at = origin
        .times
        .changed_at(payload.ts_ms)
        .ok_or_else(|| incomplete("neither `source.ts_ms` nor `ts_ms` is a time in the years 1 to 9999"))?;
    let connector = if is_mongodb { Cow::Borrowed("mongodb") } else { connector };
    let images = [payload.before, payload.after, payload.update].into_iter().flatten().map(RawJson::get);
    let of_key = key.and_then(|key| std::str::from_utf8(key).ok());
    let parts = [operation.as_str()].into_iter().chain(images).chain(of_key).chain(position::parts_of_source(source));
    let position = position::of_debezium(&connector, source, changed_at)?.position(parts);
    let mut change = RowChange {
        identity,
        operation,
        changed_at,
        connector,
        position,
        before: payload.before.map(|image| Cow::Borrowed(image.get())),
        after: payload.after.map(|image| Cow::Borrowed(image.get())),
        key: None,
        partial: None,
        schema,
        form: Form::Json,
    };
    change.key = key.map(|key| read_key(key, is_mongodb)).transpose()?.flatten();
    if is_mongodb {
        change.before = payload.before.map(document).transpose()?;
        change.after = payload.after.map(document).transpose()?;
        change.form = Form::Extended;
        // In Debezium's schema a document is a string.
        change.schema = None;
        if operation == Operation::Update && change.after.is_none() {
            change.partial = Some(partial(payload)?);
        }
    }
    Ok(change)
}

/// Members of `source` that all connectors have. A text that is empty is `None`.
#[derive(Default)]
struct Origin<'a> {
    connector: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
    db: Option<Cow<'a, str>>,
    schema: Option<Cow<'a, str>>,
    table: Option<Cow<'a, str>>,
    collection: Option<Cow<'a, str>>,
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
    fn read(source: RawJson<'a>) -> Self {
        let mut origin = Self::default();
        let text = |member: RawJson<'a>| member.string().filter(|text| !text.is_empty());
        for (name, member) in source.members() {
            match &*name {
                "connector" => origin.connector = text(member),
                "name" => origin.name = text(member),
                "db" => origin.db = text(member),
                "schema" => origin.schema = text(member),
                "table" => origin.table = text(member),
                "collection" => origin.collection = text(member),
                "ts_ns" => origin.times.nanos = member.i64(),
                "ts_us" => origin.times.micros = member.i64(),
                "ts_ms" => origin.times.millis = member.i64(),
                _ => {}
            }
        }
        origin
    }
}

impl Times {
    /// Source time in microseconds since the epoch, from the most precise field. Snapshots of some connectors have no source time; then it
    /// is `ts_ms`, the time when Debezium processed the event.
    fn changed_at(&self, ts_ms: Option<i64>) -> Option<i64> {
        let of_millis = |millis: i64| millis.checked_mul(1000);
        let source = self.micros.or_else(|| self.nanos.map(|nanos| nanos.div_euclid(1000)));
        let source = source.or_else(|| self.millis.and_then(of_millis));
        source.filter(|micros| *micros > 0).or_else(|| ts_ms.and_then(of_millis)).and_then(in_range)
    }
}

/// The extended JSON text of a MongoDB document.
fn document(raw: RawJson<'_>) -> Result<Cow<'_, str>, Refusal> {
    let text = match raw.kind() {
        Kind::String => raw.string(),
        // A transformation in the connector may have turned it into an object.
        Kind::Object => Some(Cow::Borrowed(raw.get())),
        Kind::Null | Kind::Bool(_) | Kind::Number | Kind::Array => None,
    };
    let text = text.ok_or_else(|| not_an_event("a MongoDB document must be a string of extended JSON"))?;
    let raw = json::validated(text.as_bytes())
        .map_err(|reason| Refusal::new(RefusalKind::NotJson, format!("the document in the event is {reason}")))?;
    if raw.kind() == Kind::Object {
        let trimmed = raw.get().len() == text.len();
        Ok(if trimmed { text } else { Cow::Owned(raw.get().to_owned()) })
    } else {
        Err(not_an_event("a MongoDB document must be an object of extended JSON"))
    }
}

fn partial<'a>(payload: &Payload<'a>) -> Result<Partial<'a>, Refusal> {
    let Some(update) = payload.update else {
        let reason = match payload.patch {
            Some(_) => "the event is from the oplog (`patch`), which does not contain the whole document",
            None => "the update does not contain the document",
        };
        return Err(incomplete(format!("{reason}: set capture.mode to change_streams_update_full")));
    };
    if update.member("truncatedArrays").and_then(RawJson::some).is_some_and(|arrays| arrays.elements().next().is_some())
    {
        return Err(incomplete(
            "an array was truncated, and the event does not contain the new array: set capture.mode to change_streams_update_full",
        ));
    }
    let removed =
        update.member("removedFields").into_iter().flat_map(RawJson::elements).filter_map(RawJson::string).collect();
    let updated = update.member("updatedFields").and_then(RawJson::some).map(document).transpose()?;
    Ok(Partial { updated, removed })
}

/// The row's key in a record's key, which is an object with or without the schema envelope. `None` if the record's key is not JSON.
fn read_key(key: &[u8], is_mongodb: bool) -> Result<Option<Cow<'_, str>>, Refusal> {
    let Ok(raw) = json::validated(key) else { return Ok(None) };
    let raw = raw.member("payload").filter(|_| raw.member("schema").is_some()).unwrap_or(raw);
    if raw.kind() != Kind::Object {
        return Ok(None);
    }
    if !is_mongodb {
        return Ok(Some(Cow::Borrowed(raw.get())));
    }
    // MongoDB: the id is extended JSON in a string, such as {"id": "{\"$oid\": …}"} or {"id": "1004"}.
    let Some(id) = raw.member("id").and_then(RawJson::string) else { return Ok(None) };
    let id = json::validated(id.as_bytes())
        .map_err(|reason| Refusal::new(RefusalKind::NotJson, format!("the id in the record's key is {reason}")))?;
    Ok(Some(Cow::Owned(format!("{{\"_id\":{}}}", id.get()))))
}
