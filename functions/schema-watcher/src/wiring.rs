//! The function over AWS.

use std::{sync::Arc, time::Duration};

use shiftwork_aws::{
    client::Aws, configuration::DynamoConfiguration, environment::Environment, lambda::StartError, notices::AwsNotices,
    objects::S3Objects, warehouse::RedshiftWarehouse,
};
use shiftwork_ports::{Bucket, SystemClock};

use crate::Watcher;

/// How long the rows of a query are waited for: a warehouse may have to wake up, and a table may be large.
const QUESTION: Duration = Duration::from_mins(2);
/// How long a statement of a migration is waited for before the answer is "still running".
const STATEMENT: Duration = Duration::from_secs(56);

impl Watcher {
    /// As the environment says.
    ///
    /// # Errors
    /// A variable that is missing, a connection that does not read.
    pub fn over(aws: &Aws, environment: &Environment) -> Result<Self, StartError> {
        let role = aws.assume(environment.get("STATEMENT_ROLE_ARN")?, "shiftwork");
        let (bus, topic) = (environment.get("EVENT_BUS_NAME")?, environment.get("FAILURE_TOPIC_ARN")?);
        let objects = Arc::new(S3Objects::new(aws.config()));
        Ok(Self {
            contracts: Bucket::new(objects.clone(), environment.get("SCRIPTS_BUCKET")?),
            staging: Bucket::new(objects, environment.get("STAGING_BUCKET")?),
            configuration: Arc::new(DynamoConfiguration::new(aws.config(), environment.get("CONFIG_TABLE")?)),
            warehouse: Arc::new(RedshiftWarehouse::new(&role, QUESTION)),
            notices: Arc::new(AwsNotices::new(aws.config(), bus, topic)),
            clock: Arc::new(SystemClock),
            default_connection: serde_json::from_str(environment.get("DEFAULT_CONNECTION")?)?,
            patience: STATEMENT,
        })
    }
}
