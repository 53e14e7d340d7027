//! Proposes contracts from the first events of tables, as drafts that a user reviews.
//!
//! The column types come from the schema of the events, or from the values if the events have no schema. A field of which no value was seen
//! is left out: its later values are in `dw_md_missing_data`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    ContractDraft, DraftColumn, DraftPromote, Format, Limits, Oversized, Source, Target, Unknown, draft::load_every,
    fit_one_table, is_reserved_column, is_valid_field, unavailable,
};
use shiftwork_protocol::name::sha256;

use crate::{
    column_type::ColumnType,
    event::{Event, Identity, RowChange},
    fit::{Fit, fit},
    json::RawJson,
    logical::Logical,
    number::Number,
    refusal::Refusal,
    schema::{Field, Schema},
    super_json::Flaws,
    value::{Form, NO_LENGTH, Temporal, TemporalKind, Value},
};

/// Most columns of a proposed contract. A table with more fields probably uses data as field names.
const MOST_COLUMNS: usize = 1000;
/// Lengths of a proposed VARCHAR. The next length after twice the longest text is taken.
const LENGTHS: [usize; 5] = [64, 256, 1024, 4096, 16_384];

/// Collects the fields of events and proposes a contract for each of their tables.
#[derive(Debug, Default)]
pub struct Proposal {
    tables: BTreeMap<Identity, TableSample>,
}

/// The fields of a table.
#[derive(Debug, Default)]
struct TableSample {
    /// The fields in the order in which they were first seen, which is the order of the table's columns.
    fields: Vec<(String, FieldSample)>,
    index: HashMap<String, usize>,
    keys: BTreeSet<String>,
}

/// The values of a field.
#[derive(Debug, Default)]
struct FieldSample {
    /// The type in the schema of the latest event.
    field: Option<Field>,
    families: BTreeSet<TypeFamily>,
    /// The largest numbers of digits.
    digits: Digits,
    /// Bytes of the longest text, or of the longest binary value.
    longest: usize,
    /// Whether a text was not an instant with a time zone.
    no_instant: bool,
    /// Whether the type in the schema cannot hold a value.
    refuses: bool,
    /// Whether the source is MySQL or MariaDB, whose TIME is a range of 838 hours on both sides of zero.
    is_mysql: bool,
}

/// The kinds of values for which there are different column types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum TypeFamily {
    Boolean,
    Number,
    Text,
    Bytes,
    Timestamp,
    Document,
}

/// The largest numbers of digits of some numbers.
#[derive(Debug, Default, Clone, Copy)]
struct Digits {
    whole: usize,
    fraction: usize,
    beyond_bigint: bool,
    beyond_double: bool,
    not_plain: bool,
}

/// Contracts for the tables of some records. Records that are not changes of rows add nothing.
pub fn propose<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Vec<ContractDraft> {
    let mut proposal = Proposal::default();
    for record in records {
        // A record that is not valid adds nothing.
        let _ = proposal.record(record, None);
    }
    proposal.contracts()
}

/// Type and `source_type` of a column for a field of this type in a schema, of which no value was seen.
pub(crate) fn type_of(field: &Field, is_mysql: bool) -> (ColumnType, Option<String>) {
    FieldSample { is_mysql, ..FieldSample::default() }.of_schema(field)
}

impl Proposal {
    /// Adds a record. `key` is the record's key, if the transport has one; its fields are the table's key.
    ///
    /// # Errors
    /// The record is not a valid change event. It adds nothing.
    pub fn record(&mut self, value: &[u8], key: Option<&[u8]>) -> Result<(), Refusal> {
        match Event::read(value, key)? {
            Event::Change(change) => self.tables.entry(change.identity.clone()).or_default().change(&change),
            Event::Skipped(_) => {}
        }
        Ok(())
    }

    /// The contracts, in the order of their tables' names. A table without any value has no contract.
    pub fn contracts(self) -> Vec<ContractDraft> {
        self.contracts_beside(|_| false)
    }

    /// The contracts, with names for which `is_taken` is false. Tables of one name in several schemas, databases or servers have
    /// contracts with different names and different tables in Redshift.
    pub fn contracts_beside(self, is_taken: impl Fn(&ContractDraft) -> bool) -> Vec<ContractDraft> {
        self.by_table(is_taken).into_iter().map(|(_, contract)| contract).collect()
    }

