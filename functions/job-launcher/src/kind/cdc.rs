//! `cdc`: selects the staged files of a load and makes the transaction that loads them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use shiftwork_change_data::{
    contract::{self, TableContract},
    layout::Staged,
};
use shiftwork_config::IamRole;
use shiftwork_ports::{Bucket, Clock, ListedObject, Requests, Result, Row, Session, Submission, Warehouse, scripts};
use shiftwork_promotion::{ExistingColumn, Load, Promotion, is_done_already, is_refused_for_key};
use shiftwork_protocol::{
    Connection, Failure, FailureKind, JobRecord, Manifest, ScriptPin, keys, load_request, manifest_key, name::sha256,
};

use super::Prepared;

/// The ports and buckets that this kind uses.
pub struct Cdc {
    /// Scripts bucket, which holds the table contracts.
    pub scripts: Bucket,
    /// Staging bucket.
    pub staging: Bucket,
    /// Warehouse in which the tables of a contract are created.
    pub warehouse: Arc<dyn Warehouse>,
    /// Queue of requests for runs, for the next load if this load leaves files.
    pub requests: Arc<dyn Requests>,
    /// Source of the present time.
    pub clock: Arc<dyn Clock>,
}

/// Maximum size of one load. It keeps transactions, and their locks, short, and the number of statements within a
/// batch. The next load takes the remaining files.
#[derive(Debug, Clone, Copy)]
struct LoadLimits {
    files: usize,
    bytes: u64,
    /// Number of distinct column counts of the files. Each needs a COPY, and statements for the columns that its files
    /// lack.
    layouts: usize,
}

const LOAD_LIMITS: LoadLimits = LoadLimits { files: 2_000, bytes: 2 * 1024 * 1024 * 1024, layouts: 3 };

/// A staged file with the parts of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pending {
    key: String,
    bytes: u64,
    staged: Staged,
}

/// The files of a load.
#[derive(Debug, Default, PartialEq, Eq)]
struct Chosen {
    keys: Vec<String>,
    /// True if files are left for the next load.
    more: bool,
}

