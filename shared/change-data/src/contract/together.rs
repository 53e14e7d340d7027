//! What must hold of all contracts of a deployment together.

use std::collections::{BTreeMap, btree_map::Entry};

use super::{PromoteKind, TableContract};

/// A table or view of Redshift that two contracts have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedTable<K> {
    /// The contract that was given first.
    pub earlier: K,
    /// The other contract.
    pub later: K,
    /// The table, as `schema.table`.
    pub table: String,
}

/// The tables and views that two contracts have: each of their loads would replace rows of the other. `K` identifies a contract.
pub fn shared_tables<'c, K: Copy>(contracts: impl IntoIterator<Item = (K, &'c TableContract)>) -> Vec<SharedTable<K>> {
    let mut owners: BTreeMap<String, K> = BTreeMap::new();
    let mut shared = Vec::new();
    for (later, contract) in contracts {
        let target = contract.target();
        let view = (contract.promote().kind == PromoteKind::Type7).then(|| format!("{}_current", target.table));
        for name in [Some(target.table.clone()), view].into_iter().flatten() {
            match owners.entry(format!("{}.{name}", target.schema)) {
                Entry::Vacant(vacant) => {
                    vacant.insert(later);
                }
                Entry::Occupied(owner) => {
                    shared.push(SharedTable { earlier: *owner.get(), later, table: owner.key().clone() });
                }
            }
        }
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::shared_tables;
    use crate::contract::{TableContract, read};

    fn contract(name: &str, schema: &str, table: &str, kind: &str) -> TableContract {
        let text = format!(
            "contract: {name}\nsource: {{ format: dynamodb, table: {name} }}\ntarget: {{ schema: {schema}, table: {table} }}\nkey: [id]\n\
             columns: [{{ name: id, type: bigint }}]\npromote: {{ kind: {kind} }}\n"
        );
        read("contract.yaml", &text).unwrap()
    }

    #[test]
    fn a_table_or_view_of_two_contracts_is_found() {
        let orders = contract("orders", "shop", "orders", "type1");
        for (other, wanted) in [
            (contract("orders_b", "shop", "orders", "type2"), Some("shop.orders")),
            (contract("orders_b", "other", "orders", "type1"), None),
            (contract("orders_b", "shop", "orders_b", "type1"), None),
        ] {
            let found = shared_tables([("a", &orders), ("b", &other)]);
            assert_eq!(found.first().map(|shared| (shared.later, &*shared.table)), wanted.map(|table| ("b", table)));
        }
        let versions = contract("versions", "shop", "orders", "type7");
        let current = contract("current", "shop", "orders_current", "type1");
        assert_eq!(shared_tables([(1, &versions), (2, &current)])[0].table, "shop.orders_current");
    }
}
