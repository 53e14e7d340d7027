//! Makes the staged rows of one event for one contract, and collects the fields without a column.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use crate::{
    compiled::Compiled,
    contract::{TableContract, Unknown},
    csv,
    event::{RowChange, incomplete},
    fields::{Image, Names, Place},
    fit::{Fit, fit},
    flattened::Flattened,
    json::{Kind, RawJson, write_string},
    missing::Missing,
    operation::Operation,
    refusal::{Refusal, RefusalKind},
    row::Metadata,
    schema::Schema,
    super_json::{Flaws, LimitExceeded},
    value::{Form, Value},
};

/// Partition and offset of an event in the transport.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) position: &'a str,
    pub(crate) partition: &'a str,
    pub(crate) offset: &'a str,
}

/// Bytes of the longest row: the buffer of a COPY with SUPER columns has 64 MB (Redshift docs, "SUPER type", "Limitations").
const LONGEST_ROW: usize = 64_000_000;
/// Most fields in `dw_md_changes`, so that an event with 100,000 fields does not have a note for each.
const MOST_NOTES: usize = 2000;
/// Most bytes of a field's name in a note or message.
const LONGEST_NAME: usize = 256;

const NO_COLUMN: &str = "no column takes it";

/// The value of a contract column.
#[derive(Debug, Clone, Default)]
enum Cell {
    /// The event does not have the field.
    #[default]
    Absent,
    /// NULL.
    Null,
    /// The value, at this place of the scratch buffer.
    Written(Range<usize>),
    /// The source sent no value because it did not change.
    Unchanged,
}

/// Makes the rows of events. The buffers are reused for every event.
#[derive(Debug)]
pub(crate) struct Assembler {
    cells: Vec<Cell>,
    scratch: Vec<u8>,
    missing: Missing,
    /// Field -> how its value was changed.
    notes: BTreeMap<String, String>,
    unchanged: Vec<usize>,
    names: Names,
    /// The names of the fields of records' keys, which are fewer than those of images.
    key_names: Names,
    pub(crate) with_missing_data: u64,
    pub(crate) with_changes: u64,
}

/// The sources of a row's values.
struct Parts<'p, 'a> {
    operation: Operation,
    image: Option<&'p Image<'a>>,
    /// The image with the value of a key column that the first image lacks or replaces by the placeholder.
    beside: &'p [&'p Image<'a>],
    /// Whether columns that the image lacks did not change.
    partial: bool,
    removed: &'p [Cow<'a, str>],
}

impl Assembler {
    pub(crate) fn new(columns: usize) -> Self {
        Self {
            cells: vec![Cell::Absent; columns],
            scratch: Vec::new(),
            missing: Missing::default(),
            notes: BTreeMap::new(),
            unchanged: Vec::new(),
            names: Names::default(),
            key_names: Names::default(),
            with_missing_data: 0,
            with_changes: 0,
        }
    }

    /// Appends the rows of a change to `out` and returns their number.
    pub(crate) fn assemble(
        &mut self,
        compiled: &Compiled,
        change: &RowChange<'_>,
        schema: Option<&Schema>,
        at: At<'_>,
        out: &mut Vec<u8>,
    ) -> Result<usize, Refusal> {
        (self.with_missing_data, self.with_changes) = (0, 0);
        let mut image = |text| self.names.image(compiled, text);
        let before = change.before.as_deref().map(&mut image);
        let after = change.after.as_deref().map(&mut image);
        let updated = change.partial.as_ref().and_then(|partial| partial.updated.as_deref()).map(&mut image);
        let key = change.key.as_deref().map(|text| self.key_names.image(compiled, text));
        let context = Context {
            compiled,
            schema,
            form: change.form,
            flattened: change.wrapping.flattened(),
            changed_at: change.changed_at,
            at,
        };
        let beside_after: Vec<_> = before.iter().chain(&key).collect();
        let beside_before: Vec<_> = key.iter().collect();
        let mut parts = Parts { operation: change.operation, image: None, beside: &[], partial: false, removed: &[] };
        match change.operation {
            Operation::Truncate => {}
            Operation::Delete => {
                parts.image = before.as_ref().or(key.as_ref());
                parts.beside = &beside_before;
                if parts.image.is_none() {
                    return Err(incomplete(
                        "a delete without `before` and without a record key does not identify the deleted row",
                    ));
                }
            }
            Operation::Create | Operation::Read | Operation::Update => {
                parts.beside = &beside_after;
                if let Some(partial) = &change.partial {
                    refuse_parts_of_columns(compiled, updated.as_ref(), &partial.removed)?;
                    parts.image = updated.as_ref();
                    parts.partial = true;
                    parts.removed = &partial.removed;
                } else {
                    let after = after
                        .as_ref()
                        .ok_or_else(|| incomplete(format!("a row to {} without `after`", change.operation)))?;
                    parts.image = Some(after);
                    if let Some(before) = before.as_ref().filter(|_| change.operation == Operation::Update)
                        && has_another_key(compiled, before, after)
                    {
                        let went = Parts { operation: Operation::Delete, image: Some(before), beside: &[], ..parts };
                        self.row(&context, &went, out)?;
                        // Values that did not change are known only for the old key.
                        let came =
                            Parts { operation: Operation::Create, image: Some(after), beside: &beside_after, ..went };
                        self.row(&context, &came, out)?;
                        return Ok(2);
                    }
                }
            }
        }
        self.row(&context, &parts, out)?;
        Ok(1)
    }

