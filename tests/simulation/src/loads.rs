//! Staged change data is loaded in its order, and nothing is discarded that was not loaded.

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

fn machine(seed: u64, troubles: u32) -> Machine {
    let machine = Machine::new(seed, troubles);
    machine.calm.configuration.put(json!({ "workflow_id": "load", "on_overlap": "queue", "workflow_stages": [
        { "execution_type": "sequential", "scripts": [
            { "job_name": "orders", "kind": "cdc", "contract": "orders", "retries": 1 }, "after.sql" ] } ] }));
    machine.calm.scripts.put("workflows/load/after.sql", "select 1");
    machine.calm.scripts.put("contracts/orders.yaml", CONTRACT);
    machine
}

/// A batch of a partition is staged. It may overlap what was staged before, as a redelivery does.
fn stage(machine: &Machine, partition: i64, first: u64, last: u64, columns: usize) -> String {
    let staged = Staged {
        contract: "orders".into(),
        partition: Partition::kafka("orders", partition),
        first: Offset::number(first),
        last: Offset::number(last),
        columns,
    };
    let key = staged.key();
    machine.calm.staging.put(&key, vec![0]).now_or_never().unwrap().unwrap();
    key
}

/// Keys that lie in the staging bucket.
fn staged(machine: &Machine) -> BTreeSet<String> {
    let listed = machine.calm.staging.list("staged/").now_or_never().unwrap().unwrap();
    listed.into_iter().map(|object| object.key).collect()
}

/// Keys of the files that Redshift has loaded.
fn loaded(machine: &Machine) -> BTreeSet<String> {
    let mut loaded = BTreeSet::new();
    for (submission, progress) in machine.calm.warehouse.all() {
        if submission.attempt.job == "orders" && matches!(progress, Progress::Finished { .. }) {
            let key = shiftwork_protocol::manifest_key(&submission.attempt);
            let manifest = machine.calm.staging.get(&key).now_or_never().unwrap().unwrap().unwrap();
            loaded.extend(serde_json::from_slice::<Manifest>(&manifest).unwrap().keys());
        }
    }
    loaded
}

fn check(machine: &Machine, put: &BTreeSet<String>) -> Result<(), TestCaseError> {
    let offences = machine.calm.offences.lock().unwrap().clone();
    prop_assert!(offences.is_empty(), "{:#?}", offences);
    let (there, loaded) = (staged(machine), loaded(machine));
    let lost: Vec<_> = put.difference(&there).filter(|key| !loaded.contains(*key)).collect();
    prop_assert!(lost.is_empty(), "discarded, and never loaded: {:#?}", lost);
    Ok(())
}

fn ask(machine: &mut Machine, run: usize) {
    machine.request(&json!({ "workflow_id": "load", "workflow_execution_id": format!("r{run}") })).unwrap();
}

/// The last statement of a load tidies up, and changes a row of its own here.
#[test]
fn the_rows_of_a_load_are_what_its_copies_have_loaded() {
    let mut machine = machine(1, 0);
    for (first, columns) in [(0, 1), (10, 2)] {
        stage(&machine, 0, first, first + 5, columns);
    }
    ask(&mut machine, 1);
    machine.settle();
    let rows = |job: &str| machine.calm.ledger.job("r1", job).now_or_never().unwrap().unwrap().unwrap().rows;
    assert_eq!((rows("orders"), rows("after.sql")), (Some(2 * ROWS_OF_A_COPY), Some(1)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// Files come while runs load others; functions die, events are lost, statements conflict, runs are stopped. In the end
    /// everything that was staged is loaded.
    #[test]
    fn everything_staged_is_loaded_and_then_discarded(
        batches in prop::collection::vec((0..3_i64, 1..6_u64, 0..3_u64, any::<bool>()), 1..25),
        seed: u64, troubles in 0..40_u32, timeouts in any::<bool>(),
    ) {
        let mut machine = machine(seed, troubles);
        machine.timeouts = timeouts;
        let (mut put, mut ends, mut runs) = (BTreeSet::new(), [0_u64; 3], 0);
        for (partition, length, overlap, loads) in batches {
            let end = &mut ends[usize::try_from(partition).unwrap()];
            let first = end.saturating_sub(overlap);
            put.insert(stage(&machine, partition, first, first + length, 1 + machine.luck.below(2)));
            *end = (*end).max(first + length + 1);
            if loads {
                runs += 1;
                ask(&mut machine, runs);
                machine.some_steps();
                let runs_now = machine.run(&format!("r{runs}")).is_some_and(|run| run.execution_status == Status::Running);
                if timeouts && runs_now && machine.luck.below(4) == 0 {
                    machine.stop(&format!("r{runs}"));
                }
                check(&machine, &put)?;
            }
        }
        machine.timeouts = false;
        for _ in 0..60 {
            machine.settle();
            check(&machine, &put)?;
            if staged(&machine).is_empty() {
                return Ok(());
            }
            runs += 1;
            ask(&mut machine, runs);
        }
        prop_assert!(false, "still staged: {:#?}", staged(&machine));
    }
}
