//! Stages records: decodes them and writes their rows to a file.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, BufWriter, IntoInnerError, Write},
    rc::Rc,
};

use zstd::stream::write::Encoder;

use crate::{
    assemble::Assembler,
    column_type::ColumnType,
    compiled::Compiled,
    contract::type_of,
    event::{Event, Identity, Wrapping, incomplete},
    fast::Fast,
    flattened::Flattened,
    json::RawJson,
    refusal::{Refusal, RefusalKind, SkipReason},
    schema::Schema,
    transport::{Offset, Partition},
};

/// A record of the transport.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Value of the record. Empty for a tombstone.
    pub value: &'a [u8],
    /// Key of the record, if the transport has keys (Kafka).
    pub key: Option<&'a [u8]>,
    /// Offset of the record in its partition.
    pub offset: &'a Offset,
}

/// The place of a record in the transport.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// The partition, without a generation.
    pub partition: &'a Partition,
    /// The offset in the partition.
    pub offset: &'a Offset,
}

/// The outcome of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The number of rows that were written: one, or two if the key changed.
    Staged(usize),
    /// The record is valid, but is not a change of a row.
    Skipped(SkipReason),
    /// The record is of another table than the contract's.
    OtherTable(Identity),
    /// The record is refused and goes to the dead-letter queue.
    Refused(Refusal),
}

/// Numbers of records and rows by outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Number of records.
    pub records: u64,
    /// Bytes of the records' values.
    pub bytes: u64,
    /// Number of rows that were written.
    pub rows: u64,
    /// Bytes of the rows, before compression.
    pub row_bytes: u64,
    /// Number of rows with a value in `dw_md_missing_data`.
    pub with_missing_data: u64,
    /// Number of rows with a note in `dw_md_changes`.
    pub with_changes: u64,
    /// Number of records of other tables.
    pub other_tables: u64,
    /// Number of skipped records, by reason.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// Number of refused records, by the kind of reason.
    pub refused: BTreeMap<RefusalKind, u64>,
}

/// Writes the rows of one partition and one contract to a file.
#[derive(Debug)]
pub struct Stager<'c, W> {
    compiled: &'c Compiled,
    partition: Partition,
    sink: W,
    /// The fast path, which writes common events as the assembler does. `None` if it is not used.
    fast: Option<Fast>,
    assembler: Assembler,
    /// Rows of the current event, which are written together or not at all.
    rows: Vec<u8>,
    schemas: Schemas,
    /// Whether the last event with a schema is of MySQL or MariaDB.
    is_mysql: bool,
    range: Option<(Offset, Offset)>,
    counts: Counts,
}

/// A file to which all rows have been written. The sink may still have to write its end, such as a checksum.
#[derive(Debug)]
pub struct Finished<W> {
    /// The sink that the rows were written to.
    pub sink: W,
    /// Offsets of the first and the last row; `None` if there are no rows.
    pub range: Option<(Offset, Offset)>,
    /// Numbers of records and rows by outcome.
    pub counts: Counts,
    /// Type and `source_type` of a column for each field without one, by the schema of the last event that had a schema. Empty if every
    /// value has a column.
    pub types: BTreeMap<String, (ColumnType, Option<String>)>,
}

const LACKS_DELETES: &str = "a flattened row without `__deleted`: the connector sends a delete of this table only as a tombstone, which does \
    not name the table, and the row would stay. Set `delete.tombstone.handling.mode` of ExtractNewRecordState to rewrite; if the source \
    never deletes rows, write `without_deletes: true` under `source` in the contract";

/// Largest capacity in bytes that the buffers keep, so that one large record does not slow down all later ones.
const KEPT: usize = 1 << 20;

impl<'c, W: Write> Stager<'c, W> {
    /// Creates a stager that writes to a sink: a ZSTD encoder ([`compressed`]), or plain bytes.
    pub fn new(compiled: &'c Compiled, partition: Partition, sink: W) -> Self {
        Self {
            compiled,
            fast: Fast::new(compiled, &partition),
            partition,
            sink,
            assembler: Assembler::new(compiled.columns().len()),
            rows: Vec::new(),
            schemas: Schemas::default(),
            is_mysql: false,
            range: None,
            counts: Counts::default(),
        }
    }

    /// Uses the full decoder for every record. The rows are the same. For benchmarks and tests that compare the two.
    #[must_use]
    pub fn without_fast_path(mut self) -> Self {
        self.fast = None;
        self
    }

    /// Stages a record: writes all its rows, or none.
    ///
    /// # Errors
    /// The sink failed. The file must then be discarded.
    pub fn record(&mut self, record: Record<'_>) -> io::Result<Outcome> {
        self.record_of(record, None)
    }

