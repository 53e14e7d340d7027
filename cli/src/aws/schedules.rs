//! EventBridge Scheduler: one schedule per workflow, in the schedule group of the deployment.

use std::collections::BTreeMap;

use aws_sdk_scheduler::{
    Client,
    operation::{
        delete_schedule::DeleteScheduleError,
        get_schedule::{GetScheduleError, GetScheduleOutput},
        update_schedule::UpdateScheduleError,
    },
    types::{DeadLetterConfig, FlexibleTimeWindow, FlexibleTimeWindowMode, RetryPolicy, ScheduleState, Target},
};
use aws_types::SdkConfig;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use shiftwork_protocol::{Workflow, workflow::Schedule};

use super::Outputs;
use crate::push::Timetable;

/// Number of concurrent requests.
const AT_ONCE: usize = 8;
/// Retries of an invocation that fails, and the maximum age of the event in seconds; afterwards the event goes to the
/// dead-letter queue. A run keeps its scheduled time as its logical date, so a start that is an hour late has the same
/// result.
const RETRIES: i32 = 10;
const AGE_SECONDS: i32 = 3600;

/// The schedule group, and the target of its schedules.
#[derive(Debug, Clone)]
pub(super) struct Group {
    client: Client,
    name: String,
    function_arn: String,
    role_arn: String,
    dead_letter_arn: String,
}

impl Group {
    pub(super) fn new(config: &SdkConfig, outputs: &Outputs) -> Self {
        Self {
            client: Client::new(config),
            name: outputs.workflow_schedule_group.clone(),
            function_arn: outputs.trigger_function_arn.clone(),
            role_arn: outputs.workflow_schedule_role.clone(),
            dead_letter_arn: outputs.event_dead_letter_queue_arn.clone(),
        }
    }

    pub(super) fn timetable(&self, workflow: &Workflow, schedule: &Schedule) -> Timetable {
        Timetable {
            expression: schedule.expression.clone(),
            time_zone: workflow.schedule_time_zone().unwrap_or("UTC").into(),
            enabled: schedule.enabled,
            function_arn: self.function_arn.clone(),
            role_arn: self.role_arn.clone(),
            dead_letter_arn: self.dead_letter_arn.clone(),
            // Scheduler replaces the text in angle brackets with the scheduled time in UTC. The trigger takes the time
            // zone from the workflow.
            input: json!({ "workflow_id": workflow.workflow_id, "scheduled_time": "<aws.scheduler.scheduled-time>" })
                .to_string(),
        }
    }

    /// All schedules of the group by name, which is the workflow id.
    pub(super) async fn read(&self) -> anyhow::Result<BTreeMap<String, Timetable>> {
        let mut pages = self.client.list_schedules().group_name(&self.name).into_paginator().items().send();
        let mut names = Vec::new();
        while let Some(schedule) = pages.next().await {
            let schedule =
                schedule.map_err(|error| super::failed("EventBridge Scheduler ListSchedules", &self.name, &error))?;
            names.extend(schedule.name);
        }
        let found = stream::iter(names).map(|name| self.get(name)).buffer_unordered(AT_ONCE);
        found.try_filter_map(async |found| Ok(found)).try_collect().await
    }

    /// Reads a schedule; `None` if it was deleted since it was listed.
    async fn get(&self, name: String) -> anyhow::Result<Option<(String, Timetable)>> {
        match self.client.get_schedule().group_name(&self.name).name(&name).send().await {
            Ok(found) => Ok(Some((name, timetable_of(&found)))),
            Err(error) if error.as_service_error().is_some_and(GetScheduleError::is_resource_not_found_exception) => {
                Ok(None)
            }
            Err(error) => Err(super::failed("EventBridge Scheduler GetSchedule", &name, &error)),
        }
    }

    /// Creates or replaces a schedule.
    pub(super) async fn put(&self, workflow_id: &str, timetable: &Timetable) -> anyhow::Result<()> {
        let target = Target::builder()
            .arn(&timetable.function_arn)
            .role_arn(&timetable.role_arn)
            .input(&timetable.input)
            .retry_policy(
                RetryPolicy::builder()
                    .maximum_retry_attempts(RETRIES)
                    .maximum_event_age_in_seconds(AGE_SECONDS)
                    .build(),
            )
            .dead_letter_config(DeadLetterConfig::builder().arn(&timetable.dead_letter_arn).build())
            .build()?;
        let on_time = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build()?;
        let state = if timetable.enabled { ScheduleState::Enabled } else { ScheduleState::Disabled };
        let update = self
            .client
            .update_schedule()
            .group_name(&self.name)
            .name(workflow_id)
            .schedule_expression(&timetable.expression)
            .schedule_expression_timezone(&timetable.time_zone)
            .state(state.clone())
            .flexible_time_window(on_time.clone())
            .target(target.clone());
        match update.send().await {
            Ok(_) => return Ok(()),
            Err(error) => match error.as_service_error() {
                Some(UpdateScheduleError::ResourceNotFoundException(_)) => {}
                Some(_) | None => {
                    return Err(super::failed("EventBridge Scheduler UpdateSchedule", workflow_id, &error));
                }
            },
        }
        let create = self
            .client
            .create_schedule()
            .group_name(&self.name)
            .name(workflow_id)
            .schedule_expression(&timetable.expression)
            .schedule_expression_timezone(&timetable.time_zone)
            .state(state)
            .flexible_time_window(on_time)
            .target(target);
        create
            .send()
            .await
            .map_err(|error| super::failed("EventBridge Scheduler CreateSchedule", workflow_id, &error))?;
        Ok(())
    }

    /// Deletes a schedule; a schedule that does not exist is not an error.
    pub(super) async fn delete(&self, workflow_id: &str) -> anyhow::Result<()> {
        let delete = self.client.delete_schedule().group_name(&self.name).name(workflow_id);
        let Err(error) = delete.send().await else { return Ok(()) };
        match error.as_service_error() {
            Some(DeleteScheduleError::ResourceNotFoundException(_)) => Ok(()),
            Some(_) | None => Err(super::failed("EventBridge Scheduler DeleteSchedule", workflow_id, &error)),
        }
    }
}

fn timetable_of(found: &GetScheduleOutput) -> Timetable {
    let target = found.target();
    let dead_letters = target.and_then(Target::dead_letter_config).and_then(DeadLetterConfig::arn);
    Timetable {
        expression: found.schedule_expression().unwrap_or_default().into(),
        time_zone: found.schedule_expression_timezone().unwrap_or("UTC").into(),
        enabled: found.state() != Some(&ScheduleState::Disabled),
        function_arn: target.map(Target::arn).unwrap_or_default().into(),
        role_arn: target.map(Target::role_arn).unwrap_or_default().into(),
        dead_letter_arn: dead_letters.unwrap_or_default().into(),
        input: target.and_then(Target::input).unwrap_or_default().into(),
    }
}
