//! Every file is loaded at most once, and the register holds the result of each file.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;
use shiftwork_ports::{
    Clock as _, FileRegister as _, Progress,
    fake::{MemoryBucket, a_file},
};
use shiftwork_protocol::{
    Manifest, Status,
    file::{Entry, FileRecord, FileStatus, FileStep},
};

use crate::machine::Machine;

const FEED: &str =
    "feed: orders\nbucket: landing\nkeys: orders/**.csv\nformat: csv\ntable: sales.orders\nbatch: { files: 7 }\n";

fn machine(seed: u64, max_faults: u32) -> Machine {
    let machine = Machine::new(seed, max_faults);
    machine.fakes.configuration.put(json!({ "workflow_id": "load", "on_overlap": "queue", "workflow_stages": [
        { "execution_type": "sequential", "scripts": [
            { "job_name": "files", "kind": "copy", "files": "pending(orders)", "retries": 1 }, "after.sql" ] } ] }));
    machine.fakes.scripts.put("workflows/load/after.sql", "select 1");
    machine.fakes.scripts.put("feeds/orders.yaml", FEED);
    machine
}

/// The URL of file number `n`.
fn url_of(n: usize) -> String {
    format!("s3://landing/orders/{n:03}.csv")
}

/// Registers file number `n`, once or twice: S3 can deliver an event more than once.
fn land(machine: &Machine, n: usize) {
    let file = FileRecord {
        received_ts: machine.clock.now(),
        registered_ts: machine.clock.now(),
        ..a_file(&format!("orders/{n:03}.csv"), "1")
    };
    MemoryBucket::of(machine.fakes.objects.clone(), "landing").put(&file.key, "1,2\n");
    for _ in 0..=machine.faults.random_below(2) {
        machine.fakes.files.put(&Entry::File(Box::new(file.clone()))).now_or_never().unwrap().unwrap();
    }
}

/// Number of headers that the files of the property test have: more than one batch may have.
const HEADERS: usize = 12;

/// A machine with a feed that assigns fields by the header of each file.
fn machine_by_header(seed: u64, max_faults: u32) -> Machine {
    let machine = machine(seed, max_faults);
    let names: Vec<_> = (0..HEADERS).map(|n| format!("c{n}")).collect();
    let feed = format!("{FEED}header_lines: 1\ncolumns: [{}]\ncolumns_by: header\n", names.join(", "));
    machine.fakes.scripts.put("feeds/orders.yaml", feed.replace("files: 7", "files: 30"));
    machine
}

/// The columns in the header of file number `n`, which begins at another column for each header.
fn header(n: usize) -> Vec<String> {
    (0..HEADERS).map(|at| format!("c{}", (at + n) % HEADERS)).collect()
}

/// Checks that each file was loaded by a COPY with the columns of its header.
fn check_columns(machine: &Machine) {
    for (submission, _) in machine.fakes.warehouse.all().iter().filter(|(of, _)| of.attempt.job == "files") {
        let mut urls = Vec::new();
        let copies = submission.sqls.iter().filter(|sql| !sql.contains("NOLOAD"));
        for sql in copies {
            let (into, rest) = sql.split_once(" FROM 's3://").unwrap();
            let key = rest.split_once('\'').unwrap().0.split_once('/').unwrap().1;
            let manifest = machine.fakes.staging.get(key).now_or_never().unwrap().unwrap().unwrap();
            for url in serde_json::from_slice::<Manifest>(&manifest).unwrap().urls() {
                let n: usize = url.trim_start_matches("s3://landing/orders/").trim_end_matches(".csv").parse().unwrap();
                let quoted: Vec<_> = header(n).iter().map(|name| format!("\"{name}\"")).collect();
                assert!(into.ends_with(&format!(" ({})", quoted.join(", "))), "{url}: {sql}");
                urls.push(url);
            }
        }
        urls.sort();
        let mut expected = machine.manifest_urls(&submission.attempt);
        expected.sort();
        assert_eq!(urls, expected, "{:#?}", submission.sqls);
        assert!(submission.sqls.len() <= 20, "{:#?}", submission.sqls);
    }
}

/// Number of committed loads by URL of a file.
fn loads(machine: &Machine) -> BTreeMap<String, u32> {
    let mut loads = BTreeMap::new();
    for (submission, progress) in machine.fakes.warehouse.all() {
        if submission.attempt.job == "files" && progress == Progress::Finished {
            for url in machine.manifest_urls(&submission.attempt) {
                *loads.entry(url).or_default() += 1;
            }
        }
    }
    loads
}

/// Checks that the register agrees with the loads that Redshift committed.
fn check(machine: &Machine) {
    let loads = loads(machine);
    for file in machine.fakes.files.files() {
        let (url, loaded) = (file.url(), loads.get(&file.url()).copied().unwrap_or_default());
        assert_eq!(
            loaded,
            u32::from(file.file_status == FileStatus::Processed),
            "number of loads of {url}, which is {}: {:#?}",
            file.file_status,
            file.history
        );
        assert_eq!(
            file.file_status == FileStatus::Quarantined,
            machine.bad_files.contains(&url) && file.file_status != FileStatus::Failed,
            "{url} is {} with the reason {:?}; unless FAILED, exactly the files that COPY cannot load are QUARANTINED",
            file.file_status,
            file.reason
        );
        assert_eq!(
            file.reason.is_some(),
            matches!(file.file_status, FileStatus::Failed | FileStatus::Quarantined),
            "exactly a FAILED or QUARANTINED file must have a reason: {url}"
        );
        let batches: Vec<_> = file
            .history
            .windows(2)
            .filter(|two| two[0].file_status == FileStatus::Processing && two[1].file_status == FileStatus::Batched)
            .collect();
        assert!(batches.is_empty(), "{url} was moved to another batch during its load: {:#?}", file.history);
    }
}

