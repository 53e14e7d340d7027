//! Adds columns to the text of a contract. The rest of the text is not changed, including its comments.

use shiftwork_change_data::contract::{self, Column, DraftColumn, TableContract};
use shiftwork_config::{JsonPath, Located, Problem, read_file};
use shiftwork_protocol::{Failure, FailureKind};

/// Words that YAML 1.1 or a JSON-like reader does not read as a string unless they are quoted.
const SPECIAL: [&str; 11] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"];

/// A contract and the text that it was read from.
#[derive(Debug, Clone)]
pub struct ContractFile {
    /// The contract.
    pub contract: TableContract,
    /// The text of the file.
    pub text: String,
    doc: Located,
}

/// Reads a contract. `file` is its name in error messages.
///
/// # Errors
/// `InvalidRequest` with every problem of the contract.
pub fn read(file: &str, text: &str) -> Result<ContractFile, Failure> {
    let both = contract::read(file, text).and_then(|contract| Ok((contract, read_file(file, text)?)));
    let (contract, doc) = both.map_err(invalid)?;
    Ok(ContractFile { contract, text: text.into(), doc })
}

#[allow(clippy::needless_pass_by_value, reason = "the argument of `map_err`")]
fn invalid(problems: Vec<Problem>) -> Failure {
    let problems = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    Failure::new(FailureKind::InvalidRequest, format!("{problems}; fix the contract, then run `shiftwork push`"))
}

impl ContractFile {
    /// The text of this contract with `columns`: its columns, some of them wider, followed by new ones.
    ///
    /// The result is read back and compared. If the style of the text does not allow the edit, the contract is written as JSON, which is
    /// valid YAML; its comments are then lost.
    ///
    /// # Errors
    /// `Corrupt` if the JSON text does not read back as the contract either.
    pub fn with_columns(&self, file: &str, columns: &[Column]) -> Result<String, Failure> {
        let wanted = self.contract.with_columns(columns).map_err(invalid)?;
        let says_it = |text: &String| read(file, text).is_ok_and(|written| written.contract == wanted);
        if let Some(text) = self.added_to(columns).filter(says_it) {
            return Ok(text);
        }
        let anew =
            serde_json::to_string_pretty(&wanted.draft()).map(|text| text + "\n").map_err(|error| error.to_string());
        anew.ok().filter(says_it).ok_or_else(|| {
            Failure::corrupt(format!(
                "{file}: the contract with its new columns cannot be written as YAML; add the columns by hand"
            ))
        })
    }

    fn added_to(&self, columns: &[Column]) -> Option<String> {
        let end = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
        let mut lines: Vec<String> = self.text.lines().map(str::to_owned).collect();
        let place = |path: &JsonPath| {
            let place = self.doc.place(path);
            Some((
                usize::try_from(place.line?).ok()?.checked_sub(1)?,
                usize::try_from(place.column?).ok()?.checked_sub(1)?,
            ))
        };
        let all = JsonPath::root().key("columns");
        for (index, (old, new)) in self.contract.columns().iter().zip(columns).enumerate() {
            if old.column_type == new.column_type {
                continue;
            }
            let (line, column) = place(&all.index(index).key("type"))?;
            let line = lines.get_mut(line)?;
            let from = line.char_indices().nth(column)?.0;
            let written = self.doc.value()["columns"][index]["type"].as_str()?;
            let changed = line[from..].replacen(written, &new.column_type.to_string(), 1);
            line.replace_range(from.., &changed);
        }
        let added = columns.get(self.contract.columns().len()..)?;
        if !added.is_empty() {
            let (first, column) = place(&all.index(self.contract.columns().len().checked_sub(1)?))?;
            let before: String = lines.get(first)?.chars().take(column).collect();
            let indent = before.strip_suffix('-').or_else(|| before.trim_end().strip_suffix('-'))?.to_owned();
            if !indent.trim().is_empty() {
                return None;
            }
            // Further lines of the last column are indented more than its dash.
            let is_inside =
                |line: &&String| line.len() - line.trim_start().len() > indent.len() && !line.trim().is_empty();
            let behind = first + 1 + lines[first + 1..].iter().take_while(is_inside).count();
            lines.splice(behind..behind, added.iter().map(|column| format!("{indent}- {}", flow(column))));
        }
        Some(lines.join(end) + end)
    }
}

/// A column in YAML flow style: `{ name: colour, type: varchar(64), from: Colour }`.
pub fn flow(column: &Column) -> String {
    let DraftColumn { name, column_type, from, source_type } = column.clone().into();
    let fields = [
        ("name", Some(&name)),
        ("type", Some(&column_type)),
        ("from", from.as_ref()),
        ("source_type", source_type.as_ref()),
    ];
    let fields: Vec<_> =
        fields.into_iter().filter_map(|(field, value)| Some(format!("{field}: {}", scalar(value?)))).collect();
    format!("{{ {} }}", fields.join(", "))
}

