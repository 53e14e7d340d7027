//! The words of the command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

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
    /// Take away workflows, connections and schedules that no file speaks of; scripts stay, for runs pin them
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
