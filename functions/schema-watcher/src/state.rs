//! What the schema-watcher remembers of a contract: one small object in the staging bucket.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shiftwork_change_data::{column_type::ColumnType, contract::Column};
use shiftwork_ports::{Bucket, Changed, Condition, NewObject, Result};
use shiftwork_protocol::{
    Failure,
    drift::{Drift, Finding},
    keys::{DRIFT_RECORDS, drift_record_key},
    name::sha256,
};

/// Staged files that are remembered by name: more are a backlog, and then the marks stay until it is gone.
pub const MOST_WAITING: usize = 2_000;

/// What is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchState {
    /// What was found last.
    #[serde(default)]
    pub drift: Option<Drift>,
    /// Which findings people were told of.
    #[serde(default)]
    pub told: BTreeSet<String>,
    /// The mark that was seen last.
    #[serde(default)]
    pub seen: Option<SeenMark>,
    /// The migration that was begun. It is written here before the first statement is submitted.
    #[serde(default)]
    pub intent: Option<Intent>,
    /// The migration that was done last.
    #[serde(default)]
    pub done: Option<String>,
    /// Whether a migration was begun and given up: the next look asks Redshift, mark or no mark.
    #[serde(default)]
    pub given_up: bool,
}

/// A mark, and the staged files that were not loaded when it was first seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenMark {
    /// The mark's.
    pub etag: String,
    /// Their keys; none where they were too many.
    pub waiting: Option<BTreeSet<String>>,
}

/// A migration that is to be done whatever happens to whoever began it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The same for the same statements under the same contract.
    pub id: String,
    /// ETag of that contract.
    pub contract: String,
    /// When it was begun.
    pub begun_ts: Timestamp,
    /// Statements that commit one by one, in their order.
    pub before: Vec<String>,
    /// Then these, as one transaction.
    pub transaction: Vec<String>,
    /// What comes into the contract behind its columns.
    pub added: Vec<Column>,
    /// Columns of the contract that get another type.
    pub widened: BTreeMap<String, ColumnType>,
    /// The fields whose values move.
    pub fields: BTreeSet<String>,
    /// Whether Redshift is at a statement that nobody waits for.
    #[serde(default)]
    pub unattended: bool,
}

/// A record as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredState {
    /// What it says.
    pub record: WatchState,
    /// Its ETag; none where there is no record yet.
    pub etag: Option<String>,
}

/// Reads the record of a contract.
pub async fn read(staging: &Bucket, contract: &str) -> Result<StoredState> {
    let key = drift_record_key(contract);
    let Some(stored) = staging.read(&key).await? else { return Ok(StoredState::default()) };
    let record = serde_json::from_slice(&stored.bytes)
        .map_err(|error| Failure::corrupt(format!("{key} of the staging bucket cannot be read: {error}; delete it")))?;
    Ok(StoredState { record, etag: Some(stored.head.etag) })
}

/// Writes a record over the one that was read. `ConditionFailed`: the record was changed since.
pub async fn write(staging: &Bucket, contract: &str, read: &StoredState, record: &WatchState) -> Result<Changed> {
    if read.etag.is_some() && read.record == *record {
        return Ok(Changed::Done);
    }
    let bytes = serde_json::to_vec(record).map_err(|error| Failure::corrupt(error.to_string()))?;
    let condition = read.etag.clone().map_or(Condition::IfAbsent, Condition::IfUnchanged);
    staging.write(&drift_record_key(contract), NewObject::json(bytes), &condition).await
}

/// Names of all contracts that there are records of.
pub async fn known(staging: &Bucket) -> Result<BTreeSet<String>> {
    let names = keys(staging, DRIFT_RECORDS, usize::MAX).await?;
    Ok(names
        .iter()
        .filter_map(|key| Some(key.strip_prefix(DRIFT_RECORDS)?.strip_suffix(".json")?.to_owned()))
        .collect())
}

/// Keys with a prefix: `most` of them, and one more where there are more.
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

/// What there is to do about a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkDecision {
    /// Whether Redshift can know anything that it did not know at the last look.
    pub ask: bool,
    /// Whether everything that the mark speaks of is in Redshift, so that the mark can go after this look.
    pub settled: bool,
    /// What to remember.
    pub seen: SeenMark,
}