/// Requests runs until no file is open. The clock advances by 11 minutes between runs, so that locks of stopped functions
/// expire.
fn drain(machine: &mut Machine) -> Result<(), TestCaseError> {
    for round in 0..40 {
        machine.run_until_idle();
        let open: Vec<_> = machine.fakes.files.files().into_iter().filter(|file| file.file_status.is_open()).collect();
        if open.is_empty() {
            return Ok(());
        }
        machine.clock.pass(SignedDuration::from_mins(11));
        let request = json!({ "workflow_id": "load", "workflow_execution_id": format!("drain-{round}") });
        let _ = machine.request(&request);
    }
    let open: Vec<_> = machine.fakes.files.files().into_iter().filter(|file| file.file_status.is_open()).collect();
    Err(TestCaseError::fail(format!("these files are still open after 40 runs: {open:#?}")))
}

#[derive(Debug, Clone)]
struct Case {
    /// Number of files that arrive before each run is requested.
    landings: Vec<usize>,
    /// Numbers of the files that COPY cannot load.
    bad: BTreeSet<usize>,
    /// Whether each run is stopped while it runs.
    stopped: Vec<bool>,
    seed: u64,
    max_faults: u32,
}

fn any_case() -> impl Strategy<Value = Case> {
    (
        prop::collection::vec(0..12_usize, 1..5),
        prop::collection::btree_set(0..40_usize, 0..6),
        prop::collection::vec(any::<bool>(), 5),
        any::<u64>(),
        0..14_u32,
    )
        .prop_map(|(landings, bad, stopped, seed, max_faults)| Case { landings, bad, stopped, seed, max_faults })
}

/// Registers the files of the case and requests its runs. Stops runs only with `stops`.
fn run_case(case: &Case, stops: bool) -> Machine {
    let mut machine = machine(case.seed, case.max_faults);
    machine.bad_files = case.bad.iter().copied().map(url_of).collect();
    let mut landed = 0;
    for (n, files) in case.landings.iter().enumerate() {
        for _ in 0..*files {
            land(&machine, landed);
            landed += 1;
        }
        let run = format!("run-{n}");
        let _ = machine.request(&json!({ "workflow_id": "load", "workflow_execution_id": run }));
        machine.run_some_steps();
        if stops && case.stopped[n] && machine.run(&run).is_some_and(|run| run.execution_status == Status::Running) {
            machine.stop(&run);
        }
    }
    machine
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn every_file_reaches_one_end_and_is_loaded_once_after_any_crash(case in any_case()) {
        let mut machine = run_case(&case, false);
        drain(&mut machine)?;
        check(&machine);
    }

    #[test]
    fn every_file_is_loaded_into_the_columns_of_its_header_after_any_crash(
        files in 1..40_usize, strange in prop::collection::btree_set(0..40_usize, 0..4),
        bad in prop::collection::btree_set(0..40_usize, 0..4), seed in any::<u64>(), max_faults in 0..14_u32,
    ) {
        let mut machine = machine_by_header(seed, max_faults);
        machine.bad_files = bad.iter().copied().map(url_of).collect();
        for n in 0..files {
            land(&machine, n);
            let mut header = header(n);
            if strange.contains(&n) {
                header[n % HEADERS] = "note".into();
            }
            let text = format!("{}\n1,2\n", header.join(","));
            MemoryBucket::of(machine.fakes.objects.clone(), "landing").put(&format!("orders/{n:03}.csv"), text);
        }
        let _ = machine.request(&json!({ "workflow_id": "load", "workflow_execution_id": "run-0" }));
        drain(&mut machine)?;
        check_columns(&machine);
        machine.bad_files.extend(strange.iter().copied().map(url_of));
        check(&machine);
        for file in machine.fakes.files.files() {
            let is_refused = strange.iter().any(|n| file.url() == url_of(*n));
            let reason = file.reason.unwrap_or_default();
            prop_assert_eq!(is_refused, reason.contains("the header has the field `note`"), "{}: {}", file.key, reason);
        }
    }

    #[test]
    fn a_run_that_is_stopped_leaves_no_file_in_doubt(case in any_case()) {
        let mut machine = run_case(&case, true);
        drain(&mut machine)?;
        check(&machine);
    }

    #[test]
    fn a_restart_loads_what_the_stopped_run_left_and_a_retry_the_rest(case in any_case()) {
        let mut machine = run_case(&case, true);
        machine.run_until_idle();
        for n in 0..case.landings.len() {
            let earlier = format!("run-{n}");
            let ended = machine.run(&earlier).map(|run| run.execution_status);
            if matches!(ended, Some(Status::Failed | Status::TimedOut | Status::Aborted)) {
                let request = json!({ "workflow_id": "load", "restart_of": earlier, "workflow_execution_id": format!("again-{n}") });
                let _ = machine.request(&request);
                machine.run_some_steps();
            }
        }
        drain(&mut machine)?;
        check(&machine);
        for _ in 0..10 {
            for file in machine.fakes.files.files() {
                if file.file_status == FileStatus::Failed {
                    machine.fakes.files.step(&file, &FileStep::Retry, Timestamp::UNIX_EPOCH).now_or_never().unwrap().unwrap();
                }
            }
            drain(&mut machine)?;
        }
        check(&machine);
        for file in machine.fakes.files.files() {
            let bad = machine.bad_files.contains(&file.url());
            prop_assert_eq!(file.file_status, if bad { FileStatus::Quarantined } else { FileStatus::Processed });
        }
    }
}
