//! A source database with random changes, and a transport that reorders, repeats and splits its events.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::model::{Event, Key, Sent, VALUES, Values};

/// Values of the columns note, amount, paid and tags, as text.
const POOL: [&[&str]; VALUES] = [
    &["", "a, \"b\"", "it's\\n", "größe\n2", "  "],
    &["0.10", "12.50", "-3.00"],
    &["true", "false"],
    &["[1,2]", "{\"A\":\"b\"}", "\"text\""],
];

/// Changes of a table with a few keys, in the order of the source. With `gaps`, an update may leave out columns that did not change.
pub(crate) fn source(rng: &mut Rng, changes: usize, gaps: bool) -> Vec<Event> {
    let mut rows: BTreeMap<Key, Values> = BTreeMap::new();
    let mut out = Vec::new();
    for position in 1..=changes as u64 {
        let key: Key = (rng.i64(1..=2), rng.choice(["eu", "us"]).unwrap().into());
        let there = rows.contains_key(&key);
        match rng.u8(0..20) {
            0 => {
                rows.clear();
                out.push(Event {
                    key: None,
                    operation: "truncate",
                    position,
                    values: std::array::from_fn(|_| Sent::Null),
                });
            }
            1..=4 if there => {
                rows.remove(&key);
                out.push(deleted(rng, key, position));
            }
            // A change of the key: a delete of the old key and a create of the new key, at one position of the source.
            5..=6 if there => {
                let values = rows.remove(&key).unwrap();
                let new: Key = (key.0 + rng.i64(1..=2), key.1.clone());
                out.push(deleted(rng, key, position));
                out.push(Event {
                    key: Some(new.clone()),
                    operation: "create",
                    position,
                    values: values.clone().map(|value| value.map_or(Sent::Null, Sent::Value)),
                });
                rows.insert(new, values);
            }
            _ => {
                let mut row = rows.remove(&key).unwrap_or_default();
                let mut values = std::array::from_fn(|_| Sent::Null);
                for (column, slot) in row.iter_mut().enumerate() {
                    if there && gaps && rng.u8(0..3) == 0 {
                        values[column] = Sent::Nothing;
                        continue;
                    }
                    *slot = (rng.u8(0..4) > 0).then(|| (*rng.choice(POOL[column]).unwrap()).to_owned());
                    values[column] = slot.clone().map_or(Sent::Null, Sent::Value);
                }
                let operation = if there { "update" } else { *rng.choice(&["create", "read"]).unwrap() };
                out.push(Event { key: Some(key.clone()), operation, position, values });
                rows.insert(key, row);
            }
        }
    }
    out
}

/// A delete. Some databases send the values of the deleted row.
fn deleted(rng: &mut Rng, key: Key, position: u64) -> Event {
    let values =
        std::array::from_fn(|column| if rng.bool() { Sent::Null } else { Sent::Value(POOL[column][0].to_owned()) });
    Event { key: Some(key), operation: "delete", position, values }
}

/// Distributes the events over partitions. A partition has the order of the source, except for events that the producer sends again
/// later. The two events of a changed key stay one record, so they share their position.
pub(crate) fn partitions(rng: &mut Rng, events: &[Event]) -> Vec<Vec<Vec<Event>>> {
    let mut partitions: Vec<Vec<Vec<Event>>> = vec![Vec::new(); rng.usize(1..=3)];
    let mut records: Vec<Vec<Event>> = Vec::new();
    for event in events {
        match records.last_mut().filter(|record| record[0].position == event.position) {
            Some(record) => record.push(event.clone()),
            None => records.push(vec![event.clone()]),
        }
    }
    for record in records {
        let at = rng.usize(0..partitions.len());
        partitions[at].push(record);
    }
    for partition in &mut partitions {
        // A producer that restarts sends some records again, under new offsets.
        if !partition.is_empty() && rng.bool() {
            let from = rng.usize(0..partition.len());
            let to = rng.usize(from..partition.len());
            let again = partition[from..=to].to_vec();
            let at = rng.usize(to + 1..=partition.len());
            partition.splice(at..at, again);
        }
    }
    partitions
}
