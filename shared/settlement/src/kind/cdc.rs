//! `cdc`: deletes the staged files that a load has promoted, and counts the rows of the load.

use async_trait::async_trait;
use shiftwork_ports::{Bucket, Result};
use shiftwork_protocol::{Attempt, JobRecord, StatementReport};

use super::{AroundAttempts, manifest};

/// The buckets that this kind uses.
#[derive(Clone)]
pub struct Cdc {
    /// Staging bucket, which holds the staged files and the manifests.
    pub staging: Bucket,
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

    /// The rows that were copied into the staging table: a load also deletes and inserts rows of other tables.
    fn rows(&self, job: &JobRecord) -> Option<i64> {
        let copied = job.statements.iter().filter(|statement: &&StatementReport| statement.command == "COPY");
        copied.filter_map(|copy| copy.rows).reduce(i64::saturating_add)
    }
}
