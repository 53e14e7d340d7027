//! The settlement of jobs and runs over AWS, and the environment variables that it is built from.
//!
//! The dependencies are `main → wiring → settlement` and `main → wiring → aws`: settlement and `aws` do not know each other. Each
//! adapter is made once, so a role is assumed once.

use std::{sync::Arc, time::Duration};

use shiftwork_aws::{
    client::Aws,
    environment,
    executions::StepFunctionsExecutions,
    files::DynamoRegister,
    ledger::{DynamoLedger, LedgerEnvironment},
    notices::{AwsNotices, NoticesEnvironment},
    sweeps::{SchedulerSweeps, SweepTarget},
    tokens::StepFunctionsTokens,
    warehouse::RedshiftWarehouse,
};
use shiftwork_feeds::Batches;
use shiftwork_ports::{Bucket, Engines, Objects, SystemClock, Warehouse};
use shiftwork_settlement::{JobSettlement, Kinds, RunSettlement, kind};

environment! {
    /// What [`jobs`] is built from.
    pub struct JobsEnvironment {
        pub ledger: LedgerEnvironment,
        pub notices: NoticesEnvironment,
        pub file_audit_table: String,
        pub staging_bucket: String,
        pub statement_role_arn: String,
    }
}

environment! {
    /// What [`runs`] is built from.
    pub struct RunsEnvironment {
        pub jobs: JobsEnvironment,
        pub state_machine_arn: String,
        pub sweep_schedule_group: String,
        pub sweep_role_arn: String,
        pub job_callback_arn: String,
    }
}

/// How long the settlement waits for the rows of a query: well within the timeout of a function.
const ROWS_WAIT: Duration = Duration::from_secs(20);

/// Settles jobs. `objects` are those of the function, which uses them for other buckets too.
pub fn jobs(aws: &Aws, environment: &JobsEnvironment, objects: Arc<dyn Objects>) -> JobSettlement {
    // Only the role that submitted a statement may describe or cancel it, so all functions assume the same one.
    let statement_role = aws.assume(&environment.statement_role_arn);
    let warehouse: Arc<dyn Warehouse> = Arc::new(RedshiftWarehouse::new(&statement_role, ROWS_WAIT));
    let staging = Bucket::new(objects, &environment.staging_bucket);
    let clock = Arc::new(SystemClock);
    let register = Arc::new(DynamoRegister::new(aws.config(), &environment.file_audit_table));
    let files = Batches { register, clock: clock.clone() };
    JobSettlement {
        ledger: Arc::new(DynamoLedger::of_function(aws, &environment.ledger)),
        engines: Engines { warehouse: warehouse.clone() },
        tokens: Arc::new(StepFunctionsTokens::new(aws.config())),
        notices: Arc::new(AwsNotices::of_function(aws, &environment.notices)),
        kinds: Kinds {
            cdc: kind::cdc::Cdc { staging: staging.clone() },
            copy: kind::copy::Copy { staging, files, warehouse, clock: clock.clone() },
        },
        clock,
    }
}

/// Settles runs.
pub fn runs(aws: &Aws, environment: &RunsEnvironment, objects: Arc<dyn Objects>) -> RunSettlement {
    let sweep = SweepTarget {
        group: environment.sweep_schedule_group.clone(),
        function_arn: environment.job_callback_arn.clone(),
        role_arn: environment.sweep_role_arn.clone(),
    };
    RunSettlement {
        jobs: jobs(aws, &environment.jobs, objects),
        executions: Arc::new(StepFunctionsExecutions::new(aws.config(), &environment.state_machine_arn)),
        sweeps: Arc::new(SchedulerSweeps::new(aws.config(), sweep)),
    }
}
