//! The schedules of the sweeps in EventBridge Scheduler: one for each run in progress.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_scheduler::{
    Client,
    error::BuildError,
    operation::{create_schedule::CreateScheduleError, delete_schedule::DeleteScheduleError},
    primitives::DateTime,
    types::{ActionAfterCompletion, FlexibleTimeWindow, FlexibleTimeWindowMode, Target},
};
use jiff::{SignedDuration, Timestamp};
use shiftwork_ports::{Result, Sweeps};
use shiftwork_protocol::{FailureKind, limits, name::sha256, payload::Sweep};

use crate::failures::Call;

/// Maximum length of a schedule's name (`CreateSchedule`: 1 to 64 of `0-9 a-z A-Z - _ .`; run ids have no other
/// characters).
const NAME_CHARS: usize = 64;
/// Time from the creation of the schedule to its first invocation.
const FIRST_SWEEP: SignedDuration = SignedDuration::from_mins(1);
/// Time after which the schedule ends. It is longer than the timeout of an execution, so that the last sweep sees the
/// end of the execution.
const LAST_SWEEP: SignedDuration = SignedDuration::from_secs(limits::EXECUTION_SECONDS as i64 + 3600);

/// The target of the schedules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepTarget {
    /// Name of the schedule group, which must exist.
    pub group: String,
    /// ARN of the function job-callback.
    pub function_arn: String,
    /// ARN of the role with which EventBridge Scheduler invokes the function.
    pub role_arn: String,
}

/// [`Sweeps`] over EventBridge Scheduler.
#[derive(Debug, Clone)]
pub struct SchedulerSweeps {
    client: Client,
    target: SweepTarget,
}

impl SchedulerSweeps {
    /// Makes the adapter for the schedule group of the target.
    pub fn new(config: &SdkConfig, target: SweepTarget) -> Self {
        Self { client: Client::new(config), target }
    }
}

/// Name of a run's schedule: the id of the run, or the id's hash if the id is too long.
pub fn schedule_name(run: &str) -> String {
    if run.len() <= NAME_CHARS { run.into() } else { sha256(run) }
}

fn seconds(at: Timestamp) -> DateTime {
    DateTime::from_secs(at.as_second())
}

#[async_trait]
impl Sweeps for SchedulerSweeps {
    async fn watch(&self, run: &str, now: Timestamp) -> Result<()> {
        let call = Call::new("EventBridge Scheduler CreateSchedule", run);
        let incomplete = |error: BuildError| call.failure(FailureKind::Refused, error);
        let input = serde_json::to_string(&Sweep { sweep: run.into() })
            .map_err(|error| call.failure(FailureKind::Refused, error))?;
        let target = Target::builder()
            .arn(&self.target.function_arn)
            .role_arn(&self.target.role_arn)
            .input(input)
            .build()
            .map_err(incomplete)?;
        let on_time = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build().map_err(incomplete)?;
        let create = self
            .client
            .create_schedule()
            .name(schedule_name(run))
            .group_name(&self.target.group)
            .schedule_expression("rate(1 minute)")
            .start_date(seconds(now + FIRST_SWEEP))
            .end_date(seconds(now + LAST_SWEEP))
            .action_after_completion(ActionAfterCompletion::Delete)
            .flexible_time_window(on_time)
            .target(target);
        let Err(error) = create.send().await else { return Ok(()) };
        match error.as_service_error() {
            Some(CreateScheduleError::ConflictException(_)) => Ok(()),
            Some(_) | None => Err(call.failed(error)),
        }
    }

    async fn unwatch(&self, run: &str) -> Result<()> {
        let delete = self.client.delete_schedule().name(schedule_name(run)).group_name(&self.target.group);
        let Err(error) = delete.send().await else { return Ok(()) };
        match error.as_service_error() {
            Some(DeleteScheduleError::ResourceNotFoundException(_)) => Ok(()),
            Some(_) | None => Err(Call::new("EventBridge Scheduler DeleteSchedule", run).failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::schedule_name;

    #[test]
    fn every_run_id_gives_a_schedule_name() {
        assert_eq!(schedule_name("demo_test_26"), "demo_test_26");
        assert_eq!(schedule_name(&"r".repeat(64)), "r".repeat(64));
        assert_eq!(schedule_name(&"r".repeat(80)).len(), 64);
        assert_ne!(schedule_name(&"r".repeat(80)), schedule_name(&"r".repeat(79)));
    }
}
