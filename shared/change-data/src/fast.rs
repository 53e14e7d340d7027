//! The fast path for common change events, which does not build a tree: [`Fast::row`] writes the same bytes as the full decoder, or writes
//! nothing and leaves the event to it.
//!
//! A common event is an event of Debezium of the contract's table: a create, read, update or delete in the same envelope as the event
//! before it, or in none ([`envelope`]), with its keys in the same order ([`shape`]), whose values fit their columns unchanged ([`plan`]).
//! All other events, including invalid ones, are left to the full decoder, so that only one decoder refuses records and applies policies.
//! The fast path still validates every byte of an event by JSON's grammar, including the values that it skips.
//!
//! [`Fast::learn`] takes the envelope and the order of keys from an event that the full decoder has read.

mod envelope;
mod plan;
mod shape;
mod source;
#[cfg(test)]
mod tests;
mod time;
mod write;

use std::rc::Rc;

use self::{
    envelope::Envelope,
    plan::Plan,
    shape::{Member, Miss, Shape, Steps},
    source::Source,
    write::Row,
};
use crate::{
    compiled::Compiled,
    contract::{Format, Unknown},
    csv,
    json::RawJson,
    logical::Logical,
    operation::Operation,
    scan::{self, Kind, LONGEST, Span},
    schema::Schema,
    super_json::{Flaws, Writer},
    transport::{Offset, Partition},
    value::Value,
};

/// Reads the common events of one contract and one partition.
#[derive(Debug)]
pub(crate) struct Fast {
    /// `None` if the events have no envelope. This is an `Option` because a `memcmp` of zero bytes costs as much as a field.
    envelope: Option<Envelope>,
    /// The schema in the envelope.
    schema: Option<Rc<Schema>>,
    /// The keys of an event.
    event: Shape,
    source: Source,
    /// The keys of both images.
    image: Shape,
    /// Keys without a column. Their slots follow those of the columns.
    unknown: Vec<Box<str>>,
    /// The members of the image that was read.
    steps: Steps,
    before: Vec<Span>,
    after: Vec<Span>,
    plans: Vec<Plan>,
    /// Whether the last event was not common only because its form differed from the events before it.
    is_news: bool,
    row: Row,
    missing: Vec<u8>,
    /// The partition, as a CSV field.
    partition: Vec<u8>,
    /// The placeholder of a value that did not change, as text and as base64.
    placeholders: Vec<Box<[u8]>>,
}

/// The members of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Before,
    After,
    Source,
    Op,
    /// Not used.
    Other,
    /// A member of another kind of event.
    Foreign,
}

impl Part {
    const ALL: [Self; 6] = [Self::Before, Self::After, Self::Source, Self::Op, Self::Other, Self::Foreign];

    fn of(name: &str) -> Self {
        match name {
            "before" => Self::Before,
            "after" => Self::After,
            "source" => Self::Source,
            "op" => Self::Op,
            "schema" | "payload" | "dynamodb" | "eventName" => Self::Foreign,
            _ => Self::Other,
        }
    }
}

/// The result for a row that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FastRow {
    /// Whether `dw_md_missing_data` has a value.
    pub(crate) with_missing_data: bool,
}

impl Fast {
    /// `None` for a contract whose events are never common.
    pub(crate) fn new(compiled: &Compiled, partition: &Partition) -> Option<Self> {
        // A placeholder without JSON escapes and CSV quotes can be found by its bytes.
        let is_simple =
            |text: &&str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-+/= .".contains(&byte));
        let placeholders = compiled.placeholder().texts();
        if compiled.contract().source().format != Format::Debezium || !placeholders.iter().all(is_simple) {
            return None;
        }
        let mut field = Vec::new();
        csv::text(&mut field, partition.as_str());
        Some(Self {
            envelope: None,
            schema: None,
            event: Shape::default(),
            source: Source::default(),
            image: Shape::default(),
            unknown: Vec::new(),
            steps: Steps::default(),
            before: Vec::new(),
            after: Vec::new(),
            plans: plans(compiled, None),
            is_news: false,
            row: Row::default(),
            missing: Vec::new(),
            partition: field,
            placeholders: placeholders
                .iter()
                .filter(|text| !text.is_empty())
                .map(|text| text.as_bytes().into())
                .collect(),
        })
    }

