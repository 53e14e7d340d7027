use jiff::SignedDuration;
use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn file(key: &str, sequencer: &str) -> FileRecord {
    serde_json::from_value(json!({ "feed": "orders", "bucket": "landing", "key": key, "size": 100,
        "etag": format!("etag-{sequencer}"), "sequencer": sequencer, "received_ts": NOW, "registered_ts": NOW,
        "file_status": "RECEIVED", "revision": 0 }))
    .unwrap()
}

fn claim(batch: &str, until: Timestamp) -> FileStep {
    FileStep::Claim { batch: batch.into(), until }
}

#[test]
fn two_batches_never_claim_the_same_file() {
    let later = NOW + SignedDuration::from_mins(10);
    let file = file("orders/a.csv", "1");
    let claimed = file.after(&claim("one", later), NOW).unwrap();
    assert_eq!(claimed.after(&claim("two", later), NOW), None);
    let taken_over = claimed.after(&claim("two", later + SignedDuration::from_mins(1)), later).unwrap();
    assert!(taken_over.is_of("two"), "another batch may take over an expired claim");
    assert_eq!(taken_over.after(&FileStep::Begin { batch: "one".into(), until: later }, later), None);
}

#[test]
fn no_other_batch_claims_a_file_that_is_processing() {
    let file = file("orders/a.csv", "1").after(&claim("one", NOW), NOW).unwrap();
    let begun = file.after(&FileStep::Begin { batch: "one".into(), until: NOW }, NOW).unwrap();
    let much_later = NOW + SignedDuration::from_hours(100);
    assert_eq!(begun.after(&claim("two", much_later), much_later), None);
}

#[test]
fn only_a_late_success_or_a_retry_changes_a_final_status() {
    let file = file("orders/a.csv", "1").after(&claim("one", NOW), NOW).unwrap();
    let end = |to| FileStep::End { batch: "one".into(), to, reason: None };
    let failed = file.after(&end(FileStatus::Failed), NOW).unwrap();
    let processed = failed.after(&end(FileStatus::Processed), NOW).unwrap();
    for to in FileStatus::ALL {
        assert_eq!(processed.after(&end(to), NOW), None);
    }
    assert_eq!(processed.after(&FileStep::Retry, NOW), None);
    let again = failed.after(&FileStep::Retry, NOW).unwrap();
    assert_eq!(again.after(&end(FileStatus::Processed), NOW), None, "after a retry the batch no longer has the file");
}

#[test]
fn a_version_is_outdated_by_one_with_a_later_sequencer() {
    let of = |sequencer: &str| file("orders/a.csv", sequencer);
    let (older, newer) = (of("0055AED6DCD90281E501"), of("0055AED6DCD90281E6"));
    let history = KeyHistory { files: vec![older.clone(), newer.clone()], deletions: Vec::new() };
    assert!(history.outdated(&older).is_some());
    assert_eq!(history.outdated(&newer), None, "the shorter sequencer is padded on its right");
}

/// A bucket without versioning, or with it: what the register does with events of one key, in the order in which they arrive.
#[derive(Default)]
struct Register(KeyHistory);

impl Register {
    fn put(&mut self, etag: &str, version: Option<&str>, sequencer: &str) {
        let mut new = file("k", sequencer);
        new.etag = Some(etag.into());
        new.version_id = version.map(Into::into);
        match self.0.files.iter_mut().find(|there| there.id() == new.id()) {
            Some(there) => {
                if let Some(next) = there.after(&FileStep::SentAgain(new.put()), NOW) {
                    *there = next;
                }
            }
            None => self.0.files.push(new),
        }
    }

    fn delete(&mut self, version: Option<&str>, marker: Option<&str>, sequencer: &str) {
        self.0.deletions.push(Deletion {
            feed: "orders".into(),
            bucket: "landing".into(),
            key: "k".into(),
            version_id: version.map(Into::into),
            marker_id: marker.map(Into::into),
            sequencer: Some(sequencer.into()),
            deleted_ts: NOW,
        });
        while let Some(file) = self.0.current_again().cloned() {
            self.step(file.etag.as_deref().unwrap(), &FileStep::CurrentAgain);
        }
    }

    fn step(&mut self, etag: &str, step: &FileStep) {
        let file = self.0.files.iter_mut().find(|file| file.etag.as_deref() == Some(etag)).unwrap();
        *file = file.after(step, NOW).unwrap();
    }

    /// Claims every open file, and ends it as a batch does. Returns the contents that were loaded.
    fn batch(&mut self) -> Vec<String> {
        let mut loaded = Vec::new();
        for n in 0..self.0.files.len() {
            if self.0.files[n].file_status != FileStatus::Received {
                continue;
            }
            let etag = self.0.files[n].etag.clone().unwrap();
            self.step(&etag, &claim("b", NOW));
            let (to, reason) = match self.0.outdated(&self.0.files[n]) {
                Some(reason) => (FileStatus::Quarantined, Some(reason.to_owned())),
                None => (FileStatus::Processed, None),
            };
            if to == FileStatus::Processed {
                loaded.push(etag.clone());
            }
            self.step(&etag, &FileStep::End { batch: "b".into(), to, reason });
        }
        loaded
    }