fn scalar(text: &str) -> String {
    let mut bytes = text.bytes();
    let plain = bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'(' | b')'))
        && !SPECIAL.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shiftwork_change_data::{
        column_type::ColumnType,
        contract::{Column, is_valid_field},
    };

    use super::read;

    const BLOCK: &str = "\
# Orders of the shop.
contract: orders
source: { format: debezium, table: public.orders }
target: { schema: shop, table: orders }
key: [id]
columns:
  - name: id          # never reused
    type: bigint
  - { name: state, type: varchar(16) }   # one word

  # Free text.
  - name: note
    type: \"varchar(64)\"
    from: Note

# How it is loaded.
load_every: 10s
";

    fn column(name: &str, column_type: &str, from: Option<&str>) -> Column {
        Column {
            name: name.into(),
            column_type: ColumnType::parse(column_type).unwrap(),
            from: from.map(Into::into),
            source_type: None,
        }
    }

    #[test]
    fn an_edit_keeps_the_rest_of_the_text() {
        let written = read("contracts/orders.yaml", BLOCK).unwrap();
        let mut columns = written.contract.columns().to_vec();
        columns[1].column_type = ColumnType::Varchar(64);
        columns[2].column_type = ColumnType::Varchar(1024);
        columns.push(column("price", "decimal(18,6)", None));
        columns.push(column("null", "bigint", Some("a \"b\": c")));
        let text = written.with_columns("contracts/orders.yaml", &columns).unwrap();
        let wanted = BLOCK
            .replace("varchar(16)", "varchar(64)")
            .replace("\"varchar(64)\"", "\"varchar(1024)\"")
            .replace(
                "    from: Note\n",
                "    from: Note\n  - { name: price, type: \"decimal(18,6)\" }\n  - { name: \"null\", type: bigint, from: \"a \\\"b\\\": c\" }\n",
            );
        assert_eq!(text, wanted);
        let again = read("contracts/orders.yaml", &text).unwrap();
        assert_eq!(again.contract.columns(), columns);
        assert_eq!(
            again.with_columns("contracts/orders.yaml", &columns).unwrap(),
            text,
            "a second edit changes nothing"
        );
    }

    #[test]
    fn a_text_of_another_style_reads_as_the_same_contract() {
        let compact = "{contract: c, source: {format: dynamodb, table: t}, target: {schema: s, table: t}, key: [id], columns: [{name: id, type: bigint}]}";
        let unindented = "contract: c\nsource: {format: dynamodb, table: t}\ntarget: {schema: s, table: t}\nkey: [id]\ncolumns:\n- name: id\n  type: bigint\nunknown: evolve\n";
        for text in [compact, unindented, &unindented.replace('\n', "\r\n")] {
            let written = read("contracts/c.yaml", text).unwrap();
            let mut columns = written.contract.columns().to_vec();
            columns.push(column("b", "super", None));
            let after = read("contracts/c.yaml", &written.with_columns("contracts/c.yaml", &columns).unwrap()).unwrap();
            assert_eq!(after.contract.columns(), columns, "{}", after.text);
            assert_eq!(after.contract.unknown(), written.contract.unknown());
        }
    }

    #[test]
    fn a_type_is_replaced_in_any_notation() {
        let text = BLOCK.replace("\"varchar(64)\"", "CHARACTER VARYING( 64 )");
        let written = read("contracts/orders.yaml", &text).unwrap();
        let mut columns = written.contract.columns().to_vec();
        columns[2].column_type = ColumnType::Varchar(256);
        let wider = written.with_columns("contracts/orders.yaml", &columns).unwrap();
        assert_eq!(wider, BLOCK.replace("\"varchar(64)\"", "varchar(256)"));
    }

    proptest! {
        #[test]
        fn any_field_is_written_so_that_it_reads_back(fields in prop::collection::btree_set("(?s:.{1,40})".prop_filter("a field", |field| is_valid_field(field)), 1..5)) {
            let written = read("contracts/orders.yaml", BLOCK).unwrap();
            let mut columns = written.contract.columns().to_vec();
            columns.extend(fields.iter().enumerate().map(|(n, field)| column(&format!("f{n}"), "super", Some(field))));
            let text = written.with_columns("contracts/orders.yaml", &columns).unwrap();
            let again = read("contracts/orders.yaml", &text).unwrap();
            prop_assert_eq!(again.contract.columns(), columns);
        }
    }
}
