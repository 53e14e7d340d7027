//! Decides what to do about each field that has values in `dw_md_missing_data`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use shiftwork_change_data::{
    column_type::ColumnType,
    contract::{Column, TableContract, fit_one_table, is_valid_field},
};
use shiftwork_promotion::is_copied;
use shiftwork_protocol::drift::{Finding, Remedy};

use crate::{infer::Shape, names::column_name, types::Types};

/// Most fields of a contract that are reported one by one.
pub const MOST_FINDINGS: usize = 200;
/// Most fields for which `evolve` adds columns automatically. If there are more, the source probably uses data as field names.
pub const MOST_AUTOMATIC: u64 = 50;

/// A field with values in `dw_md_missing_data`, from the drift report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingField {
    /// Name of the field, exactly as the source writes it.
    pub field: String,
    /// Number of rows that have a value of the field.
    pub rows: u64,
    /// Source time of the first of these rows.
    pub since: Option<Timestamp>,
    /// The types and sizes of the values.
    pub shape: Shape,
}

/// A step of a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MigrationStep {
    /// Adds a column after the others.
    Add(Column),
    /// Makes a VARCHAR column longer and moves the waiting values into it.
    Widen {
        /// The column with its new type.
        column: Column,
    },
    /// Replaces a column by one of another type, and moves the waiting values into it.
    Replace {
        /// The column with its new type.
        column: Column,
    },
    /// Moves the waiting values into a column.
    Fill {
        /// The column, which is not changed.
        column: Column,
    },
}

impl MigrationStep {
    /// The column after the step.
    pub const fn column(&self) -> &Column {
        match self {
            Self::Add(column) | Self::Widen { column } | Self::Replace { column } | Self::Fill { column } => column,
        }
    }
}

/// Decides about every field. A finding that a migration can resolve comes with its step.
pub fn decide(
    contract: &TableContract,
    evidence: &[WaitingField],
    types: &Types,
) -> Vec<(Finding, Option<MigrationStep>)> {
    let mut taken: BTreeSet<String> = contract.columns().iter().map(|column| column.name.clone()).collect();
    let mut evidence: Vec<&WaitingField> =
        evidence.iter().filter(|seen| types.asked.contains_key(&seen.field) || !is_copy(contract, seen)).collect();
    evidence.sort_by(|a, b| (a.since, &a.field).cmp(&(b.since, &b.field)));
    let decided = evidence.into_iter().map(|seen| {
        let (remedy, change) = match contract.column_of_field(&seen.field) {
            Some(column) => decide_about_column(contract, column, seen.shape, types.asked(&seen.field)),
            None if seen.shape == Shape::default() => (Remedy::None { why: "it is null in every row".into() }, None),
            None if !is_valid_field(&seen.field) => {
                let why = "no SQL statement can name the field: rename it in the source, or map the document that contains it \
                           as one super column";
                (Remedy::None { why: why.into() }, None)
            }
            None => {
                let column = new_column(seen, types, &taken);
                if fit_one_table(taken.iter().map(String::as_str).chain([column.name.as_str()])) {
                    taken.insert(column.name.clone());
                    let (name, column_type) = (column.name.clone(), column.column_type.to_string());
                    (Remedy::Add { column: name, column_type }, Some(MigrationStep::Add(column)))
                } else {
                    let why = format!(
                        "{} has as many columns as a table can have: map the document that contains the field as one super column",
                        contract.target().table
                    );
                    (Remedy::None { why }, None)
                }
            }
        };
        let WaitingField { field, rows, since, shape } = seen;
        let seen = if *rows == 0 { "no value waits".to_owned() } else { shape.to_string() };
        (Finding { field: field.clone(), since: *since, rows: *rows, seen, remedy }, change)
    });
    decided.collect()
}

/// Whether the values of the field were copied to its column and could not be removed from `dw_md_missing_data`.
fn is_copy(contract: &TableContract, seen: &WaitingField) -> bool {
    let column = contract.column_of_field(&seen.field);
    is_copied(&seen.field) && column.is_some_and(|column| seen.shape.fits(column.column_type))
}

fn new_column(seen: &WaitingField, types: &Types, taken: &BTreeSet<String>) -> Column {
    let name = column_name(&seen.field, taken);
    let from = (name != seen.field).then(|| seen.field.clone());
    let (column_type, source_type) = types.of(seen);
    Column { name, column_type, from, source_type }
}

