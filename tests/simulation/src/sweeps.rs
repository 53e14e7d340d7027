use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;
use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::json;
use shiftwork_ports::{Ledger as _, fake::Outcome};
use shiftwork_protocol::{Connection, Status, limits};

use crate::machine::Machine;

/// A run with this number of jobs, over a connection with as many slots, or over the default connection. Returns when `active`
/// statements run.
fn running(jobs: usize, connection: Option<&str>, active: usize) -> Machine {
    let mut machine = Machine::new(0, 0);
    let names: Vec<_> = (0..jobs).map(|n| format!("job_{n}.sql")).collect();
    for name in &names {
        machine.fakes.scripts.put(&format!("workflows/w/{name}"), "select 1;");
    }
    let mut workflow =
        json!({ "workflow_id": "w", "workflow_stages": [{ "execution_type": "parallel", "scripts": names }] });
    if let Some(name) = connection {
        let max_parallel = Some(u32::try_from(jobs).unwrap());
        let wide = Connection {
            workgroup: Some("shift".into()),
            database: "dev".into(),
            max_parallel,
            ..Connection::default()
        };
        machine.fakes.configuration.connect(name, wide);
        workflow["connection"] = json!(name);
    }
    machine.fakes.configuration.put(workflow);
    machine.request(&json!({ "workflow_id": "w", "workflow_execution_id": "r" })).unwrap();
    machine.launch_all("r", active);
    machine.clock.pass(SignedDuration::from_mins(1));
    machine.fakes.engine_calls.lock().unwrap().clear();
    machine
}

#[test]
fn a_sweep_of_600_running_jobs_is_one_list() {
    let machine = running(limits::JOBS, Some("wide"), limits::JOBS);
    assert_eq!(machine.sweep_run("r"), Some(Ok(())));
    assert_eq!(*machine.fakes.engine_calls.lock().unwrap(), BTreeMap::from([("listed", 1)]));
}

/// By default, a large run leaves a part of the quota of active statements to others, and its sweep is one list as well.
#[test]
fn a_large_run_has_at_most_150_active_statements() {
    let most = limits::MAX_PARALLEL as usize;
    let mut machine = running(limits::JOBS, None, most);
    machine.run_steps(5_000);
    assert_eq!(machine.fakes.warehouse.running().len(), most);
    assert_eq!(machine.sweep_run("r"), Some(Ok(())));
    assert_eq!(*machine.fakes.engine_calls.lock().unwrap(), BTreeMap::from([("listed", 1)]));
    // The end of a job lets another one launch.
    let ended = &machine.fakes.warehouse.running()[0];
    machine.fakes.warehouse.end(ended, Outcome::Finished);
    machine.clock.pass(SignedDuration::from_mins(1));
    assert_eq!(machine.sweep_run("r"), Some(Ok(())));
    machine.run_steps(5_000);
    assert_eq!(machine.fakes.warehouse.running().len(), most);
    assert!(machine.fakes.violations.lock().unwrap().is_empty());
}

/// Number of jobs of the property test: enough for several groups of concurrent steps, and fast without optimisation.
const JOBS: usize = 80;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 20, ..ProptestConfig::default() })]

    /// One sweep settles every attempt whose event was lost, although it cannot read the outcomes of other attempts. The next
    /// sweep settles those.
    #[test]
    fn a_job_that_cannot_be_checked_does_not_stop_the_sweep(
        ended in prop::collection::btree_set(0..JOBS, 2..JOBS), unreadable in 1..40_usize,
    ) {
        let machine = running(JOBS, None, JOBS);
        let name = |n: &usize| format!("job_{n}.sql");
        let ended: BTreeSet<_> = ended.iter().map(name).collect();
        let unreadable: BTreeSet<_> = ended.iter().take(unreadable.min(ended.len() - 1)).cloned().collect();
        for attempt in machine.fakes.warehouse.running().iter().filter(|attempt| ended.contains(&attempt.job)) {
            machine.fakes.warehouse.end(attempt, Outcome::Finished);
        }
        let succeeded = |machine: &Machine| -> BTreeSet<String> {
            let jobs = machine.fakes.ledger.jobs("r").now_or_never().unwrap().unwrap();
            let succeeded = jobs.into_iter().filter(|job| job.execution_status == Status::Succeeded);
            succeeded.map(|job| job.plan.job_name).collect()
        };
        machine.fakes.unreadable.lock().unwrap().clone_from(&unreadable);
        let failure = machine.sweep_run("r").unwrap().unwrap_err();
        let counted = format!("the step failed for {} of {} jobs", unreadable.len(), JOBS);
        prop_assert!(failure.message.starts_with(&counted), "{}", failure);
        prop_assert_eq!(succeeded(&machine), &ended - &unreadable);
        let calls = machine.fakes.engine_calls.lock().unwrap().clone();
        let outcomes = u32::try_from(ended.len()).unwrap();
        prop_assert_eq!(calls, BTreeMap::from([("listed", 1), ("outcome", outcomes)]));
        machine.fakes.unreadable.lock().unwrap().clear();
        prop_assert_eq!(machine.sweep_run("r"), Some(Ok(())));
        prop_assert_eq!(succeeded(&machine), ended);
    }
}
