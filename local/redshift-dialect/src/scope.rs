//! The tables that a query can reference; other dotted names are paths into SUPER values.

/// A name in a FROM clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relation {
    /// The alias, or the last part of the table name.
    pub(crate) alias: String,
    /// The schema of a table without an alias.
    pub(crate) schema: Option<String>,
    /// True for an element of a SUPER array: the alias is a value, not a table.
    pub(crate) element: bool,
}

/// The visible relations, starting with the innermost query.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scope<'a> {
    pub(crate) relations: &'a [Relation],
    pub(crate) outer: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    pub(crate) fn find(&self, test: impl Fn(&Relation) -> bool + Copy) -> Option<&Relation> {
        let mut scope = Some(self);
        while let Some(here) = scope {
            if let Some(found) = here.relations.iter().find(|r| test(r)) {
                return Some(found);
            }
            scope = here.outer;
        }
        None
    }

    /// True if no table is visible, so that the meaning of a dotted name is unknown.
    pub(crate) fn is_blind(&self) -> bool {
        self.find(|_| true).is_none()
    }
}
