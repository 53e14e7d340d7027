//! Reads CloudEvents of Debezium's `CloudEventsConverter`, in the structured JSON form.
//!
//! The attributes have the operation (`iodebeziumop`) and the members of `source` (`iodebeziumlsn`, `iodebeziumtsms` …); `data` has the
//! images, with or without the schema envelope.

use crate::{
    debezium::{self, Payload},
    event::{Event, Wrapping, incomplete, not_an_event},
    json::{Kind, RawJson},
    origin::Origin,
    refusal::{Refusal, SkipReason},
};

/// Prefix of the attributes that Debezium adds.
const PREFIX: &str = "iodebezium";
/// Attributes whose name is not that of the member of `source`: the names of attributes have only letters and digits.
const RENAMED: [(&str, &str); 13] = [
    ("tsms", "ts_ms"),
    ("tsus", "ts_us"),
    ("tsns", "ts_ns"),
    ("commitlsn", "commit_lsn"),
    ("changelsn", "change_lsn"),
    ("eventserialno", "event_serial_no"),
    ("commitscn", "commit_scn"),
    ("rsid", "rs_id"),
    ("lcrposition", "lcr_position"),
    ("servertransactionid", "server_transaction_id"),
    ("modnumber", "mod_number"),
    ("tshlc", "ts_hlc"),
    ("committs", "commit_ts"),
];

/// Reads an event.
pub(crate) fn read<'a>(raw: RawJson<'a>, key: Option<&'a [u8]>) -> Result<Event<'a>, Refusal> {
    let (mut op, mut data, mut content_type) = (None, None, None);
    let mut origin = Origin::default();
    for (name, member) in raw.members() {
        match (&*name, name.strip_prefix(PREFIX)) {
            ("data", _) => data = member.some(),
            ("datacontenttype", _) => content_type = member.string(),
            (_, Some("op")) => op = member.some(),
            (_, Some(attribute)) => {
                let renamed = RENAMED.iter().find(|(short, _)| *short == attribute);
                origin.take(renamed.map_or(attribute, |(_, member)| member), member);
            }
            (_, None) => {}
        }
    }
    let Some(data) = data.filter(|data| data.kind() == Kind::Object) else {
        let content_type = content_type.as_deref().unwrap_or("not given");
        return Err(not_an_event(format!(
            "`data` of the CloudEvent is not a JSON object (`datacontenttype` is {}): set `data.serializer.type` of CloudEventsConverter to \
             json",
            content_type.chars().take(40).collect::<String>()
        )));
    };
    let (schema, data) = match data.member("payload") {
        Some(payload) => (data.member("schema").and_then(RawJson::some), payload),
        None => (None, data),
    };
    let mut payload = Payload::default();
    for (name, member) in data.members() {
        payload.take(&name, member);
    }
    // The data can also be an event as it is without the CloudEvent: in its own envelope, or flattened.
    if payload.is_complete() {
        return debezium::event(data, &payload, schema, key);
    }
    let op = op.ok_or_else(|| {
        incomplete(
            "the CloudEvent does not have `iodebeziumop`, the operation: set `extension.attributes.enable` of CloudEventsConverter to \
             true",
        )
    })?;
    let Some(operation) = debezium::operation("iodebeziumop", op)? else {
        return Ok(Event::Skipped(SkipReason::Message));
    };
    if !payload.has_images() {
        return Err(not_an_event("`data` of the CloudEvent has neither `before` nor `after`"));
    }
    let mut change = debezium::change(&payload, operation, origin, schema, key)?;
    change.wrapping = Wrapping::CloudEvent;
    Ok(Event::Change(Box::new(change)))
}
