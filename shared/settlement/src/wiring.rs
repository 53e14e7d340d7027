//! [`JobSettlement`] and [`RunSettlement`] over AWS, wired the same in every function that settles.

use std::{sync::Arc, time::Duration};

use shiftwork_aws::{
    client::Aws,
    environment::{Environment, EnvironmentError},
    executions::StepFunctionsExecutions,
    files::DynamoRegister,
    ledger::{DynamoLedger, Tables},
    notices::AwsNotices,
    objects::S3Objects,
    sweeps::{SchedulerSweeps, SweepTarget},
    tokens::StepFunctionsTokens,
    warehouse::RedshiftWarehouse,
};
use shiftwork_feeds::Batches;
use shiftwork_ports::{Bucket, Engines, Ledger, SystemClock, Warehouse};

use crate::{JobSettlement, Kinds, RunSettlement, kind};

/// What [`runs`] reads.
pub const ENVIRONMENT: &[&str] = &[
    "EVENT_BUS_NAME",
    "FAILURE_TOPIC_ARN",
    "FILE_AUDIT_TABLE",
    "JOB_AUDIT_TABLE",
    "JOB_CALLBACK_ARN",
    "LEASE_TABLE",
    "STAGING_BUCKET",
    "STATEMENT_ROLE_ARN",
    "STATE_MACHINE_ARN",
    "SWEEP_ROLE_ARN",
    "SWEEP_SCHEDULE_GROUP",
    "WORKFLOW_AUDIT_TABLE",
];

/// The three tables.
pub fn ledger(aws: &Aws, environment: &Environment) -> Result<Arc<dyn Ledger>, EnvironmentError> {
    let tables = Tables {
        workflow_audit: environment.get("WORKFLOW_AUDIT_TABLE")?.into(),
        job_audit: environment.get("JOB_AUDIT_TABLE")?.into(),
        leases: environment.get("LEASE_TABLE")?.into(),
    };
    Ok(Arc::new(DynamoLedger::new(aws.config(), tables)))
}

/// How long a function waits for a small statement, well within its own time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Redshift, as the role that every function shares: only the submitter's role may describe or cancel a statement.
fn warehouse(aws: &Aws, environment: &Environment) -> Result<Arc<dyn Warehouse>, EnvironmentError> {
    let role = aws.assume(environment.get("STATEMENT_ROLE_ARN")?, "shiftwork");
    Ok(Arc::new(RedshiftWarehouse::new(&role, PATIENCE)))
}

/// Settles jobs.
pub fn jobs(aws: &Aws, environment: &Environment) -> Result<JobSettlement, EnvironmentError> {
    let (bus, topic) = (environment.get("EVENT_BUS_NAME")?, environment.get("FAILURE_TOPIC_ARN")?);
    let warehouse = warehouse(aws, environment)?;
    let staging = Bucket::new(Arc::new(S3Objects::new(aws.config())), environment.get("STAGING_BUCKET")?);
    let clock = Arc::new(SystemClock);
    Ok(JobSettlement {
        ledger: ledger(aws, environment)?,
        engines: Engines { warehouse: warehouse.clone() },
        tokens: Arc::new(StepFunctionsTokens::new(aws.config())),
        notices: Arc::new(AwsNotices::new(aws.config(), bus, topic)),
        kinds: Kinds {
            cdc: kind::cdc::Cdc { staging: staging.clone(), warehouse: warehouse.clone() },
            copy: kind::copy::Copy { staging, files: files(aws, environment)?, warehouse, clock: clock.clone() },
        },
        clock,
    })
}

/// Where the files of feeds stand.
fn files(aws: &Aws, environment: &Environment) -> Result<Batches, EnvironmentError> {
    let register = DynamoRegister::new(aws.config(), environment.get("FILE_AUDIT_TABLE")?);
    Ok(Batches { register: Arc::new(register), clock: Arc::new(SystemClock) })
}

/// Ends runs.
pub fn runs(aws: &Aws, environment: &Environment) -> Result<RunSettlement, EnvironmentError> {
    let sweep = SweepTarget {
        group: environment.get("SWEEP_SCHEDULE_GROUP")?.into(),
        function_arn: environment.get("JOB_CALLBACK_ARN")?.into(),
        role_arn: environment.get("SWEEP_ROLE_ARN")?.into(),
    };
    Ok(RunSettlement {
        jobs: jobs(aws, environment)?,
        executions: Arc::new(StepFunctionsExecutions::new(aws.config(), environment.get("STATE_MACHINE_ARN")?)),
        sweeps: Arc::new(SchedulerSweeps::new(aws.config(), sweep)),
    })
}
