//! From records to staged rows.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, BufWriter, IntoInnerError, Write},
    rc::Rc,
};

use zstd::stream::write::Encoder;

use crate::{
    assemble::Assembler,
    compiled::Compiled,
    event::{Event, Identity},
    fast::Fast,
    json::RawJson,
    refusal::{Refusal, RefusalKind, SkipReason},
    schema::Schema,
    transport::{Offset, Partition},
};

/// A record as the transport hands it over.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its value. Empty: a tombstone.
    pub value: &'a [u8],
    /// Its key, where the transport has one (Kafka).
    pub key: Option<&'a [u8]>,
    /// Its place in the partition.
    pub offset: &'a Offset,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// So many rows were written: one, or two where a key changed.
    Staged(usize),
    /// It is no change of a row, and no mistake.
    Skipped(SkipReason),
    /// It is of another table than the contract's.
    OtherTable(Identity),
    /// It goes to the dead-letter queue.
    Refused(Refusal),
}

/// How many records became what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records.
    pub records: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// Rows that were written.
    pub rows: u64,
    /// Bytes of the rows, before compression.
    pub row_bytes: u64,
    /// Rows with something in `dw_md_missing_data`.
    pub with_missing_data: u64,
    /// Rows with something in `dw_md_changes`.
    pub with_changes: u64,
    /// Records of other tables.
    pub other_tables: u64,
    /// Records that were set aside, by what they are.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// Records that were refused, by the kind of reason.
    pub refused: BTreeMap<RefusalKind, u64>,
}

/// Rows of one partition by one contract, into a file.
#[derive(Debug)]
pub struct Stager<'c, W> {
    compiled: &'c Compiled,
    partition: Partition,
    sink: W,
    /// Takes the common events, and writes what the assembler would.
    fast: Option<Fast>,
    assembler: Assembler,
    /// Rows of the event that is being read: they are written together or not at all.
    rows: Vec<u8>,
    schemas: Schemas,
    range: Option<(Offset, Offset)>,
    counts: Counts,
}

/// A file that is complete but for its end, which the sink may want to write (a frame's checksum).
#[derive(Debug)]
pub struct Finished<W> {
    /// Where the rows went.
    pub sink: W,
    /// Offsets of the first and the last row; none where there are no rows.
    pub range: Option<(Offset, Offset)>,
    /// What became of the records.
    pub counts: Counts,
}

/// Capacity that the buffers keep: a record of 10 MB does not make every later one expensive.
const KEPT: usize = 1 << 20;

impl<'c, W: Write> Stager<'c, W> {
    /// Into a sink: an encoder of ZSTD ([`compressed`]), or plain bytes.
    pub fn new(compiled: &'c Compiled, partition: Partition, sink: W) -> Self {
        Self {
            compiled,
            fast: Fast::new(compiled, &partition),
            partition,
            sink,
            assembler: Assembler::new(compiled.columns().len()),
            rows: Vec::new(),
            schemas: Schemas::default(),
            range: None,
            counts: Counts::default(),
        }
    }

    /// With the full decoder for every record: the same rows, more slowly. For benchmarks, and to hold one against the other.
    #[must_use]
    pub fn without_fast_path(mut self) -> Self {
        self.fast = None;
        self
    }

    /// Stages a record: all of its rows, or none.
    ///
    /// # Errors
    /// The sink fails. The file is worth nothing then.
    pub fn record(&mut self, record: Record<'_>) -> io::Result<Outcome> {
        self.counts.records += 1;
        self.counts.bytes += record.value.len() as u64;
        let outcome = match self.decode(record) {
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

    fn decode(&mut self, record: Record<'_>) -> Result<Outcome, Refusal> {
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
        let schema = change.schema.map(|schema| self.schemas.read(schema));
        if let Some(fast) = &mut self.fast {
            fast.learn(self.compiled, record.value, change.schema.zip(schema.as_ref()));
        }
        let position = change.position.render(source.generation, &self.partition, record.offset);
        let at = crate::assemble::At {
            position: &position,
            partition: self.partition.as_str(),
            offset: record.offset.as_str(),
        };
        self.assembler.assemble(self.compiled, &change, schema.as_deref(), at, &mut self.rows).map(Outcome::Staged)
    }

    /// What became of the records so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Offsets of the first and the last row so far.
    pub fn range(&self) -> Option<(&Offset, &Offset)> {
        self.range.as_ref().map(|(first, last)| (first, last))
    }

    /// Ends the file.
    pub fn finish(self) -> Finished<W> {
        Finished { sink: self.sink, range: self.range, counts: self.counts }
    }
}

/// The schema of the event before is that of the next, mostly.
#[derive(Debug, Default)]
struct Schemas {
    last: Option<(Box<str>, Rc<Schema>)>,
}

impl Schemas {
    fn read(&mut self, raw: RawJson<'_>) -> Rc<Schema> {
        if let Some((text, schema)) = &self.last
            && **text == *raw.get()
        {
            return Rc::clone(schema);
        }
        let schema = Rc::new(Schema::read(raw));
        if raw.get().len() <= KEPT {
            self.last = Some((raw.get().into(), Rc::clone(&schema)));
        }
        schema
    }
}

/// The one way in which staged files are compressed: a single frame of ZSTD, level 1, with a checksum.
///
/// # Errors
/// The encoder cannot be made (memory).
pub fn compressed<W: Write>(sink: W) -> io::Result<Compressed<W>> {
    let mut encoder = Encoder::new(sink, 1)?;
    encoder.include_checksum(true)?;
    Ok(Compressed(BufWriter::with_capacity(BLOCK, encoder)))
}

/// Bytes of rows that the encoder gets at once: a call for each row of 300 would take it a third longer.
const BLOCK: usize = 64 << 10;

/// A sink that compresses: [`compressed`].
pub struct Compressed<W: Write>(BufWriter<Encoder<'static, W>>);

impl<W: Write> Compressed<W> {
    /// Writes what is left and the end of the frame.
    ///
    /// # Errors
    /// The sink behind it fails.
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
