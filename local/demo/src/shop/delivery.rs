//! The delivery of the changes to Lambda: partitioned by key, twice, with the batches of the partitions interleaved.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use fastrand::Rng;
use serde_json::{Value, json};

use super::{Change, Table};

/// Number of partitions per topic.
const PARTITIONS: u64 = 4;
/// Maximum number of records of a partition in one invocation.
const BATCH: usize = 90;

/// An event of Lambda, as an MSK event source mapping sends it.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// The payload.
    pub(crate) event: Value,
    /// Number of records in the event.
    pub(crate) records: usize,
}

/// All deliveries, in a random order that keeps the order of each partition.
///
/// The producer loses its position and sends all changes again with new offsets. One batch in ten is delivered twice,
/// as Lambda does when a response is lost.
pub(crate) fn deliveries(changes: &[Change], seed: u64) -> Vec<Delivery> {
    let mut draw = Rng::with_seed(seed);
    let mut queues: Vec<Vec<Value>> =
        logs(changes).into_values().filter_map(|log| batches_of(log, &mut draw)).collect();
    let mut deliveries = Vec::new();
    while !queues.is_empty() {
        let one = draw.usize(0..queues.len());
        let batch = queues[one].remove(0);
        if queues[one].is_empty() {
            queues.swap_remove(one);
        }
        let again = draw.u32(0..10) == 0;
        let delivery = delivery(&batch);
        deliveries.extend(again.then(|| delivery.clone()));
        deliveries.push(delivery);
    }
    deliveries
}

/// The records of each partition in the order of their offsets; each change occurs twice.
fn logs(changes: &[Change]) -> BTreeMap<(Table, u64), Vec<Value>> {
    let mut logs: BTreeMap<(Table, u64), Vec<Value>> = BTreeMap::new();
    for _ in 0..2 {
        for change in changes {
            let partition = change.key.as_ref().map_or(0, partition);
            let log = logs.entry((change.table, partition)).or_default();
            log.push(record(change, partition, log.len()));
        }
    }
    logs
}

/// The log of a partition in batches of random size; `None` if the log is empty.
fn batches_of(log: Vec<Value>, draw: &mut Rng) -> Option<Vec<Value>> {
    let mut batches = Vec::new();
    let mut rest = log.into_iter().peekable();
    while rest.peek().is_some() {
        let size = draw.usize(BATCH / 3..=BATCH);
        batches.push(Value::Array(rest.by_ref().take(size).collect()));
    }
    (!batches.is_empty()).then_some(batches)
}

fn partition(key: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.to_string().hash(&mut hasher);
    hasher.finish() % PARTITIONS
}

fn record(change: &Change, partition: u64, offset: usize) -> Value {
    let encoded = |value: &Value| BASE64.encode(value.to_string());
    let mut record = json!({
        "topic": topic(change.table), "partition": partition, "offset": offset, "timestamp": 1_772_352_000_000_i64,
        "timestampType": "CREATE_TIME", "headers": []
    });
    if let Some(key) = &change.key {
        record["key"] = encoded(key).into();
    }
    if let Some(event) = &change.event {
        record["value"] = encoded(event).into();
    }
    record
}

fn topic(table: Table) -> String {
    format!("shop.public.{}", table.name())
}

fn delivery(batch: &Value) -> Delivery {
    let records = batch.as_array().map_or(0, Vec::len);
    let name = format!("{}-{}", batch[0]["topic"].as_str().unwrap_or_default(), batch[0]["partition"]);
    let event = json!({
        "eventSource": "aws:kafka",
        "eventSourceArn": "arn:aws:kafka:us-east-1:000000000000:cluster/shop/751d2973-a626-431c-9d4e-d7975eb44dd7-2",
        "bootstrapServers": "b-1.shop.kafka.us-east-1.amazonaws.com:9098",
        "records": { name: batch },
    });
    Delivery { event, records }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop::Shop;

    #[test]
    fn every_change_is_delivered_and_partitions_keep_their_order() {
        let shop = Shop::after(4, 7);
        let delivered = deliveries(&shop.changes, 7);
        let mut offsets: BTreeMap<String, u64> = BTreeMap::new();
        let mut first_time = 0;
        for delivery in &delivered {
            let (name, records) = delivery.event["records"].as_object().unwrap().iter().next().unwrap();
            for record in records.as_array().unwrap() {
                let (offset, next) = (record["offset"].as_u64().unwrap(), offsets.entry(name.clone()).or_default());
                assert!(offset <= *next, "{name} skips to offset {offset}");
                if offset == *next {
                    *next += 1;
                    first_time += 1;
                }
            }
        }
        assert_eq!(first_time, 2 * shop.changes.len(), "every change is delivered twice");
        assert!(
            delivered.iter().map(|delivery| delivery.records).sum::<usize>() > first_time,
            "some batches are repeated"
        );
    }
}
