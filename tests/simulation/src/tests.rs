use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;
use proptest::prelude::*;
use serde_json::{Value, json};
use shiftwork_ports::{Ledger as _, Progress};
use shiftwork_protocol::{JobRecord, Status, workflow::RunIf};

use crate::machine::Machine;

/// A workflow to run: stages of jobs, edges of the user's own, and which jobs cannot succeed.
#[derive(Debug, Clone)]
struct Case {
    workflow: Value,
    scripts: BTreeMap<String, String>,
    broken: Vec<String>,
}

fn a_case() -> impl Strategy<Value = Case> {
    let job = (0..100_u8, 0..10_u8, 0..3_u8, any::<prop::sample::Index>(), 0..10_u8);
    let stage = (any::<bool>(), prop::collection::vec(job, 1..6), 0..10_u8);
    prop::collection::vec(stage, 1..5).prop_map(|stages| {
        let (mut names, mut scripts, mut broken, mut out) =
            (Vec::<String>::new(), BTreeMap::new(), Vec::new(), Vec::new());
        for (sequential, jobs, left_out) in stages {
            let mut listed = Vec::new();
            let before = names.len();
            for (kind, run_if, retries, upstream, breaks) in jobs {
                let name = format!("job_{}.sql", names.len() + listed.len());
                let mut job = json!({ "script": name, "retries": retries,
                    "run_if": match run_if { 0 => "all_done", 1 => "one_failed", _ => "all_success" } });
                if before > 0 && kind % 3 == 0 {
                    job["depends_on"] = json!([names[upstream.index(before)]]);
                }
                let statements = if kind == 1 { 95 } else { 1 };
                if statements > 1 {
                    job["transaction"] = json!("per_statement");
                }
                scripts.insert(name.clone(), "select 1;\n".repeat(statements));
                if breaks == 0 {
                    broken.push(name.clone());
                }
                listed.push((name, job));
            }
            // The last stage stays in, so that there is always something to run.
            if left_out > 0 || out.is_empty() {
                names.extend(listed.iter().map(|(name, _)| name.clone()));
                out.push(json!({ "execution_type": if sequential { "sequential" } else { "parallel" },
                    "scripts": listed.into_iter().map(|(_, job)| job).collect::<Vec<_>>() }));
            }
        }
        Case { workflow: json!({ "workflow_id": "w", "workflow_stages": out }), scripts, broken }
    })
}

fn machine(case: &Case, seed: u64, troubles: u32) -> Machine {
    let mut machine = Machine::new(seed, troubles);
    machine.broken.clone_from(&case.broken);
    machine.calm.configuration.put(case.workflow.clone());
    for (name, text) in &case.scripts {
        machine.calm.scripts.put(&format!("workflows/w/{name}"), text.as_str());
    }
    machine
}

fn jobs(machine: &Machine, run: &str) -> Vec<JobRecord> {
    machine.calm.ledger.jobs(run).now_or_never().unwrap().unwrap()
}

/// What must hold of every run that came to rest, whatever happened to it.
fn check_audit(machine: &Machine, run: &str) {
    let record = machine.run(run).unwrap();
    assert!(record.execution_status.is_terminal(), "{run} is {}", record.execution_status);
    let offences = machine.calm.offences.lock().unwrap().clone();
    assert!(offences.is_empty(), "{offences:#?}");

    let all = jobs(machine, run);
    let by_name: BTreeMap<_, _> = all.iter().map(|job| (job.plan.job_name.as_str(), job)).collect();
    for job in &all {
        let name = &job.plan.job_name;
        assert!(job.execution_status.is_terminal(), "{name} is {}", job.execution_status);
        let ran: Vec<_> = machine
            .calm
            .warehouse
            .all()
            .into_iter()
            .filter(|(submission, _)| submission.attempt.run == run && submission.attempt.job == *name)
            .collect();
        assert!(ran.iter().all(|(_, progress)| *progress != Progress::Active), "{name} still runs in Redshift");
        let finished: BTreeSet<_> = ran
            .iter()
            .filter(|(_, progress)| matches!(progress, Progress::Finished { .. }))
            .map(|(submission, _)| submission.attempt.part)
            .collect();
        match job.execution_status {
            _ if job.plan.work.is_barrier() => assert!(ran.is_empty()),
            Status::Succeeded if job.reused_from.is_none() => {
                // Each part went through, and each exactly once: an attempt that failed later starts over.
                let of_last: Vec<_> = ran
                    .iter()
                    .filter(|(s, p)| s.attempt.attempt == job.attempt && matches!(p, Progress::Finished { .. }))
                    .map(|(s, _)| s.attempt.part)
                    .collect();
                assert_eq!(of_last.len(), job.plan.work.parts() as usize, "{name}: {of_last:?}");
                if job.plan.work.parts() == 1 {
                    assert_eq!(finished.len(), 1, "{name} ran more than once");
                    let times = ran.iter().filter(|(_, p)| matches!(p, Progress::Finished { .. })).count();
                    assert_eq!(times, 1, "{name} succeeded {times} times");
                }
            }
            Status::Skipped => assert!(ran.is_empty(), "{name} was skipped and ran"),
            Status::Planning
            | Status::Queued
            | Status::Pending
            | Status::Running
            | Status::Succeeded
            | Status::Failed
            | Status::TimedOut
            | Status::Aborted => {}
        }
        // What its `run_if` promised.
        let failed = job.plan.upstreams.iter().any(|up| by_name[up.as_str()].execution_status != Status::Succeeded);
        if !ran.is_empty() {
            match job.plan.run_if {
                RunIf::AllSuccess => assert!(!failed, "{name} ran after a failure"),
                RunIf::OneFailed => assert!(failed, "{name} ran without a failure"),
                RunIf::AllDone => {}
            }
        }
    }
    let unwell =
        all.iter().any(|job| matches!(job.execution_status, Status::Failed | Status::TimedOut | Status::Aborted));
    assert_eq!(record.execution_status == Status::Succeeded, !unwell, "{run} is {}", record.execution_status);
    let lease = machine.calm.ledger.lease("w").now_or_never().unwrap().unwrap().unwrap();
    assert_eq!(lease.holder, None, "the lease was not given back");
}

