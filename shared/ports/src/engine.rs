//! Engines: whatever runs the attempts of jobs. Redshift is one.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use shiftwork_port_macro::port;
use shiftwork_protocol::{Attempt, FailureKind, Place, Work};

use crate::{Result, Warehouse};

/// An attempt as its engine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptState {
    /// The engine's own id of it; in Redshift, that of the statement.
    pub id: String,
    /// The attempt.
    pub attempt: Attempt,
    /// How far it is.
    pub progress: Progress,
}

/// How far an attempt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Submitted, and not ended.
    Active,
    /// Succeeded: what it wrote is there.
    Finished {
        /// Rows returned or changed by its last statement, where the engine counts them.
        rows: Option<i64>,
    },
    /// Failed: nothing of it was written.
    Failed {
        /// What the engine's message means.
        kind: FailureKind,
        /// The engine's message.
        message: String,
    },
    /// Cancelled.
    Aborted,
}

/// One engine at one [`Place`]. How an attempt is submitted differs from engine to engine, and is not part of it: an engine
/// takes the same attempt twice for one, so that a caller whose submission got no answer can submit it again.
#[port]
pub trait Engine: Send + Sync {
    /// The attempt, if the engine knows it.
    async fn find(&self, attempt: &Attempt) -> Result<Option<AttemptState>>;
    /// The attempt of this id as soon as it ends, and at the latest after `patience`, which may be zero; `None` when the engine
    /// does not know it, or no longer.
    async fn outcome(&self, id: &str, attempt: &Attempt, patience: Duration) -> Result<Option<AttemptState>>;
    /// Every attempt of a run that is active at this place.
    async fn active(&self, run: &str) -> Result<Vec<AttemptState>>;
    /// Asks the engine to stop the attempt of this id. One that ended, or that the engine does not know, is not a failure.
    async fn cancel(&self, id: &str) -> Result<()>;
}

/// The engines of a deployment.
#[derive(Clone)]
pub struct Engines {
    /// Redshift.
    pub warehouse: Arc<dyn Warehouse>,
}

impl Engines {
    /// The engine that runs the attempts of this work; `None` for work that is never submitted.
    pub fn of<'a>(&'a self, work: &'a Work) -> Option<Box<dyn Engine + 'a>> {
        work.place().map(|place| self.at(place))
    }

    /// The engines that run the attempts of any of these, each place once.
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
