//! Staged change data is loaded in the order of its offsets, and a staged file is deleted only after it was loaded.

use std::collections::BTreeSet;

use futures::FutureExt as _;
use proptest::prelude::*;
use serde_json::json;
use shiftwork_change_data::{
    layout::Staged,
    transport::{Offset, Partition},
};
use shiftwork_ports::{Ledger as _, Progress, fake::ROWS_OF_A_COPY};
use shiftwork_protocol::{Manifest, Status};

use crate::machine::Machine;

const CONTRACT: &str = "
contract: orders
source: { format: debezium, table: public.orders }
target: { schema: shop, table: orders }
key: [id]
columns: [{ name: id, type: bigint }, { name: status, type: varchar(16) }]
";

fn machine(seed: u64, max_faults: u32) -> Machine {
    let machine = Machine::new(seed, max_faults);
    machine.fakes.configuration.put(json!({ "workflow_id": "load", "on_overlap": "queue", "workflow_stages": [
        { "execution_type": "sequential", "scripts": [
            { "job_name": "orders", "kind": "cdc", "contract": "orders", "retries": 1 }, "after.sql" ] } ] }));
    machine.fakes.scripts.put("workflows/load/after.sql", "select 1");
    machine.fakes.scripts.put("contracts/orders.yaml", CONTRACT);
    machine
}

/// Stages a batch of a partition and returns its key. The offsets can overlap an earlier batch, as in a redelivery.
fn stage(machine: &Machine, partition: i64, first: u64, last: u64, columns: usize) -> String {
    let staged = Staged {
        contract: "orders".into(),
        partition: Partition::kafka("orders", partition),
        first: Offset::number(first),
        last: Offset::number(last),
        columns,
    };
    let key = staged.key();
    machine.fakes.staging.put(&key, vec![0]).now_or_never().unwrap().unwrap();
    key
}

/// Keys of the files in the staging bucket.
fn staged(machine: &Machine) -> BTreeSet<String> {
    let listed = machine.fakes.staging.list("staged/").now_or_never().unwrap().unwrap();
    listed.into_iter().map(|object| object.key).collect()
}

/// Keys of the files that Redshift has loaded.
fn loaded(machine: &Machine) -> BTreeSet<String> {
    let mut loaded = BTreeSet::new();
    for (submission, progress) in machine.fakes.warehouse.all() {
        if submission.attempt.job == "orders" && progress == Progress::Finished {
            let key = shiftwork_protocol::manifest_key(&submission.attempt);
            let manifest = machine.fakes.staging.get(&key).now_or_never().unwrap().unwrap().unwrap();
            loaded.extend(serde_json::from_slice::<Manifest>(&manifest).unwrap().keys());
        }
    }
    loaded
}

/// Checks that no submission violated an invariant, and that each key in `put` is still staged or was loaded.
fn check(machine: &Machine, put: &BTreeSet<String>) -> Result<(), TestCaseError> {
    let violations = machine.fakes.violations.lock().unwrap().clone();
    prop_assert!(violations.is_empty(), "submissions violated invariants: {:#?}", violations);
    let (present, loaded) = (staged(machine), loaded(machine));
    let lost: Vec<_> = put.difference(&present).filter(|key| !loaded.contains(*key)).collect();
    prop_assert!(lost.is_empty(), "deleted before they were loaded: {:#?}", lost);
    Ok(())
}

fn request_run(machine: &mut Machine, run: usize) {
    machine.request(&json!({ "workflow_id": "load", "workflow_execution_id": format!("r{run}") })).unwrap();
}

/// The row count of a load leaves out the rows that its last statement, the cleanup, changes.
#[test]
fn the_rows_of_a_load_are_what_its_copies_have_loaded() {
    let mut machine = machine(1, 0);
    for (first, columns) in [(0, 1), (10, 2)] {
        stage(&machine, 0, first, first + 5, columns);
    }
    request_run(&mut machine, 1);
    machine.run_until_idle();
    let rows = |job: &str| machine.fakes.ledger.job("r1", job).now_or_never().unwrap().unwrap().unwrap().rows;
    assert_eq!((rows("orders"), rows("after.sql")), (Some(2 * ROWS_OF_A_COPY), Some(1)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// Every staged file is loaded and then deleted, although files arrive during loads, functions stop, events are lost,
    /// statements conflict and runs are stopped.
    #[test]
    fn everything_staged_is_loaded_and_then_discarded(
        batches in prop::collection::vec((0..3_i64, 1..6_u64, 0..3_u64, any::<bool>()), 1..25),
        seed: u64, max_faults in 0..40_u32, timeouts in any::<bool>(),
    ) {
        let mut machine = machine(seed, max_faults);
        machine.timeouts = timeouts;
        let (mut put, mut ends, mut runs) = (BTreeSet::new(), [0_u64; 3], 0);
        for (partition, length, overlap, loads) in batches {
            let end = &mut ends[usize::try_from(partition).unwrap()];
            let first = end.saturating_sub(overlap);
            put.insert(stage(&machine, partition, first, first + length, 1 + machine.faults.random_below(2)));
            *end = (*end).max(first + length + 1);
            if loads {
                runs += 1;
                request_run(&mut machine, runs);
                machine.run_some_steps();
                let run = machine.run(&format!("r{runs}"));
                let is_running = run.is_some_and(|run| run.execution_status == Status::Running);
                if timeouts && is_running && machine.faults.random_below(4) == 0 {
                    machine.stop(&format!("r{runs}"));
                }
                check(&machine, &put)?;
            }
        }
        machine.timeouts = false;
        for _ in 0..60 {
            machine.run_until_idle();
            check(&machine, &put)?;
            if staged(&machine).is_empty() {
                return Ok(());
            }
            runs += 1;
            request_run(&mut machine, runs);
        }
        prop_assert!(false, "still staged after 60 runs: {:#?}", staged(&machine));
    }
}
