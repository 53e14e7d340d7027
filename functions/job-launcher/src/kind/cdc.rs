//! Staged change data: which files a load takes, and the transaction that loads them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use shiftwork_change_data::{
    contract::{self, TableContract},
    layout::Staged,
};
use shiftwork_config::IamRole;
use shiftwork_ports::{Bucket, Clock, ListedObject, Requests, Result, Row, Submission, Warehouse, scripts};
use shiftwork_promotion::{ExistingColumn, Load, Promotion, is_done_already};
use shiftwork_protocol::{
    Connection, Failure, FailureKind, JobRecord, Manifest, ScriptPin, Transaction, keys, load_request, manifest_key,
    name::sha256,
};

use super::Prepared;

/// What the kind needs.
pub struct Cdc {
    /// The scripts bucket, for contracts.
    pub scripts: Bucket,
    /// The staging bucket.
    pub staging: Bucket,
    /// Makes the tables of a contract.
    pub warehouse: Arc<dyn Warehouse>,
    /// Asks for the next load where one leaves files.
    pub requests: Arc<dyn Requests>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What one load takes at most: so that no transaction holds its locks for long, nor needs more statements than a batch
/// holds. The rest waits for the next load.
#[derive(Debug, Clone, Copy)]
struct LoadLimits {
    files: usize,
    bytes: u64,
    /// Counts of columns that its files were staged with: each takes a COPY and what lifts its newer columns.
    layouts: usize,
}

const LOAD_LIMITS: LoadLimits = LoadLimits { files: 2_000, bytes: 2 * 1024 * 1024 * 1024, layouts: 3 };

/// A staged file, and what its name says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pending {
    key: String,
    bytes: u64,
    staged: Staged,
}

/// What a load takes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Chosen {
    keys: Vec<String>,
    /// Whether it leaves files to the next load.
    more: bool,
}

/// Chooses files: of each partition a prefix in the order of its offsets, whose files do not overlap and have no more
/// columns than the contract. So the watermark never passes a file that was not loaded, and no row is twice in one load.
///
/// The partitions take turns, beginning with one that `turn` says, so that none waits for ever behind busier ones.
fn choose(pending: &[Pending], columns: usize, most: LoadLimits, turn: usize) -> Chosen {
    let mut partitions: BTreeMap<&str, Vec<&Pending>> = BTreeMap::new();
    for file in pending {
        partitions.entry(file.staged.partition.as_str()).or_default().push(file);
    }
    let mut lines: Vec<_> = partitions.into_values().map(|files| prefix(files, columns)).collect();
    let loadable: usize = lines.iter().map(|line| line.loadable).sum();
    if !lines.is_empty() {
        let turn = turn % lines.len();
        lines.rotate_left(turn);
    }
    let (mut chosen, mut bytes) = (Chosen::default(), 0);
    let longest = lines.iter().map(|line| line.files.len()).max().unwrap_or_default();
    let mut layouts = BTreeSet::new();
    'full: for nth in 0..longest {
        for line in &mut lines {
            let Some(file) = line.files.get(nth) else { continue };
            if !chosen.keys.is_empty() && (chosen.keys.len() >= most.files || bytes + file.bytes > most.bytes) {
                break 'full;
            }
            if layouts.len() == most.layouts && !layouts.contains(&file.staged.columns) {
                // The partition ends here for this load.
                line.files.truncate(nth);
                continue;
            }
            layouts.insert(file.staged.columns);
            bytes += file.bytes;
            chosen.keys.push(file.key.clone());
        }
    }
    chosen.more = chosen.keys.len() < loadable;
    chosen
}

/// The files of a partition that one load may take, and how many there are that any load of this contract could.
struct Line<'a> {
    files: Vec<&'a Pending>,
    loadable: usize,
}

fn prefix(mut files: Vec<&Pending>, columns: usize) -> Line<'_> {
    files.sort_by_key(|file| (&file.staged.first, &file.staged.last));
    // A file of a newer contract waits for a run that was planned with it; those behind it wait with it.
    let loadable = files.iter().take_while(|file| file.staged.columns <= columns).count();
    let mut taken: Vec<&Pending> = Vec::new();
    for file in &files[..loadable] {
        if taken.last().is_some_and(|last| file.staged.first <= last.staged.last) {
            break;
        }
        taken.push(file);
    }
    Line { files: taken, loadable }
}

