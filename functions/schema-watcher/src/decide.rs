//! What is to be done about each field that waits.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use shiftwork_change_data::{
    column_type::ColumnType,
    contract::{Column, TableContract},
};
use shiftwork_protocol::drift::{Finding, Remedy};

use crate::{infer::Shape, names::column_name};

/// Columns of a table (Redshift docs, "Quotas and limits"), less what shiftwork puts beside the contract's.
const MOST_COLUMNS: usize = 1_600 - 16;
/// Fields that are told one by one.
pub const MOST_FINDINGS: usize = 200;
/// Fields that `evolve` takes in by itself at once. A source that brings more does not add columns: it writes data into its keys.
pub const MOST_BY_ITSELF: u64 = 50;

/// What Redshift says about a field that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The field, exactly as the source writes it.
    pub field: String,
    /// Rows that have it.
    pub rows: u64,
    /// Source time of the first of them.
    pub since: Option<Timestamp>,
    /// What its values look like.
    pub shape: Shape,
}

/// A step of a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A column behind the others.
    Add(Column),
    /// A longer VARCHAR, which takes what waits.
    Widen {
        /// The column, as it is then.
        column: Column,
    },
    /// A column takes what waits.
    Fill {
        /// The column, as it is.
        column: Column,
    },
}

impl Change {
    /// The column, as it will be.
    pub const fn column(&self) -> &Column {
        match self {
            Self::Add(column) | Self::Widen { column } | Self::Fill { column } => column,
        }
    }
}

/// Decides about every field; what can be done by statements comes with its step.
pub fn decide(contract: &TableContract, evidence: &[Evidence]) -> Vec<(Finding, Option<Change>)> {
    let mut taken: BTreeSet<String> = contract.columns.iter().map(|column| column.name.clone()).collect();
    let mut evidence: Vec<&Evidence> = evidence.iter().filter(|seen| !is_copy(contract, seen)).collect();
    evidence.sort_by(|a, b| (a.since, &a.field).cmp(&(b.since, &b.field)));
    let decided = evidence.into_iter().map(|seen| {
        let known = contract.columns.iter().find(|column| column.field() == seen.field);
        let (remedy, change) = match known {
            Some(column) => about_known(contract, column, seen.shape),
            None if seen.shape == Shape::default() => (Remedy::None { why: "it is null in every row".into() }, None),
            None if taken.len() >= MOST_COLUMNS => {
                let why = format!(
                    "{} has as many columns as Redshift takes: map the document that the field comes from as one super column",
                    contract.target.table
                );
                (Remedy::None { why }, None)
            }
            None => {
                let column = new_column(seen, &taken);
                taken.insert(column.name.clone());
                let (name, column_type) = (column.name.clone(), column.column_type.clone());
                (Remedy::Add { column: name, column_type }, Some(Change::Add(column)))
            }
        };
        let Evidence { field, rows, since, shape } = seen;
        (Finding { field: field.clone(), since: *since, rows: *rows, seen: shape.to_string(), remedy }, change)
    });
    decided.collect()
}

/// SUPER has no path to a name with a quote or a backslash, so that its value is copied to its column, and not moved.
fn is_copy(contract: &TableContract, seen: &Evidence) -> bool {
    let column = contract.columns.iter().find(|column| column.field() == seen.field);
    let column_type = column.and_then(|column| ColumnType::parse(&column.column_type).ok());
    seen.field.contains(['"', '\\']) && column_type.is_some_and(|column_type| seen.shape.fits(column_type))
}

fn new_column(seen: &Evidence, taken: &BTreeSet<String>) -> Column {
    let name = column_name(&seen.field, taken);
    let from = (name != seen.field).then(|| seen.field.clone());
    Column { name, column_type: seen.shape.column_type().to_string(), from, source_type: None }
}

/// Values wait although the field has a column: they came before it, or they do not fit.
fn about_known(contract: &TableContract, column: &Column, shape: Shape) -> (Remedy, Option<Change>) {
    let name = column.name.clone();
    let Ok(column_type) = ColumnType::parse(&column.column_type) else {
        return (Remedy::None { why: format!("`{}` is none of Redshift's types", column.column_type) }, None);
    };
    if contract.key.contains(&column.name) {
        return (Remedy::None { why: format!("{name} is part of the key, whose type cannot be changed") }, None);
    }
    let fill = (Remedy::Fill { column: name.clone() }, Some(Change::Fill { column: column.clone() }));
    if shape.fits(column_type) {
        return fill;
    }
    if let ColumnType::Varchar(length) = column_type
        && let Some(wider) = shape.wider(length)
    {
        let column = Column { column_type: wider.to_string(), ..column.clone() };
        let remedy = Remedy::Widen { column: name, from: column_type.to_string(), to: wider.to_string() };
        return (remedy, Some(Change::Widen { column }));
    }
    if shape.fitting(column_type) != Shape::default() {
        // The turn of the others comes when these have moved.
        return fill;
    }
    let why = format!(
        "{name} is {column_type}, and what waits are {shape}: mend the source, or read them from dw_md_missing_data"
    );
    (Remedy::None { why }, None)
}

