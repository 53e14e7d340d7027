//! Decides whether a contract can be replaced by a new version while staged files of it wait for a load.

use super::{Column, TableContract};

/// The reasons why the new contract cannot replace the old one. Empty if it can.
///
/// The key of a staged file has the number of its columns, not their names. So columns can only be appended, and a type can only be
/// replaced by one that holds the values of the staged files. The key, the source and the target cannot be changed: they need a new
/// contract. A type that Redshift does not change in place needs a migration of the tables too: see [`retypes`].
pub fn evolves(old: &TableContract, new: &TableContract) -> Vec<String> {
    let mut reasons = Vec::new();
    for (what, same) in [
        ("contract", old.name == new.name),
        ("source.format", old.source.format == new.source.format),
        ("source.table", old.source.table == new.source.table),
        ("target.schema", old.target.schema == new.target.schema),
        ("target.table", old.target.table == new.target.table),
        ("target.staging_schema", old.target.staging_schema == new.target.staging_schema),
        ("key", old.key == new.key),
        ("promote.kind", old.promote.kind == new.promote.kind),
    ] {
        if !same {
            reasons.push(format!("`{what}` differs: write a new contract, and load the table again"));
        }
    }
    if new.source.generation < old.source.generation {
        reasons.push("`source.generation` can only be increased: the latest events must stay the latest".into());
    }
    if new.columns.len() < old.columns.len() {
        let gone: Vec<_> = old.columns[new.columns.len()..].iter().map(|column| format!("`{}`", column.name)).collect();
        reasons.push(format!(
            "{} would be removed: columns can only be appended, and must stay even if the source drops them",
            gone.join(", ")
        ));
    }
    for (index, (old, new)) in old.columns.iter().zip(&new.columns).enumerate() {
        if old.name != new.name || old.field() != new.field() {
            reasons.push(format!(
                "column {} was `{}`, and is `{}`: add new columns after the existing ones",
                index + 1,
                old.name,
                new.name
            ));
            // Every later column would differ too.
            break;
        }
        if !new.column_type.replaces(old.column_type) {
            reasons.push(format!(
                "column `{}` was {}, and is {}, which cannot hold every value of it: write a type that can, such as varchar; or write a new \
                 contract with another target table and the new type, push it, and let the source send its rows again",
                old.name, old.column_type, new.column_type
            ));
        }
    }
    reasons
}

/// The columns whose type in the new contract Redshift does not change in place, each with the command that changes it. A push cannot
/// change them: their tables need a migration.
pub fn retypes(old: &TableContract, new: &TableContract) -> Vec<String> {
    let changed = old.columns.iter().zip(&new.columns).filter(|(old, new)| {
        old.name == new.name && new.column_type.replaces(old.column_type) && !new.column_type.widens(old.column_type)
    });
    let contract = new.name();
    let reason = |(old, new): (&Column, &Column)| {
        let Column { name, column_type, .. } = new;
        format!(
            "column `{name}` was {}, and is {column_type}, which a load cannot change: write the type {} again, and run \
             `shiftwork drift {contract} --apply --type '{}={column_type}'`, which changes the tables and the deployed contract",
            old.column_type,
            old.column_type,
            old.field()
        )
    };
    changed.map(reason).collect()
}

#[cfg(test)]
mod tests {
    use super::{evolves, retypes};
    use crate::contract::{ContractDraft, DraftColumn, TableContract, read};

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

    fn changed(change: impl Fn(&mut ContractDraft)) -> TableContract {
        let mut draft = contract().draft();
        change(&mut draft);
        draft.check().unwrap()
    }

    fn column(name: &str, column_type: &str) -> DraftColumn {
        DraftColumn { name: name.into(), column_type: column_type.into(), from: None, source_type: None }
    }

    #[test]
    fn columns_are_appended_and_texts_become_longer() {
        let old = contract();
        let new = changed(|draft| {
            draft.columns.push(column("colour", "varchar(20)"));
            draft.columns[1].column_type = "varchar(20)".into();
        });
        assert_eq!(evolves(&old, &new), Vec::<String>::new());
        assert_eq!(evolves(&new, &old).len(), 2);
    }

    #[test]
    fn a_type_that_redshift_does_not_change_in_place_needs_a_migration() {
        let old = changed(|draft| {
            draft.columns.push(DraftColumn { from: Some("Count".into()), ..column("count", "integer") });
        });
        let as_type = |column_type: &str| {
            changed(|draft| {
                draft.columns.push(DraftColumn { from: Some("Count".into()), ..column("count", column_type) });
            })
        };
        for (column_type, evolution, migration) in
            [("integer", 0, 0), ("bigint", 0, 1), ("varchar(64)", 0, 1), ("date", 1, 0)]
        {
            let new = as_type(column_type);
            assert_eq!(evolves(&old, &new).len(), evolution, "{column_type}");
            assert_eq!(retypes(&old, &new).len(), migration, "{column_type}");
        }
        let reason = retypes(&old, &as_type("bigint")).remove(0);
        assert!(reason.contains("write the type integer again"), "{reason}");
        assert!(reason.contains("`shiftwork drift orders --apply --type 'Count=bigint'`"), "{reason}");
    }

    #[test]
    fn a_change_that_would_misread_staged_files_is_refused() {
        let new = changed(|draft| draft.columns.insert(1, column("colour", "varchar(20)")));
        assert!(evolves(&contract(), &new)[0].starts_with("column 2 was `note`, and is `colour`"));
        let new = changed(|draft| {
            draft.columns[0].column_type = "integer".into();
            draft.key = vec!["note".into()];
        });
        assert_eq!(evolves(&contract(), &new).len(), 2);
    }
}
