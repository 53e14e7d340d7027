//! [`JobSettlement`] and [`RunSettlement`] over AWS, wired the same in every function that settles.

use std::{sync::Arc, time::Duration};

use shiftwork_aws::{
    client::Aws,
    environment::{Environment, EnvironmentError},
    executions::StepFunctionsExecutions,
    files::DynamoRegister,
    ledger::{DynamoLedger, Tables},
    notices::AwsNotices,
    queries::RedshiftQueries,
    staging::S3Staging,
    statements::RedshiftStatements,
    sweeps::{SchedulerSweeps, SweepTarget},
    tokens::StepFunctionsTokens,
};
use shiftwork_feeds::Batches;
use shiftwork_ports::{Ledger, Queries, Statements, SystemClock};

use crate::{JobSettlement, RunSettlement};

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

/// The Data API, as the role that every function shares: only the submitter's role may describe or cancel a statement.
pub fn statements(aws: &Aws, environment: &Environment) -> Result<Arc<dyn Statements>, EnvironmentError> {
    let role = aws.assume(environment.get("STATEMENT_ROLE_ARN")?, "shiftwork");
    Ok(Arc::new(RedshiftStatements::new(&role)))
}

/// How long a function waits for a small statement, well within its own time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Statements that a function waits for, as the same role.
pub fn queries(aws: &Aws, environment: &Environment) -> Result<Arc<dyn Queries>, EnvironmentError> {
    let role = aws.assume(environment.get("STATEMENT_ROLE_ARN")?, "shiftwork");
    Ok(Arc::new(RedshiftQueries::new(&role, PATIENCE)))
}

/// Settles jobs.
pub fn jobs(aws: &Aws, environment: &Environment) -> Result<JobSettlement, EnvironmentError> {
    let (bus, topic) = (environment.get("EVENT_BUS_NAME")?, environment.get("FAILURE_TOPIC_ARN")?);
    Ok(JobSettlement {
        ledger: ledger(aws, environment)?,
        statements: statements(aws, environment)?,
        tokens: Arc::new(StepFunctionsTokens::new(aws.config())),
        notices: Arc::new(AwsNotices::new(aws.config(), bus, topic)),
        staging: Arc::new(S3Staging::new(aws.config(), environment.get("STAGING_BUCKET")?)),
        files: files(aws, environment)?,
        queries: queries(aws, environment)?,
        clock: Arc::new(SystemClock),
    })
}

/// Where the files of feeds stand.
pub fn files(aws: &Aws, environment: &Environment) -> Result<Batches, EnvironmentError> {
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
        statements: statements(aws, environment)?,
        executions: Arc::new(StepFunctionsExecutions::new(aws.config(), environment.get("STATE_MACHINE_ARN")?)),
        sweeps: Arc::new(SchedulerSweeps::new(aws.config(), sweep)),
    })
}