/// Chooses the files of a load. Of each partition it takes a prefix in the order of offsets, with files that do not
/// overlap and that have at most as many columns as the contract. So the watermark never passes a file that is not
/// loaded, and no row is loaded twice.
///
/// The choice alternates between the partitions and begins at `start`, so that partitions with many files do not delay
/// others.
fn choose(pending: &[Pending], columns: usize, limits: LoadLimits, start: usize) -> Chosen {
    let mut partitions: BTreeMap<&str, Vec<&Pending>> = BTreeMap::new();
    for file in pending {
        partitions.entry(file.staged.partition.as_str()).or_default().push(file);
    }
    let mut lines: Vec<_> = partitions.into_values().map(|files| prefix(files, columns)).collect();
    let loadable: usize = lines.iter().map(|line| line.loadable).sum();
    if !lines.is_empty() {
        let start = start % lines.len();
        lines.rotate_left(start);
    }
    let (mut chosen, mut bytes) = (Chosen::default(), 0);
    let longest = lines.iter().map(|line| line.files.len()).max().unwrap_or_default();
    let mut layouts = BTreeSet::new();
    'full: for nth in 0..longest {
        for line in &mut lines {
            let Some(file) = line.files.get(nth) else { continue };
            if !chosen.keys.is_empty() && (chosen.keys.len() >= limits.files || bytes + file.bytes > limits.bytes) {
                break 'full;
            }
            if layouts.len() == limits.layouts && !layouts.contains(&file.staged.columns) {
                // The next file has another layout, so this load takes no further file of the partition.
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

/// The files of a partition that one load may take, and the number of files that any load of this contract could take.
struct PartitionFiles<'a> {
    files: Vec<&'a Pending>,
    loadable: usize,
}

fn prefix(mut files: Vec<&Pending>, columns: usize) -> PartitionFiles<'_> {
    files.sort_by_key(|file| (&file.staged.first, &file.staged.last));
    // A file of a newer contract waits for a run that was planned with that contract, and so do the files after it.
    let loadable = files.iter().take_while(|file| file.staged.columns <= columns).count();
    let mut taken: Vec<&Pending> = Vec::new();
    for file in &files[..loadable] {
        if taken.last().is_some_and(|last| file.staged.first <= last.staged.last) {
            break;
        }
        taken.push(file);
    }
    PartitionFiles { files: taken, loadable }
}

fn pending(listed: Vec<ListedObject>) -> Vec<Pending> {
    let named = |ListedObject { key, bytes, .. }| match Staged::parse(&key) {
        Some(staged) => Some(Pending { key, bytes, staged }),
        None => {
            tracing::warn!(key, "ignoring an object whose key is not that of a staged file");
            None
        }
    };
    listed.into_iter().filter_map(named).collect()
}

impl Cdc {
    /// Makes the transaction that loads the staged files of a contract.
    ///
    /// The files are written to a manifest before the submission, once per attempt. A launcher that finds the manifest
    /// of an earlier invocation submits the same statements.
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
                let chosen = choose(&pending(listed), contract.columns().len(), LOAD_LIMITS, start(job));
                if chosen.keys.is_empty() {
                    return Ok(Prepared::NothingToDo);
                }
                if chosen.more {
                    self.request_next_load(job, &contract).await?;
                }
                let manifest = Manifest::of(self.staging.name(), &chosen.keys);
                read(&key, &self.staging.put_once(&key, written(&manifest)?).await?)?
            }
        };
        self.create_tables(job, connection, &contract, &promotion).await?;
        tracing::info!(contract = contract.name(), files = manifest.entries.len(), manifest = key, "loading");
        let load = Load { groups: self.groups(&key, &manifest).await?, iam_role: iam_role.clone(), region: None };
        Ok(Prepared::Submit(Box::new(Submission {
            attempt: job.current_attempt(),
            connection: connection.clone(),
            sqls: promotion.load(&load).map_err(|problem| invalid(&problem))?,
            session: Session::Own,
            parameters: BTreeMap::new(),
        })))
    }

    /// Requests a run for the files that this load leaves. It is queued behind this run.
    async fn request_next_load(&self, job: &JobRecord, contract: &TableContract) -> Result<()> {
        let (request, after) = load_request(&job.workflow_id, contract.load_every(), self.clock.now());
        self.requests.request(&request, after).await
    }

    /// Returns the manifest of each layout with its number of columns. COPY names the columns, so each layout needs a
    /// manifest of its own. These manifests are derived from the attempt's manifest.
    async fn groups(&self, key: &str, manifest: &Manifest) -> Result<Vec<(usize, String)>> {
        let mut layouts: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for key in manifest.keys() {
            let Some(staged) = Staged::parse(&key) else {
                return Err(Failure::corrupt(format!("a manifest lists {key}, which is not the key of a staged file")));
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

    /// Creates the tables of a contract, or adds the columns that they lack. Done by the first load of a contract and
    /// of each contract with further columns, and by every retry, because the tables may have been dropped. Each
    /// statement is idempotent.
    async fn create_tables(
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
        self.create_schemas(promotion, connection).await?;
        // Columns that were added or lengthened in the contract by hand.
        let found = self.run(&promotion.columns_query(), connection).await?;
        let found: Vec<ExistingColumn> = found.iter().filter_map(|row| ExistingColumn::read(row)).collect();
        let changes = promotion.prepare(&found).map_err(|problem| invalid(&problem))?;
        for sql in &changes {
            match self.run(sql, connection).await {
                Err(failure) if is_done_already(&failure.message) => {}
                Ok(_) => {}
                Err(failure) if is_refused_for_key(&failure.message) => {
                    let Some(around) = promotion.key_release(std::slice::from_ref(sql)) else { return Err(failure) };
                    let widened = [&around.release[..], std::slice::from_ref(sql), &around.restore[..]].concat();
                    self.run_each(&widened, connection).await?;
                }
                Err(failure) => return Err(failure),
            }
        }
        for sql in &ddl {
            match self.run(sql, connection).await {
                // Of two concurrent creations of the same table one fails; a repeated statement then finds the table.
                Err(Failure { kind: FailureKind::StatementFailed | FailureKind::SerializationConflict, .. }) => {
                    self.run(sql, connection).await?
                }
                Ok(rows) => rows,
                Err(failure) => return Err(failure),
            };
        }
        self.staging.put(&made, Vec::new()).await
    }

    async fn create_schemas(&self, promotion: &Promotion<'_>, connection: &Connection) -> Result<()> {
        let found = self.run(&promotion.schemas_query(), connection).await?;
        let found: Vec<String> = found.into_iter().flatten().flatten().collect();
        for (schema, sql) in promotion.create_schemas(&found) {
            self.run(&sql, connection).await.map_err(|failure| {
                let message = format!(
                    "schema `{schema}` does not exist in database {database} and cannot be created: {reason}. Create it, and grant USAGE and CREATE on it \
                     to the user of the connection, or allow that user to create it: GRANT CREATE ON DATABASE {database} TO …",
                    database = connection.database,
                    reason = failure.message.trim_end_matches('.'),
                );
                Failure::new(failure.kind, message)
            })?;
        }
        Ok(())
    }

    /// Runs statements that may have been run before.
    async fn run_each(&self, statements: &[String], connection: &Connection) -> Result<()> {
        for sql in statements {
            match self.run(sql, connection).await {
                Err(failure) if !is_done_already(&failure.message) => return Err(failure),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    async fn run(&self, sql: &str, connection: &Connection) -> Result<Vec<Row>> {
        match self.warehouse.rows(sql, connection, &BTreeMap::new()).await {
            // A paused warehouse resumes and is available when the launcher is retried.
            Err(failure) if failure.kind == FailureKind::TimedOut => {
                Err(Failure::new(FailureKind::Unavailable, failure.message))
            }
            result => result,
        }
    }
}

/// Partition to begin with, which differs from run to run.
fn start(job: &JobRecord) -> usize {
    job.workflow_execution_id.bytes().fold(0, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
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
    fn a_load_takes_all_staged_files() {
        let files = [file(0, 0, 9, 3, 10), file(0, 10, 19, 3, 10), file(1, 0, 4, 2, 10)];
        let chosen = choose(&files, 3, PLENTY, 0);
        let mut taken = chosen.keys.clone();
        taken.sort();
        assert_eq!((taken, chosen.more), (keys(&files), false));
        assert_eq!(choose(&[], 3, PLENTY, 5), Chosen::default());
    }

    #[test]
    fn an_overlapping_redelivery_waits_for_the_next_load() {
        let files = [file(0, 0, 9, 3, 10), file(0, 5, 19, 3, 10), file(0, 20, 29, 3, 10)];
        assert_eq!(choose(&files, 3, PLENTY, 0), Chosen { keys: keys(&files[..1]), more: true });
    }

    #[test]
    fn files_of_a_newer_contract_wait_for_a_run_planned_with_it() {
        let files = [file(0, 0, 9, 3, 10), file(0, 10, 19, 4, 10), file(0, 20, 29, 3, 10)];
        assert_eq!(choose(&files, 3, PLENTY, 0), Chosen { keys: keys(&files[..1]), more: false });
        assert_eq!(choose(&files, 4, PLENTY, 0), Chosen { keys: keys(&files), more: false });
    }

    #[test]
    fn a_file_above_the_size_limit_is_loaded_alone() {
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

        /// Repeated loads, each of the files that the last one left, load all files, skip none and do not overlap.
        #[test]
        fn every_file_is_loaded_and_no_load_skips_one(
            mut left in files(), most_files in 1..9_usize, most_bytes in 1..200_u64, layouts in 1..4_usize,
            mut start in 0..9_usize,
        ) {
            let most = LoadLimits { files: most_files, bytes: most_bytes, layouts };
            let (columns, all) = (6, left.len());
            for loads in 0..=all {
                let chosen = choose(&left, columns, most, start);
                if left.is_empty() {
                    prop_assert_eq!(&chosen, &Chosen::default());
                    break;
                }
                prop_assert!(loads < all, "a load took no file");
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
                    prop_assert_eq!(passed, None, "a load skipped a file");
                    let before = taken.iter().filter(of_partition).filter(|other| at(other) < at(file));
                    prop_assert!(before.into_iter().all(|other| other.staged.last < file.staged.first), "overlap");
                }
                left = rest;
                start += 1;
            }
        }

        /// If a load has room for one file of each partition, it takes one of each.
        #[test]
        fn each_partition_gets_a_share_of_a_load(left in files(), start in 0..9_usize) {
            let partitions: std::collections::BTreeSet<_> = left.iter().map(|file| file.staged.partition.clone()).collect();
            let most = LoadLimits { files: partitions.len().max(1), bytes: u64::MAX, layouts: 9 };
            let chosen = choose(&left, 6, most, start);
            let given: std::collections::BTreeSet<_> =
                left.iter().filter(|file| chosen.keys.contains(&file.key)).map(|file| file.staged.partition.clone()).collect();
            prop_assert_eq!(given, partitions);
        }
    }
}
