//! What the scripts of a workflow show about objects that other scripts use.

use std::collections::{BTreeMap, BTreeSet};

use shiftwork_sql::split;

/// Facts from all scripts of a workflow. Names are in upper case and without their schema.
#[derive(Debug, Default)]
pub(crate) struct ScriptFacts {
    /// Schemas that a script creates as external, or in which it creates an external table.
    pub(crate) external_schemas: BTreeSet<String>,
    /// Procedures that a script creates and that end a transaction, each with the statement that does.
    pub(crate) committing_procedures: BTreeMap<String, &'static str>,
}

impl ScriptFacts {
    pub(crate) fn of<'a>(scripts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut facts = Self::default();
        for statement in scripts.into_iter().filter_map(|text| split(text).ok()).flatten() {
            facts.external_schemas.extend(statement.external_schema());
            facts.committing_procedures.extend(statement.committing_procedure());
        }
        facts
    }
}
