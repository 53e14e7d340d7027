use std::collections::BTreeMap;

use futures::FutureExt as _;
use proptest::prelude::*;
use serde_json::{Value, json};
use shiftwork_ports::{Ledger as _, Progress};
use shiftwork_protocol::{
    Connection, FailureKind, JobRecord, SkipReason, Status, Transaction, Work, event::Event, name::is_job_name,
    workflow::RunIf,
};

use crate::machine::Machine;

/// A workflow with random stages and `depends_on`.
#[derive(Debug, Clone)]
struct Case {
    workflow: Value,
    /// Text of each script by file name.
    scripts: BTreeMap<String, String>,
    /// Names of the jobs whose statements fail at every attempt.
    broken: Vec<String>,
}

fn any_case() -> impl Strategy<Value = Case> {
    let statements = prop::collection::vec(0..12_u8, 1..8);
    let job = (0..100_u8, 0..10_u8, 0..3_u8, any::<prop::sample::Index>(), 0..10_u8, statements);
    let stage = (any::<bool>(), prop::collection::vec(job, 1..6), 0..10_u8, any_limit());
    (prop::collection::vec(stage, 1..5), any_limit()).prop_map(|(stages, of_workflow)| {
        let (mut names, mut scripts, mut broken, mut out) =
            (Vec::<String>::new(), BTreeMap::new(), Vec::new(), Vec::new());
        for (sequential, jobs, keep, of_stage) in stages {
            let mut listed = Vec::new();
            let before = names.len();
            for (kind, run_if, retries, upstream, breaks, statements) in jobs {
                let limited = kind % 4 == 2;
                let name = format!("job_{}.sql", names.len() + listed.len());
                let mut job = json!({ "script": name, "retries": retries,
                    "run_if": match run_if { 0 => "all_done", 1 => "one_failed", _ => "all_success" } });
                if before > 0 && kind % 3 == 0 {
                    job["depends_on"] = json!([names[upstream.index(before)]]);
                }
                if limited {
                    job["connection"] = json!("limited");
                }
                if kind % 4 == 1 {
                    job["transaction"] = json!("per_statement");
                }
                scripts.insert(name.clone(), statements.into_iter().map(statement).collect::<Vec<_>>().join(";\n"));
                if breaks == 0 {
                    broken.push(name.clone());
                }
                listed.push((name, job));
            }
            // The first stage is never left out, so that every workflow has a job.
            if keep > 0 || out.is_empty() {
                names.extend(listed.iter().map(|(name, _)| name.clone()));
                let mut stage = json!({ "execution_type": if sequential { "sequential" } else { "parallel" },
                    "scripts": listed.into_iter().map(|(_, job)| job).collect::<Vec<_>>() });
                if let Some(limit) = of_stage {
                    stage["max_parallel"] = json!(limit);
                }
                out.push(stage);
            }
        }
        let mut workflow = json!({ "workflow_id": "w", "workflow_stages": out });
        if let Some(limit) = of_workflow {
            workflow["max_parallel"] = json!(limit);
        }
        Case { workflow, scripts, broken }
    })
}

/// One statement of a script: most insert rows, and some commit inside or leave something in their session.
fn statement(n: u8) -> &'static str {
    match n {
        0 => "call p()",
        1 => "set search_path to s",
        2 => "truncate t",
        _ => "insert into t select 1",
    }
}

/// A `max_parallel`, in two of five cases.
fn any_limit() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![3 => Just(None), 2 => (1..4_u32).prop_map(Some)]
}

fn machine(case: &Case, seed: u64, max_faults: u32) -> Machine {
    let machine = Machine::new(seed, max_faults);
    machine.fakes.broken.lock().unwrap().clone_from(&case.broken);
    machine.fakes.configuration.put(case.workflow.clone());
    let limited = Connection {
        workgroup: Some("shift".into()),
        database: "dev".into(),
        max_parallel: Some(2),
        ..Connection::default()
    };
    machine.fakes.configuration.connect("limited", limited);
    for (name, text) in &case.scripts {
        machine.fakes.scripts.put(&format!("workflows/w/{name}"), text.as_str());
    }
    machine
}

fn jobs(machine: &Machine, run: &str) -> Vec<JobRecord> {
    machine.fakes.ledger.jobs(run).now_or_never().unwrap().unwrap()
}