    /// Stages a record that may be a replayed one. `first` is the place at which a replayed record was first delivered: it orders the
    /// record among the changes that share its place in the source, whereas the watermark uses the record's own offset.
    ///
    /// # Errors
    /// The sink failed. The file must then be discarded.
    pub fn record_of(&mut self, record: Record<'_>, first: Option<Delivery<'_>>) -> io::Result<Outcome> {
        self.counts.records += 1;
        self.counts.bytes += record.value.len() as u64;
        let outcome = match self.decode(record, first) {
            Ok(Outcome::Staged(rows)) => {
                self.sink.write_all(&self.rows)?;
                self.counts.rows += rows as u64;
                self.counts.row_bytes += self.rows.len() as u64;
                self.counts.with_missing_data += self.assembler.with_missing_data;
                self.counts.with_changes += self.assembler.with_changes;
                match &mut self.range {
                    Some((_, last)) => last.clone_from(record.offset),
                    None => self.range = Some((record.offset.clone(), record.offset.clone())),
                }
                Outcome::Staged(rows)
            }
            Ok(other) => other,
            Err(refusal) => Outcome::Refused(refusal),
        };
        match &outcome {
            Outcome::Staged(_) => {}
            Outcome::Skipped(reason) => *self.counts.skipped.entry(*reason).or_default() += 1,
            Outcome::OtherTable(_) => self.counts.other_tables += 1,
            Outcome::Refused(refusal) => *self.counts.refused.entry(refusal.kind).or_default() += 1,
        }
        self.rows.clear();
        self.rows.shrink_to(KEPT);
        Ok(outcome)
    }

    fn decode(&mut self, record: Record<'_>, first: Option<Delivery<'_>>) -> Result<Outcome, Refusal> {
        if let Some(fast) = &mut self.fast
            && let Some(row) = fast.row(self.compiled, record.value, &self.partition, record.offset, &mut self.rows)
        {
            self.assembler.with_missing_data = u64::from(row.with_missing_data);
            self.assembler.with_changes = 0;
            return Ok(Outcome::Staged(1));
        }
        let change = match Event::read(record.value, record.key)? {
            Event::Change(change) => change,
            Event::Skipped(reason) => return Ok(Outcome::Skipped(reason)),
        };
        let source = self.compiled.contract().source();
        if !change.identity.is_of(source) {
            return Ok(Outcome::OtherTable(change.identity));
        }
        if change.wrapping.flattened().is_some_and(Flattened::lacks_deletes) && !source.without_deletes {
            return Err(incomplete(LACKS_DELETES));
        }
        let schema = change.schema.map(|schema| self.schemas.read(schema, change.wrapping.flattened().is_some()));
        if schema.is_some() {
            self.is_mysql = matches!(&*change.connector, "mysql" | "mariadb");
        }
        if let Some(fast) = &mut self.fast
            && matches!(change.wrapping, Wrapping::Envelope)
        {
            fast.learn(self.compiled, record.value, change.schema.zip(schema.as_ref()));
        }
        let position = match first {
            None => change.position.render(source.generation, &self.partition, record.offset),
            Some(Delivery { partition, offset }) => {
                let partition = partition.clone().in_generation(source.generation);
                change.position.render(source.generation, &partition, offset)
            }
        };
        let at = crate::assemble::At {
            position: &position,
            partition: self.partition.as_str(),
            offset: record.offset.as_str(),
        };
        self.assembler.assemble(self.compiled, &change, schema.as_deref(), at, &mut self.rows).map(Outcome::Staged)
    }

    /// Numbers of the records and rows so far, by outcome.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Offsets of the first and the last row so far.
    pub fn range(&self) -> Option<(&Offset, &Offset)> {
        self.range.as_ref().map(|(first, last)| (first, last))
    }

    /// Ends the file.
    pub fn finish(self) -> Finished<W> {
        let schema = self.schemas.last.filter(|_| self.counts.with_missing_data > 0);
        let types = schema.iter().flat_map(|(_, schema)| {
            let without_column = schema.names().filter(|name| self.compiled.column_of(name).is_none());
            without_column.filter_map(|name| Some((name.to_owned(), type_of(schema.field(name)?, self.is_mysql))))
        });
        Finished { sink: self.sink, range: self.range, counts: self.counts, types: types.collect() }
    }
}

/// Caches the schema of the last event, which is usually that of the next one too.
#[derive(Debug, Default)]
struct Schemas {
    last: Option<(Box<str>, Rc<Schema>)>,
}

impl Schemas {
    fn read(&mut self, raw: RawJson<'_>, is_flattened: bool) -> Rc<Schema> {
        if let Some((text, schema)) = &self.last
            && **text == *raw.get()
        {
            return Rc::clone(schema);
        }
        let schema = Rc::new(Schema::read(raw, is_flattened));
        if raw.get().len() <= KEPT {
            self.last = Some((raw.get().into(), Rc::clone(&schema)));
        }
        schema
    }
}

/// The compression of staged files: a single ZSTD frame of level 1, with a checksum.
///
/// # Errors
/// The encoder cannot be created (out of memory).
pub fn compressed<W: Write>(sink: W) -> io::Result<Compressed<W>> {
    let mut encoder = Encoder::new(sink, 1)?;
    encoder.include_checksum(true)?;
    Ok(Compressed(BufWriter::with_capacity(BLOCK, encoder)))
}

/// Bytes of rows that are passed to the encoder in one call. A call for each row of 300 bytes would take a third longer.
const BLOCK: usize = 64 << 10;

/// A sink that compresses: [`compressed`].
pub struct Compressed<W: Write>(BufWriter<Encoder<'static, W>>);

impl<W: Write> Compressed<W> {
    /// Writes the buffered rows and the end of the frame, and returns the sink.
    ///
    /// # Errors
    /// The sink failed.
    pub fn finish(self) -> io::Result<W> {
        self.0.into_inner().map_err(IntoInnerError::into_error)?.finish()
    }
}

impl<W: Write> Write for Compressed<W> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write> fmt::Debug for Compressed<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressed").finish_non_exhaustive()
    }
}
