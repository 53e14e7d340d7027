//! The words of the command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use shiftwork_feeds::FileStatus;

/// Runs of Redshift ELT workflows: validate, push, run, look, restart.
#[derive(Debug, Parser)]
#[command(name = "shiftwork", version, max_term_width = 100, propagate_version = true)]
pub struct Args {
    /// Where shiftwork is deployed.
    #[command(flatten)]
    pub target: Target,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where shiftwork is deployed. Endpoints come from the environment (`AWS_ENDPOINT_URL`), as for every AWS client.
#[derive(Debug, Clone, ClapArgs)]
pub struct Target {
    /// CloudFormation stack of the deployment
    #[arg(long, global = true, env = "SHIFTWORK_STACK", default_value = "shiftwork")]
    pub stack: String,
    /// Profile of ~/.aws/config
    #[arg(long, global = true)]
    pub profile: Option<String>,
    /// AWS Region
    #[arg(long, global = true)]
    pub region: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check workflow files and their SQL, offline
    Validate(Validate),
    /// Make the deployment agree with workflow files: scripts, workflows, connections, schedules
    Push(Push),
    /// Start a run of a workflow
    Run(Run),
    /// Show recent runs, or the jobs of one run
    Status(Status),
    /// Run again what did not succeed; reuse what did
    Restart(Restart),
    /// Stop a run and its statements
    Cancel(Cancel),
    /// Write a run as one HTML file
    Report(Report),
    /// Show what would be staged of a file of change events, offline
    Decode(Decode),
    /// Table contracts: propose, check
    Contract(Contract),
    /// Make the metadata of documents what Kendra or Bedrock needs
    Metadata(Metadata),
    /// Show what sources send that no column takes, and take it in
    Drift(Drift),
    /// Show the files of a feed, have them taken again, register what was there before
    Files(Files),
    /// Send change events again that were refused, or that no contract had claimed
    Replay(Replay),
}

/// `validate`
#[derive(Debug, ClapArgs)]
pub struct Validate {
    /// Workflow files, or directories of them
    #[arg(default_value = "workflows")]
    pub paths: Vec<PathBuf>,
    /// Print the JSON Schema of workflow files instead
    #[arg(long)]
    pub schema: bool,
}

/// `push`
#[derive(Debug, ClapArgs)]
pub struct Push {
    /// Workflow files, or directories of them
    #[arg(default_value = "workflows")]
    pub paths: Vec<PathBuf>,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Take away workflows, connections, schedules and feeds that no file speaks of; scripts stay, for runs pin them
    #[arg(long)]
    pub prune: bool,
}

/// `run`
#[derive(Debug, ClapArgs)]
pub struct Run {
    /// The workflow
    #[arg(value_name = "WORKFLOW")]
    pub workflow_id: String,
    /// Id of the run: the same id with the same request is the same run
    #[arg(long)]
    pub id: Option<String>,
    /// A parameter of the workflow
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,
    /// The date or the instant that the run is about: 2026-03-01 (midnight UTC) or 2026-03-01T02:00:00Z
    #[arg(long, value_name = "DATE", value_parser = instant)]
    pub date: Option<Timestamp>,
    /// Stay until the run has ended, and show its jobs
    #[arg(long)]
    pub wait: bool,
}

/// `status`
#[derive(Debug, ClapArgs)]
pub struct Status {
    /// A workflow or a run; all workflows where it is left out
    #[arg(value_name = "WORKFLOW | RUN")]
    pub of: Option<String>,
    /// How many runs at most
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub limit: u16,
}

/// `restart`
#[derive(Debug, ClapArgs)]
pub struct Restart {
    /// The run that did not succeed
    pub run: String,
    /// Id of the new run
    #[arg(long)]
    pub id: Option<String>,
    /// Stay until the run has ended, and show its jobs
    #[arg(long)]
    pub wait: bool,
}

/// `cancel`
#[derive(Debug, ClapArgs)]
pub struct Cancel {
    /// The run
    pub run: String,
    /// Why, for the audit
    #[arg(long)]
    pub reason: Option<String>,
}

/// `report`
#[derive(Debug, ClapArgs)]
pub struct Report {
    /// The run
    pub run: String,
    /// The file; `report-<run>.html` where it is left out
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `decode`
#[derive(Debug, ClapArgs)]
pub struct Decode {
    /// Change events, one a line, plain or gzip; `-` is the standard input
    pub file: PathBuf,
    /// The table contract
    #[arg(long, value_name = "FILE")]
    pub contract: PathBuf,
    /// Where the rows go: CSV, compressed where the name ends in .zst; the standard output where it is left out
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Where refused records go, one a line, with line number, reason and bytes
    #[arg(long, value_name = "FILE")]
    pub refused: Option<PathBuf>,
}

/// `contract`
#[derive(Debug, ClapArgs)]
pub struct Contract {
    /// What to do
    #[command(subcommand)]
    pub command: ContractCommand,
}

/// What can be done about table contracts.
#[derive(Debug, Subcommand)]
pub enum ContractCommand {
    /// Write a contract for each table that a file has change events of
    Propose(ContractPropose),
    /// Say what is wrong with contracts
    Check(ContractCheck),
    /// Print the SQL of a contract: its tables, and the transaction that loads and promotes
    Sql(ContractSql),
    /// Bring the deployed contract into its file: what `shiftwork drift --apply` has added to it
    Pull(ContractPull),
}

/// `contract pull`
#[derive(Debug, ClapArgs)]
pub struct ContractPull {
    /// The table contract
    #[arg(value_name = "CONTRACT")]
    pub contract: String,
    /// The folder of contracts
    #[arg(long, default_value = "contracts")]
    pub folder: PathBuf,
    /// Overwrite a file that differs in more than columns
    #[arg(long)]
    pub force: bool,
}

/// `contract sql`
#[derive(Debug, ClapArgs)]
pub struct ContractSql {
    /// A contract of the folder contracts, or a file
    #[arg(value_name = "NAME | FILE")]
    pub contract: String,
    /// As if the files were staged when the contract had so many columns
    #[arg(long, value_name = "N")]
    pub columns: Option<usize>,
}

/// `contract propose`
#[derive(Debug, ClapArgs)]
pub struct ContractPropose {
    /// Change events, one a line, plain or gzip; `-` is the standard input
    pub file: PathBuf,
    /// This table alone, as its events name it
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// Folder for the contracts, one a file; the standard output where it is left out
    #[arg(short, long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

/// `contract check`
#[derive(Debug, ClapArgs)]
pub struct ContractCheck {
    /// Contracts, or folders of them
    #[arg(default_value = "contracts")]
    pub paths: Vec<PathBuf>,
    /// The contracts that are deployed: say also what of these cannot take their place
    #[arg(long, value_name = "PATH")]
    pub against: Option<PathBuf>,
    /// Print the JSON Schema of contracts instead
    #[arg(long)]
    pub schema: bool,
}

/// `files`
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Files {
    /// What else to do than to look
    #[command(subcommand)]
    pub command: Option<FilesCommand>,
    /// The feed; all feeds in short where it is left out
    pub feed: Option<String>,
    /// Only files that stand so: received, batched, processing, processed, failed, quarantined
    #[arg(long, value_parser = file_status)]
    pub status: Option<FileStatus>,
    /// Only keys that begin so
    #[arg(long, default_value = "")]
    pub prefix: String,
    /// How many files at most, newest first
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: usize,
}

/// What else can be done about files.
#[derive(Debug, Subcommand)]
pub enum FilesCommand {
    /// Have files taken again that failed or were quarantined
    Retry(FilesRetry),
    /// Register files that landed before events of the bucket were switched on
    Backfill(FilesBackfill),
}

/// `files retry`
#[derive(Debug, ClapArgs)]
pub struct FilesRetry {
    /// The feed
    pub feed: String,
    /// Only files that stand so: failed, quarantined
    #[arg(long, value_parser = file_status)]
    pub status: Option<FileStatus>,
    /// Only keys that begin so
    #[arg(long, default_value = "")]
    pub prefix: String,
    /// Say which, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `files backfill`
#[derive(Debug, ClapArgs)]
pub struct FilesBackfill {
    /// The bucket, and a prefix of keys where not all of it is meant
    #[arg(value_name = "BUCKET[/PREFIX]")]
    pub place: String,
    /// Go on behind this key
    #[arg(long, value_name = "KEY")]
    pub after: Option<String>,
    /// Also files that no feed claims
    #[arg(long)]
    pub unclaimed: bool,
}

/// `replay`
#[derive(Debug, ClapArgs)]
pub struct Replay {
    /// Only the change events of this table contract
    #[arg(long, value_name = "CONTRACT")]
    pub contract: Option<String>,
    /// What no contract had claimed, instead of what was refused
    #[arg(long)]
    pub unclaimed: bool,
    /// Say what would be sent, and send nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `drift`
#[derive(Debug, ClapArgs)]
pub struct Drift {
    /// A table contract, looked at now; what the schema-watcher knows of all of them where it is left out
    #[arg(value_name = "CONTRACT")]
    pub contract: Option<String>,
    /// Take it in: columns for new fields, longer VARCHARs, and the values that wait
    #[arg(long, requires = "contract")]
    pub apply: bool,
    /// This field alone, as the source writes it; may be given several times
    #[arg(long, value_name = "FIELD", requires = "contract")]
    pub only: Vec<String>,
    /// Do not ask before statements are run
    #[arg(long, requires = "apply")]
    pub yes: bool,
}

/// `metadata`
#[derive(Debug, ClapArgs)]
pub struct Metadata {
    /// What to do
    #[command(subcommand)]
    pub command: MetadataCommand,
}

/// What can be done about the metadata of documents.
#[derive(Debug, Subcommand)]
pub enum MetadataCommand {
    /// Make the deployment agree with a file of repositories
    Push(MetadataPush),
    /// Say what is wrong, and change nothing
    Check(MetadataOf),
    /// Mend, move, or put into quarantine what is there already
    Fix(MetadataOf),
}

/// `metadata push`
#[derive(Debug, ClapArgs)]
pub struct MetadataPush {
    /// The repositories, and what their indexes need
    #[arg(default_value = "metadata.yaml")]
    pub file: PathBuf,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `metadata check`, `metadata fix`
#[derive(Debug, ClapArgs)]
pub struct MetadataOf {
    /// The bucket, and a prefix of keys where not all of it is meant
    #[arg(value_name = "BUCKET[/PREFIX]")]
    pub place: String,
    /// A file of repositories, instead of those that were pushed; it needs no deployment
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Go on behind this key
    #[arg(long, value_name = "KEY")]
    pub after: Option<String>,
}

fn file_status(text: &str) -> Result<FileStatus, String> {
    let known = FileStatus::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(text));
    known.ok_or_else(|| "expected received, batched, processing, processed, failed or quarantined".into())
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        Some(_) | None => Err("expected NAME=VALUE".into()),
    }
}

fn instant(text: &str) -> Result<Timestamp, String> {
    // A civil date reads the beginning of an instant as well, and would drop its time: the instant comes first.
    text.parse::<Timestamp>()
        .or_else(|_| text.parse::<Date>()?.to_zoned(TimeZone::UTC).map(|at| at.timestamp()))
        .map_err(|_| "expected a date as 2026-03-01 or an instant as 2026-03-01T02:00:00Z".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::{Args, instant, parameter};

    #[test]
    fn the_command_line_holds_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_date_is_midnight_utc_and_an_instant_is_kept() {
        assert_eq!(instant("2026-03-01").unwrap().to_string(), "2026-03-01T00:00:00Z");
        assert_eq!(instant("2026-03-01T02:30:00Z").unwrap().to_string(), "2026-03-01T02:30:00Z");
        assert_eq!(instant("2026-03-01T02:30:00+02:00").unwrap().to_string(), "2026-03-01T00:30:00Z");
        assert!(instant("yesterday").is_err());
    }

    #[test]
    fn a_parameter_may_hold_any_text_behind_the_first_equals_sign() {
        assert_eq!(parameter("where=a=b"), Ok(("where".into(), "a=b".into())));
        assert_eq!(parameter("empty="), Ok(("empty".into(), String::new())));
        assert!(parameter("=x").is_err() && parameter("x").is_err());
    }
}
