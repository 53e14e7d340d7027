//! Reads Debezium's JSON events of relational databases, and of MongoDB, whose images are strings of extended JSON.

use std::borrow::Cow;

use crate::{
    contract::Format,
    event::{Event, Identity, Partial, RowChange, Wrapping, incomplete, not_an_event},
    flattened,
    json::{self, Kind, RawJson},
    operation::Operation,
    origin::Origin,
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
    /// The reason why the event is skipped if it has no operation.
    notice: Option<SkipReason>,
    has_flattened: bool,
    has_images: bool,
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
    event(raw, &payload, schema, key)
}

impl<'a> Payload<'a> {
    /// Whether the members are those of Debezium's envelope. A row can have columns of the same names, but `source` is an object.
    pub(crate) fn is_envelope(&self) -> bool {
        self.op.is_some() && self.source.is_some_and(|source| source.kind() == Kind::Object)
    }

    /// Whether the members are the fields of a flattened row.
    pub(crate) fn is_flattened(&self) -> bool {
        self.has_flattened && !self.is_envelope()
    }

    /// Whether the members are a whole event: an envelope, or a flattened row.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_envelope() || self.is_flattened()
    }

    /// Whether there is an image, or the place of an image that is null.
    pub(crate) fn has_images(&self) -> bool {
        self.has_images
    }

    /// Takes the next member. If a member is written more than once, the last one counts.
    #[inline]
    pub(crate) fn take(&mut self, name: &str, member: RawJson<'a>) {
        self.members += 1;
        match name {
            "op" => self.op = Some(member),
            "before" => (self.before, self.has_images) = (member.some(), true),
            "after" => (self.after, self.has_images) = (member.some(), true),
            "source" => self.source = Some(member),
            "ts_ms" => self.ts_ms = member.i64(),
            "updateDescription" => self.update = member.some(),
            "patch" => self.patch = member.some(),
            "ddl" | "tableChanges" => self.notice = Some(SkipReason::SchemaChange),
            "status" if self.notice != Some(SkipReason::SchemaChange) => {
                self.notice = is_boundary(member).then_some(SkipReason::Transaction);
            }
            "__op" | "__deleted" => self.has_flattened = true,
            _ => {}
        }
    }
}

/// The event whose payload has these members. `raw` is the payload.
pub(crate) fn event<'a>(
    raw: RawJson<'a>,
    payload: &Payload<'a>,
    schema: Option<RawJson<'a>>,
    key: Option<&'a [u8]>,
) -> Result<Event<'a>, Refusal> {
    if payload.is_flattened() {
        return flattened::read(raw, schema, key).map(|change| Event::Change(Box::new(change)));
    }
    let Some(op) = payload.op else { return skipped(payload) };
    let Some(operation) = operation("op", op)? else { return Ok(Event::Skipped(SkipReason::Message)) };
    let source = payload.source.filter(|source| source.kind() == Kind::Object).ok_or_else(|| {
        incomplete("`source` is missing, which names the table and the position in the database's log")
    })?;
    let origin = Origin::read(source);
    change(payload, operation, origin, schema, key).map(|change| Event::Change(Box::new(change)))
}

/// The operation in the member `name`. `None` for a logical decoding message.
pub(crate) fn operation(name: &str, op: RawJson<'_>) -> Result<Option<Operation>, Refusal> {
    let op = op.string().ok_or_else(|| not_an_event(format!("`{name}` is not a string")))?;
    if op == "m" {
        return Ok(None);
    }
    let operation = Operation::of_debezium(&op).ok_or_else(|| {
        let shown: String = op.chars().take(20).collect();
        Refusal::new(RefusalKind::UnknownOperation, format!("`{name}` is `{shown}`: it must be c, u, d, r, t or m"))
    })?;
    Ok(Some(operation))
}

/// Whether `status` is that of transaction metadata.
fn is_boundary(status: RawJson<'_>) -> bool {
    status.string().is_some_and(|status| matches!(&*status, "BEGIN" | "END"))
}

