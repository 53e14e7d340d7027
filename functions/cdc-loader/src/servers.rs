//! Finds contracts without `source.server` that take tables of several servers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

/// Most servers that are kept of a contract.
const MOST: usize = 10;

/// The servers that were seen since this instance of the function started, by the contract's name.
#[derive(Debug, Default)]
pub(crate) struct Servers(Mutex<BTreeMap<String, BTreeSet<String>>>);

impl Servers {
    /// Adds servers of a contract. Returns the names of its servers if there are several, and one of them is new.
    pub(crate) fn add(&self, contract: &str, servers: &BTreeSet<String>) -> Option<String> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(contract.to_owned()).or_default();
        let before = known.len();
        known.extend(servers.iter().take(MOST.saturating_sub(before)).cloned());
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        (known.len() > before.max(1)).then(|| names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Servers;

    #[test]
    fn every_further_server_of_a_contract_is_reported_once() {
        let servers = Servers::default();
        let add = |contract: &str, names: &[&str]| {
            servers.add(contract, &names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>())
        };
        assert_eq!(add("orders", &["a"]), None);
        assert_eq!(add("customers", &["b"]), None);
        assert_eq!(add("orders", &["a"]), None);
        assert_eq!(add("orders", &["b"]), Some("a, b".into()));
        assert_eq!(add("orders", &["a", "b"]), None);
        assert_eq!(add("customers", &["a", "b", "c"]), Some("a, b, c".into()));
        for n in 0..20 {
            add("orders", &[&format!("s{n}")]);
        }
        assert_eq!(add("orders", &["z"]), None, "not more than the most servers are kept");
    }
}
