//! Creates the function with its adapters over AWS.

use std::{sync::Arc, time::Duration};

use shiftwork_aws::{
    client::Aws, configuration::DynamoConfiguration, notices::AwsNotices, objects::S3Objects,
    warehouse::RedshiftWarehouse,
};
use shiftwork_ports::{Bucket, SystemClock};

use crate::{Environment, Watcher};

/// How long an invocation waits for the result of a query. A warehouse may have to resume, and a table may be large.
const QUERY_TIMEOUT: Duration = Duration::from_mins(2);
/// How long an invocation waits for a statement of a migration before it returns the progress "running".
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(56);

impl Watcher {
    /// Creates the function with its adapters over AWS.
    pub fn over(aws: &Aws, environment: &Environment) -> Self {
        let objects = Arc::new(S3Objects::new(aws.config()));
        let statement_role = aws.assume(&environment.statement_role_arn);
        Self {
            contracts: Bucket::new(objects.clone(), &environment.scripts_bucket),
            staging: Bucket::new(objects, &environment.staging_bucket),
            configuration: Arc::new(DynamoConfiguration::new(aws.config(), &environment.config_table)),
            warehouse: Arc::new(RedshiftWarehouse::new(&statement_role, QUERY_TIMEOUT)),
            notices: Arc::new(AwsNotices::of_function(aws, &environment.notices)),
            clock: Arc::new(SystemClock),
            default_connection: environment.default_connection.clone(),
            statement_timeout: STATEMENT_TIMEOUT,
        }
    }
}