/// Whether a job that has ended is a failure for the jobs after it. A job that was skipped because its own condition was
/// not met is none.
fn counts_as_failed(job: &JobRecord) -> bool {
    match job.execution_status {
        Status::Failed | Status::TimedOut | Status::Aborted => true,
        Status::Skipped => job.skip_reason == Some(SkipReason::UpstreamFailed),
        Status::Planning | Status::Queued | Status::Pending | Status::Running | Status::Succeeded => false,
    }
}

/// Checks that a job ran, or was skipped for the right reason, by its `run_if` and the ends of its upstreams. A barrier
/// is skipped exactly if it passes a failure on.
fn check_condition(job: &JobRecord, after_failure: bool, ran: bool, by_name: &BTreeMap<&str, &JobRecord>) {
    let name = &job.plan.job_name;
    assert_eq!(job.execution_status == Status::Skipped, job.skip_reason.is_some(), "{name} has a reason iff skipped");
    let is_met = match job.plan.run_if {
        RunIf::AllSuccess => !after_failure,
        RunIf::OneFailed => after_failure,
        RunIf::AllDone => !job.plan.work.is_barrier() || !after_failure,
    };
    assert!(is_met || !ran, "{name} ran, but its condition was not met");
    match job.execution_status {
        // The earlier run of a restart can have committed the whole work of a job that is not needed any more.
        Status::Succeeded => {
            assert!(is_met || job.reused_from.is_some(), "{name} succeeded, but its condition was not met");
        }
        Status::Skipped => {
            let expected = if after_failure { SkipReason::UpstreamFailed } else { SkipReason::ConditionNotMet };
            assert!(!is_met, "{name} was skipped, but its condition was met");
            assert_eq!(job.skip_reason, Some(expected), "{name}");
            assert_eq!(after_failure, !job.failed_upstreams.is_empty(), "{name} names the failed jobs before it");
            for failed in job.failed_upstreams.iter().filter(|failed| is_job_name(failed)) {
                let status = by_name[failed.as_str()].execution_status;
                assert!(status.is_failure(), "{name} was skipped because of {failed}, which is {status}");
            }
            let message = job.error_message.as_deref().unwrap_or_default();
            assert!(!message.is_empty() && !message.contains('@'), "{name}: {message:?}");
        }
        Status::Failed
        | Status::TimedOut
        | Status::Aborted
        | Status::Planning
        | Status::Queued
        | Status::Pending
        | Status::Running => {}
    }
}

/// Checks the properties that hold for every run that has ended, with any faults.
fn check_audit(machine: &Machine, run: &str) {
    let record = machine.run(run).unwrap();
    assert!(record.execution_status.is_terminal(), "{run} is {}, which is not a final status", record.execution_status);
    let violations = machine.fakes.violations.lock().unwrap().clone();
    assert!(violations.is_empty(), "submissions violated invariants: {violations:#?}");

    let all = jobs(machine, run);
    let by_name: BTreeMap<_, _> = all.iter().map(|job| (job.plan.job_name.as_str(), job)).collect();
    for job in &all {
        let name = &job.plan.job_name;
        assert!(job.execution_status.is_terminal(), "{name} is {}, which is not a final status", job.execution_status);
        let submissions: Vec<_> = machine
            .fakes
            .warehouse
            .all()
            .into_iter()
            .filter(|(submission, _)| submission.attempt.run == run && submission.attempt.job == *name)
            .collect();
        assert!(
            submissions.iter().all(|(_, progress)| *progress != Progress::Active),
            "a statement of {name} still runs in Redshift"
        );
        let finished: Vec<_> = submissions
            .iter()
            .filter(|(_, progress)| *progress == Progress::Finished)
            .map(|(submission, _)| submission.attempt.part)
            .collect::<Vec<_>>();
        match job.execution_status {
            _ if job.plan.work.is_barrier() => {
                assert!(submissions.is_empty(), "{name} is a barrier, but a statement was submitted");
            }
            Status::Succeeded if job.reused_from.is_none() => {
                // Every part that this run had to run finished exactly once, in whichever attempt.
                let (mut parts, expected) = (finished, (job.first_part()..=job.plan.work.parts()).collect::<Vec<_>>());
                parts.sort_unstable();
                assert_eq!(parts, expected, "the parts of {name} that finished");
            }
            Status::Skipped => assert!(submissions.is_empty(), "{name} is skipped, but a statement was submitted"),
            Status::Planning
            | Status::Queued
            | Status::Pending
            | Status::Running
            | Status::Succeeded
            | Status::Failed
            | Status::TimedOut
            | Status::Aborted => {}
        }
        let after_failure = job.plan.upstreams.iter().any(|upstream| counts_as_failed(by_name[upstream.as_str()]));
        check_condition(job, after_failure, !submissions.is_empty(), &by_name);
    }
    let commits = machine.fakes.commits.lock().unwrap().clone();
    for ((job, statement), times) in commits.iter().filter(|_| run == "r") {
        assert_eq!(*times, 1, "statement {statement} of {job} was committed {times} times");
    }
    assert_eq!(
        record.execution_status == Status::Succeeded,
        !all.iter().any(counts_as_failed),
        "{run} is {}, which does not agree with its jobs",
        record.execution_status
    );
    let refreshed = machine
        .fakes
        .notices
        .events()
        .into_iter()
        .any(|event| matches!(event, Event::Refreshed(refreshed) if refreshed.workflow_execution_id == run));
    assert!(
        !refreshed || record.execution_status == Status::Succeeded,
        "{run} is {}, but its refreshed event was published",
        record.execution_status
    );
    let lease = machine.fakes.ledger.lease("w").now_or_never().unwrap().unwrap().unwrap();
    assert_eq!(lease.holder, None, "the lease of the workflow was not released");
}

