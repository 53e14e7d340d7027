//! Which names of a query are tables, so that the others can be read as paths into SUPER values.

/// One name of a FROM clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relation {
    /// Alias, or the last part of the table's name.
    pub(crate) alias: String,
    /// The schema, for a table without alias.
    pub(crate) schema: Option<String>,
    /// An element of a SUPER array: the alias is the value itself, not a table.
    pub(crate) element: bool,
}

/// The relations in sight, innermost query first.
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

    /// No table is in sight at all: what a dotted name means cannot be told.
    pub(crate) fn is_blind(&self) -> bool {
        self.find(|_| true).is_none()
    }
}
