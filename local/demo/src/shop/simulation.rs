//! Simulates changes in the shop's database.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::{Value, json};

use super::{
    Change, Row, Table, Version,
    debezium::{self, LogPosition},
    history::TableHistory,
};

/// Start of the simulation: 2026-03-01T08:00:00Z, in milliseconds.
const OPENING: i64 = 1_772_352_000_000;
/// Length of a text that PostgreSQL stores out of line, so that updates of other columns do not contain it.
const LONG_NOTE: usize = 3_000;

/// The shop: the current content of its tables, and all change events.
pub(crate) struct Shop {
    /// The changes in the order of the source's log.
    pub(crate) changes: Vec<Change>,
    tables: BTreeMap<Table, TableHistory>,
    draw: Rng,
    next_key: i64,
    now: LogPosition,
    /// True after the column `orders.coupon` was added.
    coupons: bool,
    /// True after `orders.status` was widened from 10 to 32 characters.
    wide: bool,
}

impl Shop {
    /// The shop after `days` days of trade, each with a few hundred changes.
    pub(crate) fn after(days: u32, seed: u64) -> Self {
        let now = LogPosition { milliseconds: OPENING, lsn: 23_000_000, transaction: 700 };
        let tables = Table::ALL.into_iter().map(|table| (table, TableHistory::default())).collect();
        let (changes, draw) = (Vec::new(), Rng::with_seed(seed));
        let mut shop = Self { changes, tables, draw, next_key: 1, now, coupons: false, wide: false };
        for day in 0..days {
            shop.coupons = day * 3 >= days;
            shop.wide = day * 2 >= days;
            if day * 2 / days == 1 && (day - 1) * 2 / days == 0 {
                shop.truncate(Table::Sessions);
            }
            for _ in 0..300 {
                shop.step();
            }
        }
        shop
    }

    /// The current rows of a table.
    pub(crate) fn rows(&self, table: Table) -> Vec<&Row> {
        self.tables[&table].rows()
    }

    /// All versions of all rows of a table.
    pub(crate) fn versions(&self, table: Table) -> Vec<&Version> {
        self.tables[&table].versions()
    }

    fn step(&mut self) {
        let table = match self.draw.u32(0..10) {
            0..6 => Table::Orders,
            6..8 => Table::Customers,
            _ => Table::Sessions,
        };
        let keys = self.tables[&table].keys();
        let known = (!keys.is_empty()).then(|| keys[self.draw.usize(0..keys.len())]);
        match (self.draw.u32(0..100), known) {
            (0..40, _) | (_, None) => self.insert(table),
            (40..80, Some(key)) => self.update(table, key),
            (80..90, Some(key)) => self.delete(table, key),
            (90..95, Some(key)) => self.change_key(table, key),
            (_, Some(_)) => self.insert_again(table),
        }
    }

    fn tick(&mut self) {
        self.now.milliseconds += self.draw.i64(1..5_000);
        self.now.lsn += self.draw.u64(40..4_000);
        self.now.transaction += 1;
    }

    fn insert(&mut self, table: Table) {
        let key = self.next_key;
        self.next_key += 1;
        let row = self.row(table, key);
        self.create(table, key, row);
    }

    fn create(&mut self, table: Table, key: i64, row: Row) {
        self.tick();
        self.record(table, key, "c", None, Some(&row));
        self.put(table, key, row);
    }

    fn update(&mut self, table: Table, key: i64) {
        let Some(before) = self.tables[&table].row(key).cloned() else { return };
        let mut after = self.row(table, key);
        // A note does not change after the insert. If it is long, the log does not contain it.
        if let Some(note) = before.get("note") {
            after.insert("note".into(), note.clone());
        }
        self.tick();
        let logged = debezium::without_unchanged(&before, &after, LONG_NOTE);
        self.record(table, key, "u", Some(&before), Some(&logged));
        self.put(table, key, after);
    }

    fn delete(&mut self, table: Table, key: i64) {
        let Some(before) = self.tables[&table].row(key).cloned() else { return };
        self.tick();
        self.record(table, key, "d", Some(&before), None);
        self.changes.push(Change { table, key: Some(json!({ "id": key })), event: None });
        self.close(table, key);
    }

    /// An update of the key: Debezium sends a delete with the old key and an insert with the new one.
    fn change_key(&mut self, table: Table, key: i64) {
        let Some(mut row) = self.tables[&table].row(key).cloned() else { return };
        self.delete(table, key);
        let key = self.next_key;
        self.next_key += 1;
        row.insert("id".into(), key.into());
        // The same transaction and time, with a higher log position.
        self.now.lsn += 8;
        self.record(table, key, "c", None, Some(&row));
        self.put(table, key, row);
    }