fn pending(listed: Vec<ListedObject>) -> Vec<Pending> {
    let named = |ListedObject { key, bytes, .. }| match Staged::parse(&key) {
        Some(staged) => Some(Pending { key, bytes, staged }),
        None => {
            tracing::warn!(key, "is no staged file: left alone");
            None
        }
    };
    listed.into_iter().filter_map(named).collect()
}

impl Cdc {
    /// The transaction that loads what is staged for a contract.
    ///
    /// Which files it takes is written down before it is submitted, once an attempt: a launcher that finds the manifest of
    /// an earlier one submits the very same statements.
    pub(super) async fn prepare(
        &self,
        job: &JobRecord,
        connection: &Connection,
        pin: &ScriptPin,
        iam_role: &IamRole,
    ) -> Result<Prepared> {
        let text = scripts::pinned(&self.scripts, pin).await?;
        let contract = contract::read(&pin.key, &text).map_err(|problems| invalid(&lines(&problems)))?;
        let promotion = Promotion::of(&contract);
        let key = manifest_key(&job.current_attempt());
        let manifest = match self.staging.get(&key).await? {
            Some(text) => read(&key, &text)?,
            None => {
                let listed = self.staging.list(&keys::staged_prefix(contract.name())).await?;
                let chosen = choose(&pending(listed), contract.columns().len(), LOAD_LIMITS, turn(job));
                if chosen.keys.is_empty() {
                    return Ok(Prepared::NothingToDo);
                }
                if chosen.more {
                    self.ask_again(job, &contract).await?;
                }
                let manifest = Manifest::of(self.staging.name(), &chosen.keys);
                read(&key, &self.staging.put_once(&key, written(&manifest)?).await?)?
            }
        };
        self.make_tables(job, connection, &contract, &promotion).await?;
        tracing::info!(contract = contract.name(), files = manifest.entries.len(), manifest = key, "loading");
        let load = Load { groups: self.groups(&key, &manifest).await?, iam_role: iam_role.clone(), region: None };
        Ok(Prepared::Submit(Box::new(Submission {
            attempt: job.current_attempt(),
            connection: connection.clone(),
            sqls: promotion.load(&load).map_err(|problem| invalid(&problem))?,
            transaction: Transaction::Single,
            parameters: BTreeMap::new(),
        })))
    }

    /// What this load leaves, the next one takes: it queues behind this run.
    async fn ask_again(&self, job: &JobRecord, contract: &TableContract) -> Result<()> {
        let (request, after) = load_request(&job.workflow_id, contract.load_every(), self.clock.now());
        self.requests.ask(&request, after).await
    }

    /// COPY names the columns, so the files of each layout have a manifest of their own; they are made again from the one
    /// that counts.
    async fn groups(&self, key: &str, manifest: &Manifest) -> Result<Vec<(usize, String)>> {
        let mut layouts: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for key in manifest.keys() {
            let Some(staged) = Staged::parse(&key) else {
                return Err(Failure::corrupt(format!("a manifest lists {key}, which is no staged file")));
            };
            layouts.entry(staged.columns).or_default().push(key);
        }
        let url = |key: &str| self.staging.url(key);
        if layouts.len() == 1 {
            return Ok(layouts.into_keys().map(|columns| (columns, url(key))).collect());
        }
        let mut groups = Vec::new();
        for (columns, keys) in layouts {
            let of_layout = keys::layout_manifest_key(key, columns);
            self.staging.put(&of_layout, written(&Manifest::of(self.staging.name(), keys))?).await?;
            groups.push((columns, url(&of_layout)));
        }
        Ok(groups)
    }

