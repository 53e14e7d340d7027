//! Engines, which run the attempts of jobs. Redshift is one of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

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
    /// Failed and not committed.
    Failed {
        /// Classification of the message.
        kind: FailureKind,
        /// Message of the engine.
        message: String,
    },
    /// Cancelled and not committed.
    Aborted,
}

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