/// Every `run_if` of a job after every end of the job before it, with a barrier between them and without one, and a last
/// job that runs unless a failure reaches it.
#[test]
fn run_if_after_every_end_of_the_job_before_it() {
    use Status::{Failed, Skipped, Succeeded};
    let (not_needed, blocked) = (Some(SkipReason::ConditionNotMet), Some(SkipReason::UpstreamFailed));
    for (before, run_if, expected, last) in [
        ("good", "all_success", (Succeeded, None), (Succeeded, None)),
        ("good", "all_done", (Succeeded, None), (Succeeded, None)),
        ("good", "one_failed", (Skipped, not_needed), (Succeeded, None)),
        ("bad", "all_success", (Skipped, blocked), (Skipped, blocked)),
        ("bad", "all_done", (Succeeded, None), (Succeeded, None)),
        // The job ran after a failure and repaired nothing: what follows in the order of the stages does not run.
        ("bad", "one_failed", (Succeeded, None), (Skipped, blocked)),
        ("not_needed", "all_success", (Succeeded, None), (Succeeded, None)),
        ("not_needed", "all_done", (Succeeded, None), (Succeeded, None)),
        ("not_needed", "one_failed", (Skipped, not_needed), (Succeeded, None)),
        ("blocked", "all_success", (Skipped, blocked), (Skipped, blocked)),
        ("blocked", "all_done", (Succeeded, None), (Succeeded, None)),
        ("blocked", "one_failed", (Succeeded, None), (Skipped, blocked)),
    ] {
        for width in [1, 4] {
            // With three siblings, the planner puts barriers between the stages.
            let stage = |name: &str, job: &Value| {
                let sibling = |n| json!({ "script": format!("{name}_{n}.sql"), "run_if": job["run_if"] });
                let scripts: Vec<Value> = std::iter::once(job.clone()).chain((1..width).map(sibling)).collect();
                json!({ "execution_type": "parallel", "scripts": scripts })
            };
            let mut stages = vec![stage("first", &json!({ "script": "first.sql", "run_if": "all_success" }))];
            match before {
                "blocked" => stages.push(stage("mid", &json!({ "script": "mid.sql", "run_if": "all_success" }))),
                "not_needed" => stages.push(stage("mid", &json!({ "script": "mid.sql", "run_if": "one_failed" }))),
                _ => {}
            }
            stages.push(stage("job", &json!({ "script": "job.sql", "run_if": run_if })));
            stages.push(stage("last", &json!({ "script": "last.sql", "run_if": "all_success" })));
            let names = ["first", "mid", "job", "last"];
            let scripts = names.iter().flat_map(|name| {
                std::iter::once(format!("{name}.sql")).chain((1..width).map(move |n| format!("{name}_{n}.sql")))
            });
            let broken = matches!(before, "bad" | "blocked").then(|| "first.sql".to_owned());
            let case = Case {
                workflow: json!({ "workflow_id": "w", "workflow_stages": stages }),
                scripts: scripts.map(|name| (name, "select 1".to_owned())).collect(),
                broken: broken.into_iter().collect(),
            };
            let mut machine = machine(&case, 7, 0);
            machine.request(&json!({ "workflow_id": "w", "workflow_execution_id": "r" })).unwrap();
            machine.run_until_idle();
            check_audit(&machine, "r");
            let all = jobs(&machine, "r");
            let end = |name: &str| {
                let job = all.iter().find(|job| job.plan.job_name == name).unwrap();
                (job.execution_status, job.skip_reason)
            };
            assert_eq!((end("job.sql"), end("last.sql")), (expected, last), "{run_if} after {before}, {width} wide");
            let run = machine.run("r").unwrap().execution_status;
            assert_eq!(run, if case.broken.is_empty() { Succeeded } else { Failed }, "{run_if} after {before}");
        }
    }
}

