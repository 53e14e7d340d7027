//! The rules for a feed that its schema cannot express.

use jiff::{SignedDuration, civil::Time, tz::TimeZone};
use shiftwork_config::{JsonPath, Located, Problem};
use shiftwork_protocol::{
    file::{Format, UNCLAIMED},
    name,
};

use super::{BATCH_FILES, ColumnsBy, Compression, Feed, NULL_TEXT};
use crate::pattern::{KeyPattern, SYNTAX};

/// Maximum of every duration in a feed: 400 days.
const LONGEST_SPAN: SignedDuration = SignedDuration::from_hours(400 * 24);

impl Feed {
    /// Checks the rules that the schema cannot express.
    pub(super) fn problems(&self, doc: &Located) -> Vec<Problem> {
        let root = JsonPath::root();
        let mut problems = Vec::new();
        let mut report = |field: &str, message: String, hint: &str| {
            let path = field.split('.').fold(root.clone(), |path, step| path.key(step));
            let problem = doc.problem(&path, message);
            problems.push(if hint.is_empty() { problem } else { problem.hint(hint) });
        };
        if !name::is_workflow_id(&self.feed) || self.feed == UNCLAIMED {
            report(
                "feed",
                format!("`{}` is not a valid name of a feed", self.feed),
                "use 1 to 64 letters, digits, `_` and `-`",
            );
        }
        if let Err(reason) = KeyPattern::read(&self.keys) {
            report("keys", reason, SYNTAX);
        }
        if let Some(table) = &self.table
            && !(1..=3).contains(&table.split('.').filter(|part| !part.is_empty()).count())
        {
            report("table", format!("`{table}` is not a valid name of a table"), "write `schema.table`");
        }
        if self.table.is_some() && !self.format.is_loadable() {
            report(
                "table",
                format!("COPY does not read format {}", self.format.as_str()),
                "remove `table`, and send the files to workers with `work_items`",
            );
        }
        self.check_format(&mut report);
        if !(1..=BATCH_FILES).contains(&self.batch.files) {
            report("batch.files", format!("a batch can have 1 to {BATCH_FILES} files"), "");
        }
        let spans = [
            ("expect.max_age", self.expect.max_age),
            ("batch.wait", self.batch.wait),
            ("work_items.within", self.work_items.as_ref().map(|items| items.within)),
        ];
        for (field, span) in spans {
            if let Some(span) = span.filter(|span| span.length() > LONGEST_SPAN) {
                report(field, format!("`{span}` is longer than 400 days"), "");
            }
        }
        if self.workflow.is_some() && self.work_items.is_some() {
            report("work_items", "`work_items` and `workflow` exclude each other".into(), "keep one of them");
        }
        if let Some(expected) = &self.expected {
            if expected.by.parse::<Time>().is_err() {
                report("expected.by", format!("`{}` is not a valid time of day", expected.by), "write `06:00`");
            }
            if TimeZone::get(&expected.time_zone).is_err() {
                let message = format!("`{}` is not a valid time zone", expected.time_zone);
                report("expected.time_zone", message, "write a name of the IANA database, such as `Europe/Berlin`");
            }
        }
        problems
    }

