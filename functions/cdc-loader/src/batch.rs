//! Stages records of any tables and partitions: one file for each contract and partition, and other outputs for records that are
//! refused or that no contract claims.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry},
    io::{self, Write as _},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use shiftwork_change_data::{
    contract::Proposal,
    event::{Event, Identity},
    layout::Staged,
    refusal::{Refusal, RefusalKind},
    stage::{Delivery, Outcome, Record, Stager, compressed},
    transport::{Offset, Partition},
};
use shiftwork_ports::DEAD_LETTER_BYTES;
use shiftwork_protocol::{
    change::{Bytes, Refused, Replay},
    drift::{DriftMark, FieldType},
    keys::{drift_mark_key, proposal_key, refused_key, unclaimed_key},
};

use crate::contracts::Claims;

/// Bytes of the largest record with its key that fits into a message. Base64 turns three bytes into four, and the message also has the
/// reason.
const MESSAGE_RECORD_BYTES: usize = DEAD_LETTER_BYTES / 8 * 5;
/// Longest reason in a message, in characters.
const REASON_CHARS: usize = 4_000;

type Sink = shiftwork_change_data::stage::Compressed<Vec<u8>>;

/// A batch of records that are being staged.
pub(crate) struct Batch<'c> {
    claims: &'c Claims,
    partitions: HashMap<Partition, PartitionFiles<'c>>,
    output: Output,
    /// Bytes of the values of all records taken so far.
    pub(crate) bytes: usize,
}

/// The open files of a partition.
#[derive(Default)]
struct PartitionFiles<'c> {
    /// One file for each contract, by the contract's index.
    stagers: BTreeMap<usize, Stager<'c, Sink>>,
    /// The contract of the last record, which is tried first for the next one.
    last: Option<usize>,
}

/// The objects and messages that a batch results in.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Objects of the staging bucket, by key.
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    /// Messages for the dead-letter queue.
    pub(crate) refused: Vec<Refused>,
    /// Indexes of contracts that have rows to load.
    pub(crate) staged: BTreeSet<usize>,
    /// Servers of the records of contracts that do not name one, by the contract's index.
    pub(crate) servers: BTreeMap<usize, BTreeSet<String>>,
    /// Marks for schema-watcher, by key, of contracts with a staged file whose rows have a field without a column.
    pub(crate) drift_marks: BTreeMap<String, DriftMark>,
    unclaimed: BTreeMap<(String, Partition), Vec<Replay>>,
    proposal: Proposal,
    /// Proposed contracts for tables without a contract, by key. They are written unless an earlier batch wrote one.
    pub(crate) proposed: BTreeMap<String, String>,
    pub(crate) counts: Counts,
}

/// Number of records, and of rows staged, by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) records: u64,
    pub(crate) rows: u64,
    pub(crate) set_aside: u64,
    pub(crate) refused: u64,
    pub(crate) unclaimed: u64,
}

/// A record and its partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) partition: &'a Partition,
    pub(crate) record: Record<'a>,
    /// The place at which a replayed record was first delivered.
    pub(crate) first: Option<Delivery<'a>>,
}

impl<'c> Batch<'c> {
    pub(crate) fn new(claims: &'c Claims) -> Self {
        Self { claims, partitions: HashMap::new(), output: Output::default(), bytes: 0 }
    }

    /// Takes a record. It is staged for every contract that claims it, or refused, unclaimed or skipped.
    ///
    /// # Errors
    /// An encoder cannot be created (out of memory).
    pub(crate) fn take(&mut self, source: Source<'_>) -> io::Result<()> {
        self.bytes += source.record.value.len();
        self.output.counts.records += 1;
        // The stager of the last contract reads the table of a record and its rows in one pass. The table is read separately only if the
        // partition changes from one table to another, or if a table has several contracts.
        if let Some(index) = self.partitions.get(source.partition).and_then(|files| files.last) {
            match self.stage(index, source)? {
                Outcome::OtherTable(identity) => self.take_of(&identity, source),
                outcome => {
                    self.record_outcome(Some(index), source, outcome);
                    Ok(())
                }
            }
        } else {
            match Event::read(source.record.value, source.record.key) {
                Err(refusal) => self.record_outcome(None, source, Outcome::Refused(refusal)),
                Ok(Event::Skipped(reason)) => self.record_outcome(None, source, Outcome::Skipped(reason)),
                Ok(Event::Change(change)) => return self.take_of(&change.identity, source),
            }
            Ok(())
        }
    }

