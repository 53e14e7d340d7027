//! The function over AWS.

use std::sync::Arc;

use shiftwork_aws::{client::Aws, objects::S3Objects, queues::SqsRequests};
use shiftwork_ports::Bucket;
use shiftwork_wiring::jobs;

use crate::{
    Environment, Launcher,
    kind::{Kinds, cdc::Cdc, copy::Copy, sql::Sql},
};

impl Launcher {
    /// The launcher over AWS.
    pub fn over(aws: &Aws, environment: &Environment) -> Self {
        let objects = Arc::new(S3Objects::new(aws.config()));
        let jobs = jobs(aws, &environment.jobs, objects.clone());
        let scripts = Bucket::new(objects.clone(), &environment.scripts_bucket);
        let (loads, files) = (&jobs.kinds.cdc, &jobs.kinds.copy);
        let kinds = Kinds {
            sql: Sql { scripts: scripts.clone() },
            cdc: Cdc {
                scripts: scripts.clone(),
                staging: loads.staging.clone(),
                warehouse: jobs.engines.warehouse.clone(),
                requests: Arc::new(SqsRequests::new(aws.config(), &environment.request_queue_url)),
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
        Self { jobs, kinds }
    }
}