    /// The first load of a contract, and of each contract with further columns, makes its tables what they have to be; so
    /// does one that is tried again, for they may have been dropped. Each statement does nothing where it was done.
    async fn make_tables(
        &self,
        job: &JobRecord,
        connection: &Connection,
        contract: &TableContract,
        promotion: &Promotion<'_>,
    ) -> Result<()> {
        let ddl = promotion.ddl();
        let made = keys::tables_key(contract.name(), &sha256(format!("{connection:?}{ddl:?}")));
        if job.attempt == 1 && self.staging.get(&made).await?.is_some() {
            return Ok(());
        }
        self.make_schemas(promotion, connection).await?;
        // Columns that somebody wrote into the contract by hand, or made longer there.
        let found = self.run(&promotion.columns_query(), connection).await?;
        let found: Vec<ExistingColumn> = found.iter().filter_map(|row| ExistingColumn::read(row)).collect();
        let changes = promotion.prepare(&found).map_err(|problem| invalid(&problem))?;
        for sql in &changes {
            match self.run(sql, connection).await {
                Err(failure) if is_done_already(&failure.message) => {}
                Ok(_) => {}
                Err(failure) => return Err(failure),
            }
        }
        for sql in &ddl {
            match self.run(sql, connection).await {
                // Two that make the same table at once see each other as an error, and the second time as done.
                Err(Failure { kind: FailureKind::StatementFailed | FailureKind::SerializationConflict, .. }) => {
                    self.run(sql, connection).await?
                }
                Ok(rows) => rows,
                Err(failure) => return Err(failure),
            };
        }
        self.staging.put(&made, Vec::new()).await
    }

    async fn make_schemas(&self, promotion: &Promotion<'_>, connection: &Connection) -> Result<()> {
        let found = self.run(&promotion.schemas_query(), connection).await?;
        let found: Vec<String> = found.into_iter().flatten().flatten().collect();
        for (schema, sql) in promotion.create_schemas(&found) {
            self.run(&sql, connection).await.map_err(|failure| {
                let words = format!(
                    "schema `{schema}` is not in database {database}, and could not be made: {message}. Create it, with USAGE and CREATE on it \
                     for the user of the connection, or let that user make it: GRANT CREATE ON DATABASE {database} TO …",
                    database = connection.database,
                    message = failure.message.trim_end_matches('.'),
                );
                Failure::new(failure.kind, words)
            })?;
        }
        Ok(())
    }

    async fn run(&self, sql: &str, connection: &Connection) -> Result<Vec<Row>> {
        match self.warehouse.rows(sql, connection, &BTreeMap::new()).await {
            // A warehouse that has to wake up first is there at the next try.
            Err(failure) if failure.kind == FailureKind::TimedOut => {
                Err(Failure::new(FailureKind::Unavailable, failure.message))
            }
            answer => answer,
        }
    }
}

/// Another one for each run.
fn turn(job: &JobRecord) -> usize {
    job.workflow_execution_id.bytes().fold(0, |turn: usize, byte| turn.wrapping_mul(31).wrapping_add(byte.into()))
}

fn read(key: &str, text: &[u8]) -> Result<Manifest> {
    serde_json::from_slice(text)
        .map_err(|error| Failure::corrupt(format!("manifest {key} of the staging bucket cannot be read: {error}")))
}

fn written(manifest: &Manifest) -> Result<Vec<u8>> {
    serde_json::to_vec(manifest).map_err(|error| Failure::corrupt(error.to_string()))
}