    /// The same, each with the table of the source.
    pub fn by_table(self, is_taken: impl Fn(&ContractDraft) -> bool) -> Vec<(Identity, ContractDraft)> {
        let contracts = self.tables.into_iter().map(|(identity, seen)| {
            let contract = contract(&identity, &seen);
            (identity, contract)
        });
        let mut contracts: Vec<_> = contracts.filter(|(_, contract)| !contract.columns.is_empty()).collect();
        let mut names = BTreeMap::<String, usize>::new();
        for (_, contract) in &contracts {
            *names.entry(contract.contract.clone()).or_default() += 1;
        }
        let mut taken = BTreeSet::new();
        for (identity, contract) in &mut contracts {
            if names[&contract.contract] > 1 || is_taken(contract) {
                let parts = [&identity.server, &identity.database, &identity.schema, &Some(identity.table.clone())];
                let name: Vec<String> = parts.into_iter().flatten().map(|part| column_name(part)).collect();
                contract.contract = contract_name(&name.join("_"));
                contract.target.table.clone_from(&contract.contract);
            }
            // Characters that a name cannot have are replaced, so different tables can lead to one name.
            let name = unique(&contract.contract, &mut taken);
            if name != contract.contract {
                contract.target.table.clone_from(&name);
                contract.contract = name;
            }
        }
        contracts
    }
}

impl TableSample {
    fn change(&mut self, change: &RowChange<'_>) {
        let flattened = change.wrapping.flattened();
        let is_of_row = |name: &str| !flattened.is_some_and(|flattened| flattened.is_added(name));
        let schema = change.schema.map(|schema| Schema::read(schema, flattened.is_some()));
        for name in schema.iter().flat_map(Schema::names).filter(|name| is_of_row(name)) {
            let field = schema.as_ref().and_then(|schema| schema.field(name)).cloned();
            if let Some(values) = self.values(name) {
                values.field = field;
                values.is_mysql = matches!(&*change.connector, "mysql" | "mariadb");
            }
        }
        for image in [&change.after, &change.before].into_iter().flatten() {
            for (name, raw) in RawJson::known(image).members().filter(|(name, _)| is_of_row(name)) {
                if let Some(values) = self.values(&name) {
                    values.see(raw, change.form);
                }
            }
        }
        for (name, _) in change.key.iter().flat_map(|key| RawJson::known(key).members()) {
            self.keys.insert(name.into_owned());
        }
    }

    fn values(&mut self, name: &str) -> Option<&mut FieldSample> {
        let index = match self.index.get(name) {
            Some(index) => *index,
            None if self.fields.len() >= MOST_COLUMNS || !is_valid_field(name) => return None,
            None => {
                self.index.insert(name.into(), self.fields.len());
                self.fields.push((name.into(), FieldSample::default()));
                self.fields.len() - 1
            }
        };
        self.fields.get_mut(index).map(|(_, values)| values)
    }
}

impl FieldSample {
    fn see(&mut self, raw: RawJson<'_>, form: Form<'_>) {
        let field = self.field.take();
        let logical = field.as_ref().map_or(&Logical::Plain, |field| &field.logical);
        self.measure(Value::read(raw, form).decoded(logical));
        if let Some(field) = &field {
            self.refuses |= !holds(self.of_schema(field).0, &Value::read(raw, form).decoded(logical));
        }
        self.field = field;
    }

    fn measure(&mut self, value: Value<'_>) {
        self.no_instant |= !matches!(value, Value::Null) && !holds(ColumnType::TimestampTz, &value);
        let family = match value {
            Value::Null => return,
            // The placeholder stands for an unchanged value of any type.
            Value::Text(text) if text.text == unavailable() => return,
            Value::Bool(_) => TypeFamily::Boolean,
            Value::Number(number) => {
                self.digits = self.digits.with(&number);
                TypeFamily::Number
            }
            Value::NotFinite(_) => {
                self.digits.not_plain = true;
                TypeFamily::Number
            }
            Value::Text(text) => {
                self.longest = self.longest.max(text.text.len());
                TypeFamily::Text
            }
            Value::Temporal(Temporal { kind: TemporalKind::Timestamp, raw, .. }) => {
                self.digits = self.digits.with_count(&raw);
                TypeFamily::Timestamp
            }
            Value::Bytes { bytes, .. } => {
                self.longest = self.longest.max(bytes.len());
                TypeFamily::Bytes
            }
            // Of a field with a schema, whose column is of the type of the schema or holds the count.
            Value::Temporal(Temporal {
                kind: TemporalKind::Date | TemporalKind::Time | TemporalKind::Duration,
                raw,
                ..
            }) => {
                self.digits = self.digits.with_count(&raw);
                TypeFamily::Number
            }
            Value::Bits { length, .. } => {
                self.longest = self.longest.max(length);
                TypeFamily::Text
            }
            Value::Shape { .. } | Value::Embedded(_) | Value::Document(..) => TypeFamily::Document,
        };
        self.families.insert(family);
    }