    /// Appends the row of an event to `out`. `None`, and `out` is unchanged, if the event is left to the full decoder.
    pub(crate) fn row(
        &mut self,
        compiled: &Compiled,
        value: &[u8],
        partition: &Partition,
        offset: &Offset,
        out: &mut Vec<u8>,
    ) -> Option<FastRow> {
        self.is_news = false;
        if value.len() > LONGEST {
            return None;
        }
        let Some(payload) = self.payload(value) else {
            self.is_news = true;
            return None;
        };
        // The envelope around it was validated as UTF-8 when it was learned.
        let record = simdutf8::basic::from_utf8(payload).ok()?;
        let event = match self.read(record) {
            Ok(event) => event,
            Err(miss) => {
                self.is_news = miss == Miss::Key;
                return None;
            }
        };
        let written = self.write(compiled, record, &event, partition, offset)?;
        out.extend_from_slice(self.row.written());
        Some(written)
    }

    /// The payload, if the envelope is the same as that of the event before.
    #[inline]
    fn payload<'r>(&self, value: &'r [u8]) -> Option<&'r [u8]> {
        self.envelope.as_ref().map_or(Some(value), |envelope| envelope.payload(value))
    }

    /// Finds the values of an event.
    fn read(&mut self, record: &str) -> Result<Event, Miss> {
        let bytes = record.as_bytes();
        let Self { image, steps, source, before, after, .. } = self;
        let mut event = Event::default();
        let end = self.event.read(bytes, 0, |slot, at| match Part::ALL[slot] {
            Part::Before | Part::After if bytes.get(at) == Some(&b'n') => value_end(bytes, at, &mut Span::default()),
            Part::Before => {
                event.before = Some(at);
                before.fill(Span::default());
                image.read_steps(bytes, at, before, steps)
            }
            Part::After => {
                event.has_after = true;
                after.fill(Span::default());
                match event.before {
                    Some(twin) => image.read_twin(bytes, at, twin, after, (steps, before)),
                    None => image.read_steps(bytes, at, after, steps),
                }
            }
            Part::Source => {
                let end = source.read(bytes, at)?;
                event.source = scan::span(at, end, Kind::Nested);
                Ok(end)
            }
            Part::Op => value_end(bytes, at, &mut event.op),
            Part::Other => value_end(bytes, at, &mut Span::default()),
            Part::Foreign => Err(Miss::Value),
        })?;
        if end == bytes.len() { Ok(event) } else { Err(Miss::Value) }
    }

    fn write(
        &mut self,
        compiled: &Compiled,
        record: &str,
        event: &Event,
        partition: &Partition,
        offset: &Offset,
    ) -> Option<FastRow> {
        let bytes = record.as_bytes();
        if event.op.kind != Kind::Plain || event.source.kind != Kind::Nested {
            return None;
        }
        let (operation, image) = match event.op.of(bytes) {
            [b'c'] => (Operation::Create, self.after.as_slice()),
            [b'u'] => (Operation::Update, self.after.as_slice()),
            [b'r'] => (Operation::Read, self.after.as_slice()),
            [b'd'] => (Operation::Delete, self.before.as_slice()),
            _ => return None,
        };
        let has_image = if operation == Operation::Delete { event.before.is_some() } else { event.has_after };
        if !has_image || !self.source.is_of(record, compiled.contract().source()) {
            return None;
        }
        let is_update_of = (operation == Operation::Update && event.before.is_some()).then_some(self.before.as_slice());
        let row = &mut self.row;
        // Room for quotes, or for a count that becomes a time. Longer fields make room themselves.
        row.begin(bytes.len() + 40 * image.len() + self.partition.len() + offset.as_str().len() + 1024);
        for (index, (plan, &span)) in self.plans.iter_mut().zip(image).enumerate() {
            if index > 0 {
                row.byte(b',');
            }
            if plan.identifies && !span.is_some() {
                // The value is in the record's key, or is NULL, or the row is refused.
                return None;
            }
            if plan.is_key {
                let is_known = |before: &&Span| before.is_some() || (plan.can_be_null && before.kind == Kind::Null);
                let before = is_update_of.and_then(|before| before.get(index)).filter(is_known);
                // A change of the key is two rows.
                if before.is_some_and(|before| before.json(record) != span.json(record)) {
                    return None;
                }
            }
            if !span.is_some() {
                row.null();
                continue;
            }
            let begin = row.len();
            if plan.write(record, span, row).is_none() {
                row.rewind(begin);
                plan.fitted(compiled, compiled.columns()[index].column_type, record, span, row)?;
            } else if span.is_string() {
                let text = if span.kind == Kind::Escaped { row.since(begin) } else { span.of(bytes) };
                if self.placeholders.iter().any(|placeholder| **placeholder == *text) {
                    return None;
                }
                // In a document the placeholder has more notations.
                if matches!(text, [b'{', ..] | [b'"', b'{', ..]) && is_placeholder(compiled, record, span)? {
                    return None;
                }
            }
        }
        self.missing.clear();
        for (name, span) in self.unknown.iter().zip(image.get(self.plans.len()..)?) {
            if compiled.contract().unknown() == Unknown::Freeze && span.kind != Kind::Absent {
                return None;
            }
            if span.is_some() {
                let field = self.schema.as_ref().and_then(|schema| schema.field(name));
                let logical = field.map_or(&Logical::Plain, |field| &field.logical);
                take_unknown(compiled, name, RawJson::known(span.json(record)?), logical, &mut self.missing)?;
            }
        }
        row.byte(b',');
        self.source.write_time(bytes, row)?;
        row.byte(b',');
        row.bytes(operation.as_str().as_bytes());
        row.byte(b',');
        let with_missing_data = !self.missing.is_empty();
        if with_missing_data {
            self.missing.push(b'}');
            let mut field = Vec::new();
            csv::text(&mut field, std::str::from_utf8(&self.missing).ok()?);
            row.make_room(field.len());
            row.bytes(&field);
        } else {
            row.null();
        }
        row.bytes(br",\N,\N,");
        self.source.write_position(
            record,
            event.source,
            compiled.contract().source().generation,
            partition,
            offset,
            row,
        )?;
        row.byte(b',');
        row.bytes(&self.partition);
        row.byte(b',');
        row.bytes(offset.as_str().as_bytes());
        row.byte(b'\n');
        Some(FastRow { with_missing_data })
    }

    /// Learns the form of an event that [`Fast::row`] left to the full decoder because of its form: its envelope with the text and content
    /// of the schema, and its keys.
    #[cold]
    pub(crate) fn learn(&mut self, compiled: &Compiled, value: &[u8], schema: Option<(RawJson<'_>, &Rc<Schema>)>) {
        if std::mem::take(&mut self.is_news) {
            let envelope = Envelope::of(value, schema.map(|(text, _)| text.get()));
            self.schema = schema.filter(|_| envelope.is_some()).map(|(_, schema)| Rc::clone(schema));
            self.envelope = envelope;
            self.plans = plans(compiled, self.schema.as_deref());
            self.learn_keys(compiled, value);
        }
    }

    fn learn_keys(&mut self, compiled: &Compiled, value: &[u8]) -> Option<()> {
        let members = Member::all(std::str::from_utf8(self.payload(value)?).ok()?)?;
        self.event.learn(&members, |name| Part::of(name) as usize);
        for member in members {
            let Some(fields) = Member::all(member.value) else { continue };
            match Part::of(member.name) {
                Part::Before | Part::After => {
                    let Self { image, unknown, plans, .. } = self;
                    unknown.clear();
                    image.learn(&fields, |name| {
                        compiled.column_of(name).unwrap_or_else(|| {
                            unknown.push(name.into());
                            plans.len() + unknown.len() - 1
                        })
                    });
                }
                Part::Source => self.source.learn(&fields),
                Part::Op | Part::Other | Part::Foreign => {}
            }
        }
        let slots = self.plans.len() + self.unknown.len();
        self.before.resize(slots, Span::default());
        self.after.resize(slots, Span::default());
        Some(())
    }
}