/// Decides about values of a field that has a column: they were loaded before the column existed, or they do not fit.
fn decide_about_column(
    contract: &TableContract,
    column: &Column,
    shape: Shape,
    asked: Option<ColumnType>,
) -> (Remedy, Option<MigrationStep>) {
    let (name, column_type, is_key) = (column.name.clone(), column.column_type, contract.is_key(&column.name));
    let change = |to: ColumnType| {
        let remedy = Remedy::Widen { column: name.clone(), from: column_type.to_string(), to: to.to_string() };
        let column = Column { column_type: to, ..column.clone() };
        let is_in_place = matches!((column_type, to), (ColumnType::Varchar(_), ColumnType::Varchar(_))) && !is_key;
        (remedy, Some(if is_in_place { MigrationStep::Widen { column } } else { MigrationStep::Replace { column } }))
    };
    let command = |to: &str| format!("`shiftwork drift {} --apply --type '{}={to}'`", contract.name(), column.field());
    if let Some(asked) = asked {
        return change(asked);
    }
    if is_key {
        let why = format!("{name} is part of the key: {} changes its type", command("TYPE"));
        return (Remedy::None { why }, None);
    }
    let fill = (Remedy::Fill { column: name.clone() }, Some(MigrationStep::Fill { column: column.clone() }));
    if shape.fits(column_type) {
        return fill;
    }
    if let ColumnType::Varchar(length) = column_type
        && let Some(wider) = shape.wider(length)
    {
        return change(wider);
    }
    if let Some(wider) = shape.more_digits(column_type) {
        return change(wider);
    }
    if shape.fitting(column_type) != Shape::default() {
        // The values that do not fit are decided about after the others have been moved.
        return fill;
    }
    let way = match shape.as_text(column_type) {
        Some(text) => format!("{} makes it a text that holds them", command(&text.to_string())),
        None => "read them from there, or write a new contract with another target table and a type that holds them"
            .to_owned(),
    };
    let why = format!("{name} is {column_type}, but its values in dw_md_missing_data are {shape}: {way}");
    (Remedy::None { why }, None)
}

/// The columns that the steps add to a contract, and the new types of columns, by name.
pub fn effects(changes: &[MigrationStep]) -> (Vec<Column>, BTreeMap<String, ColumnType>) {
    let mut added = Vec::new();
    let mut widened = BTreeMap::new();
    for change in changes {
        match change {
            MigrationStep::Add(column) => added.push(column.clone()),
            MigrationStep::Widen { column } | MigrationStep::Replace { column } => {
                widened.insert(column.name.clone(), column.column_type);
            }
            MigrationStep::Fill { .. } => {}
        }
    }
    (added, widened)
}