/// What a person does before a restart: looks at what was committed of each script, and says where a script continues that
/// cannot continue by itself, because the outcome is unknown or the session has ended.
fn decide_where_to_continue(machine: &Machine, before: &[JobRecord]) -> BTreeMap<String, u32> {
    let commits = machine.fakes.commits.lock().unwrap();
    let mut decided = BTreeMap::new();
    for job in before.iter().filter(|job| job.execution_status != Status::Succeeded) {
        let name = &job.plan.job_name;
        let Work::Sql { transaction, session, inner_commits, script, .. } = &job.plan.work else { continue };
        let committed = commits.range((name.clone(), 0)..(name.clone(), usize::MAX)).count();
        let next = u32::try_from(committed).unwrap() + 1;
        let cancelled = matches!(job.execution_status, Status::Aborted | Status::TimedOut);
        let is_open = job.error_name.as_deref() == Some(FailureKind::MayHaveCommitted.name());
        match transaction {
            Transaction::Single if is_open || (cancelled && !inner_commits.is_empty()) => {
                // The job runs again, or is left out.
                decided.insert(name.clone(), if next > script.statements { 2 } else { 1 });
            }
            Transaction::Single => {}
            Transaction::PerStatement => {
                // A procedure that failed or was cancelled can have committed before.
                let inside = job.execution_status == Status::Failed && committed >= job.part as usize;
                let in_call = cancelled && inner_commits.iter().any(|commit| commit.statement == job.part);
                if session.is_some_and(|session| session.is_needed_by(next)) {
                    decided.insert(name.clone(), 1);
                } else if inside || is_open || in_call {
                    decided.insert(name.clone(), next);
                }
            }
        }
    }
    decided
}

/// A statement of a script with `per_statement` is committed once over both runs, unless a person decided that the script
/// runs from its start.
fn check_commits_of_restart(machine: &Machine, before: &[JobRecord], decided: &BTreeMap<String, u32>) {
    let commits = machine.fakes.commits.lock().unwrap().clone();
    for job in before.iter().filter(|job| job.execution_status != Status::Succeeded) {
        let name = &job.plan.job_name;
        let per_statement = matches!(&job.plan.work, Work::Sql { transaction: Transaction::PerStatement, .. });
        if !per_statement || decided.get(name) == Some(&1) {
            continue;
        }
        for ((_, statement), times) in commits.range((name.clone(), 0)..(name.clone(), usize::MAX)) {
            assert_eq!(*times, 1, "statement {statement} of {name} was committed {times} times by both runs");
        }
    }
}

/// A workflow whose lease is held by a run without a record.
fn locked(on_overlap: &str) -> Machine {
    let stages = json!([{ "execution_type": "sequential", "scripts": ["a.sql"] }]);
    let workflow = json!({ "workflow_id": "w", "on_overlap": on_overlap, "workflow_stages": stages });
    let scripts = BTreeMap::from([("a.sql".to_owned(), "select 1".to_owned())]);
    let mut machine = machine(&Case { workflow, scripts, broken: Vec::new() }, 1, 0);
    machine.request(&json!({ "workflow_id": "w", "workflow_execution_id": "lost" })).unwrap();
    machine.fakes.ledger.delete_run("lost");
    machine
}

