//! The types of fields that are known other than by the values that wait: by a user, and by the schema of the events.

use std::collections::BTreeMap;

use shiftwork_change_data::{
    column_type::ColumnType,
    contract::{Column, SourceType, TableContract},
};
use shiftwork_protocol::drift::FieldType;

use crate::{decide::WaitingField, infer::Shape};

/// What is known about the types of fields, other than by their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Types {
    /// Types that a user chose, by field: of new columns, or new types of columns.
    pub asked: BTreeMap<String, String>,
    /// Types by the schema of the events, by field.
    pub of_events: BTreeMap<String, FieldType>,
}

/// Values that wait for a column of a chosen type and that it does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfits {
    /// Number of the values.
    pub values: u64,
    /// The beginning of one of them.
    pub example: String,
}

impl Types {
    /// Checks the types that a user chose.
    ///
    /// # Errors
    /// A type is not valid; its field has a column of the type; or it has neither a column nor a value that waits.
    pub fn check(&self, contract: &TableContract, evidence: &[WaitingField]) -> Result<(), String> {
        for (field, text) in &self.asked {
            let column_type =
                ColumnType::parse(text).map_err(|problem| format!("type of field `{field}`: {problem}"))?;
            match contract.column_of_field(field) {
                Some(column) if column.column_type == column_type => {
                    return Err(format!("column `{}` of field `{field}` is already {column_type}", column.name));
                }
                None if !evidence.iter().any(|seen| seen.field == *field) => {
                    return Err(format!("no value of a field `{field}` waits for a column"));
                }
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    /// Columns of the chosen types, with the names of their fields.
    pub fn chosen(&self) -> Vec<Column> {
        let column = |(field, text): (&String, &String)| {
            let column_type = ColumnType::parse(text).ok()?;
            Some(Column { name: field.clone(), column_type, from: None, source_type: None })
        };
        self.asked.iter().filter_map(column).collect()
    }

    /// Checks that the columns of chosen types take all values that wait for them. `misfits` has the values that they do not take, by
    /// field.
    ///
    /// # Errors
    /// A column does not take a value.
    pub fn check_values(&self, misfits: &BTreeMap<String, Misfits>) -> Result<(), String> {
        let Some((field, Misfits { values, example })) = misfits.iter().next() else { return Ok(()) };
        let asked = self.asked.get(field).map_or("", String::as_str);
        Err(format!(
            "a column of type {asked} does not take {values} of the values of field `{field}` that wait, such as {example}: choose a type \
             that holds every value, such as a longer varchar or super"
        ))
    }

    /// The fields with a column for which a type was chosen and no value waits.
    pub fn without_values(&self, contract: &TableContract, evidence: &[WaitingField]) -> Vec<WaitingField> {
        let is_without = |field: &&String| {
            contract.column_of_field(field).is_some() && evidence.iter().all(|seen| seen.field != **field)
        };
        let empty =
            |field: &String| WaitingField { field: field.clone(), rows: 0, since: None, shape: Shape::default() };
        self.asked.keys().filter(is_without).map(empty).collect()
    }

    /// The type that a user chose for a field.
    pub fn asked(&self, field: &str) -> Option<ColumnType> {
        self.asked.get(field).and_then(|text| ColumnType::parse(text).ok())
    }

    /// The type and the `source_type` of a new column: the chosen type, that of the events' schema if the waiting values fit it, or that
    /// of the values.
    pub fn of(&self, seen: &WaitingField) -> (ColumnType, Option<SourceType>) {
        let of_events = self.of_events.get(&seen.field);
        let source_type = of_events.and_then(|known| SourceType::parse(known.source_type.as_deref()?).ok());
        if let Some(asked) = self.asked(&seen.field) {
            return (asked, source_type);
        }
        let known = of_events.and_then(|known| ColumnType::parse(&known.column_type).ok());
        match known.and_then(|known| seen.shape.in_column(known)) {
            Some(known) => (known, source_type),
            None => (seen.shape.column_type(), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shiftwork_change_data::contract::{TableContract, read};

    use super::{Misfits, Types};
    use crate::{decide::WaitingField, infer::Shape};

    fn contract() -> TableContract {
        let text = "\
contract: orders
source: { format: debezium, table: public.orders }
target: { schema: shop, table: orders }
key: [id]
columns: [{ name: id, type: bigint }, { name: amount, type: \"decimal(12,2)\" }]
";
        read("orders.yaml", text).unwrap()
    }

    #[test]
    fn a_type_is_chosen_for_a_column_or_for_a_field_that_waits() {
        let shape = Shape::of(&json!("red"));
        let evidence = [WaitingField { field: "colour".into(), rows: 1, since: None, shape }];
        let check = |field: &str, text: &str| {
            let types = Types { asked: [(field.to_owned(), text.to_owned())].into(), ..Types::default() };
            types.check(&contract(), &evidence)
        };
        for (field, text, reason) in [
            ("colour", "colour", "not a type of Redshift"),
            ("amount", "decimal(12,2)", "column `amount` of field `amount` is already decimal(12,2)"),
            ("size", "bigint", "no value of a field `size`"),
        ] {
            assert!(check(field, text).unwrap_err().contains(reason), "{field}");
        }
        for (field, text) in [("colour", "varchar(9)"), ("amount", "decimal(14,4)"), ("id", "decimal(38,0)")] {
            check(field, text).unwrap();
        }
    }

    #[test]
    fn a_type_that_does_not_take_a_waiting_value_is_refused() {
        let types = Types { asked: [("n".to_owned(), "integer".to_owned())].into(), ..Types::default() };
        assert_eq!(types.check_values(&[].into()), Ok(()));
        let misfits = Misfits { values: 2, example: "3000000000".into() };
        let refused = types.check_values(&[("n".to_owned(), misfits)].into()).unwrap_err();
        let wanted =
            "a column of type integer does not take 2 of the values of field `n` that wait, such as 3000000000";
        assert!(refused.starts_with(wanted), "{refused}");
    }
}