    fn row(&mut self, context: &Context<'_>, parts: &Parts<'_, '_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        self.clear();
        let start = out.len();
        if let Some(image) = parts.image {
            for (name, raw, place) in image.places() {
                match place {
                    Place::Column(column) => self.field_of(context, parts, name, column, raw)?,
                    Place::Overwritten => self.note(name, "written more than once; the last is taken"),
                }
            }
        }
        let keeps_rest = parts.operation != Operation::Truncate;
        for (index, column) in context.compiled.columns().iter().enumerate() {
            if column.identifies && keeps_rest && !matches!(self.cells[index], Cell::Written(_)) {
                let beside = parts.beside.iter().find_map(|image| image.get(&column.field));
                if let Some(raw) = beside.filter(|_| !matches!(self.cells[index], Cell::Null)) {
                    self.field(context, parts, &column.field, raw)?;
                }
                // The cell of a value that the column cannot hold is NULL too, and that is not the key of the row.
                let of_row = parts.image.and_then(|image| image.get(&column.field)).or(beside);
                let is_null = column.can_be_null && of_row.is_some_and(|raw| raw.kind() == Kind::Null);
                if column.is_key && !is_null && !matches!(self.cells[index], Cell::Written(_)) {
                    return Err(no_key(context.compiled.contract(), index));
                }
            }
            if matches!(self.cells[index], Cell::Absent) && parts.partial {
                let is_removed = parts.removed.iter().any(|field| **field == *column.field);
                self.cells[index] = if is_removed { Cell::Null } else { Cell::Unchanged };
            }
        }
        if parts.partial {
            self.others(context.compiled, parts);
        }
        self.write(context, parts.operation, out)?;
        if out.len() - start > LONGEST_ROW {
            out.truncate(start);
            return Err(Refusal::new(RefusalKind::Oversized, "the row is longer than the 64 MB that COPY reads"));
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.cells.fill(Cell::Absent);
        self.scratch.clear();
        self.scratch.shrink_to(1 << 20);
        self.missing.clear();
        self.notes.clear();
        self.unchanged.clear();
    }

    fn field(
        &mut self,
        context: &Context<'_>,
        parts: &Parts<'_, '_>,
        name: &str,
        raw: RawJson<'_>,
    ) -> Result<(), Refusal> {
        self.field_of(context, parts, name, context.compiled.column_of(name), raw)
    }

    fn field_of(
        &mut self,
        context: &Context<'_>,
        parts: &Parts<'_, '_>,
        name: &str,
        column: Option<usize>,
        raw: RawJson<'_>,
    ) -> Result<(), Refusal> {
        let compiled = context.compiled;
        if column.is_none() && context.flattened.is_some_and(|flattened| flattened.is_added(name)) {
            return Ok(());
        }
        let mut value = Value::read(raw, plain(context.form));
        if compiled.placeholder().is(&value) {
            let known = parts.beside.iter().find_map(|image| {
                let value = Value::read(image.get(name)?.some()?, plain(context.form));
                (!compiled.placeholder().is(&value)).then_some(value)
            });
            match (known, column) {
                (Some(known), _) => value = known,
                (None, Some(index)) => {
                    self.cells[index] = Cell::Unchanged;
                    return Ok(());
                }
                // The field has no column yet. Once it has one, its value is taken from an earlier event.
                (None, None) => {
                    self.missing.leave_others();
                    return refuse_frozen(compiled.contract(), name, NO_COLUMN);
                }
            }
        }
        let of_event = context.schema.and_then(|schema| schema.field(name)).map(|field| &field.logical);
        let Some(index) = column else {
            let value = value.decoded(of_event.unwrap_or(&crate::logical::Logical::Plain));
            return self.unknown(compiled.contract(), name, &value, NO_COLUMN);
        };
        let column = &compiled.columns()[index];
        let value = value.decoded(column.logical(of_event));
        if matches!(value, Value::Null) {
            self.cells[index] = Cell::Null;
            return Ok(());
        }
        let start = self.scratch.len();
        let mut flaws = Flaws::default();
        let fit = fit(&value, column.column_type, compiled.contract().limits(), &mut flaws, &mut self.scratch);
        match fit.map_err(|what| oversized(name, what))? {
            Fit::Written => {
                self.cells[index] = Cell::Written(start..self.scratch.len());
                if let Some(note) = flaws.describe() {
                    self.note(name, &note);
                }
            }
            Fit::Nulled(what) => {
                self.cells[index] = Cell::Null;
                self.scratch.truncate(start);
                self.note(name, &format!("nulled: {what}"));
            }
            Fit::Misfit => {
                self.cells[index] = Cell::Null;
                self.scratch.truncate(start);
                self.unknown(compiled.contract(), name, &value, "its value is not valid for the column's type")?;
            }
        }
        Ok(())
    }

    /// Notes, for a partial update, that the fields without a column did not change, except those that it sends, those that it removes
    /// (NULL), and those of which it sends only a part (nulled, because their earlier value is no longer valid).
    fn others(&mut self, compiled: &Compiled, parts: &Parts<'_, '_>) {
        if compiled.contract().unknown() == Unknown::Freeze {
            return;
        }
        self.missing.leave_others();
        let updated = parts.image.into_iter().flat_map(|image| image.fields.iter().map(|(name, _)| name));
        let wholes: BTreeSet<&str> =
            updated.chain(parts.removed).filter_map(|field| Some(field.split_once('.')?.0)).collect();
        let gone: BTreeSet<&str> = parts.removed.iter().map(|field| &**field).chain(wholes.iter().copied()).collect();
        for field in gone {
            let is_sent = parts.image.is_some_and(|image| image.get(field).is_some());
            if is_sent || compiled.column_of(field).is_some() {
                continue;
            }
            self.missing.null(field);
            if wholes.contains(field) {
                self.note(
                    field,
                    "nulled: the event has only a part of it; set capture.mode to change_streams_update_full",
                );
            }
        }
    }

    /// Adds a value to `dw_md_missing_data`, except NULL.
    fn unknown(&mut self, contract: &TableContract, name: &str, value: &Value<'_>, why: &str) -> Result<(), Refusal> {
        refuse_frozen(contract, name, why)?;
        let mut flaws = Flaws::default();
        match self.missing.value(name, value, contract.oversized(), &mut flaws) {
            Ok(()) => {
                if let Some(note) = flaws.describe() {
                    self.note(name, &note);
                }
            }
            Err(LimitExceeded::Null(what)) => self.note(name, &format!("nulled: {what}")),
            Err(LimitExceeded::Refuse(what)) => return Err(oversized(name, what)),
        }
        Ok(())
    }

    /// Adds a note on a changed value to `dw_md_changes`.
    fn note(&mut self, name: &str, what: &str) {
        let name = shown(name).replace('\0', "");
        let is_full = self.notes.len() >= MOST_NOTES;
        match self.notes.get_mut(&name) {
            Some(note) if note.contains(what) => {}
            Some(note) => {
                note.push_str("; ");
                note.push_str(what);
            }
            None if is_full => {}
            None => {
                self.notes.insert(name, what.into());
            }
        }
    }

    /// The JSON of `dw_md_changes`; empty if there are no notes.
    fn changes(&self) -> Vec<u8> {
        let mut json = Vec::new();
        for (name, what) in &self.notes {
            json.push(if json.is_empty() { b'{' } else { b',' });
            write_string(&mut json, name);
            json.push(b':');
            write_string(&mut json, what);
        }
        if !json.is_empty() {
            json.push(b'}');
        }
        json
    }

    fn write(&mut self, context: &Context<'_>, operation: Operation, out: &mut Vec<u8>) -> Result<(), Refusal> {
        for (index, cell) in self.cells.iter().enumerate() {
            if index > 0 {
                csv::comma(out);
            }
            match cell {
                Cell::Absent | Cell::Null => csv::null(out),
                Cell::Written(range) => out.extend_from_slice(&self.scratch[range.clone()]),
                Cell::Unchanged => {
                    csv::null(out);
                    self.unchanged.push(index);
                }
            }
        }
        let changes = self.changes();
        self.with_missing_data += u64::from(self.missing.waits());
        self.with_changes += u64::from(!changes.is_empty());
        let others_unchanged = self.missing.leaves_others().then_some(self.cells.len());
        let missing_data = self.missing.written().ok_or_else(|| {
            let what = "`dw_md_missing_data` would be more than 16 MB with the fields that are NULL now";
            Refusal::new(RefusalKind::Oversized, what)
        })?;
        let metadata = Metadata {
            changed_at: context.changed_at,
            operation,
            missing_data,
            changes: &String::from_utf8_lossy(&changes),
            unchanged: &self.unchanged,
            others_unchanged,
            position: context.at.position,
            partition: context.at.partition,
            offset: context.at.offset,
        };
        metadata.write(out);
        Ok(())
    }
}

struct Context<'c> {
    compiled: &'c Compiled,
    schema: Option<&'c Schema>,
    form: Form<'c>,
    flattened: Option<&'c Flattened<'c>>,
    changed_at: i64,
    at: At<'c>,
}