fn lines(problems: &[impl std::fmt::Display]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn invalid(problem: &impl std::fmt::Display) -> Failure {
    Failure::new(FailureKind::InvalidWorkflow, problem.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shiftwork_change_data::transport::{Offset, Partition};

    use super::*;

    fn file(partition: i64, first: u64, last: u64, columns: usize, bytes: u64) -> Pending {
        let staged = Staged {
            contract: "orders".into(),
            partition: Partition::kafka("orders", partition),
            first: Offset::number(first),
            last: Offset::number(last),
            columns,
        };
        Pending { key: staged.key(), bytes, staged }
    }

    fn keys(files: &[Pending]) -> Vec<String> {
        files.iter().map(|file| file.key.clone()).collect()
    }

    const PLENTY: LoadLimits = LoadLimits { files: 100, bytes: 1_000_000, layouts: 3 };

    #[test]
    fn a_load_takes_what_is_there() {
        let files = [file(0, 0, 9, 3, 10), file(0, 10, 19, 3, 10), file(1, 0, 4, 2, 10)];
        let chosen = choose(&files, 3, PLENTY, 0);
        let mut taken = chosen.keys.clone();
        taken.sort();
        assert_eq!((taken, chosen.more), (keys(&files), false));
        assert_eq!(choose(&[], 3, PLENTY, 5), Chosen::default());
    }

    #[test]
    fn a_redelivery_that_overlaps_waits_for_the_next_load() {
        let files = [file(0, 0, 9, 3, 10), file(0, 5, 19, 3, 10), file(0, 20, 29, 3, 10)];
        assert_eq!(choose(&files, 3, PLENTY, 0), Chosen { keys: keys(&files[..1]), more: true });
    }

    #[test]
    fn files_of_a_newer_contract_wait_for_a_run_that_knows_it() {
        let files = [file(0, 0, 9, 3, 10), file(0, 10, 19, 4, 10), file(0, 20, 29, 3, 10)];
        assert_eq!(choose(&files, 3, PLENTY, 0), Chosen { keys: keys(&files[..1]), more: false });
        assert_eq!(choose(&files, 4, PLENTY, 0), Chosen { keys: keys(&files), more: false });
    }

    #[test]
    fn a_file_larger_than_a_load_is_a_load() {
        let files = [file(0, 0, 9, 3, 5_000_000), file(1, 0, 9, 3, 1)];
        assert_eq!(choose(&files, 3, PLENTY, 0), Chosen { keys: keys(&files[..1]), more: true });
    }

    fn files() -> impl Strategy<Value = Vec<Pending>> {
        let one = (0..4_i64, 0..40_u64, 0..8_u64, 3..7_usize, 0..50_u64);
        prop::collection::btree_map(one, Just(()), 0..30).prop_map(|files| {
            let mut files: Vec<_> = files
                .into_keys()
                .map(|(partition, first, length, columns, bytes)| {
                    file(partition, first, first + length, columns, bytes)
                })
                .collect();
            files.sort_by(|a, b| a.key.cmp(&b.key));
            files.dedup_by(|a, b| a.key == b.key);
            files
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// Load after load, each taking what the last one left: nothing is skipped, nothing overlaps, all is loaded.
        #[test]
        fn every_file_is_loaded_and_no_load_passes_one_by(
            mut left in files(), most_files in 1..9_usize, most_bytes in 1..200_u64, layouts in 1..4_usize,
            mut turn in 0..9_usize,
        ) {
            let most = LoadLimits { files: most_files, bytes: most_bytes, layouts };
            let (columns, all) = (6, left.len());
            for loads in 0..=all {
                let chosen = choose(&left, columns, most, turn);
                if left.is_empty() {
                    prop_assert_eq!(&chosen, &Chosen::default());
                    break;
                }
                prop_assert!(loads < all, "a load took nothing");
                prop_assert!(!chosen.keys.is_empty() && chosen.keys.len() <= most_files);
                let (taken, rest): (Vec<_>, Vec<_>) = left.iter().cloned().partition(|f| chosen.keys.contains(&f.key));
                prop_assert_eq!(chosen.more, !rest.is_empty());
                let bytes: u64 = taken.iter().map(|file| file.bytes).sum();
                prop_assert!(bytes <= most_bytes || taken.len() == 1);
                prop_assert!(taken.iter().map(|file| file.staged.columns).collect::<BTreeSet<_>>().len() <= layouts);
                for file in &taken {
                    let of_partition = |other: &&Pending| other.staged.partition == file.staged.partition;
                    let at = |file: &Pending| (file.staged.first.clone(), file.staged.last.clone());
                    let passed = rest.iter().filter(of_partition).find(|other| at(other) < at(file));
                    prop_assert_eq!(passed, None, "passed by");
                    let before = taken.iter().filter(of_partition).filter(|other| at(other) < at(file));
                    prop_assert!(before.into_iter().all(|other| other.staged.last < file.staged.first), "overlap");
                }
                left = rest;
                turn += 1;
            }
        }

        /// With room for a file of each, each partition gives one.
        #[test]
        fn no_partition_waits_behind_busier_ones(left in files(), turn in 0..9_usize) {
            let partitions: std::collections::BTreeSet<_> = left.iter().map(|file| file.staged.partition.clone()).collect();
            let most = LoadLimits { files: partitions.len().max(1), bytes: u64::MAX, layouts: 9 };
            let chosen = choose(&left, 6, most, turn);
            let given: std::collections::BTreeSet<_> =
                left.iter().filter(|file| chosen.keys.contains(&file.key)).map(|file| file.staged.partition.clone()).collect();
            prop_assert_eq!(given, partitions);
        }
    }
}
