//! `cdc`: deletes the staged files that a load has promoted, and counts the rows of the load.

use std::sync::Arc;

use async_trait::async_trait;
use shiftwork_ports::{Bucket, Result, Warehouse};
use shiftwork_protocol::{Attempt, JobRecord, Status};

use super::{AroundAttempts, manifest};

/// The ports and buckets that this kind uses.
#[derive(Clone)]
pub struct Cdc {
    /// Staging bucket, which holds the staged files and the manifests.
    pub staging: Bucket,
    /// Warehouse that counts the rows of a load.
    pub warehouse: Arc<dyn Warehouse>,
}

pub(super) struct Load<'a> {
    pub(super) cdc: &'a Cdc,
}

#[async_trait]
impl AroundAttempts for Load<'_> {
    /// Deletes the staged files. The load also moved the watermark, so loading a remaining file again would have no
    /// effect.
    async fn committed(&self, at: &Attempt, _: &JobRecord) -> Result<()> {
        let staging = &self.cdc.staging;
        let Some(manifest) = manifest(staging, at).await? else { return Ok(()) };
        staging.delete(&manifest.keys()).await
    }

    /// Counts the rows with a query of its own, because the event of a load has the row count of the batch's last
    /// statement, which is a cleanup. If the query fails, the record keeps the number of the event.
    async fn rows(&self, job: &JobRecord) -> Result<Option<i64>> {
        let (Status::Succeeded, Some(id)) = (job.execution_status, &job.statement_id) else { return Ok(None) };
        self.cdc.warehouse.copied(id, &job.current_attempt()).await
    }
}
