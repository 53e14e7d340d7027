//! Engines, which run the attempts of jobs. Redshift is one of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use shiftwork_port_macro::port;
use shiftwork_protocol::{Attempt, FailureKind, Place, StatementReport, Times, Work};

use crate::{Result, Warehouse};

/// The state of an attempt on its engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptState {
    /// Id that the engine gave to the attempt; in Redshift, the statement id.
    pub id: String,
    /// The attempt.
    pub attempt: Attempt,
    /// Progress of the attempt.
    pub progress: Progress,
    /// Session in which the attempt runs, if the engine keeps it for later submissions.
    pub session: Option<String>,
    /// What the engine reports about the attempt; empty while it is active, and if the engine was not asked.
    pub report: EngineReport,
}

/// What an engine reports about one submission that ended. A fact that the engine does not report is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineReport {
    /// Time at which the engine accepted the submission.
    pub created: Option<Timestamp>,
    /// Time at which the first statement started.
    pub started: Option<Timestamp>,
    /// Time at which the engine recorded the end.
    pub ended: Option<Timestamp>,
    /// Microseconds for which the statements ran.
    pub ran_us: Option<u64>,
    /// Report of each statement, in order.
    pub statements: Vec<StatementReport>,
}

impl EngineReport {
    /// The times of the submission, whose end shiftwork records at `noticed`.
    pub fn times(&self, noticed: Timestamp) -> Times {
        let between = |from: Timestamp, to: Timestamp| u64::try_from(to.duration_since(from).as_micros()).unwrap_or(0);
        let span = self.created.zip(self.ended).map(|(created, ended)| between(created, ended));
        Times {
            engine_created_ts: self.created,
            engine_started_ts: self.started,
            engine_ended_ts: self.ended,
            queued_us: span.zip(self.ran_us).map(|(span, ran)| span.saturating_sub(ran)),
            ran_us: self.ran_us,
            noticed_us: self.ended.map(|ended| between(ended, noticed)),
            unreported: u32::from(self.ran_us.is_none()),
        }
    }
}

/// Progress of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Submitted and not ended.
    Active,
    /// Succeeded and committed.
    Finished,
    /// Failed. What its last transaction did is rolled back, unless `reached` includes the commit.
    Failed {
        /// Classification of the message.
        kind: FailureKind,
        /// Message of the engine.
        message: String,
        /// Number of steps that the attempt may have completed.
        reached: Steps,
    },
    /// Cancelled. What its last transaction did is rolled back.
    Aborted {
        /// Number of steps that the attempt may have completed.
        reached: Steps,
    },
}

/// Number of steps that an attempt may have completed: its statements in their order, and the commit as the last step.
/// An attempt of `n` statements has `n + 1` steps. An attempt that never began, or whose only statement failed with an
/// error of the engine, has completed none.
pub type Steps = u32;

/// All steps of any attempt: nothing is known about how far it came.
pub const UNKNOWN_STEPS: Steps = Steps::MAX;

/// What a list of an engine says about an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// The attempt has not ended.
    Active,
    /// The attempt has ended. [`Engine::outcome`] returns how.
    Ended {
        /// Id that the engine gave to the attempt.
        id: String,
    },
}

/// One engine at one [`Place`]. Submission is not part of this trait, because it differs from engine to engine. Every
/// engine treats a repeated submission of an attempt as one, so that a caller can repeat a submission whose response
/// was lost.
#[port]
pub trait Engine: Send + Sync {
    /// Finds an attempt; `None` if the engine does not know it.
    async fn find(&self, attempt: &Attempt) -> Result<Option<AttemptState>>;
    /// Waits at most `patience`, which may be zero, for the attempt with this id to end, and returns its state; `None`
    /// if the engine does not know it.
    async fn outcome(&self, id: &str, attempt: &Attempt, patience: Duration) -> Result<Option<AttemptState>>;
    /// Lists the active attempts of a run at this place.
    async fn active(&self, run: &str) -> Result<Vec<AttemptState>>;
    /// Looks up many attempts of a run at once, with one request for each 100 attempts and not one for each attempt. An
    /// attempt that the engine does not know is left out.
    async fn listed(&self, run: &str, attempts: &BTreeSet<Attempt>) -> Result<BTreeMap<Attempt, Listed>>;
    /// Cancels the attempt with this id. Succeeds if the attempt has ended or the engine does not know it.
    async fn cancel(&self, id: &str) -> Result<()>;
}

/// The engines of a deployment.
#[derive(Clone)]
pub struct Engines {
    /// Redshift.
    pub warehouse: Arc<dyn Warehouse>,
}

impl Engines {
    /// Returns the engine of the work's attempts; `None` for work that is never submitted.
    pub fn of<'a>(&'a self, work: &'a Work) -> Option<Box<dyn Engine + 'a>> {
        work.place().map(|place| self.at(place))
    }

    /// Returns the engines of the attempts of all given work, one for each place.
    pub fn of_all<'a>(&'a self, works: impl IntoIterator<Item = &'a Work>) -> Vec<Box<dyn Engine + 'a>> {
        let places: BTreeSet<Place<'a>> = works.into_iter().filter_map(Work::place).collect();
        places.into_iter().map(|place| self.at(place)).collect()
    }

    /// Returns the engine at a place.
    pub fn at<'a>(&'a self, place: Place<'a>) -> Box<dyn Engine + 'a> {
        match place {
            Place::Warehouse(connection) => self.warehouse.engine(connection),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_millis(millis)
    }

    /// The values of the batch in the Redshift Management Guide, "Describe metadata about a SQL statement".
    #[test]
    fn waiting_running_and_noticing_are_apart_and_add_up() {
        let report = EngineReport {
            created: Some(at(126)),
            started: Some(at(900)),
            ended: Some(at(1_183)),
            ran_us: Some(6_591),
            statements: Vec::new(),
        };
        let times = report.times(at(1_433));
        assert_eq!((times.queued_us, times.ran_us, times.noticed_us), (Some(1_050_409), Some(6_591), Some(250_000)));
        assert_eq!(times.queued_us.unwrap() + times.ran_us.unwrap() + times.noticed_us.unwrap(), 1_307_000);
        assert_eq!((times.engine_created_ts, times.engine_started_ts), (Some(at(126)), Some(at(900))));
        assert_eq!(times.unreported, 0);
    }

    #[test]
    fn a_time_that_the_engine_does_not_report_is_absent() {
        let times = EngineReport::default().times(at(5));
        assert_eq!(times, Times { unreported: 1, ..Times::default() });
        let no_run_time = EngineReport { created: Some(at(1)), ended: Some(at(3)), ..EngineReport::default() };
        let times = no_run_time.times(at(5));
        assert_eq!((times.queued_us, times.ran_us, times.noticed_us), (None, None, Some(2_000)));
    }

    #[test]
    fn clocks_that_disagree_do_not_give_negative_times() {
        let report =
            EngineReport { created: Some(at(10)), ended: Some(at(12)), ran_us: Some(3_000), ..EngineReport::default() };
        let times = report.times(at(11));
        assert_eq!((times.queued_us, times.noticed_us), (Some(0), Some(0)));
    }
}
