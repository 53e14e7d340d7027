//! The ids in log lines: every line about a run, a job or an attempt has them in the fields `run`, `workflow`, `job`,
//! `attempt` and `part`, so that one query finds all lines of a run in the logs of all functions.

use std::future::Future;

use futures::{FutureExt as _, future::BoxFuture};
use shiftwork_protocol::{Attempt, JobRecord, Owner, RunRecord};
use tracing::{Instrument as _, Span, field::Empty};

use crate::Result;

/// Field of a span whose work failed. The writer of the lines copies the fields of such a span to the span around it,
/// because the failure is logged there or further out.
pub const FAILED: &str = "failed";

/// Makes a span with the fields of every [`Subject`], and further fields. Its level is ERROR, so that no configured level
/// removes the ids from a line.
macro_rules! span {
    ($name:literal, $($field:ident = $value:expr),*) => {
        tracing::error_span!(
            $name, $($field = $value,)* run = Empty, workflow = Empty, job = Empty, attempt = Empty, part = Empty
        )
    };
}

/// The span of an invocation of a function. `request_id` is Lambda's, in the field that Lambda's own lines have.
pub fn invocation(request_id: &str) -> Span {
    span!("invocation", requestId = request_id)
}

/// The span of one message of a queue.
pub(crate) fn message(id: &str) -> Span {
    span!("message", message_id = id)
}

/// What a piece of work is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    run: Option<String>,
    workflow: Option<String>,
    job: Option<String>,
    attempt: Option<u32>,
    part: Option<u32>,
}

impl Subject {
    /// A run whose workflow is not known yet.
    pub fn of_run(run: &str) -> Self {
        Self { run: Some(run.into()), ..Self::default() }
    }

    /// A job of which only the name is known yet.
    pub fn of_job(run: &str, job: &str) -> Self {
        Self { job: Some(job.into()), ..Self::of_run(run) }
    }

    /// An attempt of a job. A migration belongs to no run.
    pub fn of_attempt(at: &Attempt) -> Self {
        match at.owner {
            Owner::Job => Self {
                attempt: Some(at.attempt),
                part: (at.parts > 1).then_some(at.part),
                ..Self::of_job(&at.run, &at.job)
            },
            Owner::Migration => Self::default(),
        }
    }

    /// The same subject, whose workflow is known.
    #[must_use]
    pub fn in_workflow(self, workflow: &str) -> Self {
        Self { workflow: Some(workflow.into()), ..self }
    }

    /// Does the work within a span of this subject. If the work fails, the span gets the field [`FAILED`].
    ///
    /// The future is on the heap, because scopes are nested and a future contains the futures that it awaits.
    pub fn scope<'a, T: 'a>(self, work: impl Future<Output = Result<T>> + Send + 'a) -> BoxFuture<'a, Result<T>> {
        let span = span!("subject", failed = Empty);
        self.record(&span);
        let work = work.instrument(span.clone()).inspect(move |result| {
            if result.is_err() {
                span.record(FAILED, true);
            }
        });
        work.boxed()
    }

    fn record(&self, span: &Span) {
        let Self { run, workflow, job, attempt, part } = self;
        for (name, value) in [("run", run), ("workflow", workflow), ("job", job)] {
            if let Some(value) = value {
                span.record(name, value.as_str());
            }
        }
        for (name, value) in [("attempt", attempt), ("part", part)] {
            if let Some(value) = value {
                span.record(name, value);
            }
        }
    }
}

impl From<&RunRecord> for Subject {
    fn from(run: &RunRecord) -> Self {
        Self::of_run(&run.workflow_execution_id).in_workflow(&run.workflow_id)
    }
}

impl From<&JobRecord> for Subject {
    fn from(job: &JobRecord) -> Self {
        Self::of_attempt(&job.current_attempt()).in_workflow(&job.workflow_id)
    }
}
