//! What each kind of work is when it is submitted.

pub mod cdc;
pub mod copy;
pub mod sql;
mod statement;

use std::collections::BTreeMap;

use shiftwork_ports::{Result, Submission};
use shiftwork_protocol::{Failure, JobRecord, Work};

/// What is to be done about a job that may run now.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// Hand this to Redshift.
    Submit(Box<Submission>),
    /// There is nothing to do: the job succeeds.
    NothingToDo,
    /// This attempt cannot be submitted any more, and why.
    Lost(String),
}

/// The kinds that read something before they are submitted, each with what it needs for that.
pub struct Kinds {
    /// Scripts.
    pub sql: sql::Sql,
    /// Loads of change data.
    pub cdc: cdc::Cdc,
    /// Loads of files.
    pub copy: copy::Copy,
}

impl Kinds {
    /// What is to be done about a job. Called again for the same attempt, after a crash, it comes to the same submission.
    pub(crate) async fn prepare(&self, job: &JobRecord) -> Result<Prepared> {
        let submit = |submission| Ok(Prepared::Submit(Box::new(submission)));
        match &job.plan.work {
            Work::Sql { connection, script, transaction, parameters } => {
                submit(self.sql.submission(job, connection, script, *transaction, parameters).await?)
            }
            Work::Procedure { connection, sql, parameters } => {
                submit(statement::submission(job, connection, sql, parameters))
            }
            Work::Unload { connection, sql } => submit(statement::submission(job, connection, sql, &BTreeMap::new())),
            Work::Cdc { connection, contract, iam_role } => self.cdc.prepare(job, connection, contract, iam_role).await,
            Work::Copy { connection, feed, into, options, files: _, table: _ } => {
                self.copy.prepare(job, connection, feed, into, options).await
            }
            Work::Barrier {} => {
                let name = &job.plan.job_name;
                Err(Failure::corrupt(format!("{name} is a barrier, and nothing is ever launched for it")))
            }
        }
    }
}
