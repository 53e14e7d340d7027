//! Buckets of documents, and the bucket that contains the configuration of repositories.

use std::sync::Arc;

use shiftwork_aws::objects::S3Objects;
use shiftwork_ports::Bucket;

use super::{Location, configuration_of, location, outputs};
use crate::args::Target;

/// A bucket of documents that the caller may read; no deployment is needed.
pub async fn documents(target: &Target, bucket: &str) -> anyhow::Result<(Bucket, Location)> {
    let config = configuration_of(target).await?;
    let location = Location::new(&config, &location::caller(&config).await?.account, None);
    Ok((Bucket::new(Arc::new(S3Objects::new(&config)), bucket), location))
}

/// The scripts bucket of the deployment, from which metadata-fixer reads its configuration.
pub async fn scripts(target: &Target) -> anyhow::Result<(Bucket, Location)> {
    let config = configuration_of(target).await?;
    let (outputs, account) = outputs::read(&config, &target.stack).await?;
    let location = Location::new(&config, &account, Some(&target.stack));
    Ok((Bucket::new(Arc::new(S3Objects::new(&config)), outputs.scripts_bucket), location))
}
