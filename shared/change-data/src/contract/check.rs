//! Contracts as people write them: read from YAML, and everything that is wrong said with its line and how to mend it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use schemars::schema_for;
use serde_json::Value;
use shiftwork_config::{JsonPath, Located, Problem, in_order, list, read_file, shape};

use super::{Deletes, PromoteKind, TableContract, Take, duration};
use crate::{column_type::ColumnType, logical::Logical, row::METADATA_COLUMNS};

/// Bytes of an identifier (Redshift docs, "Names and identifiers").
const LONGEST_NAME: usize = 127;
/// Columns of a table (Redshift docs, "Quotas and limits"), less shiftwork's own of a staging table or a history.
const MOST_COLUMNS: usize = 1600 - METADATA_COLUMNS.len() - 8;
/// Tables that are named after a table or a contract have at most so many bytes more.
const LONGEST_SUFFIX: usize = "_tombstones".len();

/// The JSON Schema of contracts.
pub fn schema() -> Value {
    schema_for!(TableContract).to_value()
}

/// Reads a contract. `file` is how problems name the file.
///
/// # Errors
/// Every problem, in the order of the lines.
pub fn read(file: &str, text: &str) -> Result<TableContract, Vec<Problem>> {
    let doc = read_file(file, text)?;
    let schema = schema();
    let misfits = shape::check(&doc, &schema);
    let mut problems = misfits.problems.clone();
    // What is wrong further in is said at once, as long as the rest can be read.
    let contract: Option<TableContract> = serde_json::from_value(misfits.without(doc.value())).ok();
    match contract {
        Some(contract) => {
            Check { doc: &doc, contract: &contract, problems: &mut problems }.all();
            if problems.is_empty() { Ok(contract) } else { Err(in_order(problems)) }
        }
        None if problems.is_empty() => {
            let error = serde_json::from_value::<TableContract>(doc.value().clone()).err();
            let reason = error.map_or_else(|| "it does not read".into(), |error| error.to_string());
            Err(vec![doc.problem(&JsonPath::root(), reason)])
        }
        None => Err(in_order(problems)),
    }
}

struct Check<'c> {
    doc: &'c Located,
    contract: &'c TableContract,
    problems: &'c mut Vec<Problem>,
}

