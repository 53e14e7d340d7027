//! Derives a column name from the name of a field. The contract keeps the field's name in `from:`.

use std::collections::BTreeSet;

use shiftwork_change_data::contract::is_reserved_column;
use shiftwork_protocol::name::sha256;
use shiftwork_sql::IDENTIFIER_BYTES;

/// Number of hexadecimal digits of a digest in a name.
const DIGEST: usize = 8;

/// A name for a field's column that is not in `taken`: lower case, `a-z 0-9 _`, not beginning with a digit, at most 127 bytes. It may
/// be a reserved word, because such identifiers are quoted.
pub fn column_name(field: &str, taken: &BTreeSet<String>) -> String {
    let digest = &sha256(field)[..DIGEST];
    let mut name: String = field
        .chars()
        .map(|c| match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9' | '_') => c,
            _ => '_',
        })
        .collect();
    if !name.bytes().any(|byte| byte.is_ascii_alphanumeric()) {
        name = format!("field_{digest}");
    } else if is_reserved_column(&name) || name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    if name.len() > IDENTIFIER_BYTES {
        name.truncate(IDENTIFIER_BYTES - DIGEST - 1);
        name = format!("{name}_{digest}");
    }
    let free = |name: &String| !taken.contains(name);
    if free(&name) {
        return name;
    }
    // The digest depends only on the field, so that a name does not depend on the order of two fields.
    name.truncate(IDENTIFIER_BYTES - DIGEST - 1);
    let name = format!("{name}_{digest}");
    let numbered = |n: usize| {
        let tail = format!("_{n}");
        format!("{}{tail}", &name[..name.len().min(IDENTIFIER_BYTES - tail.len())])
    };
    if free(&name) { name } else { (2..=taken.len() + 2).map(numbered).find(free).unwrap_or(name) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use shiftwork_protocol::name::sha256;

    use super::column_name;

    #[test]
    fn a_name_is_derived_from_the_field() {
        let taken = BTreeSet::from(["id".to_owned(), "first_name".to_owned()]);
        for (field, wanted) in [
            ("colour", "colour"),
            ("firstName", "firstname"),
            ("select", "select"),
            ("a\"; drop table x; --", "a___drop_table_x____"),
            ("2nd", "_2nd"),
            ("dw_md_position", "_dw_md_position"),
            ("Größe", "gr__e"),
        ] {
            assert_eq!(column_name(field, &taken), wanted);
        }
        assert_eq!(column_name("First Name", &taken), format!("first_name_{}", &sha256("First Name")[..8]));
        assert_eq!(column_name("цвет", &taken), format!("field_{}", &sha256("цвет")[..8]));
    }

    proptest! {
        /// The names of any fields are valid in Redshift and distinct.
        #[test]
        fn names_are_valid_and_distinct(fields in prop::collection::btree_set("(?s:.{0,200})|[a-c ]{1,2}", 0..40)) {
            let mut taken = BTreeSet::new();
            for field in &fields {
                let name = column_name(field, &taken);
                prop_assert!((1..=127).contains(&name.len()), "{}", name);
                prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{}", name);
                prop_assert!(!name.starts_with(|c: char| c.is_ascii_digit()) && !name.starts_with("dw_"), "{}", name);
                prop_assert!(taken.insert(name));
            }
        }
    }
}
