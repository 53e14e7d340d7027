//! Checks a draft and makes a contract from it, or returns every problem with its line and how to fix it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use schemars::schema_for;
use serde_json::Value;
use shiftwork_config::{Duration, JsonPath, Located, Problem, in_order, list, read_file, read_item, shape};
use shiftwork_sql::IDENTIFIER_BYTES;

use super::{
    Column, ContractDraft, DEFAULT_TOMBSTONES_KEPT, Deletes, DraftColumn, DraftPromote, LONGEST_COLUMN_LIST,
    MOST_COLUMNS, MergeStrategy, OWN_COLUMN_PREFIX, OwnTable, Promote, PromoteKind, SourceType, TableContract,
    column_list_bytes, is_reserved, is_reserved_column, is_valid_field, own_columns,
};
use crate::column_type::ColumnType;

/// Bytes that the production table's name must leave free, because the names of views are made by a suffix.
const LONGEST_SUFFIX: usize = "_tombstones".len();
/// Most days for which tombstones can be kept: 100 years, so that dates stay within Redshift's range.
const MOST_DAYS: u32 = 36_500;
/// Most columns of a compound sort key (Redshift docs, "CREATE TABLE").
const MOST_SORT_KEYS: usize = 400;
/// The rule for names of contracts and workflows, for messages.
const ID_RULE: &str = "1 to 64 of `a`-`z`, `0`-`9`, `_` and `-`";

/// The JSON Schema of contracts.
pub fn schema() -> Value {
    schema_for!(ContractDraft).to_value()
}

/// Reads a contract. `file` is the name of the file in problems.
///
/// # Errors
/// Every problem, in the order of the lines.
pub fn read(file: &str, text: &str) -> Result<TableContract, Vec<Problem>> {
    check(&read_file(file, text)?)
}

impl ContractDraft {
    /// Checks the draft.
    ///
    /// # Errors
    /// Every problem, with the path of its field.
    pub fn check(&self) -> Result<TableContract, Vec<Problem>> {
        check(&read_item(serde_json::to_value(self).unwrap_or_default()))
    }
}

fn check(doc: &Located) -> Result<TableContract, Vec<Problem>> {
    let mismatches = shape::check(doc, &schema());
    let mut problems = mismatches.problems.clone();
    // If the rest can be read, its problems are returned too.
    match serde_json::from_value::<ContractDraft>(mismatches.without(doc.value())) {
        Ok(draft) => {
            let contract = Check { doc, draft: &draft, problems: &mut problems }.contract();
            if problems.is_empty()
                && let Some(contract) = contract
            {
                return Ok(contract);
            }
        }
        Err(error) if problems.is_empty() => problems.push(doc.problem(&JsonPath::root(), error.to_string())),
        Err(_) => {}
    }
    Err(in_order(problems))
}

struct Check<'c> {
    doc: &'c Located,
    draft: &'c ContractDraft,
    problems: &'c mut Vec<Problem>,
}