    fn status(&self, etag: &str) -> FileStatus {
        self.0.files.iter().find(|file| file.etag.as_deref() == Some(etag)).unwrap().file_status
    }
}

const NOTHING: [String; 0] = [];

#[test]
fn content_that_was_deleted_and_sent_again_is_loaded() {
    let mut key = Register::default();
    key.put("C", None, "1");
    key.delete(None, None, "2");
    assert_eq!(key.batch(), NOTHING);
    assert_eq!(key.status("C"), FileStatus::Quarantined);
    key.put("C", None, "3");
    assert_eq!(key.batch(), ["C"]);
    key.put("C", None, "3");
    key.put("C", None, "4");
    assert_eq!(key.batch(), NOTHING, "content that was loaded is not loaded again");
}

#[test]
fn content_that_was_overwritten_and_sent_again_is_loaded() {
    for versions in [[None; 3], [Some("v1"), Some("v2"), Some("v3")]] {
        let mut key = Register::default();
        key.put("A", versions[0], "1");
        key.put("B", versions[1], "2");
        assert_eq!(key.batch(), ["B"]);
        assert_eq!(key.status("A"), FileStatus::Quarantined);
        key.put("A", versions[2], "3");
        assert_eq!(key.batch(), ["A"]);
        assert_eq!(key.status("B"), FileStatus::Processed);
    }
}

#[test]
fn the_same_content_is_loaded_once_with_and_without_versioning() {
    for versions in [[None; 2], [Some("v1"), Some("v2")]] {
        let mut key = Register::default();
        key.put("C", versions[0], "1");
        assert_eq!(key.batch(), ["C"]);
        key.put("C", versions[1], "2");
        assert_eq!(key.batch(), NOTHING);
        assert_eq!(key.0.files.len(), 1);
    }
}

#[test]
fn a_failed_file_that_is_sent_again_is_opened_again_unless_it_may_be_loaded() {
    for (reason, opened) in [("COPY failed", true), (IN_DOUBT, false)] {
        let mut key = Register::default();
        key.put("C", None, "1");
        key.step("C", &claim("b", NOW));
        key.step("C", &FileStep::End { batch: "b".into(), to: FileStatus::Failed, reason: Some(reason.into()) });
        key.put("C", None, "1");
        assert_eq!(key.status("C"), FileStatus::Failed, "the same event twice");
        key.put("C", None, "2");
        assert_eq!(key.status("C") == FileStatus::Received, opened, "{reason}");
    }
}

#[test]
fn a_key_that_is_back_is_loaded() {
    // The delete marker is deleted.
    let mut key = Register::default();
    key.put("A", Some("v1"), "1");
    key.delete(None, Some("m1"), "2");
    assert_eq!(key.batch(), NOTHING);
    key.delete(Some("m1"), None, "3");
    assert_eq!(key.batch(), ["A"]);
    // The newest version is deleted. The events arrive in the other order.
    let mut key = Register::default();
    key.delete(Some("v2"), None, "3");
    key.put("B", Some("v2"), "2");
    key.put("A", Some("v1"), "1");
    assert_eq!(key.batch(), ["A"]);
    assert_eq!(key.status("B"), FileStatus::Quarantined);
    // One of two versions with the same content is deleted.
    let mut key = Register::default();
    key.put("A", Some("v1"), "1");
    key.put("B", Some("v2"), "2");
    key.put("A", Some("v3"), "3");
    key.delete(Some("v3"), None, "4");
    assert_eq!(key.batch(), ["B"]);
    key.delete(Some("v2"), None, "5");
    assert_eq!(key.batch(), ["A"]);
}

#[test]
fn a_key_that_changed_during_the_load_leaves_doubt() {
    let claimed = |key: &mut Register| {
        key.put("A", None, "1");
        key.step("A", &claim("b", NOW));
    };
    let changed = |key: &Register| key.0.changed_since_claim(&key.0.files[0]);
    let mut key = Register::default();
    claimed(&mut key);
    key.put("A", None, "2");
    assert!(!changed(&key), "the same content");
    key.put("B", None, "3");
    assert!(changed(&key));
    key.put("A", None, "4");
    assert!(changed(&key), "the COPY may have read B");
    let mut key = Register::default();
    claimed(&mut key);
    key.delete(None, None, "2");
    key.put("A", None, "3");
    assert!(changed(&key));
}

#[test]
fn a_person_can_load_a_processed_file_again() {
    let mut key = Register::default();
    key.put("A", None, "1");
    assert_eq!(key.batch(), ["A"]);
    key.step("A", &FileStep::Reload);
    assert_eq!(key.0.files[0].reopenings(), 1);
    assert_eq!(key.batch(), ["A"]);
}