/// The columns of a contract after the additions and type changes. The contract may have them already, because a user pushed them or an
/// earlier invocation wrote them.
///
/// # Errors
/// A column of the contract conflicts with an added column.
pub fn merged(
    contract: &TableContract,
    added: &[Column],
    widened: &BTreeMap<String, ColumnType>,
) -> Result<Vec<Column>, String> {
    let mut columns = contract.columns().to_vec();
    for column in &mut columns {
        if let Some(new) = widened.get(&column.name)
            && new.replaces(column.column_type)
        {
            column.column_type = *new;
        }
    }
    for column in added {
        let same_name = columns.iter().find(|other| other.name == column.name);
        let same_field = columns.iter().find(|other| other.field() == column.field());
        match (same_name, same_field) {
            (None, None) => columns.push(column.clone()),
            (Some(there), Some(_))
                if there.field() == column.field() && there.column_type.widens(column.column_type) => {}
            (Some(there), Some(_) | None) | (None, Some(there)) => {
                return Err(format!(
                    "its column `{}` ({}, from `{}`) conflicts with the table's new column `{}` ({}, from `{}`)",
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
    use shiftwork_change_data::{
        column_type::ColumnType,
        contract::{Column, ContractDraft, MOST_COLUMNS, TableContract},
    };
    use shiftwork_protocol::drift::{FieldType, Remedy};

    use super::{MigrationStep, Shape, Types, WaitingField, decide, effects, merged};

    fn contract() -> TableContract {
        let draft: ContractDraft = serde_json::from_value(json!({
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
        .unwrap();
        draft.check().unwrap()
    }

    fn with(contract: &TableContract, column: Column) -> TableContract {
        contract.with_columns(&[contract.columns(), &[column]].concat()).unwrap()
    }

    fn seen(field: &str, values: &[Value]) -> WaitingField {
        let shape = values.iter().map(Shape::of).fold(Shape::default(), Shape::with);
        WaitingField { field: field.into(), rows: values.len() as u64, since: None, shape }
    }

    fn remedy(evidence: WaitingField) -> (String, bool) {
        let decided = decide(&contract(), &[evidence], &Types::default());
        (decided[0].0.remedy.to_string(), decided[0].1.is_some())
    }

    #[test]
    fn each_field_has_the_right_remedy() {
        for (evidence, wanted, can) in [
            (seen("colour", &[json!("red")]), "add column colour varchar(64)", true),
            (seen("Note", &[json!("x".repeat(65))]), "widen note from varchar(64) to varchar(256)", true),
            (seen("Note", &[json!("x")]), "fill note", true),
            (
                seen("Note", &[json!("x".repeat(65)), json!({})]),
                "note is varchar(64), but its values in dw_md_missing_data are texts up to 65 bytes, documents: `shiftwork drift orders \
                 --apply --type 'Note=varchar(65535)'`",
                false,
            ),
            (seen("note", &[json!(1)]), "add column note_", true),
            (seen("amount", &[json!(1), json!("one")]), "fill amount", true),
            (seen("amount", &[json!(12.25)]), "fill amount", true),
            (seen("amount", &[json!(12.255)]), "widen amount from decimal(12,2) to decimal(38,6)", true),
            (seen("amount", &[json!(12.255), json!("one")]), "widen amount from decimal(12,2) to decimal(38,6)", true),
            (
                seen("amount", &[json!("many")]),
                "amount is decimal(12,2), but its values in dw_md_missing_data are texts up to 4 bytes: `shiftwork drift orders --apply \
                 --type 'amount=varchar(64)'` makes it a text",
                false,
            ),
            (
                seen("id", &[json!("x")]),
                "id is part of the key: `shiftwork drift orders --apply --type 'id=TYPE'` changes its type",
                false,
            ),
            (seen("empty", &[json!(null)]), "it is null in every row", false),
        ] {
            let (remedy, changes) = remedy(evidence);
            assert!(remedy.starts_with(wanted), "{remedy}");
            assert_eq!(changes, can, "{remedy}");
        }
    }

    /// The schema of the events knows a double whose first value is whole, and a timestamp; a user's choice comes before it.
    #[test]
    fn a_new_column_has_the_chosen_type_or_that_of_the_schema() {
        let known = |column_type: &str, source_type: Option<&str>| FieldType {
            column_type: column_type.into(),
            source_type: source_type.map(Into::into),
        };
        let micros = Some("io.debezium.time.MicroTimestamp");
        let variable = Some("io.debezium.data.VariableScaleDecimal");
        for (of_events, asked, value, wanted) in [
            (known("double precision", None), None, json!(5), ("double precision", None)),
            (known("timestamp", micros), None, json!("2023-11-14 22:13:20.123456"), ("timestamp", micros)),
            (known("timestamptz", None), None, json!("2023-11-14T22:13:20Z"), ("timestamptz", None)),
            (known("bigint", None), None, json!("text"), ("varchar(64)", None)),
            (known("varchar(64)", None), None, json!("x".repeat(65)), ("varchar(256)", None)),
            (known("decimal(38,10)", variable), None, json!(0.333_333_333_333), ("decimal(38,12)", variable)),
            (known("integer", None), None, json!(3_000_000_000_u32), ("bigint", None)),
            (known("varbyte(1024)", Some("bytes")), None, json!("AA=="), ("varchar(64)", None)),
            (known("real", None), None, json!(1.5), ("double precision", None)),
            (known("timestamp", micros), Some("varchar(99)"), json!("2023"), ("varchar(99)", micros)),
        ] {
            let types = Types {
                asked: asked.map(|text| ("f".to_owned(), text.to_owned())).into_iter().collect(),
                of_events: [("f".to_owned(), of_events)].into(),
            };
            let evidence = [seen("f", &[value])];
            types.check(&contract(), &evidence).unwrap();
            let decided = decide(&contract(), &evidence, &types);
            let column = decided[0].1.as_ref().unwrap().column();
            let source_type = column.source_type.as_ref().map(ToString::to_string);
            assert_eq!((column.column_type.to_string().as_str(), source_type.as_deref()), wanted);
        }
    }

    #[test]
    fn a_column_of_a_chosen_type_replaces_the_column_of_the_field() {
        let asked = [("amount", "varchar(64)"), ("id", "decimal(38,0)"), ("Note", "varchar(99)")];
        let asked = asked.map(|(field, text)| (field.to_owned(), text.to_owned()));
        let types = Types { asked: asked.into(), ..Types::default() };
        let mut evidence = vec![seen("amount", &[json!("one"), json!(1)])];
        evidence.extend(types.without_values(&contract(), &evidence));
        let decided = decide(&contract(), &evidence, &types);
        let changes: Vec<MigrationStep> = decided.iter().filter_map(|(_, change)| change.clone()).collect();
        let replace = |column| MigrationStep::Replace { column };
        assert_eq!(
            changes,
            [
                MigrationStep::Widen { column: column("note", "varchar(99)", Some("Note")) },
                replace(column("amount", "varchar(64)", None)),
                replace(column("id", "decimal(38,0)", None)),
            ]
        );
        let (_, types) = effects(&changes);
        let merged = merged(&contract(), &[], &types).unwrap();
        assert_eq!(
            merged.iter().map(|column| column.column_type.to_string()).collect::<Vec<_>>(),
            ["decimal(38,0)", "varchar(99)", "varchar(64)"]
        );
    }

    #[test]
    fn a_copied_value_is_not_a_finding() {
        let contract = with(&contract(), column("in_mm", "bigint", Some("in \"mm\"")));
        assert_eq!(decide(&contract, &[seen("in \"mm\"", &[json!(1)])], &Types::default()), []);
        assert_eq!(
            decide(&contract, &[seen("in \"mm\"", &[json!("1")])], &Types::default()).len(),
            1,
            "a value that does not fit is a finding"
        );
    }

    #[test]
    fn a_table_never_exceeds_the_most_columns() {
        let many: Vec<_> = (0..2_000).map(|n| seen(&format!("f{n:04}"), &[json!(n)])).collect();
        let decided = decide(&contract(), &many, &Types::default());
        let added = decided.iter().filter(|(_, change)| change.is_some()).count();
        assert_eq!(added + contract().columns().len(), MOST_COLUMNS);
        let Remedy::None { why } = &decided.last().unwrap().0.remedy else { panic!("{decided:?}") };
        assert!(why.contains("super column"), "{why}");
    }

    fn column(name: &str, column_type: &str, from: Option<&str>) -> Column {
        Column {
            name: name.into(),
            column_type: ColumnType::parse(column_type).unwrap(),
            from: from.map(Into::into),
            source_type: None,
        }
    }

    #[test]
    fn a_contract_that_was_pushed_in_the_meantime_keeps_its_columns() {
        let pushed = with(&contract(), column("theirs", "bigint", None));
        let ours = column("colour", "varchar(64)", None);
        let widened = [("note".to_owned(), ColumnType::Varchar(256))].into();
        let mut columns = merged(&pushed, std::slice::from_ref(&ours), &widened).unwrap();
        assert_eq!(columns[1].column_type, ColumnType::Varchar(256));
        assert_eq!(columns[3..], [column("theirs", "bigint", None), ours.clone()]);
        columns[1].column_type = ColumnType::Varchar(1024);
        columns[4].column_type = ColumnType::Varchar(256);
        let pushed = pushed.with_columns(&columns).unwrap();
        let again = merged(&pushed, &[ours], &widened).unwrap();
        assert_eq!(again, pushed.columns(), "columns that exist and are wider are not changed");
    }

    #[test]
    fn a_contract_that_conflicts_with_the_table_is_an_error() {
        let ours = [column("colour", "varchar(64)", None)];
        for theirs in [
            column("colour", "bigint", None),
            column("color", "varchar(64)", Some("colour")),
            column("colour", "varchar(64)", Some("x")),
        ] {
            let pushed = with(&contract(), theirs);
            assert!(merged(&pushed, &ours, &[].into()).unwrap_err().contains("conflicts with the table's new column"));
        }
    }

    #[test]
    fn a_field_that_sql_cannot_name_has_no_migration_step() {
        for field in ["", "a\0b", "a\u{fdd0}b"] {
            let (remedy, can) = remedy(seen(field, &[json!(1)]));
            assert!(remedy.contains("no SQL statement can name the field") && !can, "{remedy}");
        }
    }

    proptest! {
        /// After a migration there is no column left to add or to widen, for any fields.
        #[test]
        fn a_migration_resolves_all_its_findings(
            fields in prop::collection::btree_map("[a-cA-C \"]{1,3}|note|Note|amount", prop::collection::vec(
                prop_oneof![any::<i32>().prop_map(Value::from), ".{0,100}".prop_map(Value::from), any::<bool>().prop_map(Value::from), Just(json!([]))], 1..4), 0..12)
        ) {
            let evidence: Vec<_> = fields.iter().map(|(field, values)| seen(field, values)).collect();
            let decided = decide(&contract(), &evidence, &Types::default());
            let changes: Vec<MigrationStep> = decided.iter().filter_map(|(_, change)| change.clone()).collect();
            let (added, widened) = effects(&changes);
            let after = contract().with_columns(&merged(&contract(), &added, &widened).unwrap()).unwrap();
            // Columns are only appended, and a type only becomes wider.
            for (old, new) in contract().columns().iter().zip(after.columns()) {
                prop_assert_eq!((&old.name, old.field()), (&new.name, new.field()));
            }
            let names: std::collections::BTreeSet<_> = after.columns().iter().map(|column| &column.name).collect();
            prop_assert_eq!(names.len(), after.columns().len());
            for (finding, _) in decide(&after, &evidence, &Types::default()) {
                prop_assert!(matches!(finding.remedy, Remedy::Fill { .. } | Remedy::None { .. }), "{finding:?}");
            }
        }
    }
}
