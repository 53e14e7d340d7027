//! The record that schema-watcher keeps of each contract, an object in the staging bucket (`drift_record_key`).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shiftwork_change_data::{column_type::ColumnType, contract::Column};
use shiftwork_ports::{Bucket, Changed, Condition, NewObject, Result};
use shiftwork_protocol::{
    Failure,
    drift::{Drift, FieldType, Finding},
    keys::{DRIFT_RECORDS, drift_record_key},
    name::sha256,
};

/// Most staged files whose keys are kept in a record. If there are more, the mark is kept until fewer files wait for a load.
pub const MOST_WAITING: usize = 2_000;

/// The content of a record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchState {
    /// The findings of the last query.
    #[serde(default)]
    pub drift: Option<Drift>,
    /// Identities of the findings that were reported to users.
    #[serde(default)]
    pub told: BTreeSet<String>,
    /// The mark that was read last.
    #[serde(default)]
    pub seen: Option<SeenMark>,
    /// The migration in progress. It is written before its first statement is submitted.
    #[serde(default)]
    pub intent: Option<Intent>,
    /// Id of the migration that was completed last.
    #[serde(default)]
    pub done: Option<String>,
    /// Whether the last migration was begun and given up. The next invocation then queries Redshift even without a mark.
    #[serde(default)]
    pub given_up: bool,
    /// The types of fields by the schema of the events, from the last mark that had any.
    #[serde(default)]
    pub types: BTreeMap<String, FieldType>,
}

/// A mark, and the staged files that were not loaded when it was first seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenMark {
    /// ETag of the mark.
    pub etag: String,
    /// Keys of the files that waited for a load; `None` if there were more than [`MOST_WAITING`].
    pub waiting: Option<BTreeSet<String>>,
}

/// A migration that will be completed even if the invocation that began it stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Id of the migration: a hash of the contract's ETag and the statements.
    pub id: String,
    /// ETag of the contract.
    pub contract: String,
    /// Time when the migration was begun.
    pub begun_ts: Timestamp,
    /// Statements to be run first, in order, each in its own transaction.
    pub before: Vec<String>,
    /// Statements to be run after these, in one transaction, that replace columns by columns of other types.
    #[serde(default)]
    pub replacement: Vec<String>,
    /// Statements to be run last, in one transaction.
    pub transaction: Vec<String>,
    /// Columns that are added to the contract after its columns.
    pub added: Vec<Column>,
    /// New types of columns of the contract, by column name.
    pub widened: BTreeMap<String, ColumnType>,
    /// Fields whose values are moved.
    pub fields: BTreeSet<String>,
    /// Whether Redshift runs a statement and no invocation waits for it.
    #[serde(default)]
    pub unattended: bool,
}

/// A record as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredState {
    /// The content of the record.
    pub record: WatchState,
    /// ETag of the record; `None` if the record does not exist.
    pub etag: Option<String>,
}

/// Reads the record of a contract. It is empty if the record does not exist.
pub async fn read(staging: &Bucket, contract: &str) -> Result<StoredState> {
    let key = drift_record_key(contract);
    let Some(stored) = staging.read(&key).await? else { return Ok(StoredState::default()) };
    let record = serde_json::from_slice(&stored.bytes).map_err(|error| {
        Failure::corrupt(format!("object {key} of the staging bucket is not a valid record: {error}; delete it"))
    })?;
    Ok(StoredState { record, etag: Some(stored.head.etag) })
}

/// Replaces the record that was read. Returns `ConditionFailed` if the record has been changed since.
pub async fn write(staging: &Bucket, contract: &str, read: &StoredState, record: &WatchState) -> Result<Changed> {
    if read.etag.is_some() && read.record == *record {
        return Ok(Changed::Done);
    }
    let bytes = serde_json::to_vec(record).map_err(|error| Failure::corrupt(error.to_string()))?;
    let condition = read.etag.clone().map_or(Condition::IfAbsent, Condition::IfUnchanged);
    staging.write(&drift_record_key(contract), NewObject::json(bytes), &condition).await
}

/// Names of all contracts that have a record.
pub async fn known(staging: &Bucket) -> Result<BTreeSet<String>> {
    let names = keys(staging, DRIFT_RECORDS, usize::MAX).await?;
    Ok(names
        .iter()
        .filter_map(|key| Some(key.strip_prefix(DRIFT_RECORDS)?.strip_suffix(".json")?.to_owned()))
        .collect())
}

/// Keys with a prefix. If there are more than `most`, at least one more than `most` are returned.
pub async fn keys(bucket: &Bucket, prefix: &str, most: usize) -> Result<BTreeSet<String>> {
    let mut keys: BTreeSet<String> = BTreeSet::new();
    loop {
        let page = bucket.page(prefix, keys.last().map(String::as_str)).await?;
        keys.extend(page.objects.into_iter().map(|object| object.key));
        if !page.more || keys.len() > most {
            return Ok(keys);
        }
    }
}

/// The decision about a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkDecision {
    /// Whether to query Redshift: files of the contract may have been loaded since the last query.
    pub query: bool,
    /// Whether all files that were staged before the mark was first read have been loaded, so that the mark can be deleted after the
    /// query.
    pub settled: bool,
    /// The mark to write to the record.
    pub seen: SeenMark,
}

