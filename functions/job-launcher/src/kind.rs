//! Preparation of each kind of work for its submission.

pub mod cdc;
pub mod copy;
pub mod sql;
mod statement;

use std::collections::BTreeMap;

use shiftwork_ports::{Result, Submission};
use shiftwork_protocol::{Failure, JobRecord, Work};

/// The result of preparing a job.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// A submission to the warehouse.
    Submit(Box<Submission>),
    /// The job has nothing to do and succeeds.
    NothingToDo,
    /// The attempt cannot be submitted any more, for this reason.
    Lost(String),
}

/// The kinds that read other data before their submission, each with what it uses.
pub struct Kinds {
    /// Scripts.
    pub sql: sql::Sql,
    /// Loads of change data.
    pub cdc: cdc::Cdc,
    /// Loads of files.
    pub copy: copy::Copy,
}

impl Kinds {
    /// Prepares the current attempt of a job. Idempotent: after a crash, a repeated call returns the same submission.
    pub(crate) async fn prepare(&self, job: &JobRecord) -> Result<Prepared> {
        let submit = |submission| Ok(Prepared::Submit(Box::new(submission)));
        match &job.plan.work {
            Work::Sql { connection, script, transaction, parameters, session, inner_commits: _, repeatable: _ } => {
                let (transaction, session) = (*transaction, *session);
                let script = sql::Script { connection, pin: script, transaction, parameters, session };
                submit(self.sql.submission(job, &script).await?)
            }
            Work::Procedure { connection, sql, parameters, repeatable: _ } => {
                submit(statement::submission(job, connection, sql, parameters))
            }
            Work::Unload { connection, sql } => submit(statement::submission(job, connection, sql, &BTreeMap::new())),
            Work::Cdc { connection, contract, iam_role } => self.cdc.prepare(job, connection, contract, iam_role).await,
            Work::Copy { connection, feed, into, options, files: _, table: _ } => {
                self.copy.prepare(job, connection, feed, into, options).await
            }
            Work::Barrier {} => {
                let name = &job.plan.job_name;
                Err(Failure::corrupt(format!("job {name} is a barrier, which has no attempts")))
            }
        }
    }
}
