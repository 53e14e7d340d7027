//! Engines, which run the attempts of jobs. Redshift is one of them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use shiftwork_port_macro::port;
use shiftwork_protocol::{Attempt, FailureKind, Place, Work};

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
}

/// Progress of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Submitted and not ended.
    Active,
    /// Succeeded and committed.
    Finished {
        /// Number of rows that the last statement returned or changed, if the engine reports it.
        rows: Option<i64>,
    },
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

    fn at<'a>(&'a self, place: Place<'a>) -> Box<dyn Engine + 'a> {
        match place {
            Place::Warehouse(connection) => self.warehouse.engine(connection),
        }
    }
}
