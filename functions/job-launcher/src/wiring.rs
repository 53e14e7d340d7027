//! The function over AWS.

use std::sync::Arc;

use shiftwork_aws::{
    client::Aws,
    environment::{Environment, EnvironmentError},
    objects::S3Objects,
    queues::SqsRequests,
};
use shiftwork_ports::Bucket;
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
        let objects = Arc::new(S3Objects::new(aws.config()));
        let scripts = Bucket::new(objects.clone(), environment.get("SCRIPTS_BUCKET")?);
        let (loads, files) = (&jobs.kinds.cdc, &jobs.kinds.copy);
        let kinds = Kinds {
            sql: Sql { scripts: scripts.clone() },
            cdc: Cdc {
                scripts: scripts.clone(),
                staging: loads.staging.clone(),
                warehouse: loads.warehouse.clone(),
                requests: Arc::new(SqsRequests::new(aws.config(), environment.get("REQUEST_QUEUE_URL")?)),
                clock: jobs.clock.clone(),
            },
            copy: Copy {
                jobs: jobs.clone(),
                scripts,
                files: files.files.clone(),
                landing: objects,
                staging: files.staging.clone(),
            },
        };
        Ok(Self { jobs, kinds })
    }
}