/// The form of a document without its logical type.
fn plain(form: Form<'_>) -> Form<'_> {
    match form {
        Form::Json | Form::Connect(_) => Form::Json,
        Form::Extended => Form::Extended,
        Form::Typed => Form::Typed,
    }
}

/// Whether the change gives the row another key. It is then a delete of the old key and a create of the new key.
fn has_another_key(compiled: &Compiled, before: &Image<'_>, after: &Image<'_>) -> bool {
    let keys = compiled.columns().iter().filter(|column| column.is_key);
    let mut pairs = keys.filter_map(|column| Some((column, before.get(&column.field)?, after.get(&column.field)?)));
    pairs.any(|(column, before, after)| {
        let is_known = column.can_be_null || (before.kind() != Kind::Null && after.kind() != Kind::Null);
        // A producer writes equal values with equal bytes.
        is_known && before.get() != after.get()
    })
}

/// Refuses an update of a part of a column, such as `address.street`, because the value of the whole column is not known.
fn refuse_parts_of_columns(
    compiled: &Compiled,
    updated: Option<&Image<'_>>,
    removed: &[Cow<'_, str>],
) -> Result<(), Refusal> {
    let updated = updated.into_iter().flat_map(|image| image.fields.iter().map(|(name, _)| name));
    for field in updated.chain(removed) {
        if let Some((whole, _)) = field.split_once('.')
            && compiled.column_of(whole).is_some()
        {
            return Err(incomplete(format!(
                "the event has only a part of `{}`: set capture.mode to change_streams_update_full",
                shown(whole)
            )));
        }
    }
    Ok(())
}

fn refuse_frozen(contract: &TableContract, name: &str, why: &str) -> Result<(), Refusal> {
    if contract.unknown() != Unknown::Freeze {
        return Ok(());
    }
    let reason = format!("field `{}`: {why}, and the contract says `unknown: freeze`", shown(name));
    Err(Refusal::new(RefusalKind::Frozen, reason))
}

fn no_key(contract: &TableContract, index: usize) -> Refusal {
    let column = &contract.columns()[index];
    Refusal::new(
        RefusalKind::NoKey,
        format!(
            "key column `{}` has no value: field `{}` is missing, null or not a valid {}; only the columns after the first of `key` \
             can be null. If the source changed the type of the field, `shiftwork drift {} --apply --type '{}=TYPE'` changes that of the column",
            column.name,
            column.field(),
            column.column_type,
            contract.name(),
            column.field()
        ),
    )
}

fn oversized(name: &str, what: &str) -> Refusal {
    Refusal::new(
        RefusalKind::Oversized,
        format!("field `{}`: {what}, and the contract says `oversized: refuse`", shown(name)),
    )
}

/// A field's name in a note or a message, cut to `LONGEST_NAME` bytes.
fn shown(name: &str) -> &str {
    &name[..name.floor_char_boundary(LONGEST_NAME)]
}
