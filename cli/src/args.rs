//! The command-line arguments: commands, options and their help texts.

mod files;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use shiftwork_planner::RequestedDate;

use crate::push::{Kind, PROJECT_HINT, is_project};

pub use files::{Files, FilesBackfill, FilesCommand, FilesReconcile, FilesReload, FilesRetry};

/// Validate, push, run, inspect and restart Redshift ELT workflows.
#[derive(Debug, Parser)]
#[command(name = "shiftwork", version, max_term_width = 100, propagate_version = true)]
pub struct Args {
    /// The deployment that a command works on.
    #[command(flatten)]
    pub target: Target,
    /// The command to execute.
    #[command(subcommand)]
    pub command: Command,
}

/// The deployment that a command works on. A flag takes precedence over the environment, and the environment over the
/// profile, as for the AWS CLI.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct Target {
    /// Name of the deployment's CloudFormation stack
    #[arg(long, global = true, env = "SHIFTWORK_STACK", default_value = "shiftwork")]
    pub stack: String,
    /// Profile in ~/.aws/config; its credentials are used even if access keys are in the environment
    #[arg(long, global = true)]
    pub profile: Option<String>,
    /// AWS Region [default: AWS_REGION, else the Region of the profile]
    #[arg(long, global = true)]
    pub region: Option<String>,
    /// Endpoint of every AWS service [default: that of the service in the environment, else AWS_ENDPOINT_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub endpoint_url: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check workflow files and their SQL, offline; exit code 0 without errors, 1 with errors
    Validate(Validate),
    /// Update the deployment from local files: scripts, workflows, connections, schedules, contracts, feeds
    Push(Push),
    /// Delete a workflow, a table contract, a feed or a connection from the deployment
    Delete(Delete),
    /// Start a run of a workflow
    Run(Run),
    /// Show recent runs, or the jobs of one run
    Status(Status),
    /// Run the jobs of a run again that did not succeed, and reuse the jobs that did
    Restart(Restart),
    /// Stop a run and its statements
    Cancel(Cancel),
    /// Write a report of a run as one HTML file
    Report(Report),
    /// Show the rows that would be staged from a file of change events, offline
    Decode(Decode),
    /// Propose, check, print and pull table contracts
    Contract(Contract),
    /// Check and fix the metadata that Bedrock or Kendra needs for documents
    Metadata(Metadata),
    /// Show fields that sources send and the target table has no column for, and add columns for them
    Drift(Drift),
    /// List the files of a feed, retry files, and register files that landed earlier
    Files(Files),
    /// Send change events again that were refused, or that no contract claimed
    Replay(Replay),
}

impl Command {
    /// True for a command that changes the deployment. Such a command prints account, Region and stack before it changes
    /// anything. `metadata` prints its place itself, because it may change a bucket without a deployment.
    pub const fn writes(&self) -> bool {
        match self {
            Self::Push(_) | Self::Delete(_) | Self::Run(_) | Self::Restart(_) | Self::Cancel(_) | Self::Replay(_) => {
                true
            }
            Self::Files(asked) => asked.command.is_some(),
            Self::Drift(asked) => asked.apply,
            Self::Metadata(asked) => matches!(asked.command, MetadataCommand::Push(_)),
            Self::Validate(_) | Self::Status(_) | Self::Report(_) | Self::Decode(_) | Self::Contract(_) => false,
        }
    }
}

/// Arguments of `validate`.
#[derive(Debug, ClapArgs)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Validate {
    /// Workflow files, or directories that contain workflow files
    #[arg(default_value = "workflows")]
    pub paths: Vec<PathBuf>,
    /// Print the JSON Schema of workflow files and exit
    #[arg(long)]
    pub schema: bool,
    /// Also list what is deployed and has no file
    #[arg(long, conflicts_with = "schema")]
    pub deployed: bool,
    /// Name of the project, whose things are listed one by one [default: `project` in shiftwork.yaml]
    #[arg(long, env = "SHIFTWORK_PROJECT", value_name = "NAME", value_parser = project)]
    pub project: Option<String>,
    /// Fail (exit code 1) if there are warnings, as if they were errors
    #[arg(long)]
    pub strict: bool,
    /// Print the problems as one JSON object on standard output
    #[arg(long, conflicts_with_all = ["schema", "deployed"])]
    pub json: bool,
}

