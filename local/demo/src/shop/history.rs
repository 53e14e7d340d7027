//! The expected content of a table: its current rows, and all versions of its rows.

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

/// A version of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Version {
    pub(crate) row: Row,
    /// Start of the version, in milliseconds since 1970.
    pub(crate) from: i64,
    /// End of the version, in milliseconds since 1970; `None` for the current version.
    pub(crate) to: Option<i64>,
}

/// The versions of a table by key, oldest first.
#[derive(Debug, Default)]
pub(crate) struct TableHistory(BTreeMap<i64, Vec<Version>>);

impl TableHistory {
    /// The current row of a key.
    pub(crate) fn row(&self, key: i64) -> Option<&Row> {
        self.0.get(&key)?.last().filter(|version| version.to.is_none()).map(|version| &version.row)
    }

    /// Keys of the current rows.
    pub(crate) fn keys(&self) -> Vec<i64> {
        self.0.keys().copied().filter(|key| self.row(*key).is_some()).collect()
    }

    /// The last version of each key that has no current row.
    pub(crate) fn gone(&self) -> Vec<&Row> {
        let last = self.0.values().filter_map(|versions| versions.last());
        last.filter(|version| version.to.is_some()).map(|version| &version.row).collect()
    }

    /// Sets the current row of a key.
    pub(crate) fn put(&mut self, key: i64, row: Row, now: i64) {
        self.close(key, now);
        self.0.entry(key).or_default().push(Version { row, from: now, to: None });
    }

    /// Ends the current version of a key.
    pub(crate) fn close(&mut self, key: i64, now: i64) {
        if let Some(current) = self.0.get_mut(&key).and_then(|versions| versions.last_mut())
            && current.to.is_none()
        {
            current.to = Some(now);
        }
    }

    /// The current rows.
    pub(crate) fn rows(&self) -> Vec<&Row> {
        self.0.keys().filter_map(|key| self.row(*key)).collect()
    }

    /// All versions, ordered by key and time.
    pub(crate) fn versions(&self) -> Vec<&Version> {
        self.0.values().flatten().collect()
    }
}