/// Columns that come into a contract, and types of its columns that change.
pub fn effects(changes: &[Change]) -> (Vec<Column>, BTreeMap<String, String>) {
    let mut added = Vec::new();
    let mut widened = BTreeMap::new();
    for change in changes {
        match change {
            Change::Add(column) => added.push(column.clone()),
            Change::Widen { column } => {
                widened.insert(column.name.clone(), column.column_type.clone());
            }
            Change::Fill { .. } => {}
        }
    }
    (added, widened)
}

/// The columns of a contract with these additions, which it may have already: somebody pushed them, or an earlier try wrote them.
///
/// # Errors
/// Why the two do not go together.
pub fn merged(
    contract: &TableContract,
    added: &[Column],
    widened: &BTreeMap<String, String>,
) -> Result<Vec<Column>, String> {
    let wider = |new: &str, old: &str| match (ColumnType::parse(new), ColumnType::parse(old)) {
        (Ok(new), Ok(old)) => new.widens(old),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => new == old,
    };
    let mut columns = contract.columns.clone();
    for column in &mut columns {
        if let Some(new) = widened.get(&column.name)
            && wider(new, &column.column_type)
        {
            column.column_type.clone_from(new);
        }
    }
    for column in added {
        let same_name = columns.iter().find(|other| other.name == column.name);
        let same_field = columns.iter().find(|other| other.field() == column.field());
        match (same_name, same_field) {
            (None, None) => columns.push(column.clone()),
            (Some(there), Some(_))
                if there.field() == column.field() && wider(&there.column_type, &column.column_type) => {}
            (Some(there), Some(_) | None) | (None, Some(there)) => {
                return Err(format!(
                    "its column `{}` ({}, from `{}`) and the table's new column `{}` ({}, from `{}`) cannot both be",
                    there.name,
                    there.column_type,
                    there.field(),
                    column.name,
                    column.column_type,
                    column.field()
                ));
            }
        }
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use shiftwork_change_data::contract::{Column, TableContract};
    use shiftwork_protocol::drift::Remedy;

    use super::{Change, Evidence, Shape, decide, effects, merged};

    fn contract() -> TableContract {
        serde_json::from_value(json!({
            "contract": "orders",
            "source": { "format": "debezium", "table": "public.orders" },
            "target": { "schema": "shop", "table": "orders" },
            "key": ["id"],
            "columns": [
                { "name": "id", "type": "bigint" },
                { "name": "note", "type": "varchar(64)", "from": "Note" },
                { "name": "amount", "type": "decimal(12,2)" },
            ],
        }))
        .unwrap()
    }

    fn seen(field: &str, values: &[Value]) -> Evidence {
        let shape = values.iter().map(Shape::of).fold(Shape::default(), Shape::with);
        Evidence { field: field.into(), rows: values.len() as u64, since: None, shape }
    }

    fn remedy(evidence: Evidence) -> (String, bool) {
        let decided = decide(&contract(), &[evidence]);
        (decided[0].0.remedy.to_string(), decided[0].1.is_some())
    }

    #[test]
    fn each_field_gets_what_can_be_done() {
        for (evidence, wanted, can) in [
            (seen("colour", &[json!("red")]), "add column colour varchar(64)", true),
            (seen("Note", &[json!("x".repeat(65))]), "widen note from varchar(64) to varchar(256)", true),
            (seen("Note", &[json!("x")]), "fill note", true),
            (seen("Note", &[json!("x".repeat(65)), json!({})]), "note is varchar(64), and what waits are", false),
            (seen("note", &[json!(1)]), "add column note_", true),
            (seen("amount", &[json!(1), json!("one")]), "fill amount", true),
            (seen("amount", &[json!(12.25)]), "fill amount", true),
            (
                seen("amount", &[json!(12.255)]),
                "amount is decimal(12,2), and what waits are numbers up to 2.3 digits",
                false,
            ),
            (
                seen("amount", &[json!("many")]),
                "amount is decimal(12,2), and what waits are texts up to 4 bytes",
                false,
            ),
            (seen("id", &[json!("x")]), "id is part of the key", false),
            (seen("empty", &[json!(null)]), "it is null in every row", false),
        ] {
            let (remedy, changes) = remedy(evidence);
            assert!(remedy.starts_with(wanted), "{remedy}");
            assert_eq!(changes, can, "{remedy}");
        }
    }

    #[test]
    fn what_cannot_be_moved_is_no_finding_once_it_is_copied() {
        let mut contract = contract();
        contract.columns.push(column("in_mm", "bigint", Some("in \"mm\"")));
        assert_eq!(decide(&contract, &[seen("in \"mm\"", &[json!(1)])]), []);
        assert_eq!(decide(&contract, &[seen("in \"mm\"", &[json!("1")])]).len(), 1, "that one does not fit");
    }

    #[test]
    fn a_table_is_never_wider_than_redshift_takes() {
        let many: Vec<_> = (0..2_000).map(|n| seen(&format!("f{n:04}"), &[json!(n)])).collect();
        let decided = decide(&contract(), &many);
        let added = decided.iter().filter(|(_, change)| change.is_some()).count();
        assert_eq!(added + contract().columns.len(), super::MOST_COLUMNS);
        let Remedy::None { why } = &decided.last().unwrap().0.remedy else { panic!("{decided:?}") };
        assert!(why.contains("super column"), "{why}");
    }

    fn column(name: &str, column_type: &str, from: Option<&str>) -> Column {
        Column { name: name.into(), column_type: column_type.into(), from: from.map(Into::into), source_type: None }
    }

    #[test]
    fn a_contract_that_was_pushed_meanwhile_keeps_what_its_author_wrote() {
        let mut pushed = contract();
        pushed.columns.push(column("theirs", "bigint", None));
        let ours = column("colour", "varchar(64)", None);
        let widened = [("note".to_owned(), "varchar(256)".to_owned())].into();
        let columns = merged(&pushed, std::slice::from_ref(&ours), &widened).unwrap();
        assert_eq!(columns[1].column_type, "varchar(256)");
        assert_eq!(columns[3..], [column("theirs", "bigint", None), ours.clone()]);
        pushed.columns = columns.clone();
        pushed.columns[1].column_type = "varchar(1024)".into();
        pushed.columns[4].column_type = "varchar(256)".into();
        let again = merged(&pushed, &[ours], &widened).unwrap();
        assert_eq!(again, pushed.columns, "what is there, and wider, stays");
    }

    #[test]
    fn a_contract_that_contradicts_the_table_is_said() {
        let ours = [column("colour", "varchar(64)", None)];
        for theirs in [
            column("colour", "bigint", None),
            column("color", "varchar(64)", Some("colour")),
            column("colour", "varchar(64)", Some("x")),
        ] {
            let mut pushed = contract();
            pushed.columns.push(theirs);
            assert!(merged(&pushed, &ours, &[].into()).unwrap_err().contains("cannot both be"));
        }
    }

    proptest! {
        /// After a migration there is nothing more to add or to widen, whatever waited.
        #[test]
        fn a_migration_takes_in_what_it_says(
            fields in prop::collection::btree_map("[a-cA-C \"]{1,3}|note|Note|amount", prop::collection::vec(
                prop_oneof![any::<i32>().prop_map(Value::from), ".{0,100}".prop_map(Value::from), any::<bool>().prop_map(Value::from), Just(json!([]))], 1..4), 0..12)
        ) {
            let evidence: Vec<_> = fields.iter().map(|(field, values)| seen(field, values)).collect();
            let decided = decide(&contract(), &evidence);
            let changes: Vec<Change> = decided.iter().filter_map(|(_, change)| change.clone()).collect();
            let (added, widened) = effects(&changes);
            let after = TableContract { columns: merged(&contract(), &added, &widened).unwrap(), ..contract() };
            // Only appended to, and never another type but a wider one.
            for (old, new) in contract().columns.iter().zip(&after.columns) {
                prop_assert_eq!((&old.name, old.field()), (&new.name, new.field()));
            }
            let names: std::collections::BTreeSet<_> = after.columns.iter().map(|column| &column.name).collect();
            prop_assert_eq!(names.len(), after.columns.len());
            for (finding, _) in decide(&after, &evidence) {
                prop_assert!(matches!(finding.remedy, Remedy::Fill { .. } | Remedy::None { .. }), "{finding:?}");
            }
        }
    }
}