    /// The column type for the field, and its `source_type` if one is needed. `None` if no value was seen.
    fn column_type(&self) -> Option<(ColumnType, Option<String>)> {
        match &self.field {
            Some(field) if self.refuses => Some(self.of_refused(field)),
            Some(field) => Some(self.of_schema(field)),
            None => Some((self.of_values()?, None)),
        }
    }

    /// A type that holds the values that the type in the schema cannot hold, and the name of the logical type that decodes them.
    fn of_refused(&self, field: &Field) -> (ColumnType, Option<String>) {
        let (_, source_type) = self.of_schema(field);
        let are_counts =
            self.families.iter().all(|family| matches!(family, TypeFamily::Number | TypeFamily::Timestamp));
        let column_type = match (&field.logical, self.of_values()) {
            (Logical::Timestamp(_) | Logical::Date | Logical::Time(_), Some(_)) if are_counts => {
                self.digits.column_type()
            }
            (Logical::VariableScaleDecimal | Logical::Decimal(_), Some(_)) if are_counts => {
                self.digits.exact().unwrap_or(ColumnType::Varchar(256))
            }
            (_, Some(column_type)) => column_type,
            (_, None) => ColumnType::Super,
        };
        (column_type, source_type)
    }

    fn of_schema(&self, field: &Field) -> (ColumnType, Option<String>) {
        let named = |column_type| (column_type, Some(field.name.to_string()));
        let with = |number: i64| Some(format!("{}({number})", field.name));
        match &field.logical {
            Logical::Plain => (self.of_connect(field), None),
            Logical::Bytes(_) => (ColumnType::Varbyte(room(self.longest * 3 / 4).max(1024)), Some("bytes".into())),
            Logical::Decimal(scale) => {
                let scale = scale.unwrap_or(0);
                let precision = field.precision.unwrap_or(38).clamp(1, 38);
                match (u8::try_from(precision), u8::try_from(scale)) {
                    (Ok(precision), Ok(scale)) if scale <= precision && scale < 38 => {
                        (ColumnType::Decimal(precision, scale), with(scale.into()))
                    }
                    _ => (ColumnType::Varchar(256), with(scale.into())),
                }
            }
            Logical::VariableScaleDecimal => named(ColumnType::Decimal(38, 10)),
            Logical::Date => named(ColumnType::Date),
            // A count of milliseconds or microseconds: TIME of MySQL can be negative, and can have 838 hours.
            Logical::Time(_) if self.is_mysql => named(ColumnType::BigInt),
            Logical::Time(_) => named(ColumnType::Time),
            Logical::Timestamp(_) => named(ColumnType::Timestamp),
            Logical::ZonedTime => named(ColumnType::TimeTz),
            Logical::Duration(_) => named(ColumnType::BigInt),
            Logical::Bits(Some(length)) if *length != NO_LENGTH => {
                (ColumnType::Varchar((*length).clamp(1, 65_535)), with((*length).into()))
            }
            Logical::Bits(_) => named(ColumnType::Varchar(room(self.longest))),
            Logical::Json => named(ColumnType::Super),
            Logical::Geometry if field.name.ends_with("Geography") => named(ColumnType::Geography),
            Logical::Geometry => named(ColumnType::Geometry),
            Logical::Array(_) | Logical::Map(_) | Logical::Struct(_) => (ColumnType::Super, None),
        }
    }