    fn take_of(&mut self, identity: &Identity, source: Source<'_>) -> io::Result<()> {
        let claiming = self.claims.of(identity);
        if claiming.is_empty() {
            self.unclaimed(identity, source);
        }
        for index in &claiming {
            if let Some(server) = &identity.server
                && self.claims.contract(*index).contract().source().lacks_server()
            {
                self.output.servers.entry(*index).or_default().insert(server.clone());
            }
            let outcome = self.stage(*index, source)?;
            self.record_outcome(Some(*index), source, outcome);
        }
        if let Some(files) = self.partitions.get_mut(source.partition) {
            files.last = claiming.first().copied().filter(|index| self.claims.is_alone(*index));
        }
        Ok(())
    }

    fn stage(&mut self, index: usize, source: Source<'_>) -> io::Result<Outcome> {
        let files = match self.partitions.get_mut(source.partition) {
            Some(files) => files,
            // The partition is cloned only for its first record.
            None => self.partitions.entry(source.partition.clone()).or_default(),
        };
        let stager = match files.stagers.entry(index) {
            Entry::Occupied(stager) => stager.into_mut(),
            Entry::Vacant(vacant) => {
                let contract = self.claims.contract(index);
                let partition = source.partition.clone().in_generation(contract.contract().source().generation);
                vacant.insert(Stager::new(contract, partition, compressed(Vec::new())?))
            }
        };
        stager.record_of(source.record, source.first)
    }

    fn record_outcome(&mut self, contract: Option<usize>, source: Source<'_>, outcome: Outcome) {
        let counts = &mut self.output.counts;
        match outcome {
            Outcome::Staged(rows) => counts.rows += rows as u64,
            Outcome::Skipped(_) => counts.set_aside += 1,
            // The contract names another server that has a table of the same name.
            Outcome::OtherTable(_) => {}
            Outcome::Refused(refusal) => self.refuse(contract, source, &refusal),
        }
    }

    fn refuse(&mut self, contract: Option<usize>, source: Source<'_>, refusal: &Refusal) {
        self.output.counts.refused += 1;
        let of_row = match refusal.kind {
            RefusalKind::NoKey | RefusalKind::Frozen | RefusalKind::Oversized => contract,
            // These are found before the table of the record is known.
            RefusalKind::NotJson
            | RefusalKind::NotAnEvent
            | RefusalKind::UnknownOperation
            | RefusalKind::Incomplete => None,
        };
        let contract = of_row.map(|index| self.claims.contract(index).contract().name().to_owned());
        self.add_dead_letter(source, contract, refusal.kind.as_str(), &refusal.reason);
    }

    /// Adds a message with the record, or with the key of an object that has the record if it is too large for a message.
    fn add_dead_letter(&mut self, source: Source<'_>, contract: Option<String>, kind: &str, reason: &str) {
        let whole = Replay { record: Bytes::Base64(BASE64.encode(source.record.value)), ..replay(source) };
        let bytes = source.record.value.len() + source.record.key.map_or(0, <[u8]>::len);
        let refused = if bytes <= MESSAGE_RECORD_BYTES {
            whole
        } else {
            let key = refused_key(&whole.partition, &whole.offset);
            self.output.objects.insert(key.clone(), json!(whole).to_string().into_bytes());
            Replay { key: None, record: Bytes::Object(key), ..whole }
        };
        self.output.refuse(refused, contract, kind, reason);
    }

