//! `cdc`: the staged files that a load has promoted are deleted, and its rows are counted.

use std::sync::Arc;

use async_trait::async_trait;
use shiftwork_ports::{Bucket, Result, Warehouse};
use shiftwork_protocol::{Attempt, JobRecord, Status};

use super::{AroundAttempts, manifest};

/// What the kind needs.
#[derive(Clone)]
pub struct Cdc {
    /// The bucket of the staged files and of the manifests.
    pub staging: Bucket,
    /// Counts the rows of a load.
    pub warehouse: Arc<dyn Warehouse>,
}

pub(super) struct Load<'a> {
    pub(super) cdc: &'a Cdc,
}

#[async_trait]
impl AroundAttempts for Load<'_> {
    /// Deletes the staged files. The watermark moved with the load: a file that is not deleted is loaded again to no effect.
    async fn committed(&self, at: &Attempt, _: &JobRecord) -> Result<()> {
        let staging = &self.cdc.staging;
        let Some(manifest) = manifest(staging, at).await? else { return Ok(()) };
        staging.delete(&manifest.keys()).await
    }

    /// Redshift's event has the rows of the batch's last statement, which tidies up. So a load costs a call more than a script.
    /// Nothing depends on the number: where it cannot be had, the event's stays.
    async fn rows(&self, job: &JobRecord) -> Result<Option<i64>> {
        let (Status::Succeeded, Some(id)) = (job.execution_status, &job.statement_id) else { return Ok(None) };
        self.cdc.warehouse.copied(id, &job.current_attempt()).await
    }
}
