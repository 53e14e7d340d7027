//! The model: the table that events define, computed by applying them one after another.

use std::collections::BTreeMap;

use shiftwork_change_data::contract::{Deletes, MergeStrategy, PromoteKind};

/// Number of columns that are not part of the key.
pub(crate) const VALUES: usize = 4;
pub(crate) const OPEN: u64 = u64::MAX;

/// The key of a row.
pub(crate) type Key = (i64, String);

/// The value of a column in an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The column did not change, and the event left it out.
    Nothing,
    Null,
    Value(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// `None` for a truncate.
    pub(crate) key: Option<Key>,
    pub(crate) operation: &'static str,
    /// Position in the source, which is also the source time in seconds.
    pub(crate) position: u64,
    pub(crate) values: [Sent; VALUES],
}

impl Event {
    fn is_there(&self) -> bool {
        !matches!(self.operation, "delete" | "truncate")
    }
}

pub(crate) type Values = [Option<String>; VALUES];

/// A row of the target table, of any kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) key: Option<Key>,
    pub(crate) position: u64,
    pub(crate) operation: String,
    pub(crate) values: Values,
    /// Type 2: the end of the version. Type 1 with soft deletes: the time of the delete.
    pub(crate) until: Option<u64>,
    pub(crate) current: bool,
    pub(crate) deleted: bool,
}

fn fold(state: &mut Values, event: &Event, take: MergeStrategy) {
    for (slot, sent) in state.iter_mut().zip(&event.values) {
        match (sent, take) {
            (Sent::Nothing, _) | (Sent::Null, MergeStrategy::LatestNonNull) => {}
            (Sent::Null, MergeStrategy::LatestRow) => *slot = None,
            (Sent::Value(value), _) => *slot = Some(value.clone()),
        }
    }
}

/// The table that the events define. The events may be in any order, and may be repeated.
pub(crate) fn table(events: &[Event], kind: PromoteKind, take: MergeStrategy, deletes: Deletes) -> Vec<Row> {
    // Keep each event once, in the order of the source.
    let mut once: BTreeMap<(Option<Key>, u64), &Event> = BTreeMap::new();
    for event in events {
        once.insert((event.key.clone(), event.position), event);
    }
    if kind == PromoteKind::Append {
        return sorted(once.values().map(|event| appended(event)).collect());
    }
    let mut of_key: BTreeMap<Key, BTreeMap<u64, &Event>> = BTreeMap::new();
    for event in once.values() {
        if let Some(key) = &event.key {
            of_key.entry(key.clone()).or_default().insert(event.position, event);
        }
    }
    for truncate in once.values().filter(|event| event.key.is_none()) {
        for events in of_key.values_mut() {
            events.insert(truncate.position, truncate);
        }
    }
    let rows = of_key.into_iter().flat_map(|(key, events)| {
        let events: Vec<&Event> = events.into_values().collect();
        let versions = versions(&key, &events, take, deletes);
        match kind {
            PromoteKind::Type1 => current(&events, versions, deletes),
            PromoteKind::Type2 | PromoteKind::Type7 | PromoteKind::Append => versions,
        }
    });
    sorted(rows.collect())
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}

fn appended(event: &Event) -> Row {
    let values = event.values.clone().map(|sent| match sent {
        Sent::Value(value) => Some(value),
        Sent::Nothing | Sent::Null => None,
    });
    Row {
        key: event.key.clone(),
        position: event.position,
        operation: event.operation.into(),
        values,
        until: None,
        current: false,
        deleted: false,
    }
}

/// The versions of a key.
fn versions(key: &Key, events: &[&Event], take: MergeStrategy, deletes: Deletes) -> Vec<Row> {
    let mut out: Vec<Row> = Vec::new();
    let mut state = Values::default();
    for event in events {
        let open = out.last_mut().filter(|row| row.until == Some(OPEN));
        if !event.is_there() {
            state = Values::default();
            match (deletes, open) {
                (Deletes::Hard, _) => out.clear(),
                (Deletes::Close, open) => open.into_iter().for_each(|row| end(row, event)),
                (Deletes::Soft, Some(row)) if !row.deleted => {
                    end(row, event);
                    let gone = Row {
                        position: event.position,
                        operation: event.operation.into(),
                        until: Some(OPEN),
                        current: true,
                        deleted: true,
                        ..row.clone()
                    };
                    out.push(gone);
                }
                (Deletes::Soft, _) => {}
            }
            continue;
        }
        if let Some(row) = open {
            end(row, event);
        }
        fold(&mut state, event, take);
        out.push(Row {
            key: Some(key.clone()),
            position: event.position,
            operation: event.operation.into(),
            values: state.clone(),
            until: Some(OPEN),
            current: true,
            deleted: false,
        });
    }
    out
}

fn end(row: &mut Row, event: &Event) {
    row.until = Some(event.position);
    row.current = false;
}

/// The last version of a history, marked as deleted if a delete follows it.
fn current(events: &[&Event], versions: Vec<Row>, deletes: Deletes) -> Vec<Row> {
    let Some(mut row) = versions.into_iter().rev().find(|row| !row.deleted) else { return Vec::new() };
    row.until = match deletes {
        Deletes::Soft => events.iter().filter(|e| !e.is_there() && e.position > row.position).map(|e| e.position).max(),
        Deletes::Hard | Deletes::Close => None,
    };
    row.deleted = row.until.is_some();
    row.current = false;
    vec![row]
}