/// Decides about a mark. `staged` has the keys of the files that wait for a load. They must be listed after the mark was read, so that
/// the file of the mark is among them or has been loaded.
pub fn decide_mark(seen: Option<&SeenMark>, etag: &str, staged: &BTreeSet<String>) -> MarkDecision {
    let waiting = match seen {
        Some(SeenMark { etag: known, waiting: Some(before) }) if known == etag => {
            let still: BTreeSet<String> = before.intersection(staged).cloned().collect();
            if !still.is_empty() && still.len() == before.len() {
                // No file has been loaded since.
                let seen = SeenMark { etag: etag.into(), waiting: Some(still) };
                return MarkDecision { query: false, settled: false, seen };
            }
            Some(still)
        }
        Some(_) | None => (staged.len() <= MOST_WAITING).then(|| staged.clone()),
    };
    let settled = waiting.as_ref().is_some_and(BTreeSet::is_empty);
    MarkDecision { query: true, settled, seen: SeenMark { etag: etag.into(), waiting } }
}

/// The identity of a finding: the field and the kind of remedy. A finding whose values become longer keeps its identity.
pub fn identity(finding: &Finding) -> String {
    format!("{}-{}", &sha256(&finding.field)[..16], finding.remedy.word())
}

/// The findings that have not been reported, and the identities that count as reported afterwards. A finding that disappears and returns
/// is reported again.
pub fn unreported(told: &BTreeSet<String>, findings: &[Finding]) -> (Vec<Finding>, BTreeSet<String>) {
    let new = findings.iter().filter(|finding| !told.contains(&identity(finding))).cloned().collect();
    (new, findings.iter().map(identity).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use shiftwork_protocol::drift::{Finding, Remedy};

    use super::{SeenMark, decide_mark, unreported};

    fn files(names: &[u8]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_mark_is_settled_once_all_earlier_files_are_loaded() {
        let first = decide_mark(None, "a", &files(&[1, 2]));
        assert!(first.query && !first.settled);
        let again = decide_mark(Some(&first.seen), "a", &files(&[1, 2, 3]));
        assert!(!again.query && !again.settled, "no file was loaded, so there is no need for a query");
        let partly = decide_mark(Some(&again.seen), "a", &files(&[2, 3, 4]));
        assert!(partly.query && !partly.settled);
        let wholly = decide_mark(Some(&partly.seen), "a", &files(&[4]));
        assert!(wholly.query && wholly.settled, "files that were staged after the mark do not count");
    }

    #[test]
    fn a_mark_of_another_file_is_another_mark() {
        let seen = decide_mark(None, "a", &files(&[1])).seen;
        let other = decide_mark(Some(&seen), "b", &files(&[2]));
        assert!(other.query && !other.settled);
        assert_eq!(other.seen, SeenMark { etag: "b".into(), waiting: Some(files(&[2])) });
    }

    #[test]
    fn a_mark_without_staged_files_is_settled() {
        assert!(decide_mark(None, "a", &files(&[])).settled);
    }

    #[test]
    fn a_mark_is_kept_while_too_many_files_wait() {
        let many: BTreeSet<String> = (0..=super::MOST_WAITING).map(|n| n.to_string()).collect();
        let backlog = decide_mark(None, "a", &many);
        assert!(backlog.query && !backlog.settled && backlog.seen.waiting.is_none());
        assert!(decide_mark(Some(&backlog.seen), "a", &files(&[])).settled);
    }

    fn finding(field: &str, remedy: Remedy) -> Finding {
        Finding { field: field.into(), since: None, rows: 1, seen: String::new(), remedy }
    }

    #[test]
    fn only_new_findings_are_reported() {
        let add = |field: &str, column_type: &str| {
            finding(field, Remedy::Add { column: field.into(), column_type: column_type.into() })
        };
        let (new, told) = unreported(&BTreeSet::new(), &[add("a", "bigint"), add("b", "varchar(64)")]);
        assert_eq!((new.len(), told.len()), (2, 2));
        let (new, told) = unreported(&told, &[add("b", "varchar(256)")]);
        assert!(new.is_empty(), "a longer text is not a new finding: {new:?}");
        let (new, _) = unreported(&told, &[add("a", "bigint"), finding("b", Remedy::Fill { column: "b".into() })]);
        assert_eq!(new.len(), 2, "a finding that returned and a finding with another remedy are new");
    }

    proptest! {
        /// A mark is not settled while a file waits that was staged before the mark was first read.
        #[test]
        fn no_mark_is_settled_before_its_files_are_loaded(steps in prop::collection::vec((prop::bool::ANY, 0..6_usize), 1..20)) {
            // Files are staged in order and loaded in any order. The mark is always that of the first file.
            let (mut staged, mut next, mut seen) = (files(&[0]), 1_u8, None);
            let mut before = staged.clone();
            for (stages, load) in steps {
                if stages {
                    staged.insert(next.to_string());
                    next += 1;
                } else if let Some(key) = staged.iter().nth(load).cloned() {
                    staged.remove(&key);
                }
                if seen.is_none() {
                    before.clone_from(&staged);
                }
                let look = decide_mark(seen.as_ref(), "m", &staged);
                prop_assert_eq!(look.settled, before.is_disjoint(&staged));
                prop_assert!(look.query || !look.settled);
                seen = Some(look.seen);
            }
        }
    }
}
