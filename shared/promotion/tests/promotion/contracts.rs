//! The contract of the tests, and variations of it.

use serde_json::json;
use shiftwork_change_data::contract::{ContractDraft, Deletes, Format, MergeStrategy, PromoteKind, TableContract};

use crate::model::VALUES;

/// The fields of the columns that are not part of the key.
pub(crate) const FIELDS: [&str; VALUES] = ["note", "Amount", "paid", "tags"];

/// A contract of `shop.order`, a name that must be quoted. The key is a number and a text; there is a column for each way in which an
/// unchanged value is taken from an earlier event.
pub(crate) fn contract(kind: PromoteKind, take: MergeStrategy, deletes: Deletes, format: Format) -> TableContract {
    let draft: ContractDraft = serde_json::from_value(json!({
        "contract": "shop-orders",
        "source": { "format": format, "table": "shop.orders" },
        "target": { "schema": "shop", "table": "order", "staging_schema": "staging", "distkey": "id" },
        "key": ["id", "region"],
        "columns": [
            { "name": "id", "type": "bigint" },
            { "name": "region", "from": "Region", "type": "varchar(8)" },
            { "name": "note", "type": "varchar(40)" },
            { "name": "amount", "from": "Amount", "type": "decimal(12,2)" },
            { "name": "paid", "type": "boolean" },
            { "name": "tags", "type": "super" },
        ],
        "promote": { "kind": kind, "take": take, "deletes": deletes },
    }))
    .unwrap();
    draft.check().unwrap()
}

/// The contract after `change` was applied to its draft.
pub(crate) fn changed(contract: &TableContract, change: impl FnOnce(&mut ContractDraft)) -> TableContract {
    let mut draft = contract.draft();
    change(&mut draft);
    draft.check().unwrap()
}
