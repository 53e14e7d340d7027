//! Buckets of documents, and the bucket that contains the configuration of repositories.

use std::sync::Arc;

use shiftwork_aws::documents::S3Documents;
use shiftwork_ports::documents::Documents;

use super::{configuration_of, outputs};
use crate::args::Target;

/// The documents of any bucket that the caller may read; no deployment is needed.
pub async fn documents(target: &Target, bucket: &str) -> anyhow::Result<Arc<dyn Documents>> {
    Ok(Arc::new(S3Documents::new(&configuration_of(target).await?, bucket)))
}

/// The scripts bucket of the deployment, from which metadata-fixer reads its configuration.
pub async fn scripts(target: &Target) -> anyhow::Result<Arc<dyn Documents>> {
    let config = configuration_of(target).await?;
    let outputs = outputs::read(&config, &target.stack).await?;
    Ok(Arc::new(S3Documents::new(&config, outputs.scripts_bucket)))
}