    /// Inserts a deleted row again with the same values.
    fn insert_again(&mut self, table: Table) {
        let gone: Vec<Row> = self.tables[&table].gone().into_iter().cloned().collect();
        if gone.is_empty() {
            return self.insert(table);
        }
        let row = gone[self.draw.usize(0..gone.len())].clone();
        let key = row["id"].as_i64().unwrap_or_default();
        self.create(table, key, row);
    }

    fn truncate(&mut self, table: Table) {
        self.tick();
        let event = debezium::event(table, "t", self.now, None, None, self.coupons);
        self.changes.push(Change { table, key: None, event: Some(event) });
        for key in self.tables[&table].keys() {
            self.close(table, key);
        }
    }

    fn record(&mut self, table: Table, key: i64, op: &str, before: Option<&Row>, after: Option<&Row>) {
        let event = debezium::event(table, op, self.now, before, after, self.coupons);
        self.changes.push(Change { table, key: Some(json!({ "id": key })), event: Some(event) });
    }

    fn put(&mut self, table: Table, key: i64, row: Row) {
        let now = self.now.milliseconds;
        self.tables.entry(table).or_default().put(key, row, now);
    }

    fn close(&mut self, table: Table, key: i64) {
        let now = self.now.milliseconds;
        self.tables.entry(table).or_default().close(key, now);
    }

    /// A row with random values.
    fn row(&mut self, table: Table, key: i64) -> Row {
        let draw = &mut self.draw;
        let row = match table {
            Table::Orders => {
                let status = if self.wide && draw.bool() {
                    "waiting for the second parcel"
                } else {
                    one_of(draw, &["placed", "paid", "sent", "returned"])
                };
                let note = match draw.u32(0..4) {
                    0 => Value::Null,
                    1 => Value::from("n".repeat(LONG_NOTE)),
                    2 => Value::from("say \"hello\", leave it\nat the door; größer als gedacht"),
                    _ => Value::from(format!("note {}", draw.u32(0..1_000))),
                };
                let mut row = json!({
                    "id": key,
                    "customer_id": draw.i64(1..500),
                    "status": status,
                    "amount": format!("{}.{:02}", draw.u32(1..9_999), draw.u32(0..100)),
                    "placed_at": self.now.milliseconds,
                    "note": note,
                });
                if self.coupons {
                    row["coupon"] =
                        if draw.bool() { format!("SPRING-{}", draw.u32(10..99)).into() } else { Value::Null };
                }
                row
            }
            Table::Customers => json!({
                "id": key,
                "email": format!("customer{key}+{}@example.com", draw.u32(0..1_000)),
                "name": one_of(draw, &["Ada", "Grace", "Edsger", "Barbara", "Çağla", "Søren"]),
                "tier": one_of(draw, &["bronze", "silver", "gold"]),
            }),
            Table::Sessions => json!({ "id": key, "customer_id": draw.i64(1..500), "pages": draw.i64(1..60) }),
        };
        match row {
            Value::Object(row) => row,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Row::new(),
        }
    }
}

fn one_of<'a>(draw: &mut Rng, words: &[&'a str]) -> &'a str {
    words[draw.usize(0..words.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simulation_contains_every_kind_of_change() {
        let shop = Shop::after(8, 7);
        let events: Vec<&Value> = shop.changes.iter().filter_map(|change| change.event.as_ref()).collect();
        let payload = |event: &Value| event.get("payload").unwrap_or(event).clone();
        for op in ["c", "u", "d", "t"] {
            assert!(events.iter().any(|event| payload(event)["op"] == op), "no event with op {op}");
        }
        let has = |text: &str| events.iter().any(|event| event.to_string().contains(text));
        assert!(has("SPRING-") && has("second parcel") && has("__debezium_unavailable_value"));
        let versions = shop.versions(Table::Customers);
        let returned = versions
            .windows(2)
            .any(|pair| pair[0].to.is_some_and(|to| to < pair[1].from) && pair[0].row == pair[1].row);
        assert!(returned, "no deleted customer is inserted again with the same values");
        assert!(!shop.rows(Table::Sessions).is_empty());
    }

    #[test]
    fn the_same_seed_gives_the_same_shop() {
        let logged =
            |seed| Shop::after(3, seed).changes.into_iter().map(|change| format!("{change:?}")).collect::<Vec<_>>();
        assert_eq!(logged(7), logged(7));
        assert_ne!(logged(7), logged(8));
    }
}
