//! `copy`: the files of a feed that wait to be loaded.
//!
//! COPY binds nothing: everything in it comes from the feed or the job's configuration, through the two quoting functions.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Deserialize;
use shiftwork_config::{IamRole, read_file};
use shiftwork_feeds::{
    Feed,
    feed::{Compression, NULL_TEXT, pending},
};
use shiftwork_protocol::{Kind, ScriptPin, Work, file::Format, keys::feed_key, name};
use shiftwork_sql::{quote_identifier, quote_literal};

use super::{Context, JobKind};

/// Loads the files of a feed that wait to be loaded, each exactly once, and puts on record what became of every one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Copy {
    /// Which files: `pending(<feed>)`, with the name of a file under `feeds/`.
    files: String,
    /// The table, where it is not the feed's: `schema.table`.
    #[serde(default)]
    table: Option<String>,
    /// The columns that the files bring, where they are not the feed's.
    #[serde(default)]
    columns: Vec<String>,
    /// Whom COPY reads the files as: `default` for the role that the warehouse has for this, the ARN of a role, or a list of ARNs, each
    /// of a role that the one before it assumes.
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
            let problem = context.field("files", format!("feed `{name}` names no table"));
            context.problems.push(problem.hint("give the feed or this job a `table`"));
            return None;
        };
        if !feed.format.is_loadable() {
            let message = format!("feed `{name}` brings {}, which COPY does not read", feed.format.as_str());
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
    /// The feed, read and pinned.
    fn feed(&self, context: &mut Context) -> Option<(String, ScriptPin, Feed)> {
        let Some(name) = pending(&self.files) else {
            let problem = context.field("files", format!("`{}` names no files", self.files));
            context.problems.push(problem.hint("write `pending(<feed>)`"));
            return None;
        };
        let Some(script) = context.inputs.feeds.get(name) else {
            let known = context.inputs.feeds.keys().map(String::as_str);
            let message = format!("there is no feed `{}`", feed_key(name));
            let problem = context.field("files", message).did_you_mean(name, known);
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
                let problem = context.field("files", format!("{} calls itself `{}`", script.key, feed.feed));
                context.problems.push(problem.hint("a feed's file has its name"));
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
        let quoted = |names: &mut dyn Iterator<Item = &str>| names.map(quote_identifier).collect::<Result<Vec<_>, _>>();
        match (quoted(&mut table.split('.')), quoted(&mut columns.iter().map(String::as_str))) {
            (Ok(table), Ok(columns)) => {
                let columns = if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
                Some(format!("COPY {}{columns}", table.join(".")))
            }
            (Err(wrong), _) => {
                let problem = context.field("table", format!("`{table}` is no table: {wrong}"));
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
            // Said above.
            Format::Xml | Format::Custom => Ok(()),
        };
        if let Some(delimiter) = &feed.delimiter {
            let _ = write!(options, " DELIMITER AS {}", quote_literal(delimiter));
        }
        if let Some(null_as) = feed.null_as.as_ref().filter(|text| *text != NULL_TEXT) {
            let _ = write!(options, " NULL AS {}", quote_literal(null_as));
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