#[test]
fn the_next_request_takes_the_expired_lease_of_a_run_without_a_record() {
    let mut machine = locked("skip");
    let request = |run: &str| json!({ "workflow_id": "w", "workflow_execution_id": run });
    let skipped = machine.request(&request("early")).unwrap();
    assert_eq!(skipped["execution_status"], "SKIPPED", "until the lease expires, its holder counts as in progress");
    machine.expire_leases();
    machine.request(&request("late")).unwrap();
    machine.run_until_idle();
    check_audit(&machine, "late");
    assert_eq!(machine.run("late").unwrap().execution_status, Status::Succeeded);
}

#[test]
fn a_queued_run_takes_the_expired_lease_of_a_run_without_a_record() {
    let mut machine = locked("queue");
    let queued = machine.request(&json!({ "workflow_id": "w", "workflow_execution_id": "next" })).unwrap();
    assert_eq!(queued["execution_status"], "QUEUED");
    machine.expire_leases();
    machine.sweep();
    machine.run_until_idle();
    check_audit(&machine, "next");
    assert_eq!(machine.run("next").unwrap().execution_status, Status::Succeeded);
}

proptest! {
    // `a_restart_reuses_what_succeeded` rejects the cases whose first run succeeds.
    #![proptest_config(ProptestConfig {
        cases: 192,
        max_shrink_iters: 200,
        max_global_rejects: 100_000,
        ..ProptestConfig::default()
    })]

    /// Every run ends with a status that agrees with its jobs, although functions stop, responses and events are lost,
    /// events are duplicated, calls are throttled and statements conflict.
    #[test]
    fn every_run_ends_right(case in any_case(), seed: u64, max_faults in 0..40_u32) {
        let mut machine = machine(&case, seed, max_faults);
        let request = json!({ "workflow_id": "w", "workflow_execution_id": "r" });
        machine.request(&request).unwrap();
        // A repeated request does not start a second run.
        machine.request(&request).unwrap();
        machine.run_until_idle();
        check_audit(&machine, "r");
        if case.broken.is_empty() && max_faults == 0 {
            let record = machine.run("r").unwrap();
            prop_assert_eq!(record.execution_status, Status::Succeeded);
        }
    }

    /// Without faults, each attempt is submitted once, so that the Data API does not have to deduplicate.
    #[test]
    fn a_run_without_faults_submits_once(case in any_case(), seed: u64) {
        let mut machine = machine(&case, seed, 0);
        machine.request(&json!({ "workflow_id": "w", "workflow_execution_id": "r" })).unwrap();
        machine.run_until_idle();
        check_audit(&machine, "r");
        let submit_calls = machine.fakes.submit_calls.lock().unwrap().clone();
        prop_assert!(submit_calls.values().all(|times| *times == 1), "{:?}", submit_calls);
    }

    /// A run whose tasks time out or whose execution is stopped ends, leaves no statement running and releases its lease.
    #[test]
    fn stopped_runs_leave_nothing_behind(case in any_case(), seed: u64, max_faults in 0..30_u32, stop in any::<bool>()) {
        let mut machine = machine(&case, seed, max_faults);
        machine.timeouts = true;
        machine.request(&json!({ "workflow_id": "w", "workflow_execution_id": "r" })).unwrap();
        if stop {
            machine.run_some_steps();
            machine.stop("r");
        }
        machine.run_until_idle();
        check_audit(&machine, "r");
    }

    /// A restart runs the jobs that did not succeed. It reuses a job that succeeded and has no upstreams.
    #[test]
    fn a_restart_reuses_what_succeeded(case in any_case(), seed: u64, max_faults in 0..20_u32) {
        let mut machine = machine(&case, seed, max_faults);
        machine.request(&json!({ "workflow_id": "w", "workflow_execution_id": "r1" })).unwrap();
        machine.run_until_idle();
        let before = jobs(&machine, "r1");
        prop_assume!(machine.run("r1").unwrap().execution_status != Status::Succeeded);
        machine.fakes.broken.lock().unwrap().clear();
        let mut request = json!({ "workflow_id": "w", "workflow_execution_id": "r2", "restart_of": "r1" });
        let decided = decide_where_to_continue(&machine, &before);
        if !decided.is_empty() {
            request["from_statement"] = json!(decided);
        }
        machine.request(&request).unwrap();
        machine.run_until_idle();
        check_audit(&machine, "r2");
        check_commits_of_restart(&machine, &before, &decided);
        let (first, second) = (machine.run("r1").unwrap(), machine.run("r2").unwrap());
        prop_assert_eq!(first.logical_date, second.logical_date);
        let after = jobs(&machine, "r2");
        for (before, after) in before.iter().zip(&after) {
            let rerun = after.reused_from.is_none();
            let not_needed = before.skip_reason == Some(SkipReason::ConditionNotMet);
            let (name, parts) = (&after.plan.job_name, after.plan.work.parts() as usize);
            if before.execution_status != Status::Succeeded && !not_needed {
                // The whole work can be committed although the run was stopped, or although a response was lost.
                let commits = machine.fakes.commits.lock().unwrap();
                let committed = commits.range((name.clone(), 0)..(name.clone(), usize::MAX)).count() >= parts;
                prop_assert!(rerun || committed, "{name} did not succeed and is not committed, but was reused");
            } else if after.plan.upstreams.is_empty() {
                prop_assert!(!rerun, "{} succeeded and has no upstreams, but was not reused", after.plan.job_name);
            }
        }
    }

    /// A warehouse that is often full delays the jobs of a run, and fails none.
    #[test]
    fn a_full_warehouse_is_waited_out(case in any_case(), seed: u64, most in 1..3_usize) {
        let mut machine = machine(&case, seed, 0);
        *machine.fakes.active_statements.lock().unwrap() = Some(most);
        machine.fakes.broken.lock().unwrap().clear();
        machine.request(&json!({ "workflow_id": "w", "workflow_execution_id": "r" })).unwrap();
        machine.run_until_idle();
        check_audit(&machine, "r");
        prop_assert_eq!(machine.run("r").unwrap().execution_status, Status::Succeeded);
    }

    /// Two workflows share the slots of a connection: both end, also if a function stops between giving back a slot and
    /// letting the next job launch, and no slot stays with a job that has ended while another job waits.
    #[test]
    fn workflows_share_the_slots_of_a_connection(seed: u64, max_faults in 0..30_u32, stop in any::<bool>()) {
        let jobs: Vec<_> = (0..8).map(|n| json!({ "script": format!("job_{n}.sql"), "connection": "limited" })).collect();
        let stages = json!([{ "execution_type": "parallel", "scripts": jobs }]);
        let scripts = (0..8).map(|n| (format!("job_{n}.sql"), "select 1;".to_owned())).collect();
        let case = Case { workflow: json!({ "workflow_id": "w", "workflow_stages": stages }), scripts, broken: Vec::new() };
        let mut machine = machine(&case, seed, max_faults);
        machine.fakes.configuration.put(json!({ "workflow_id": "v", "workflow_stages": stages }));
        for name in case.scripts.keys() {
            machine.fakes.scripts.put(&format!("workflows/v/{name}"), "select 1;");
        }
        machine.request(&json!({ "workflow_id": "v", "workflow_execution_id": "r1" })).unwrap();
        machine.request(&json!({ "workflow_id": "w", "workflow_execution_id": "r2" })).unwrap();
        if stop {
            machine.run_some_steps();
            machine.stop("r1");
        }
        machine.run_until_idle();
        check_audit(&machine, "r2");
        prop_assert!(machine.run("r1").unwrap().execution_status.is_terminal());
        if max_faults == 0 {
            prop_assert_eq!(machine.run("r2").unwrap().execution_status, Status::Succeeded);
            let slots = machine.fakes.ledger.slots("@connection/limited").now_or_never().unwrap().unwrap();
            prop_assert!(slots.queue.is_empty(), "{:?}", slots);
        }
    }

    /// With `on_overlap: queue`, overlapping requests run one after another, and each run passes `check_audit`.
    #[test]
    fn queued_runs_follow_each_other(case in any_case(), seed: u64, max_faults in 0..20_u32) {
        let mut case = case;
        case.workflow["on_overlap"] = json!("queue");
        let mut machine = machine(&case, seed, max_faults);
        for run in ["r1", "r2", "r3"] {
            machine.request(&json!({ "workflow_id": "w", "workflow_execution_id": run })).unwrap();
        }
        machine.run_until_idle();
        for run in ["r1", "r2", "r3"] {
            check_audit(&machine, run);
        }
    }
}