fn skipped<'a>(payload: &Payload<'a>) -> Result<Event<'a>, Refusal> {
    if let Some(reason) = payload.notice {
        Ok(Event::Skipped(reason))
    } else if payload.members == 1 && payload.ts_ms.is_some() {
        Ok(Event::Skipped(SkipReason::Heartbeat))
    } else {
        Err(not_an_event(
            "the event has neither Debezium's `op` nor DynamoDB's `eventName`. If ExtractNewRecordState flattened it, set the options \
             `add.fields` (not `add.headers`) and `delete.tombstone.handling.mode` as docs/change-data.md says",
        ))
    }
}

/// The change with the images of `payload`.
pub(crate) fn change<'a>(
    payload: &Payload<'a>,
    operation: Operation,
    mut origin: Origin<'a>,
    schema: Option<RawJson<'a>>,
    key: Option<&'a [u8]>,
) -> Result<RowChange<'a>, Refusal> {
    let is_mongodb = origin.connector.as_deref() == Some("mongodb") || origin.collection.is_some();
    if is_mongodb {
        origin.connector = Some(Cow::Borrowed("mongodb"));
    }
    let changed_at = origin
        .changed_at(payload.ts_ms)
        .ok_or_else(|| incomplete("the event does not have a source time: neither `source.ts_ms` nor `ts_ms` is a time in the years 1 to 9999"))?;
    let key = key.map(|key| read_key(key, is_mongodb)).transpose()?.flatten();
    let connector = origin.connector.clone().unwrap_or_default();
    let position = {
        let images = [payload.before, payload.after].into_iter().flatten();
        // Versions of the connector differ in which members they leave out and which are null.
        let update = payload.update.into_iter().flat_map(RawJson::members).filter_map(|(_, member)| member.some());
        let texts = images.chain(update).map(RawJson::get).chain(key.as_deref()).map(Cow::Borrowed);
        let parts = [Cow::Borrowed(operation.as_str())].into_iter().chain(texts);
        let parts = parts.chain(origin.names().map(Cow::Borrowed)).chain(origin.log.identifying(&connector));
        position::of_debezium(&connector, &origin.log, changed_at)?.position(parts)
    };
    let mut change = RowChange {
        identity: identity(origin, is_mongodb)
            .ok_or_else(|| incomplete("the event does not name a table (`source.table` or `source.collection`)"))?,
        operation,
        changed_at,
        connector,
        position,
        before: payload.before.map(|image| Cow::Borrowed(image.get())),
        after: payload.after.map(|image| Cow::Borrowed(image.get())),
        key,
        partial: None,
        schema,
        form: Form::Json,
        wrapping: Wrapping::Envelope,
    };
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

/// The table of an event; `None` if the event does not name one.
pub(crate) fn identity(origin: Origin<'_>, is_mongodb: bool) -> Option<Identity> {
    Some(Identity {
        format: if is_mongodb { Format::DebeziumMongodb } else { Format::Debezium },
        server: origin.name.map(Cow::into_owned),
        database: origin.db.map(Cow::into_owned),
        schema: origin.schema.map(Cow::into_owned),
        table: origin.collection.or(origin.table)?.into_owned(),
    })
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

/// The row's key in a record's key, which is an object with or without the schema envelope. `None` if the record's key is not an object.
pub(crate) fn key_object(key: &[u8]) -> Option<RawJson<'_>> {
    let raw = json::validated(key).ok()?;
    let raw = raw.member("payload").filter(|_| raw.member("schema").is_some()).unwrap_or(raw);
    (raw.kind() == Kind::Object).then_some(raw)
}

fn read_key(key: &[u8], is_mongodb: bool) -> Result<Option<Cow<'_, str>>, Refusal> {
    let Some(raw) = key_object(key) else { return Ok(None) };
    if !is_mongodb {
        return Ok(Some(Cow::Borrowed(raw.get())));
    }
    // MongoDB: the id is extended JSON in a string, such as {"id": "{\"$oid\": …}"} or {"id": "1004"}.
    let Some(id) = raw.member("id").and_then(RawJson::string) else { return Ok(None) };
    let id = json::validated(id.as_bytes())
        .map_err(|reason| Refusal::new(RefusalKind::NotJson, format!("the id in the record's key is {reason}")))?;
    Ok(Some(Cow::Owned(format!("{{\"_id\":{}}}", id.get()))))
}
