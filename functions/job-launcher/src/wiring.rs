//! The function over AWS.

use std::sync::Arc;

use shiftwork_aws::{
    client::Aws,
    environment::{Environment, EnvironmentError},
    files::S3Landing,
    queues::SqsRequests,
    scripts::S3Scripts,
};
use shiftwork_ports::Scripts;
use shiftwork_settlement::wiring;

use crate::{
    Launcher,
    kind::{Kinds, cdc::Cdc, copy::Copy, sql::Sql},
};

impl Launcher {
    /// As the environment says.
    ///
    /// # Errors
    /// A variable that is missing.
    pub fn over(aws: &Aws, environment: &Environment) -> Result<Self, EnvironmentError> {
        let jobs = wiring::jobs(aws, environment)?;
        let scripts: Arc<dyn Scripts> = Arc::new(S3Scripts::new(aws.config(), environment.get("SCRIPTS_BUCKET")?));
        let staging_bucket = environment.get("STAGING_BUCKET")?.to_owned();
        let (loads, files) = (&jobs.kinds.cdc, &jobs.kinds.copy);
        let kinds = Kinds {
            sql: Sql { scripts: scripts.clone() },
            cdc: Cdc {
                scripts: scripts.clone(),
                staging: loads.staging.clone(),
                staging_bucket: staging_bucket.clone(),
                warehouse: loads.warehouse.clone(),
                requests: Arc::new(SqsRequests::new(aws.config(), environment.get("REQUEST_QUEUE_URL")?)),
                clock: jobs.clock.clone(),
            },
            copy: Copy {
                jobs: jobs.clone(),
                scripts,
                files: files.files.clone(),
                landing: Arc::new(S3Landing::new(aws.config())),
                staging: files.staging.clone(),
                staging_bucket,
            },
        };
        Ok(Self { jobs, kinds })
    }
}