impl Check<'_> {
    fn all(&mut self) {
        let root = JsonPath::root();
        let contract = self.contract;
        let is_id = |text: &str| {
            let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
            (1..=64).contains(&text.len()) && text.bytes().all(letter)
        };
        if !is_id(&contract.contract) {
            let message = format!("`{}` cannot name a contract", contract.contract);
            self.say(&root.key("contract"), message, "1 to 64 of `a`-`z`, `0`-`9`, `_` and `-`");
        }
        if contract.workflow.as_deref().is_some_and(|workflow| !is_id(workflow)) {
            self.say(&root.key("workflow"), "this cannot name a workflow", "1 to 64 of `a`-`z`, `0`-`9`, `_` and `-`");
        }
        self.source();
        self.target();
        self.columns();
        self.key();
        self.promote();
        let load_every = duration(&contract.load_every);
        let takes = SignedDuration::from_secs(10)..=SignedDuration::from_mins(15);
        if !load_every.is_some_and(|every| takes.contains(&every)) {
            let message = format!("`{}` is no time between two loads", contract.load_every);
            self.say(&root.key("load_every"), message, "`10s` to `15m`, such as `30s`");
        }
    }

    fn say(&mut self, path: &JsonPath, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(self.doc.problem(path, message).hint(hint));
    }

    fn source(&mut self) {
        let path = JsonPath::root().key("source");
        let source = &self.contract.source;
        if source.table.is_empty() || source.table.split('.').any(str::is_empty) {
            let message = format!("`{}` names no table", source.table);
            self.say(
                &path.key("table"),
                message,
                "as the events name it: `schema.table`, `database.table`, or DynamoDB's name",
            );
        }
        if source.unavailable_value.is_empty() {
            let hint = "leave it out for Debezium's own, or write the connector's `unavailable.value.placeholder`";
            self.say(&path.key("unavailable_value"), "an empty text would stand for every empty text", hint);
        }
    }

    fn target(&mut self) {
        let path = JsonPath::root().key("target");
        let target = &self.contract.target;
        self.identifier(&path.key("schema"), &target.schema, LONGEST_NAME);
        self.identifier(&path.key("table"), &target.table, LONGEST_NAME - LONGEST_SUFFIX);
        if let Some(schema) = &target.staging_schema {
            self.identifier(&path.key("staging_schema"), schema, LONGEST_NAME);
        }
        if let Some(distkey) = &target.distkey {
            self.named_column(&path.key("distkey"), distkey);
        }
        let sortkey = path.key("sortkey");
        for (index, column) in target.sortkey.iter().enumerate() {
            self.named_column(&sortkey.index(index), column);
        }
    }

    /// A name that Redshift takes in quotes, and folds to itself.
    fn identifier(&mut self, path: &JsonPath, name: &str, longest: usize) {
        if name.is_empty() {
            self.say(path, "a name is missing", "write one");
        } else if name.len() > longest {
            let message = format!("a name of {} bytes", name.len());
            self.say(
                path,
                message,
                format!("at most {longest} bytes: Redshift's names have {LONGEST_NAME}, and some begin with this"),
            );
        } else if name.chars().any(char::is_control) {
            self.say(path, format!("`{}` has a control character", name.escape_debug()), "leave it out");
        } else if name.to_lowercase() != name {
            let message = format!("`{name}` has capital letters, and Redshift folds names to small ones");
            self.say(path, message, format!("write `{}`", name.to_lowercase()));
        }
    }

    /// A column that rows can be compared by.
    fn named_column(&mut self, path: &JsonPath, name: &str) {
        let columns = &self.contract.columns;
        match columns.iter().find(|column| column.name == name) {
            // History's own columns sort well.
            None if name.starts_with("dw_") => {}
            None => {
                let names = columns.iter().map(|column| column.name.as_str());
                self.problems.push(self.doc.problem(path, format!("there is no column `{name}`")).one_of(name, names));
            }
            Some(column) => {
                if let Ok(column_type) = ColumnType::parse(&column.column_type)
                    && !column_type.is_comparable()
                {
                    let message = format!("column `{name}` is {column_type}, which Redshift cannot compare");
                    self.say(path, message, "take a column of another type");
                }
            }
        }
    }

    fn columns(&mut self) {
        let path = JsonPath::root().key("columns");
        let columns = &self.contract.columns;
        if columns.is_empty() {
            self.say(&path, "there are no columns", "`shiftwork contract propose FILE` writes them from events");
        }
        if columns.len() > MOST_COLUMNS {
            let message = format!("{} columns", columns.len());
            self.say(
                &path,
                message,
                format!("at most {MOST_COLUMNS}: Redshift's tables have 1600, and some are shiftwork's"),
            );
        }
        let (mut names, mut fields) = (BTreeMap::new(), BTreeMap::new());
        for (index, column) in columns.iter().enumerate() {
            let path = path.index(index);
            self.identifier(&path.key("name"), &column.name, LONGEST_NAME);
            if column.name.starts_with("dw_") {
                let message = format!("column `{}`: names that begin with `dw_` are shiftwork's", column.name);
                self.say(&path.key("name"), message, format!("give it another name, and `from: {}`", column.field()));
            }
            if let Some(earlier) = names.insert(column.name.as_str(), index) {
                let message = format!("column `{}` is there already: it is column {}", column.name, earlier + 1);
                self.say(&path.key("name"), message, "give one of them another name");
            }
            if column.field().is_empty() {
                self.say(&path.key("from"), "a field has a name", "leave `from` out where it is the column's");
            }
            if let Some(earlier) = fields.insert(column.field(), index)
                && columns[earlier].name != column.name
            {
                let message = format!("field `{}` goes to column `{}` already", column.field(), columns[earlier].name);
                self.say(
                    &path.key(if column.from.is_some() { "from" } else { "name" }),
                    message,
                    "a field has one column",
                );
            }
            if let Err(problem) = ColumnType::parse(&column.column_type) {
                self.problems.push(self.doc.problem(&path.key("type"), problem));
            }
            if let Some(Err(problem)) = column.source_type.as_deref().map(Logical::parse) {
                self.problems.push(self.doc.problem(&path.key("source_type"), problem));
            }
        }
    }

    fn key(&mut self) {
        let path = JsonPath::root().key("key");
        let mut seen = BTreeSet::new();
        for (index, name) in self.contract.key.iter().enumerate() {
            self.named_column(&path.index(index), name);
            if !seen.insert(name) {
                self.say(&path.index(index), format!("`{name}` is in the key already"), "leave one out");
            }
        }
        if self.contract.key.is_empty() && self.contract.promote.kind != PromoteKind::Append {
            let path = if self.doc.value().get("key").is_some() { path } else { JsonPath::root() };
            let names = list(self.contract.columns.iter().take(3).map(|column| column.name.as_str()));
            let hint = format!(
                "name the columns of the source's primary key (such as {names}), or set `promote: {{kind: append}}`"
            );
            self.say(&path, "there is no `key`: it says which rows are one", hint);
        }
    }

    fn promote(&mut self) {
        let path = JsonPath::root().key("promote");
        let promote = &self.contract.promote;
        let has_versions = matches!(promote.kind, PromoteKind::Type2 | PromoteKind::Type7);
        if promote.deletes == Deletes::Close && !has_versions {
            self.say(
                &path.key("deletes"),
                "`close` ends a version, and this kind of table has none",
                "`hard`, `soft`, or `kind: type2`",
            );
        }
        if promote.take == Take::LatestNonNull && promote.kind != PromoteKind::Type1 {
            let hint = "leave `take` out, or set `kind: type1`";
            self.say(&path.key("take"), "only a table of one row a key (type1) takes each column's latest value", hint);
        }
        if let Some(kept) = &promote.tombstones_kept {
            let days = duration(kept).map(|kept| kept.as_hours() / 24);
            if !days.is_some_and(|days| (1..=36_500).contains(&days)) {
                let message = format!("`{kept}` is no time that tombstones are kept");
                self.say(&path.key("tombstones_kept"), message, "`1d` or more, such as `30d`");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    const SOUND: &str = "
contract: orders
source: { format: debezium, table: public.orders }
target: { schema: shop, table: orders, distkey: id, sortkey: [changed] }
key: [id]
columns:
  - { name: id, type: bigint }
  - { name: changed, type: timestamp, from: changedAt, source_type: io.debezium.time.MicroTimestamp }
";

    fn wrong(text: &str) -> Vec<String> {
        read("orders.yaml", text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_sound_contract_reads() {
        let contract = read("orders.yaml", SOUND).unwrap();
        assert_eq!(contract.columns[1].field(), "changedAt");
        assert_eq!(contract.load_every().as_secs(), 30);
        let written = serde_json::to_string(&contract).unwrap();
        assert_eq!(read("orders.json", &written).unwrap(), contract);
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once_with_its_line_and_how_to_mend_it() {
        let text = SOUND
            .replace("contract: orders", "contract: Orders!")
            .replace("type: bigint", "type: bigit")
            .replace("MicroTimestamp", "MicroTimestmp")
            .replace("distkey: id", "distkey: idd")
            .replace("key: [id]", "key: [id, nope]\nload_every: 1s\npromote: { deletes: close, tombstones_kept: 3h }");
        insta::assert_snapshot!(wrong(&text).join("\n"));
    }

    #[test]
    fn hostile_columns_are_named() {
        let text = format!(
            "{SOUND}  - {{ name: dw_md_offset, type: bigint }}\n  - {{ name: ID, type: bigint }}\n  - {{ name: \"{}\", type: bigint }}\n  \
             - {{ name: id, type: varchar(9) }}\n  - {{ name: other, from: changedAt, type: super }}\n  - {{ name: \"a\\0b\", type: date }}\n",
            "x".repeat(200)
        );
        insta::assert_snapshot!(wrong(&text).join("\n"));
    }

    #[test]
    fn rows_without_a_key_can_only_be_appended() {
        let text = SOUND.replace("key: [id]\n", "");
        assert!(wrong(&text)[0].contains("there is no `key`"), "{:?}", wrong(&text));
        assert!(read("o.yaml", &format!("{text}promote: {{ kind: append }}\n")).is_ok());
        let text = SOUND.replace("type: bigint", "type: super");
        assert!(wrong(&text).iter().any(|problem| problem.contains("cannot compare")));
    }

    #[test]
    fn a_quoted_name_is_a_name() {
        assert!(read("o.yaml", &format!("{SOUND}  - {{ name: 'größe \"in\" mm', type: integer }}\n")).is_ok());
    }
}