    fn of_connect(&self, field: &Field) -> ColumnType {
        match &*field.name {
            "io.debezium.time.ZonedTimestamp" | "io.debezium.time.IsoTimestamp" => return ColumnType::TimestampTz,
            "io.debezium.time.IsoDate" => return ColumnType::Date,
            "io.debezium.time.Interval" => return ColumnType::Varchar(64),
            "io.debezium.data.Uuid" => return ColumnType::Char(36),
            _ => {}
        }
        match &*field.connect {
            "int8" | "int16" => ColumnType::SmallInt,
            "int32" => ColumnType::Integer,
            "int64" => ColumnType::BigInt,
            "float32" => ColumnType::Real,
            "float64" | "float" | "double" => ColumnType::Double,
            "boolean" => ColumnType::Boolean,
            "string" => {
                let declared = match &field.allowed {
                    // MySQL gives ENUM and SET the length 1. A SET is a list of its elements.
                    Some(allowed) if field.name.ends_with("EnumSet") => Some(room(allowed.len())),
                    Some(allowed) => allowed.split(',').map(str::len).max().map(room),
                    // The length of a source's type is in characters, of up to four bytes.
                    None => field.length.map(|length| length.saturating_mul(4)),
                };
                let longest = u32::try_from(self.longest).unwrap_or(u32::MAX);
                let declared = declared.filter(|length| (1..=65_535).contains(length) && *length >= longest);
                ColumnType::Varchar(declared.unwrap_or_else(|| room(self.longest)))
            }
            _ => ColumnType::Super,
        }
    }

    fn of_values(&self) -> Option<ColumnType> {
        let mut families = self.families.iter();
        Some(match (families.next()?, families.next()) {
            (TypeFamily::Boolean, None) => ColumnType::Boolean,
            (TypeFamily::Number, None) => self.digits.column_type(),
            (TypeFamily::Text, None) if !self.no_instant => ColumnType::TimestampTz,
            (TypeFamily::Text, None) => ColumnType::Varchar(room(self.longest)),
            (TypeFamily::Bytes, None) => ColumnType::Varbyte(room(self.longest).max(1024)),
            (TypeFamily::Timestamp, None) => ColumnType::Timestamp,
            // SUPER keeps values of several types unchanged.
            (TypeFamily::Document, None) | (_, Some(_)) => ColumnType::Super,
        })
    }
}

impl Digits {
    fn with(self, number: &str) -> Self {
        let beyond_double = self.beyond_double || !holds(ColumnType::Double, &Value::Number(number.into()));
        let plain = Number::parse(number).and_then(|number| Some((number.plain()?, number)));
        let Some((plain, number)) = plain.filter(|(_, number)| number.is_decimal()) else {
            return Self { not_plain: true, beyond_double, ..self };
        };
        let (whole, fraction) =
            plain.trim_start_matches('-').split_once('.').unwrap_or((plain.trim_start_matches('-'), ""));
        Self {
            whole: self.whole.max(whole.len()),
            fraction: self.fraction.max(fraction.len()),
            beyond_bigint: self.beyond_bigint
                || number.integer().is_some_and(|integer| i64::try_from(integer).is_err()),
            beyond_double,
            not_plain: self.not_plain,
        }
    }

    /// With the count of a date or time, unless it was a text.
    fn with_count(self, raw: &str) -> Self {
        if Number::parse(raw).is_some() { self.with(raw) } else { self }
    }

    /// A DECIMAL that holds the numbers, with room for more digits before the decimal point. `None` if there is none.
    fn exact(self) -> Option<ColumnType> {
        if self.not_plain {
            return None;
        }
        let scale = self.fraction.next_multiple_of(6).min(37);
        let scale = if self.whole + scale <= 38 { scale } else { self.fraction };
        let fits = self.whole + scale <= 38 && scale <= 37;
        fits.then(|| u8::try_from(scale).ok().map(|scale| ColumnType::Decimal(38, scale))).flatten()
    }

    fn column_type(self) -> ColumnType {
        match self {
            Self { beyond_double: true, .. } => ColumnType::Super,
            // A number with this many digits is probably the result of a computation.
            Self { not_plain: true, .. } | Self { fraction: 7.., .. } => ColumnType::Double,
            Self { fraction: 0, beyond_bigint: false, .. } => ColumnType::BigInt,
            Self { fraction: 0, whole: ..=38, .. } => ColumnType::Decimal(38, 0),
            Self { whole: ..=10, fraction: ..=4, .. } => ColumnType::Decimal(18, 4),
            Self { whole: ..=32, .. } => ColumnType::Decimal(38, 6),
            Self { .. } => ColumnType::Double,
        }
    }
}

