//! Kind `copy`: loads the pending files of a feed.
//!
//! COPY does not support bound parameters. All values in its text come from the configuration of the feed or the job, and are quoted by
//! [`quote_identifier`] or [`quote_literal`].

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Deserialize;
use shiftwork_config::{IamRole, read_file};
use shiftwork_feeds::{
    Feed,
    feed::{ColumnsBy, Compression, NULL_TEXT, misplaced_column, pending},
};
use shiftwork_protocol::{Kind, ScriptPin, Work, file::Format, keys::feed_key, name};
use shiftwork_sql::{quote_identifier, quote_literal};

use super::{Context, JobKind};

/// Loads the pending files of a feed, each exactly once, and records the result of each file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Copy {
    /// Files to load: `pending(<feed>)`, with the name of a file under `feeds/`.
    files: String,
    /// Table to load, `schema.table`. The default is the table of the feed.
    #[serde(default)]
    table: Option<String>,
    /// Columns of the files. The default is the columns of the feed.
    #[serde(default)]
    columns: Vec<String>,
    /// IAM role with which COPY reads the files: `default` for the default role of the warehouse, the ARN of a role, or the list of ARNs of
    /// a role chain.
    #[serde(default)]
    iam_role: IamRole,
}

impl JobKind for Copy {
    const KIND: Kind = Kind::Copy;

    fn work(self, context: &mut Context) -> Option<Work> {
        let connection = context.connection();
        let before = context.problems.len();
        let (name, pin, feed) = self.feed(context)?;
        let Some(table) = self.table.clone().or_else(|| feed.table.clone()) else {
            let problem = context.field("files", format!("feed `{name}` has no table"));
            context.problems.push(problem.hint("add `table` to the feed or to this job"));
            return None;
        };
        if !feed.format.is_loadable() {
            let message = format!("feed `{name}` has format {}, which COPY does not read", feed.format.as_str());
            let problem = context.field("files", message);
            context.problems.push(problem);
        }
        let into = self.target(&table, &feed, context);
        let options = self.options(&feed);
        (context.problems.len() == before).then_some(Work::Copy {
            connection: connection?,
            files: name,
            feed: pin,
            table,
            into: into?,
            options,
        })
    }
}

impl Copy {
    /// Reads the feed and pins its version. Returns `None` after it reported a problem.
    fn feed(&self, context: &mut Context) -> Option<(String, ScriptPin, Feed)> {
        let Some(name) = pending(&self.files) else {
            let problem = context.field("files", format!("`{}` is not a valid value of `files`", self.files));
            context.problems.push(problem.hint("write `pending(<feed>)`"));
            return None;
        };
        let Some(script) = context.inputs.feeds.get(name) else {
            let known = context.inputs.feeds.keys().map(String::as_str);
            let message = format!("the feed `{}` does not exist", feed_key(name));
            let problem = context.field("files", message).one_of(name, known);
            context.problems.push(problem);
            return None;
        };
        match read_file(&script.key, &script.text).and_then(|doc| Feed::read(&doc)) {
            Ok(feed) if feed.feed == name => {
                let pin = ScriptPin {
                    key: script.key.clone(),
                    version_id: script.version_id.clone(),
                    sha256: name::sha256(&script.text),
                    statements: 0,
                };
                Some((name.to_owned(), pin, feed))
            }
            Ok(feed) => {
                let problem = context.field("files", format!("{} has the feed name `{}`", script.key, feed.feed));
                context.problems.push(problem.hint("make `feed` the same as the name of the file"));
                None
            }
            Err(problems) => {
                context.problems.extend(problems);
                None
            }
        }
    }

    fn target(&self, table: &str, feed: &Feed, context: &mut Context) -> Option<String> {
        let columns = if self.columns.is_empty() { &feed.columns } else { &self.columns };
        match feed.columns_by {
            ColumnsBy::Position => {
                if let Some(message) = misplaced_column(&self.columns, &feed.expect.header) {
                    let hint = "COPY assigns fields by position: write the columns in the order of the header";
                    let problem = context.field("columns", message).hint(hint);
                    context.problems.push(problem);
                }
            }
            ColumnsBy::Header if self.columns.is_empty() => {}
            ColumnsBy::Header => {
                let problem =
                    context.field("columns", "the headers of the files name the columns (`columns_by: header`)");
                context.problems.push(problem.hint("remove `columns`, or change the `columns` of the feed"));
            }
        }
        let quoted = |names: &mut dyn Iterator<Item = &str>| names.map(quote_identifier).collect::<Result<Vec<_>, _>>();
        match (quoted(&mut table.split('.')), quoted(&mut columns.iter().map(String::as_str))) {
            (Ok(table), Ok(columns)) => {
                // The launcher adds the columns of each header.
                let by_header = feed.columns_by == ColumnsBy::Header;
                let is_listed = !by_header && !columns.is_empty();
                let columns = if is_listed { format!(" ({})", columns.join(", ")) } else { String::new() };
                Some(format!("COPY {}{columns}", table.join(".")))
            }
            (Err(wrong), _) => {
                let problem = context.field("table", format!("`{table}` is not a valid name of a table: {wrong}"));
                context.problems.push(problem);
                None
            }
            (Ok(_), Err(wrong)) => {
                let problem = context.field("columns", wrong.to_string());
                context.problems.push(problem);
                None
            }
        }
    }

    fn options(&self, feed: &Feed) -> String {
        let mut options = format!("{} MANIFEST", self.iam_role.clause());
        let text = "DATEFORMAT 'auto' TIMEFORMAT 'auto'";
        let _ = match feed.format {
            Format::Csv => write!(options, " FORMAT AS CSV {text}"),
            Format::JsonLines | Format::Json => write!(options, " FORMAT AS JSON 'auto' {text}"),
            Format::Parquet if feed.nested => write!(options, " FORMAT AS PARQUET SERIALIZETOJSON"),
            Format::Parquet => write!(options, " FORMAT AS PARQUET"),
            // Reported by `work`.
            Format::Xml | Format::Custom => Ok(()),
        };
        if let Some(delimiter) = &feed.delimiter {
            let _ = write!(options, " DELIMITER AS {}", quote_literal(delimiter));
        }
        if let Some(null_as) = feed.null_as.as_ref().filter(|text| *text != NULL_TEXT) {
            let _ = write!(options, " NULL AS {}", quote_literal(null_as));
        }
        if let Some(encoding) = feed.encoding.of_copy() {
            let _ = write!(options, " ENCODING AS {encoding}");
        }
        if feed.header_lines > 0 {
            let _ = write!(options, " IGNOREHEADER {}", feed.header_lines);
        }
        options.push_str(match feed.compression {
            Compression::None => "",
            Compression::Gzip => " GZIP",
            Compression::Zstd => " ZSTD",
            Compression::Bzip2 => " BZIP2",
        });
        options
    }
}