    /// Checks the fields that only some formats support. `report` takes a field, what is wrong with it, and how to fix it.
    fn check_format(&self, report: &mut dyn FnMut(&str, String, &str)) {
        if self.format == Format::Parquet && self.compression != Compression::None {
            report("compression", "Parquet files are compressed internally".into(), "remove `compression`");
        }
        let csv = self.format == Format::Csv;
        let named_columns = csv || self.format == Format::Parquet;
        for (field, given, fits, hint) in [
            ("header_lines", self.header_lines > 0, csv, "remove it: only csv supports it"),
            ("encoding", !self.encoding.is_utf8(), csv, "remove it: only csv supports it"),
            ("delimiter", self.delimiter.is_some(), csv, "remove it: only csv supports it"),
            ("null_as", self.null_as.is_some(), csv, "remove it: only csv supports it"),
            ("nested", self.nested, self.format == Format::Parquet, "remove it: only parquet supports it"),
            (
                "columns_by",
                self.columns_by == ColumnsBy::Header,
                named_columns,
                "remove it: only csv and parquet support it",
            ),
            (
                "expect.header",
                !self.expect.header.is_empty(),
                named_columns,
                "remove it: only csv and parquet support it",
            ),
            (
                "expect.columns",
                self.expect.columns.is_some(),
                named_columns,
                "remove it: only csv and parquet support it",
            ),
        ] {
            if given && !fits {
                report(field, format!("format {} does not support `{field}`", self.format.as_str()), hint);
            }
        }
        if csv && self.header_lines == 0 && !self.expect.header.is_empty() {
            report(
                "expect.header",
                "without `header_lines`, COPY loads the header as a row".into(),
                "add `header_lines: 1`",
            );
        }
        self.check_columns(report);
        if let Some(delimiter) = &self.delimiter
            && (delimiter.chars().count() != 1 || !delimiter.is_ascii() || delimiter == "\\")
        {
            report(
                "delimiter",
                format!("`{delimiter}` is not a valid delimiter"),
                "write one ASCII character other than a backslash",
            );
        }
        if self.null_as.as_deref().is_some_and(|text| text.contains('\\') && text != NULL_TEXT) {
            report(
                "null_as",
                "COPY reads a backslash as an escape".into(),
                "write a string without a backslash, or `\\N`",
            );
        }
        if let Some(control) = &self.expect.rows_from {
            if !control.contains("{key}") {
                report(
                    "expect.rows_from",
                    format!("`{control}` is the same key for every file"),
                    "write `{key}.count`",
                );
            }
            if !matches!(self.format, Format::Csv | Format::JsonLines | Format::Parquet) {
                report(
                    "expect.rows_from",
                    format!("the rows of format {} are not counted", self.format.as_str()),
                    "remove it: only csv, json_lines and parquet support it",
                );
            }
        }
        if self.expect.needs_s3() && self.compression == Compression::Bzip2 {
            report("expect", "bzip2 files are not inspected".into(), "remove all fields but `non_empty` and `max_age`");
        }
    }

    /// Checks how fields are assigned to columns.
    fn check_columns(&self, report: &mut dyn FnMut(&str, String, &str)) {
        let same = |a: &str, b: &str| a.trim().eq_ignore_ascii_case(b.trim());
        let is_listed_before = |at: usize| self.columns[..at].iter().any(|column| same(column, &self.columns[at]));
        if let Some(twice) = (0..self.columns.len()).find(|at| is_listed_before(*at)) {
            report("columns", format!("column `{}` is listed twice", self.columns[twice]), "remove one of the two");
        }
        match self.columns_by {
            ColumnsBy::Position => {
                if let Some(message) = misplaced_column(&self.columns, &self.expect.header) {
                    let hint = "COPY assigns fields by position: write the columns in the order of the header, or add `columns_by: header`";
                    report("columns", message, hint);
                }
            }
            ColumnsBy::Header => {
                if self.columns.is_empty() {
                    report(
                        "columns_by",
                        "`columns` does not say which columns a header may name".into(),
                        "list the columns in `columns`",
                    );
                }
                let unknown = |field: &&String| !self.columns.iter().any(|column| same(column, field));
                if let Some(field) = self.expect.header.iter().find(unknown).filter(|_| !self.columns.is_empty()) {
                    report(
                        "expect.header",
                        format!("`{field}` is not one of `columns`"),
                        "with `columns_by: header`, list the columns that every file must have",
                    );
                }
                if self.format == Format::Csv && self.header_lines == 0 {
                    let message = "without `header_lines`, COPY loads the header as a row".into();
                    report("columns_by", message, "add `header_lines: 1`");
                }
                if self.compression == Compression::Bzip2 {
                    report("columns_by", "the headers of bzip2 files are not read".into(), "remove `columns_by`");
                }
                if self.work_items.is_some() {
                    report("columns_by", "workers read the files of this feed, not COPY".into(), "remove `columns_by`");
                }
            }
        }
    }
}

/// Compares the columns that a COPY loads, in their order, with the header that a feed expects. A column may have another name than its
/// field; a column with the name of a field must be at the position of that field. Returns the first mismatch.
pub fn misplaced_column(columns: &[String], header: &[String]) -> Option<String> {
    if columns.is_empty() || header.is_empty() {
        return None;
    }
    if columns.len() != header.len() {
        return Some(format!("{} columns are loaded, and `expect.header` has {} fields", columns.len(), header.len()));
    }
    let field = |column: &String| header.iter().position(|field| field.trim().eq_ignore_ascii_case(column));
    columns.iter().enumerate().find_map(|(at, column)| {
        let found = field(column).filter(|found| *found != at)?;
        Some(format!("column {} is `{column}`, which is field {} of `expect.header`", at + 1, found + 1))
    })
}