proptest! {
    // A restart needs a run that did not succeed, and six of ten succeed.
    #![proptest_config(ProptestConfig {
        cases: 192,
        max_shrink_iters: 200,
        max_global_rejects: 100_000,
        ..ProptestConfig::default()
    })]

    /// Kills, lost answers, throttling, conflicts, events twice or never: every run ends right.
    #[test]
    fn every_run_ends_right(case in a_case(), seed: u64, troubles in 0..40_u32) {
        let mut machine = machine(&case, seed, troubles);
        let request = json!({ "workflow_id": "w", "workflow_execution_id": "r" });
        machine.request(&request).unwrap();
        // The same request again is the same run.
        machine.request(&request).unwrap();
        machine.settle();
        check_audit(&machine, "r");
        if case.broken.is_empty() && troubles == 0 {
            let record = machine.run("r").unwrap();
            prop_assert_eq!(record.execution_status, Status::Succeeded);
        }
    }

    /// Without bad luck, nothing is handed to Redshift twice, and nothing is left to its deduplication.
    #[test]
    fn a_calm_run_submits_once(case in a_case(), seed: u64) {
        let mut machine = machine(&case, seed, 0);
        machine.request(&json!({ "workflow_id": "w", "workflow_execution_id": "r" })).unwrap();
        machine.settle();
        check_audit(&machine, "r");
        let handed_over = machine.calm.handed_over.lock().unwrap().clone();
        prop_assert!(handed_over.values().all(|times| *times == 1), "{:?}", handed_over);
    }

    /// A task may time out, a person may stop the execution: the run ends, nothing runs on, and the workflow is free.
    #[test]
    fn stopped_runs_leave_nothing_behind(case in a_case(), seed: u64, troubles in 0..30_u32, stop in any::<bool>()) {
        let mut machine = machine(&case, seed, troubles);
        machine.timeouts = true;
        machine.request(&json!({ "workflow_id": "w", "workflow_execution_id": "r" })).unwrap();
        if stop {
            machine.some_steps();
            machine.stop("r");
        }
        machine.settle();
        check_audit(&machine, "r");
    }

    /// A restart runs what did not succeed, and only that.
    #[test]
    fn a_restart_reuses_what_succeeded(case in a_case(), seed: u64, troubles in 0..20_u32) {
        let mut machine = machine(&case, seed, troubles);
        machine.request(&json!({ "workflow_id": "w", "workflow_execution_id": "r1" })).unwrap();
        machine.settle();
        let before = jobs(&machine, "r1");
        prop_assume!(machine.run("r1").unwrap().execution_status != Status::Succeeded);
        machine.broken.clear();
        machine.request(&json!({ "workflow_id": "w", "workflow_execution_id": "r2", "restart_of": "r1" })).unwrap();
        machine.settle();
        check_audit(&machine, "r2");
        let (first, second) = (machine.run("r1").unwrap(), machine.run("r2").unwrap());
        prop_assert_eq!(first.logical_date, second.logical_date);
        let after = jobs(&machine, "r2");
        for (before, after) in before.iter().zip(&after) {
            let rerun = after.reused_from.is_none();
            if before.execution_status != Status::Succeeded {
                prop_assert!(rerun, "{} had not succeeded", after.plan.job_name);
            } else if after.plan.upstreams.is_empty() {
                prop_assert!(!rerun, "{} had succeeded, and nothing is before it", after.plan.job_name);
            }
        }
    }

    /// Overlapping requests queue, and each run of the queue ends right.
    #[test]
    fn queued_runs_follow_each_other(case in a_case(), seed: u64, troubles in 0..20_u32) {
        let mut case = case;
        case.workflow["on_overlap"] = json!("queue");
        let mut machine = machine(&case, seed, troubles);
        for run in ["r1", "r2", "r3"] {
            machine.request(&json!({ "workflow_id": "w", "workflow_execution_id": run })).unwrap();
        }
        machine.settle();
        for run in ["r1", "r2", "r3"] {
            check_audit(&machine, run);
        }
    }
}