/// The places of the parts of an event.
#[derive(Debug, Default)]
struct Event {
    op: Span,
    source: Span,
    /// The place of `before`, if it is not null.
    before: Option<usize>,
    has_after: bool,
}

/// How the values of the columns are written, for events with this schema or without one.
fn plans(compiled: &Compiled, schema: Option<&Schema>) -> Vec<Plan> {
    let of_event = |field: &str| Some(&schema?.field(field)?.logical);
    compiled.columns().iter().map(|column| Plan::new(column, of_event(&column.field))).collect()
}

#[inline]
fn value_end(record: &[u8], at: usize, span: &mut Span) -> Result<usize, Miss> {
    Ok(scan::value(record, at, span).ok_or(Miss::Value)?.get())
}

/// Whether a value is the placeholder, decided by the full decoder's code.
fn is_placeholder(compiled: &Compiled, record: &str, span: Span) -> Option<bool> {
    Some(compiled.placeholder().is(&Value::of_json(RawJson::known(span.json(record)?))))
}

/// Adds a field without a column by the full decoder's code. `None` if the value needs a note in `dw_md_changes`.
fn take_unknown(
    compiled: &Compiled,
    name: &str,
    raw: RawJson<'_>,
    logical: &Logical,
    missing: &mut Vec<u8>,
) -> Option<()> {
    let value = Value::of_json(raw);
    if compiled.placeholder().is(&value) {
        return None;
    }
    let value = value.decoded(logical);
    missing.push(if missing.is_empty() { b'{' } else { b',' });
    let policy = compiled.contract().oversized();
    let mut flaws = Flaws::default();
    Writer::new(missing, policy, &mut flaws, 1).name(name).ok()?;
    Writer::new(missing, policy, &mut flaws, 1).value(&value).ok()?;
    flaws.describe().is_none().then_some(())
}
