//! Reads change events of DynamoDB: records of its streams, and of its Kinesis destination (`"recordFormat": "application/json"`).

use std::borrow::Cow;

use crate::{
    contract::Format,
    event::{Identity, RowChange, Wrapping, in_range, incomplete},
    json::{Kind, RawJson},
    number::{Number, short_integer},
    operation::Operation,
    position,
    refusal::{Refusal, RefusalKind},
    value::Form,
};

/// The members of an event that say of which table and which change its record is.
#[derive(Default)]
pub(crate) struct Around<'a> {
    table_name: Option<RawJson<'a>>,
    source_arn: Option<RawJson<'a>>,
    event_id: Option<RawJson<'a>>,
}

impl<'a> Around<'a> {
    /// Takes a member. If a member is written more than once, the last one counts.
    #[inline]
    pub(crate) fn take(&mut self, name: &str, member: RawJson<'a>) {
        match name {
            "tableName" => self.table_name = Some(member),
            "eventSourceARN" => self.source_arn = Some(member),
            "eventID" => self.event_id = Some(member),
            _ => {}
        }
    }

    /// The table: `tableName` of the Kinesis format, or from `arn:aws:dynamodb:<region>:<account>:table/<table>/stream/<label>`.
    fn table(&self) -> Option<String> {
        if let Some(name) = self.table_name.and_then(RawJson::string) {
            return Some(name.into_owned());
        }
        let arn = self.source_arn.and_then(RawJson::string)?;
        let (_, resource) = arn.split_once(":table/")?;
        resource.split('/').next().filter(|table| !table.is_empty()).map(ToOwned::to_owned)
    }
}

#[derive(Default)]
struct StreamRecord<'a> {
    keys: Option<RawJson<'a>>,
    old: Option<RawJson<'a>>,
    new: Option<RawJson<'a>>,
    sequence_number: Option<Cow<'a, str>>,
    creation: Option<RawJson<'a>>,
    precision: Option<Cow<'a, str>>,
    view: Option<Cow<'a, str>>,
}

/// Reads an event. `record` is its member `dynamodb`.
pub(crate) fn read<'a>(around: &Around<'a>, record: RawJson<'a>, event_name: &str) -> Result<RowChange<'a>, Refusal> {
    let operation = Operation::of_dynamodb(event_name).ok_or_else(|| {
        let shown: String = event_name.chars().take(20).collect();
        Refusal::new(
            RefusalKind::UnknownOperation,
            format!("`eventName` is `{shown}`: it must be INSERT, MODIFY or REMOVE"),
        )
    })?;
    let table = around.table().ok_or_else(|| incomplete("neither `tableName` nor `eventSourceARN` names the table"))?;
    let record = members(record);
    let changed_at = record.creation.and_then(|time| micros(time, record.precision.as_deref())).and_then(in_range);
    let changed_at =
        changed_at.ok_or_else(|| incomplete("`ApproximateCreationDateTime` is not a time in the years 1 to 9999"))?;
    let position = match record.sequence_number.as_deref() {
        Some(digits) => position::of_sequence_number(digits)
            .ok_or_else(|| incomplete("`SequenceNumber` is not a number of at most 128 digits"))?,
        None => {
            let id = around.event_id.and_then(RawJson::string);
            id.and_then(|id| position::of_creation(changed_at, &id)).ok_or_else(|| {
                incomplete("the event has neither a `SequenceNumber` nor an `eventID` of hexadecimal digits")
            })?
        }
    };
    if record.new.is_none() && operation != Operation::Delete {
        let view = record.view.unwrap_or_default();
        return Err(incomplete(format!(
            "`NewImage` is missing: the stream's view type (`{view}` in the event) must be NEW_AND_OLD_IMAGES or NEW_IMAGE"
        )));
    }
    let text = |raw: RawJson<'a>| Cow::Borrowed(raw.get());
    Ok(RowChange {
        identity: Identity { format: Format::Dynamodb, server: None, database: None, schema: None, table },
        operation,
        changed_at,
        connector: Cow::Borrowed(""),
        position,
        before: record.old.map(text),
        after: record.new.map(text),
        key: record.keys.map(text),
        partial: None,
        schema: None,
        form: Form::Typed,
        wrapping: Wrapping::Envelope,
    })
}

fn members(record: RawJson<'_>) -> StreamRecord<'_> {
    let mut read = StreamRecord::default();
    let object = |raw: RawJson<'_>| raw.kind() == Kind::Object;
    for (name, member) in record.members() {
        match &*name {
            "Keys" => read.keys = Some(member).filter(|raw| object(*raw)),
            "OldImage" => read.old = Some(member).filter(|raw| object(*raw)),
            "NewImage" => read.new = Some(member).filter(|raw| object(*raw)),
            "SequenceNumber" => read.sequence_number = member.digits(),
            "ApproximateCreationDateTime" => read.creation = member.some(),
            "ApproximateCreationDateTimePrecision" => read.precision = member.string(),
            "StreamViewType" => read.view = member.string(),
            _ => {}
        }
    }
    read
}

/// The time in microseconds since the epoch. Streams have seconds (which Lambda may write with a fraction); the Kinesis format has
/// milliseconds, or the unit in `precision`.
fn micros(time: RawJson<'_>, precision: Option<&str>) -> Option<i64> {
    let read = |power: &str| {
        let digits = time.digits()?;
        if let Some(count) = short_integer(&digits) {
            return count.checked_mul(10_i64.pow(u32::try_from(power.len()).ok()?));
        }
        let number = Number::parse(&digits)?.plain()?;
        // Digits of the fraction that are whole microseconds.
        let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
        let places = power.len();
        let fraction: String = fraction.chars().chain(std::iter::repeat('0')).take(places).collect();
        format!("{whole}{fraction}").parse::<i64>().ok()
    };
    match precision {
        Some("MICROSECOND") => read(""),
        Some("MILLISECOND") => read("000"),
        Some("SECOND") => read("000000"),
        Some(_) => None,
        // Without a precision: a number that is past the year 5138 in seconds is in milliseconds.
        None if Number::parse(&time.digits()?)?.plain()?.split('.').next()?.len() > 11 => read("000"),
        None => read("000000"),
    }
}