impl Check<'_> {
    /// The contract; `None` if a part of it cannot be read, in which case there is a problem for the part.
    fn contract(&mut self) -> Option<TableContract> {
        let root = JsonPath::root();
        let draft = self.draft;
        if !is_id(&draft.contract) {
            let message = format!("`{}` is not a valid name of a contract", draft.contract);
            self.report(&root.key("contract"), message, ID_RULE);
        }
        if let Some(workflow) = draft.workflow.as_deref().filter(|workflow| !is_id(workflow)) {
            let message = format!("`{workflow}` is not a valid name of a workflow");
            self.report(&root.key("workflow"), message, ID_RULE);
        }
        self.source();
        let columns = self.columns();
        self.target(&columns);
        self.key(&columns);
        let promote = self.promote();
        let load_every = self.load_every();
        Some(TableContract {
            name: draft.contract.clone(),
            source: draft.source.clone(),
            target: draft.target.clone(),
            key: draft.key.clone(),
            columns: columns.into_iter().collect::<Option<_>>()?,
            unknown: draft.unknown,
            promote: promote?,
            oversized: draft.oversized,
            large_strings: draft.large_strings,
            workflow: draft.workflow.clone(),
            load_every: load_every?,
        })
    }

    fn report(&mut self, path: &JsonPath, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(self.doc.problem(path, message).hint(hint));
    }

    fn source(&mut self) {
        let path = JsonPath::root().key("source");
        let source = &self.draft.source;
        if source.table.is_empty() || source.table.split('.').any(str::is_empty) {
            let message = format!("`{}` is not a valid name of a table", source.table);
            self.report(
                &path.key("table"),
                message,
                "as the events name it: `schema.table`, `database.table`, or DynamoDB's name",
            );
        }
        if source.unavailable_value.is_empty() {
            let hint = "leave it out for Debezium's default, or write the connector's `unavailable.value.placeholder`";
            self.report(&path.key("unavailable_value"), "an empty placeholder would match every empty text", hint);
        }
    }

    fn target(&mut self, columns: &[Option<Column>]) {
        let path = JsonPath::root().key("target");
        let target = &self.draft.target;
        self.identifier(&path.key("schema"), &target.schema, IDENTIFIER_BYTES);
        self.identifier(&path.key("table"), &target.table, IDENTIFIER_BYTES - LONGEST_SUFFIX);
        if let Some(schema) = &target.staging_schema {
            self.identifier(&path.key("staging_schema"), schema, IDENTIFIER_BYTES);
        }
        let contract = &self.draft.contract;
        let is_own = |own: OwnTable| own.name(contract) == target.table;
        if target.staging_schema() == target.schema && OwnTable::ALL.into_iter().any(is_own) {
            let message = format!("`{}` is the name of a table that shiftwork keeps for this contract", target.table);
            self.report(&path.key("table"), message, "give the contract another name, or set `staging_schema`");
        }
        if let Some(distkey) = &target.distkey {
            self.named_column(&path.key("distkey"), distkey, columns);
        }
        let path = path.key("sortkey");
        if target.sortkey.len() > MOST_SORT_KEYS {
            let message = format!("the sort key has {} columns", target.sortkey.len());
            self.report(&path, message, format!("Redshift allows at most {MOST_SORT_KEYS}"));
        }
        let promote = &self.draft.promote;
        let own = own_columns(promote.kind, promote.deletes);
        let mut seen = BTreeSet::new();
        for (index, name) in target.sortkey.iter().enumerate() {
            let path = path.index(index);
            match own.all().find(|(own, _)| own == name) {
                None => self.named_column(&path, name, columns),
                Some((_, "super")) => self.not_comparable(&path, name, "super"),
                Some(_) => {}
            }
            if !seen.insert(name) {
                self.report(&path, format!("`{name}` is in the sort key already"), "remove the repetition");
            }
        }
    }

    /// Checks a name that Redshift must accept in quotes and fold to itself.
    fn identifier(&mut self, path: &JsonPath, name: &str, longest: usize) {
        if name.is_empty() {
            self.report(path, "the name is empty", "write a name");
        } else if name.len() > longest {
            let message = format!("the name has {} bytes", name.len());
            let why = if longest < IDENTIFIER_BYTES { ", and the names of views begin with this one" } else { "" };
            let hint = format!("at most {longest} bytes: Redshift's names have at most {IDENTIFIER_BYTES}{why}");
            self.report(path, message, hint);
        } else if let Some(character) = name.chars().find(|character| character.is_control() || is_reserved(*character))
        {
            let message = format!("`{}` has the character {}", name.escape_debug(), character.escape_unicode());
            self.report(path, message, "leave out control characters and noncharacters");
        } else if name.to_lowercase() != name {
            let message = format!("`{name}` has upper-case letters, and Redshift folds names to lower case");
            self.report(path, message, format!("write `{}`", name.to_lowercase()));
        }
    }

    /// Checks that `name` is a column of the contract whose type Redshift compares.
    fn named_column(&mut self, path: &JsonPath, name: &str, columns: &[Option<Column>]) {
        match self.draft.columns.iter().position(|column| column.name == name) {
            None => {
                let names = self.draft.columns.iter().map(|column| column.name.as_str());
                self.problems.push(self.doc.problem(path, format!("there is no column `{name}`")).one_of(name, names));
            }
            Some(index) => {
                let column_type = columns[index].as_ref().map(|column| column.column_type);
                if let Some(column_type) = column_type.filter(|column_type| !column_type.is_comparable()) {
                    self.not_comparable(path, name, &column_type.to_string());
                }
            }
        }
    }

    fn not_comparable(&mut self, path: &JsonPath, name: &str, column_type: &str) {
        let message = format!("column `{name}` is {column_type}, which Redshift cannot compare");
        self.report(path, message, "use a column of another type");
    }

    /// The columns; `None` for a column that cannot be read.
    fn columns(&mut self) -> Vec<Option<Column>> {
        let path = JsonPath::root().key("columns");
        let columns = &self.draft.columns;
        if columns.is_empty() {
            self.report(&path, "there are no columns", "`shiftwork contract propose FILE` writes them from events");
        }
        if columns.len() > MOST_COLUMNS {
            let message = format!("there are {} columns", columns.len());
            let hint = format!(
                "at most {MOST_COLUMNS} are possible: a table of Redshift has at most 1600, and shiftwork adds some"
            );
            self.report(&path, message, hint);
        }
        let bytes = column_list_bytes(columns.iter().map(|column| column.name.as_str()));
        if bytes > LONGEST_COLUMN_LIST {
            let message = format!("the names of all columns have {bytes} bytes in one list");
            let hint = format!(
                "at most {LONGEST_COLUMN_LIST} are possible: a load names every column twice in a statement, and the Data API accepts \
                 100 KB; shorten the names, or leave columns out"
            );
            self.report(&path, message, hint);
        }
        let (mut names, mut fields) = (BTreeMap::new(), BTreeMap::new());
        let mut read = Vec::with_capacity(columns.len());
        for (index, column) in columns.iter().enumerate() {
            let path = path.index(index);
            self.column_name(&path, column);
            if let Some(earlier) = names.insert(column.name.as_str(), index) {
                let message = format!("column `{}` exists already: it is column {}", column.name, earlier + 1);
                self.report(&path.key("name"), message, "give one of them another name");
            }
            if let Some(earlier) = fields.insert(column.field(), index)
                && columns[earlier].name != column.name
            {
                let (field, other) = (column.field().escape_debug(), columns[earlier].name.escape_debug());
                self.report(
                    &field_path(&path, column),
                    format!("field `{field}` already has column `{other}`"),
                    "a field can have only one column: `shiftwork drift CONTRACT --apply --type 'FIELD=TYPE'` gives it another type",
                );
            }
            read.push(self.column(&path, column));
        }
        read
    }

    fn column_name(&mut self, path: &JsonPath, column: &DraftColumn) {
        let at = path.key("name");
        self.identifier(&at, &column.name, IDENTIFIER_BYTES);
        if is_reserved_column(&column.name) {
            let message = if column.name.starts_with(OWN_COLUMN_PREFIX) {
                format!(
                    "column `{}`: names that begin with `{OWN_COLUMN_PREFIX}` are reserved for shiftwork",
                    column.name
                )
            } else {
                format!("column `{}`: every table of Redshift has a system column of this name", column.name)
            };
            self.report(&at, message, format!("give it another name, and `from: {}`", column.field()));
        }
        if column.field().is_empty() {
            self.report(
                &path.key("from"),
                "the field has no name",
                "leave `from` out if the field has the column's name",
            );
        } else if !is_valid_field(column.field()) {
            let message = format!("SQL cannot name the field `{}`", column.field().escape_debug());
            let hint = "rename the field in the source, or map the document that contains it as one super column";
            self.report(&field_path(path, column), message, hint);
        }
    }

    fn column(&mut self, path: &JsonPath, column: &DraftColumn) -> Option<Column> {
        let column_type = ColumnType::parse(&column.column_type)
            .map_err(|problem| self.problems.push(self.doc.problem(&path.key("type"), problem)));
        let source_type = column.source_type.as_deref().map(SourceType::parse).transpose();
        let source_type =
            source_type.map_err(|problem| self.problems.push(self.doc.problem(&path.key("source_type"), problem)));
        Some(Column {
            name: column.name.clone(),
            column_type: column_type.ok()?,
            from: column.from.clone(),
            source_type: source_type.ok()?,
        })
    }

    fn key(&mut self, columns: &[Option<Column>]) {
        let path = JsonPath::root().key("key");
        let mut seen = BTreeSet::new();
        for (index, name) in self.draft.key.iter().enumerate() {
            self.named_column(&path.index(index), name, columns);
            if !seen.insert(name) {
                self.report(&path.index(index), format!("`{name}` is in the key already"), "remove the repetition");
            }
        }
        if self.draft.key.is_empty() && self.draft.promote.kind != PromoteKind::Append {
            let path = if self.doc.value().get("key").is_some() { path } else { JsonPath::root() };
            let names = list(self.draft.columns.iter().take(3).map(|column| column.name.as_str()));
            let hint = format!(
                "name the columns of the source's primary key (such as {names}), or set `promote: {{kind: append}}`"
            );
            self.report(&path, "there is no `key`, which identifies the events of a row", hint);
        }
    }

    fn promote(&mut self) -> Option<Promote> {
        let path = JsonPath::root().key("promote");
        let promote = &self.draft.promote;
        if promote.deletes == Deletes::Close && !promote.kind.has_versions() {
            self.report(
                &path.key("deletes"),
                "`close` ends a version, and this kind of table has no versions",
                "write `hard` or `soft`, or `kind: type2`",
            );
        }
        if promote.take == MergeStrategy::LatestNonNull && promote.kind != PromoteKind::Type1 {
            let hint = "leave `take` out, or set `kind: type1`";
            self.report(
                &path.key("take"),
                "only a table with one row for each key (type1) can take each column's latest value",
                hint,
            );
        }
        let tombstones_kept = match &promote.tombstones_kept {
            None => Some(DEFAULT_TOMBSTONES_KEPT),
            Some(text) => {
                let days = text.parse::<Duration>().and_then(|kept| kept.as_days()).ok();
                let days = days.filter(|days| *days <= MOST_DAYS);
                if days.is_none() {
                    let message = format!("`{text}` is not a number of whole days from 1 to {MOST_DAYS}");
                    self.report(&path.key("tombstones_kept"), message, "write whole days, such as `30d` or `8w`");
                }
                days
            }
        };
        let DraftPromote { kind, take, deletes, .. } = *promote;
        Some(Promote { kind, take, deletes, tombstones_kept: tombstones_kept? })
    }

    fn load_every(&mut self) -> Option<SignedDuration> {
        let text = &self.draft.load_every;
        let takes = SignedDuration::from_secs(10)..=SignedDuration::from_mins(15);
        let every = text.parse::<Duration>().map(|every| every.length()).ok().filter(|every| takes.contains(every));
        if every.is_none() {
            let message = format!("`{text}` is not a valid time between two loads");
            self.report(
                &JsonPath::root().key("load_every"),
                message,
                "write `10s` to `15m`, such as `30s` for a provisioned cluster",
            );
        }
        every
    }
}

/// The path of the value that names a column's field: `from`, or `name` if there is no `from`.
fn field_path(column_path: &JsonPath, column: &DraftColumn) -> JsonPath {
    column_path.key(if column.from.is_some() { "from" } else { "name" })
}

fn is_id(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(letter)
}