/// Whether a column of this type holds a value.
fn holds(column_type: ColumnType, value: &Value<'_>) -> bool {
    let (limits, mut flaws) = (Limits { oversized: Oversized::Cut, large_strings: false }, Flaws::default());
    let is_placeholder = matches!(value, Value::Text(text) if text.text == unavailable());
    matches!(value, Value::Null)
        || is_placeholder
        || !matches!(fit(value, column_type, limits, &mut flaws, &mut Vec::new()), Ok(Fit::Misfit))
}

fn room(longest: usize) -> u32 {
    let length = LENGTHS.into_iter().find(|length| *length >= 2 * longest);
    length.and_then(|length| u32::try_from(length).ok()).unwrap_or(65_535)
}

fn contract(identity: &Identity, seen: &TableSample) -> ContractDraft {
    let mut names = BTreeSet::new();
    let mut key = Vec::new();
    let mut columns = Vec::new();
    // Without a record key, the key is assumed to be `_id` for MongoDB, and `id` otherwise.
    let guessed = if identity.format == Format::DebeziumMongodb { "_id" } else { "id" };
    let is_key = |field: &str| if seen.keys.is_empty() { field == guessed } else { seen.keys.contains(field) };
    for (field, values) in &seen.fields {
        let Some((column_type, source_type)) = values.column_type() else { continue };
        let name = unique(&column_name(field), &mut names);
        // Fields past the limit stay in `dw_md_missing_data`.
        if !fit_one_table(names.iter().map(String::as_str)) {
            names.remove(&name);
            continue;
        }
        if is_key(field) {
            key.push(name.clone());
        }
        // Redshift must compare a key column, and every value can be written as text.
        let is_fit = column_type.is_comparable() || !is_key(field);
        columns.push(DraftColumn {
            from: (name != *field).then(|| field.clone()),
            name,
            column_type: if is_fit { column_type } else { ColumnType::Varchar(256) }.to_string(),
            source_type,
        });
    }
    let around = identity.schema.as_deref().or(identity.database.as_deref());
    ContractDraft {
        contract: contract_name(&identity.table),
        source: Source {
            format: identity.format,
            table: identity.full_table(),
            server: identity.server.clone(),
            unavailable_value: unavailable(),
            generation: 0,
            without_deletes: false,
        },
        target: Target {
            schema: column_name(around.unwrap_or("public")),
            table: column_name(&identity.table),
            staging_schema: None,
            distkey: None,
            sortkey: Vec::new(),
        },
        key,
        columns,
        unknown: Unknown::default(),
        promote: DraftPromote::default(),
        oversized: Oversized::default(),
        large_strings: false,
        workflow: None,
        load_every: load_every(),
    }
}

/// A column name that does not need quotes: lower-case letters, digits and `_`.
fn column_name(field: &str) -> String {
    let mut name = String::new();
    let mut was_small = false;
    for character in field.chars() {
        // `orderId` becomes `order_id`.
        if character.is_ascii_uppercase() && was_small {
            name.push('_');
        }
        was_small = character.is_ascii_lowercase() || character.is_ascii_digit();
        let lower = character.to_ascii_lowercase();
        name.push(if lower.is_ascii_lowercase() || lower.is_ascii_digit() { lower } else { '_' });
    }
    name.truncate(100);
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) || is_reserved_column(&name) {
        name.insert_str(0, "c_");
    }
    name
}

/// Characters of the longest name of a proposed contract, which leaves room for a number.
const NAME_CHARS: usize = 60;
/// Hexadecimal digits at the end of a name that is cut.
const NAME_DIGEST: usize = 8;

fn contract_name(table: &str) -> String {
    let name = column_name(table);
    if name.len() <= NAME_CHARS {
        return name;
    }
    format!("{}_{}", &name[..NAME_CHARS - NAME_DIGEST - 1], &sha256(table)[..NAME_DIGEST])
}

fn unique(name: &str, names: &mut BTreeSet<String>) -> String {
    let mut candidate = name.to_owned();
    let mut number = 2;
    while !names.insert(candidate.clone()) {
        candidate = format!("{name}_{number}");
        number += 1;
    }
    candidate
}

#[cfg(test)]
mod tests;