/// Decides about a mark. `staged` are the files that wait for a load now; they are listed after the mark was read, so a file
/// that the mark speaks of is among them, or was loaded.
pub fn decide_mark(seen: Option<&SeenMark>, etag: &str, staged: &BTreeSet<String>) -> MarkDecision {
    let waiting = match seen {
        Some(SeenMark { etag: known, waiting: Some(before) }) if known == etag => {
            let still: BTreeSet<String> = before.intersection(staged).cloned().collect();
            if !still.is_empty() && still.len() == before.len() {
                // Nothing was loaded since.
                let seen = SeenMark { etag: etag.into(), waiting: Some(still) };
                return MarkDecision { ask: false, settled: false, seen };
            }
            Some(still)
        }
        Some(_) | None => (staged.len() <= MOST_WAITING).then(|| staged.clone()),
    };
    let settled = waiting.as_ref().is_some_and(BTreeSet::is_empty);
    MarkDecision { ask: true, settled, seen: SeenMark { etag: etag.into(), waiting } }
}

/// What tells one finding from another: the field, and the kind of thing to do about it. A text that grew another byte is
/// nothing new.
pub fn identity(finding: &Finding) -> String {
    format!("{}-{}", &sha256(&finding.field)[..16], finding.remedy.word())
}

/// What people were not told of, and what they will have been told of. What no longer waits is forgotten: when it comes again, it
/// is news.
pub fn news(told: &BTreeSet<String>, findings: &[Finding]) -> (Vec<Finding>, BTreeSet<String>) {
    let new = findings.iter().filter(|finding| !told.contains(&identity(finding))).cloned().collect();
    (new, findings.iter().map(identity).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use shiftwork_protocol::drift::{Finding, Remedy};

    use super::{SeenMark, decide_mark, news};

    fn files(names: &[u8]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_mark_goes_once_everything_before_it_was_loaded() {
        let first = decide_mark(None, "a", &files(&[1, 2]));
        assert!(first.ask && !first.settled);
        let again = decide_mark(Some(&first.seen), "a", &files(&[1, 2, 3]));
        assert!(!again.ask && !again.settled, "nothing was loaded, so there is nothing to see");
        let partly = decide_mark(Some(&again.seen), "a", &files(&[2, 3, 4]));
        assert!(partly.ask && !partly.settled);
        let wholly = decide_mark(Some(&partly.seen), "a", &files(&[4]));
        assert!(wholly.ask && wholly.settled, "what came after the mark does not hold it");
    }

    #[test]
    fn a_mark_of_another_file_is_another_mark() {
        let seen = decide_mark(None, "a", &files(&[1])).seen;
        let other = decide_mark(Some(&seen), "b", &files(&[2]));
        assert!(other.ask && !other.settled);
        assert_eq!(other.seen, SeenMark { etag: "b".into(), waiting: Some(files(&[2])) });
    }

    #[test]
    fn nothing_waits_where_everything_was_loaded() {
        assert!(decide_mark(None, "a", &files(&[])).settled);
    }

    #[test]
    fn a_backlog_holds_its_mark() {
        let many: BTreeSet<String> = (0..=super::MOST_WAITING).map(|n| n.to_string()).collect();
        let backlog = decide_mark(None, "a", &many);
        assert!(backlog.ask && !backlog.settled && backlog.seen.waiting.is_none());
        assert!(decide_mark(Some(&backlog.seen), "a", &files(&[])).settled);
    }

    fn finding(field: &str, remedy: Remedy) -> Finding {
        Finding { field: field.into(), since: None, rows: 1, seen: String::new(), remedy }
    }

    #[test]
    fn only_what_is_new_is_told() {
        let add = |field: &str, column_type: &str| {
            finding(field, Remedy::Add { column: field.into(), column_type: column_type.into() })
        };
        let (new, told) = news(&BTreeSet::new(), &[add("a", "bigint"), add("b", "varchar(64)")]);
        assert_eq!((new.len(), told.len()), (2, 2));
        let (new, told) = news(&told, &[add("b", "varchar(256)")]);
        assert!(new.is_empty(), "a longer text is no news: {new:?}");
        let (new, _) = news(&told, &[add("a", "bigint"), finding("b", Remedy::Fill { column: "b".into() })]);
        assert_eq!(new.len(), 2, "it came again, and it is another thing");
    }

    proptest! {
        /// A mark never goes while a file waits that was staged before it was first seen.
        #[test]
        fn no_mark_goes_before_its_files(steps in prop::collection::vec((prop::bool::ANY, 0..6_usize), 1..20)) {
            // Files are staged in order and loaded in any; the mark is that of the first file all along.
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
                prop_assert!(look.ask || !look.settled);
                seen = Some(look.seen);
            }
        }
    }
}
