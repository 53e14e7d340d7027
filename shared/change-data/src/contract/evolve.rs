//! What a contract may become while files of it are staged.

use super::TableContract;
use crate::column_type::ColumnType;

/// What stands against taking the new contract in the old one's place, in words; nothing where it can be.
///
/// Staged files say how many columns they have, and not which: columns are only appended, and a column that files may bring values
/// for is only widened. What a row's key, source and target are stays: another answer is another contract.
pub fn evolves(old: &TableContract, new: &TableContract) -> Vec<String> {
    let mut reasons = Vec::new();
    for (what, same) in [
        ("contract", old.contract == new.contract),
        ("source.format", old.source.format == new.source.format),
        ("source.table", old.source.table == new.source.table),
        ("target.schema", old.target.schema == new.target.schema),
        ("target.table", old.target.table == new.target.table),
        ("target.staging_schema", old.target.staging_schema == new.target.staging_schema),
        ("key", old.key == new.key),
        ("promote.kind", old.promote.kind == new.promote.kind),
    ] {
        if !same {
            reasons.push(format!("`{what}` is another: write a new contract, and load the table anew"));
        }
    }
    if new.source.generation < old.source.generation {
        reasons.push("`source.generation` only rises: what came last must stay the latest".into());
    }
    if new.columns.len() < old.columns.len() {
        let gone: Vec<_> = old.columns[new.columns.len()..].iter().map(|column| format!("`{}`", column.name)).collect();
        reasons.push(format!(
            "{} would be gone: columns are only appended, and stay when the source drops them",
            gone.join(", ")
        ));
    }
    for (index, (old, new)) in old.columns.iter().zip(&new.columns).enumerate() {
        if old.name != new.name || old.field() != new.field() {
            reasons.push(format!(
                "column {} was `{}`, and is `{}`: new columns come behind the old ones",
                index + 1,
                old.name,
                new.name
            ));
            // Every column behind it would be another one too.
            break;
        }
        let types = (ColumnType::parse(&old.column_type), ColumnType::parse(&new.column_type));
        if let (Ok(old_type), Ok(new_type)) = types
            && !new_type.widens(old_type)
        {
            reasons.push(format!(
                "column `{}` was {old_type}, and is {new_type}: in place, Redshift only makes VARCHAR longer; add a column with another \
                 name",
                old.name
            ));
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::evolves;
    use crate::contract::{Column, TableContract, read};

    fn contract() -> TableContract {
        let text = "
contract: orders
source: { format: debezium, table: public.orders }
target: { schema: shop, table: orders }
key: [id]
columns: [{ name: id, type: bigint }, { name: note, type: varchar(10) }]
";
        read("orders.yaml", text).unwrap()
    }

    fn column(name: &str, column_type: &str) -> Column {
        Column { name: name.into(), column_type: column_type.into(), from: None, source_type: None }
    }

    #[test]
    fn a_contract_grows_at_its_end_and_its_texts_grow() {
        let old = contract();
        let mut new = old.clone();
        new.columns.push(column("colour", "varchar(20)"));
        new.columns[1].column_type = "varchar(20)".into();
        assert_eq!(evolves(&old, &new), Vec::<String>::new());
        assert_eq!(evolves(&new, &old).len(), 2);
    }

    #[test]
    fn what_staged_files_would_be_misread_by_is_refused() {
        let old = contract();
        let mut new = old.clone();
        new.columns.insert(1, column("colour", "varchar(20)"));
        assert!(evolves(&old, &new)[0].starts_with("column 2 was `note`, and is `colour`"));
        let mut new = old.clone();
        new.columns[0].column_type = "integer".into();
        new.key = vec!["note".into()];
        assert_eq!(evolves(&old, &new).len(), 2);
    }
}
