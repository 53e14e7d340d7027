//! Debezium's JSON: of relational databases, and of MongoDB, whose images are strings of extended JSON.

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

#[derive(Default)]
struct Payload<'a> {
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

/// What a payload is.
pub(crate) fn read<'a>(
    raw: RawJson<'a>,
    schema: Option<RawJson<'a>>,
    key: Option<&'a [u8]>,
) -> Result<Event<'a>, Refusal> {
    if raw.kind() != Kind::Object {
        return Err(not_an_event("`payload` is no object"));
    }
    let payload = payload(raw);
    let Some(op) = payload.op else { return skipped(&payload) };
    let op = op.string().ok_or_else(|| not_an_event("`op` is no text"))?;
    if op == "m" {
        return Ok(Event::Skipped(SkipReason::Message));
    }
    let operation = Operation::of_debezium(&op).ok_or_else(|| {
        let shown: String = op.chars().take(20).collect();
        Refusal::new(RefusalKind::UnknownOperation, format!("`op` is `{shown}`: c, u, d, r, t and m are known"))
    })?;
    let source = payload.source.filter(|source| source.kind() == Kind::Object);
    let source =
        source.ok_or_else(|| incomplete("`source` is missing: it says which table and which place in its log"))?;
    change(&payload, operation, source, schema, key).map(|change| Event::Change(Box::new(change)))
}

fn payload(raw: RawJson<'_>) -> Payload<'_> {
    let mut payload = Payload::default();
    for (name, member) in raw.members() {
        payload.members += 1;
        match &*name {
            "op" => payload.op = Some(member),
            "before" => payload.before = member.some(),
            "after" => payload.after = member.some(),
            "source" => payload.source = Some(member),
            "ts_ms" => payload.ts_ms = member.i64(),
            "updateDescription" => payload.update = member.some(),
            "patch" => payload.patch = member.some(),
            "ddl" | "tableChanges" => payload.is_schema_change = true,
            "status" => payload.is_transaction = is_boundary(member),
            "__op" | "__deleted" => payload.is_flattened = true,
            _ => {}
        }
    }
    payload
}

/// `status` of transaction metadata.
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
        Err(not_an_event("neither Debezium's `op` nor DynamoDB's `eventName`"))
    }
}

fn change<'a>(
    payload: &Payload<'a>,
    operation: Operation,
    source: RawJson<'a>,
    schema: Option<RawJson<'a>>,
    key: Option<&'a [u8]>,
) -> Result<RowChange<'a>, Refusal> {
    let text = |name: &str| source.member(name).and_then(RawJson::string).filter(|text| !text.is_empty());
    let connector = text("connector").unwrap_or_default();
    let collection = text("collection");
    let is_mongodb = connector == "mongodb" || collection.is_some();
    let table = collection.or_else(|| text("table")).ok_or_else(|| incomplete("`source` names no table"))?;
    let identity = Identity {
        format: if is_mongodb { Format::DebeziumMongodb } else { Format::Debezium },
        server: text("name").map(Cow::into_owned),
        database: text("db").map(Cow::into_owned),
        schema: text("schema").map(Cow::into_owned),
        table: table.into_owned(),
    };
    let changed_at = changed_at(source, payload.ts_ms)
        .ok_or_else(|| incomplete("neither `source.ts_ms` nor `ts_ms` is a time in the years 1 to 9999"))?;
    let connector = if is_mongodb { "mongodb" } else { &*connector };
    let position = position::of_debezium(connector, source, changed_at)?;
    let mut change = RowChange {
        identity,
        operation,
        changed_at,
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
        // Debezium's schema of a document says that it is a string.
        change.schema = None;
        if operation == Operation::Update && change.after.is_none() {
            change.partial = Some(partial(payload)?);
        }
    }
    Ok(change)
}

/// Source time in microseconds: the finest that is there. A snapshot of some connectors has none; then it is when Debezium made the event.
fn changed_at(source: RawJson<'_>, ts_ms: Option<i64>) -> Option<i64> {
    let (mut nanos, mut micros, mut millis) = (None, None, None);
    for (name, member) in source.members() {
        match &*name {
            "ts_ns" => nanos = member.i64(),
            "ts_us" => micros = member.i64(),
            "ts_ms" => millis = member.i64(),
            _ => {}
        }
    }
    let of_millis = |millis: i64| millis.checked_mul(1000);
    let source = micros.or_else(|| nanos.map(|nanos| nanos.div_euclid(1000))).or_else(|| millis.and_then(of_millis));
    source.filter(|micros| *micros > 0).or_else(|| ts_ms.and_then(of_millis)).and_then(in_range)
}

/// A document of MongoDB: a string of extended JSON.
fn document(raw: RawJson<'_>) -> Result<Cow<'_, str>, Refusal> {
    let text = match raw.kind() {
        Kind::String => raw.string(),
        // With a transformation of the user's it may be an object already.
        Kind::Object => Some(Cow::Borrowed(raw.get())),
        Kind::Null | Kind::Bool(_) | Kind::Number | Kind::Array => None,
    };
    let text = text.ok_or_else(|| not_an_event("a MongoDB document is a string of extended JSON"))?;
    let raw = json::validated(text.as_bytes())
        .map_err(|reason| Refusal::new(RefusalKind::NotJson, format!("the document in the event is {reason}")))?;
    if raw.kind() == Kind::Object {
        let trimmed = raw.get().len() == text.len();
        Ok(if trimmed { text } else { Cow::Owned(raw.get().to_owned()) })
    } else {
        Err(not_an_event("a MongoDB document is an object of extended JSON"))
    }
}

fn partial<'a>(payload: &Payload<'a>) -> Result<Partial<'a>, Refusal> {
    let Some(update) = payload.update else {
        let reason = match payload.patch {
            Some(_) => "the connector tails the oplog (`patch`), which does not say what a document became",
            None => "an update without a document",
        };
        return Err(incomplete(format!("{reason}: set capture.mode to change_streams_update_full")));
    };
    if update.member("truncatedArrays").and_then(RawJson::some).is_some_and(|arrays| arrays.elements().next().is_some())
    {
        return Err(incomplete(
            "an array was truncated, and the event does not say what it became: set capture.mode to change_streams_update_full",
        ));
    }
    let removed =
        update.member("removedFields").into_iter().flat_map(RawJson::elements).filter_map(RawJson::string).collect();
    let updated = update.member("updatedFields").and_then(RawJson::some).map(document).transpose()?;
    Ok(Partial { updated, removed })
}

/// The row's key of a record's key: an object, with or without the schema envelope. A key that is no JSON is none of a row.
fn read_key(key: &[u8], is_mongodb: bool) -> Result<Option<Cow<'_, str>>, Refusal> {
    let Ok(raw) = json::validated(key) else { return Ok(None) };
    let raw = raw.member("payload").filter(|_| raw.member("schema").is_some()).unwrap_or(raw);
    if raw.kind() != Kind::Object {
        return Ok(None);
    }
    if !is_mongodb {
        return Ok(Some(Cow::Borrowed(raw.get())));
    }
    // {"id": "{\"$oid\": …}"}, {"id": "1004"}: extended JSON in a string.
    let Some(id) = raw.member("id").and_then(RawJson::string) else { return Ok(None) };
    let id = json::validated(id.as_bytes())
        .map_err(|reason| Refusal::new(RefusalKind::NotJson, format!("the id in the record's key is {reason}")))?;
    Ok(Some(Cow::Owned(format!("{{\"_id\":{}}}", id.get()))))
}