/// Arguments of `push`.
#[derive(Debug, ClapArgs)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Push {
    /// Workflow files, or directories that contain workflow files
    #[arg(default_value = "workflows")]
    pub paths: Vec<PathBuf>,
    /// Print the changes without making them
    #[arg(long)]
    pub dry_run: bool,
    /// Delete the workflows, connections, table contracts and feeds of this project that no local file defines; asks
    /// first
    #[arg(long)]
    pub prune: bool,
    /// Do not ask before deleting
    #[arg(long, requires = "prune")]
    pub yes: bool,
    /// Also overwrite and delete what was changed since this checkout last had it, and what another project pushed
    #[arg(long)]
    pub force: bool,
    /// Name of the project that the files belong to [default: `project` in shiftwork.yaml]
    #[arg(long, env = "SHIFTWORK_PROJECT", value_name = "NAME", value_parser = project)]
    pub project: Option<String>,
}

/// Arguments of `delete`.
#[derive(Debug, ClapArgs)]
pub struct Delete {
    /// Id of the workflow, or name of the table contract, feed or connection
    pub name: String,
    /// What the name is the name of, if several things have it
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,
    /// Do not ask before deleting
    #[arg(long)]
    pub yes: bool,
    /// Also delete a workflow that has an active run, and what other workflows use
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `run`.
#[derive(Debug, ClapArgs)]
pub struct Run {
    /// Id of the workflow
    #[arg(value_name = "WORKFLOW")]
    pub workflow_id: String,
    /// Id of the run; a second request with the same id and the same parameters returns the same run
    #[arg(long)]
    pub id: Option<String>,
    /// A parameter of the workflow
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,
    /// The logical date of the run: a day such as 2026-03-01, in the time zone of the workflow, or an instant such as
    /// 2026-03-01T02:00:00Z
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub date: Option<String>,
    /// Wait until the run has ended, and show the progress of its jobs
    #[arg(long)]
    pub wait: bool,
}

/// Arguments of `status`.
#[derive(Debug, ClapArgs)]
pub struct Status {
    /// Id of a workflow or of a run [default: all workflows]
    #[arg(value_name = "WORKFLOW | RUN")]
    pub of: Option<String>,
    /// Maximum number of runs to show
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub limit: u16,
}

/// Arguments of `restart`.
#[derive(Debug, ClapArgs)]
pub struct Restart {
    /// Id of the run that did not succeed
    pub run: String,
    /// Continue a job at this statement of its script; the number behind the last statement leaves the job out. A script
    /// with `transaction: per_statement` continues at the statement that failed if the option is left out
    #[arg(long, value_name = "JOB=N", value_parser = statement_of_job)]
    pub from_statement: Vec<(String, u32)>,
    /// Id of the new run
    #[arg(long)]
    pub id: Option<String>,
    /// A parameter that completes or corrects the request of a run in which no job succeeded
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,
    /// The logical date that corrects the request of a run in which no job succeeded
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub date: Option<String>,
    /// Wait until the run has ended, and show the progress of its jobs
    #[arg(long)]
    pub wait: bool,
}

/// Arguments of `cancel`.
#[derive(Debug, ClapArgs)]
pub struct Cancel {
    /// Id of the run
    pub run: String,
    /// The reason, which is stored in the audit table
    #[arg(long)]
    pub reason: Option<String>,
}

/// Arguments of `report`.
#[derive(Debug, ClapArgs)]
pub struct Report {
    /// Id of the run
    pub run: String,
    /// The output file [default: report-RUN.html]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Arguments of `decode`.
#[derive(Debug, ClapArgs)]
pub struct Decode {
    /// File of change events, one event per line, plain or gzip; `-` reads the standard input
    pub file: PathBuf,
    /// File of the table contract
    #[arg(long, value_name = "FILE")]
    pub contract: PathBuf,
    /// Output file for the rows, as CSV; a name that ends in .zst is compressed [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Output file for refused records, one record per line, with line number, reason and bytes
    #[arg(long, value_name = "FILE")]
    pub refused: Option<PathBuf>,
}

/// Arguments of `contract`.
#[derive(Debug, ClapArgs)]
pub struct Contract {
    /// The command to execute.
    #[command(subcommand)]
    pub command: ContractCommand,
}

/// The subcommands of `contract`.
#[derive(Debug, Subcommand)]
pub enum ContractCommand {
    /// Write a contract for each table whose change events are in a file
    Propose(ContractPropose),
    /// Check contracts and report the problems
    Check(ContractCheck),
    /// Print the SQL of a contract: its tables, and the transaction that loads and promotes the rows
    Sql(ContractSql),
    /// Update a contract file from the deployed contract: adds the columns that `shiftwork drift --apply` added
    Pull(ContractPull),
}

/// Arguments of `contract pull`.
#[derive(Debug, ClapArgs)]
pub struct ContractPull {
    /// Name of the table contract
    #[arg(value_name = "CONTRACT")]
    pub contract: String,
    /// Directory of contracts
    #[arg(long, default_value = "contracts")]
    pub folder: PathBuf,
    /// Overwrite the file even if it differs from the deployed contract in more than columns
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `contract sql`.
#[derive(Debug, ClapArgs)]
pub struct ContractSql {
    /// Name of a contract in the directory `contracts`, or a file
    #[arg(value_name = "NAME | FILE")]
    pub contract: String,
    /// Print the SQL for files that were staged when the contract had N columns
    #[arg(long, value_name = "N")]
    pub columns: Option<usize>,
}

/// Arguments of `contract propose`.
#[derive(Debug, ClapArgs)]
pub struct ContractPropose {
    /// File of change events, one event per line, plain or gzip; `-` reads the standard input
    pub file: PathBuf,
    /// Write a contract for this table only; the name is the name in the events
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// Output directory, one file per contract [default: standard output]
    #[arg(short, long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

/// Arguments of `contract check`.
#[derive(Debug, ClapArgs)]
pub struct ContractCheck {
    /// Contract files, or directories that contain contract files
    #[arg(default_value = "contracts")]
    pub paths: Vec<PathBuf>,
    /// Deployed contracts to compare with: also reports contracts that cannot replace the deployed ones
    #[arg(long, value_name = "PATH")]
    pub against: Option<PathBuf>,
    /// Print the JSON Schema of contracts and exit
    #[arg(long)]
    pub schema: bool,
}

/// Arguments of `replay`.
#[derive(Debug, ClapArgs)]
pub struct Replay {
    /// Replay only the change events of this table contract
    #[arg(long, value_name = "CONTRACT")]
    pub contract: Option<String>,
    /// Replay records that no contract claimed, instead of records that were refused
    #[arg(long)]
    pub unclaimed: bool,
    /// Print what would be sent, without sending it
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `drift`.
#[derive(Debug, ClapArgs)]
pub struct Drift {
    /// Name of a table contract to check now [default: the latest results of the schema-watcher for all contracts]
    #[arg(value_name = "CONTRACT")]
    pub contract: Option<String>,
    /// Apply the changes: add columns for new fields, change the types of columns, and load the values that wait for them
    #[arg(long, requires = "contract")]
    pub apply: bool,
    /// Only this field, as the source writes it; can be given more than once
    #[arg(long, value_name = "FIELD", requires = "contract")]
    pub only: Vec<String>,
    /// Type of the column for a field, such as `price=decimal(12,2)`, new or with a column, which then gets this type [default: by the
    /// schema of the events, or their values]; can be given more than once
    #[arg(long = "type", value_name = "FIELD=TYPE", requires = "contract", value_parser = field_type)]
    pub types: Vec<(String, String)>,
    /// Run the statements without asking for confirmation
    #[arg(long, requires = "apply")]
    pub yes: bool,
}

/// A field and a type. The last `=` separates them: the name of a field can have one.
fn field_type(text: &str) -> Result<(String, String), String> {
    let parts = text.rsplit_once('=').filter(|(field, column_type)| !field.is_empty() && !column_type.is_empty());
    let (field, column_type) = parts.ok_or("expected FIELD=TYPE, such as `price=decimal(12,2)`")?;
    Ok((field.to_owned(), column_type.to_owned()))
}

/// Arguments of `metadata`.
#[derive(Debug, ClapArgs)]
pub struct Metadata {
    /// The command to execute.
    #[command(subcommand)]
    pub command: MetadataCommand,
}

/// The subcommands of `metadata`.
#[derive(Debug, Subcommand)]
pub enum MetadataCommand {
    /// Update the deployment from a file of repositories
    Push(MetadataPush),
    /// Report problems without changing anything
    Check(MetadataOf),
    /// Fix, move or quarantine the existing metadata files
    Fix(MetadataOf),
}

/// Arguments of `metadata push`.
#[derive(Debug, ClapArgs)]
pub struct MetadataPush {
    /// The file of repositories and of the metadata that their indexes need
    #[arg(default_value = "metadata.yaml")]
    pub file: PathBuf,
    /// Print the changes without making them
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `metadata check` and `metadata fix`.
#[derive(Debug, ClapArgs)]
pub struct MetadataOf {
    /// The bucket, optionally with a key prefix
    #[arg(value_name = "BUCKET[/PREFIX]")]
    pub place: String,
    /// A file of repositories to use instead of the pushed ones; with this option, no deployment is needed
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Start after this key
    #[arg(long, value_name = "KEY")]
    pub after: Option<String>,
}

/// Reads `JOB=N`.
fn statement_of_job(text: &str) -> Result<(String, u32), String> {
    let read = text.rsplit_once('=').and_then(|(job, n)| Some((job.to_owned(), n.parse().ok().filter(|n| *n > 0)?)));
    read.ok_or_else(|| format!("`{text}` is not a job and the number of a statement: write JOB=N, such as load.sql=3"))
}

fn project(text: &str) -> Result<String, String> {
    if is_project(text) { Ok(text.into()) } else { Err(PROJECT_HINT.into()) }
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        Some(_) | None => Err("expected NAME=VALUE".into()),
    }
}

/// Checks a logical date. The trigger reads it, because only the trigger has the time zone of the workflow.
fn date(text: &str) -> Result<String, String> {
    RequestedDate::read(text).map(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use clap::Parser as _;

    use super::{Args, date, parameter};

    #[test]
    fn the_argument_definitions_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_that_changes_the_deployment_says_where() {
        let writes = |line: &str| Args::try_parse_from(line.split_whitespace()).unwrap().command.writes();
        for line in [
            "shiftwork push",
            "shiftwork push --dry-run",
            "shiftwork delete nightly",
            "shiftwork run nightly",
            "shiftwork restart r",
            "shiftwork cancel r",
            "shiftwork replay",
            "shiftwork files retry orders",
            "shiftwork files backfill landing",
            "shiftwork drift orders --apply",
            "shiftwork metadata push",
        ] {
            assert!(writes(line), "{line}");
        }
        for line in [
            "shiftwork validate",
            "shiftwork status",
            "shiftwork report r",
            "shiftwork files",
            "shiftwork drift orders",
        ] {
            assert!(!writes(line), "{line}");
        }
    }

    #[test]
    fn a_project_is_an_identifier() {
        let parse = |project: &str| Args::try_parse_from(["shiftwork", "push", "--project", project]).is_ok();
        assert!(parse("sales-emea_2") && !parse("") && !parse("two words") && !parse(&"x".repeat(65)));
    }

    #[test]
    fn a_logical_date_is_sent_as_it_is_written() {
        for text in ["2026-03-01", "2026-03-01T02:30:00Z", "2026-03-01T02:30:00+02:00"] {
            assert_eq!(date(text).as_deref(), Ok(text));
        }
        assert!(date("yesterday").unwrap_err().contains("2026-03-01T02:00:00Z"));
    }

    #[test]
    fn a_parameter_may_contain_any_text_after_the_first_equals_sign() {
        assert_eq!(parameter("where=a=b"), Ok(("where".into(), "a=b".into())));
        assert_eq!(parameter("empty="), Ok(("empty".into(), String::new())));
        assert!(parameter("=x").is_err() && parameter("x").is_err());
    }
}
