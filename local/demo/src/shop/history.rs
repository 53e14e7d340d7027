//! What is true of a table: its rows now, and every version that it ever had.

use std::collections::BTreeMap;

use super::Row;

/// The tables of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Table {
    Orders,
    Customers,
    Sessions,
}

impl Table {
    pub(crate) const ALL: [Self; 3] = [Self::Orders, Self::Customers, Self::Sessions];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Customers => "customers",
            Self::Sessions => "sessions",
        }
    }
}

/// A row as it was for a while.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Version {
    pub(crate) row: Row,
    /// Milliseconds since 1970: since when it was so.
    pub(crate) from: i64,
    /// Until when; none for the current version.
    pub(crate) to: Option<i64>,
}

/// A table's versions by key, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Truth(BTreeMap<i64, Vec<Version>>);

impl Truth {
    /// The row of a key, now.
    pub(crate) fn row(&self, key: i64) -> Option<&Row> {
        self.0.get(&key)?.last().filter(|version| version.to.is_none()).map(|version| &version.row)
    }

    /// Keys that have a row now.
    pub(crate) fn keys(&self) -> Vec<i64> {
        self.0.keys().copied().filter(|key| self.row(*key).is_some()).collect()
    }

    /// The last row of keys that have none now.
    pub(crate) fn gone(&self) -> Vec<&Row> {
        let last = self.0.values().filter_map(|versions| versions.last());
        last.filter(|version| version.to.is_some()).map(|version| &version.row).collect()
    }

    /// A row is so from now on.
    pub(crate) fn put(&mut self, key: i64, row: Row, now: i64) {
        self.close(key, now);
        self.0.entry(key).or_default().push(Version { row, from: now, to: None });
    }

    /// A row is gone.
    pub(crate) fn close(&mut self, key: i64, now: i64) {
        if let Some(current) = self.0.get_mut(&key).and_then(|versions| versions.last_mut())
            && current.to.is_none()
        {
            current.to = Some(now);
        }
    }

    /// The rows now.
    pub(crate) fn rows(&self) -> Vec<&Row> {
        self.0.keys().filter_map(|key| self.row(*key)).collect()
    }

    /// Every version there ever was, by key and time.
    pub(crate) fn versions(&self) -> Vec<&Version> {
        self.0.values().flatten().collect()
    }
}
