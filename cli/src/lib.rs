//! The command line of shiftwork, for a deployment in AWS or on the local stack.
//!
//! ```text
//! args ── one module per command ──┬─ decide: check, push::changes, board, report   (pure)
//!                                  └─ perform: files, aws/…                         (the disk, AWS)
//! ```
//!
//! Every command is a function over [`Deployment`], so that other programs, such as the demo, can call it.

pub mod args;
pub mod aws;
mod board;
pub mod cancel;
pub mod check;
pub mod circles;
mod confirm;
pub mod contract;
pub mod contract_pull;
pub mod contract_sql;
pub mod decode;
pub mod delete;
mod diagnostics;
pub mod drift;
pub mod feed_files;
pub mod files;
#[cfg(test)]
mod fixture;
mod live;
pub mod metadata;
pub mod push;
pub mod replay;
pub mod report;
pub mod restart;
pub mod run;
pub mod status;
pub mod table;
pub mod validate;
pub mod wait;
pub mod words;

use std::process::ExitCode;

use clap::Parser as _;
use shiftwork_aws::client::ClientError;
use shiftwork_protocol::{Failure, FailureKind};

pub use aws::Deployment;

/// The result of a command, which becomes the exit code of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Success: exit code 0.
    Done,
    /// A run did not succeed, a file has problems, or AWS returned an error: exit code 1.
    Failed,
    /// The request is not valid: exit code 2.
    Usage,
    /// Ctrl-C while waiting; the run continues: exit code 130.
    Interrupted,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Done => 0,
            Outcome::Failed => 1,
            Outcome::Usage => 2,
            Outcome::Interrupted => 130,
        })
    }
}

/// Parses the command line and executes the command.
pub async fn main() -> ExitCode {
    let args = args::Args::parse();
    let outcome = match command(args).await {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("{} {error:#}", console::style("error:").for_stderr().red().bold());
            outcome_of(&error)
        }
    };
    outcome.into()
}

/// A request that is not valid has to be fixed by the caller; every other error is a failure.
fn outcome_of(error: &anyhow::Error) -> Outcome {
    if let Some(ClientError::UnknownProfile { .. }) = error.downcast_ref::<ClientError>() {
        return Outcome::Usage;
    }
    match error.downcast_ref::<Failure>().map(|failure| failure.kind) {
        Some(FailureKind::UnknownWorkflow | FailureKind::InvalidWorkflow | FailureKind::InvalidRequest) => {
            Outcome::Usage
        }
        Some(_) | None => Outcome::Failed,
    }
}

async fn command(args: args::Args) -> anyhow::Result<Outcome> {
    use args::Command;
    let target = args.target;
    let writes = args.command.writes();
    let deployment = async || {
        let deployment = Deployment::find(&target).await?;
        if writes {
            eprintln!("{}", deployment.location);
        }
        anyhow::Ok(deployment)
    };
    match args.command {
        Command::Validate(asked) => validate::validate(&target, &asked).await,
        // A push checks its files before it looks for the deployment.
        Command::Push(asked) => push::push(&target, &asked).await,
        Command::Delete(asked) => delete::delete(&deployment().await?, &asked).await,
        Command::Run(asked) => run::run(&deployment().await?, &asked).await,
        Command::Status(asked) => status::status(&deployment().await?, &asked).await,
        Command::Restart(asked) => restart::restart(&deployment().await?, &asked).await,
        Command::Cancel(asked) => cancel::cancel(&deployment().await?, &asked).await,
        Command::Files(asked) => feed_files::files(&deployment().await?, &asked).await,
        Command::Replay(asked) => replay::replay(&deployment().await?, &asked).await,
        Command::Drift(asked) => drift::drift(&deployment().await?, &asked).await,
        Command::Metadata(asked) => metadata::metadata(&target, &asked).await,
        Command::Decode(asked) => decode::decode(&asked),
        Command::Contract(asked) => match &asked.command {
            args::ContractCommand::Propose(asked) => contract::propose(asked),
            args::ContractCommand::Check(asked) => contract::check(asked),
            args::ContractCommand::Sql(asked) => contract_sql::sql(asked),
            args::ContractCommand::Pull(asked) => contract_pull::pull(&deployment().await?, asked).await,
        },
        Command::Report(asked) => report::report(&deployment().await?, &asked).await,
    }
}
