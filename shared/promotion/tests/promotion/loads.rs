//! Loads in any order.

use fastrand::Rng;
use shiftwork_change_data::contract::{
    Deletes::{self, Close, Hard, Soft},
    Format::{self, Debezium, Dynamodb},
    PromoteKind::{self, Append, Type1, Type2, Type7},
    Take::{self, LatestNonNull, LatestRow},
};

use crate::contracts::contract;
use crate::model::{self, Event};
use crate::stream::{partitions, source};
use crate::warehouse::{File, Warehouse};

/// One stream, loaded in batches, checked after each.
async fn run(warehouse: &mut Warehouse, seed: u64, kind: PromoteKind, take: Take, deletes: Deletes, format: Format) {
    let rng = &mut Rng::with_seed(seed);
    let contract = contract(kind, take, deletes, format);
    warehouse.make(&contract).await;
    let gaps = format == Debezium;
    let changes = rng.usize(1..40);
    let events = source(rng, changes, gaps);
    let partitions = partitions(rng, &events);
    let mut loaded = vec![0; partitions.len()];
    let mut delivered: Vec<Event> = Vec::new();
    while loaded.iter().zip(&partitions).any(|(loaded, partition)| *loaded < partition.len()) {
        let mut files = Vec::new();
        for (at, records) in partitions.iter().enumerate() {
            // Files that were loaded before come again, and files overlap.
            let end = rng.usize(loaded[at]..=records.len());
            let mut from = rng.usize(0..=loaded[at]);
            while from < end {
                let to = rng.usize(from + 1..=end);
                let records = (from..to).map(|offset| (offset, &records[offset][..])).collect();
                // Some were staged before the contract had all its columns.
                let columns = if rng.bool() { contract.columns.len() } else { rng.usize(2..=contract.columns.len()) };
                files.push(File { columns, partition: at, records });
                from = rng.usize(to.saturating_sub(1).max(from + 1)..=to);
            }
            delivered.extend(records[loaded[at]..end].iter().flatten().cloned());
            loaded[at] = end;
        }
        if files.is_empty() {
            continue;
        }
        let load = warehouse.put(&contract, &files);
        if rng.bool() {
            warehouse.crash(rng, &contract, &load).await;
        }
        for _ in 0..rng.usize(1..=2) {
            warehouse
                .load(&contract, &load)
                .await
                .unwrap_or_else(|error| panic!("seed {seed}, {kind:?} {take:?} {deletes:?} {format:?}: {error}"));
        }
        let wanted = model::table(&delivered, kind, take, deletes);
        let found = warehouse.table(&contract).await;
        assert!(
            found == wanted,
            "seed {seed}, {kind:?} {take:?} {deletes:?} {format:?}\nevents {delivered:#?}\nwanted {wanted:#?}\nfound  {found:#?}"
        );
    }
}

async fn streams(cases: &[(PromoteKind, Take, Deletes, Format)]) {
    let Some(mut warehouse) = Warehouse::open().await else { return };
    let (begun, first) = (std::time::Instant::now(), std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()));
    let mut seed: u64 = first.unwrap_or_else(|| fastrand::u64(..1 << 32));
    let seconds = std::env::var("SECONDS_OF_STREAMS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(8);
    // A bounded time, not a bounded number: a slow machine is no reason to fail.
    while begun.elapsed().as_secs() < seconds {
        for (kind, take, deletes, format) in cases {
            run(&mut warehouse, seed, *kind, *take, *deletes, *format).await;
        }
        seed += 1;
    }
    warehouse.stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn type_1_is_the_current_row() {
    streams(&[
        (Type1, LatestRow, Hard, Dynamodb),
        (Type1, LatestRow, Hard, Debezium),
        (Type1, LatestRow, Soft, Debezium),
        (Type1, LatestNonNull, Hard, Debezium),
        (Type1, LatestNonNull, Soft, Dynamodb),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn type_2_is_the_history() {
    streams(&[
        (Type2, LatestRow, Close, Debezium),
        (Type2, LatestRow, Soft, Debezium),
        (Type2, LatestRow, Hard, Debezium),
        (Type7, LatestRow, Close, Dynamodb),
        (Type7, LatestRow, Soft, Dynamodb),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn append_is_every_event() {
    streams(&[(Append, LatestRow, Hard, Debezium)]).await;
}