    /// Refuses a record on which the decoder panics.
    pub(crate) fn refuse_after_panic(&mut self, source: Source<'_>) {
        self.output.counts.records += 1;
        self.output.counts.refused += 1;
        self.add_dead_letter(
            source,
            None,
            "panic",
            "the decoder panicked on this record: this is a bug in shiftwork, please report it with the record",
        );
    }

    fn unclaimed(&mut self, identity: &Identity, source: Source<'_>) {
        self.output.counts.unclaimed += 1;
        // The record has been read before, so it is valid.
        let _ = self.output.proposal.record(source.record.value, source.record.key);
        let of_table = self.output.unclaimed.entry((identity.table(), source.partition.clone())).or_default();
        of_table.push(Replay { record: Bytes::Base64(BASE64.encode(source.record.value)), ..replay(source) });
    }

    /// Refuses a line of a file whose bytes are not available.
    pub(crate) fn refuse_lost(&mut self, partition: &Partition, offset: &Offset, kind: &str, reason: &str) {
        self.output.counts.refused += 1;
        let source = Source { partition, record: Record { value: &[], key: None, offset }, first: None };
        self.output.refuse(replay(source), None, kind, reason);
    }

    /// Closes the files and returns the output.
    ///
    /// # Errors
    /// A file cannot be compressed (out of memory).
    pub(crate) fn finish(self) -> io::Result<Output> {
        let mut out = self.output;
        let stagers = self.partitions.into_iter().flat_map(|(partition, files)| {
            files.stagers.into_iter().map(move |(index, stager)| (index, partition.clone(), stager))
        });
        for (index, partition, stager) in stagers {
            let finished = stager.finish();
            let Some((first, last)) = finished.range else { continue };
            let contract = self.claims.contract(index);
            let staged = Staged {
                contract: contract.contract().name().to_owned(),
                partition: partition.in_generation(contract.contract().source().generation),
                first,
                last,
                columns: contract.columns().len(),
            };
            if finished.counts.with_missing_data > 0 {
                let mark = out.drift_marks.entry(drift_mark_key(&staged.contract)).or_default();
                mark.staged = staged.key();
                let types = finished.types.into_iter().map(|(field, (column_type, source_type))| {
                    (field, FieldType { column_type: column_type.to_string(), source_type })
                });
                mark.types.extend(types);
            }
            out.objects.insert(staged.key(), finished.sink.finish()?);
            out.staged.insert(index);
        }
        // Another batch can propose a contract for a table of the same name, so every name has the server and the database.
        for (identity, contract) in std::mem::take(&mut out.proposal).by_table(|_| true) {
            let key = proposal_key(&identity.table(), identity.server.as_deref(), identity.database.as_deref());
            out.proposed.insert(key, contract.yaml());
        }
        for ((table, partition), records) in std::mem::take(&mut out.unclaimed) {
            let (Some(first), Some(last)) = (records.first(), records.last()) else { continue };
            let key = unclaimed_key(&table, partition.as_str(), &first.offset, &last.offset);
            let mut lines = GzEncoder::new(Vec::new(), Compression::fast());
            for record in &records {
                serde_json::to_writer(&mut lines, record)?;
                lines.write_all(b"\n")?;
            }
            out.objects.insert(key, lines.finish()?);
        }
        Ok(out)
    }
}

impl Output {
    fn refuse(&mut self, refused: Replay, contract: Option<String>, kind: &str, reason: &str) {
        tracing::warn!(partition = refused.partition, offset = refused.offset, contract, kind, "refused");
        let reason = reason.chars().take(REASON_CHARS).collect();
        self.refused.push(Refused { refused, contract, kind: kind.into(), reason });
    }
}

/// The record without its bytes, at the place at which it was first delivered.
fn replay(source: Source<'_>) -> Replay {
    let first = source.first.unwrap_or(Delivery { partition: source.partition, offset: source.record.offset });
    Replay {
        partition: first.partition.to_string(),
        offset: first.offset.to_string(),
        key: source.record.key.map(|key| BASE64.encode(key)),
        record: Bytes::Lost {},
    }
}
