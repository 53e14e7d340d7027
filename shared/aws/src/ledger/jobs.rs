//! The updates of a job: claim, step, row count and the end of an upstream. Each is one conditional `UpdateItem`.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::{
    operation::update_item::{UpdateItemError, builders::UpdateItemFluentBuilder},
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use shiftwork_ports::{Advanced, End, Result, Step, Totals};
use shiftwork_protocol::{Attempt, Failure, FailureKind, JobRecord, SLOT, Status, Times};

use super::{DynamoLedger, change::Change, instant, items, job_key, number, retries::with_retries, text};
use crate::failures::Call;

/// The attributes of [`Times`], which an attempt starts without. The statements and rows of a job stay: an attempt
/// continues at the part that failed, and the parts before it are committed.
const TIMES: [&str; 7] =
    ["engine_created_ts", "engine_started_ts", "engine_ended_ts", "queued_us", "ran_us", "noticed_us", "unreported"];

/// The result of a conditional update.
pub(super) enum Updated<T> {
    /// The condition was met. The record after the update.
    Done(T),
    /// The condition was not met. The current record; `None` if there is no item.
    Refused(Option<T>),
}

impl DynamoLedger {
    /// Sends a conditional update that returns the item in both cases.
    pub(super) async fn update<T: DeserializeOwned>(
        &self,
        table: &str,
        update: UpdateItemFluentBuilder,
    ) -> Result<Updated<T>> {
        let update = update
            .table_name(table)
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        with_retries(|| async {
            match update.clone().send().await {
                Ok(answer) => Ok(Updated::Done(items::read(answer.attributes.unwrap_or_default(), table)?)),
                Err(error) => match error.as_service_error() {
                    Some(UpdateItemError::ConditionalCheckFailedException(refusal)) => {
                        let old = refusal.item.clone();
                        Ok(Updated::Refused(old.map(|item| items::read(item, table)).transpose()?))
                    }
                    Some(_) | None => Err(Call::new("DynamoDB UpdateItem", table).failed(error)),
                },
            }
        })
        .await
    }

    fn no_job(&self, run: &str, job: &str) -> Failure {
        Call::new("DynamoDB UpdateItem", &self.tables.job_audit).failure(
            FailureKind::Corrupt,
            format_args!("job {job} of run {run} does not exist; it may have been deleted manually"),
        )
    }

    /// Implements [`shiftwork_ports::Ledger::jobs`].
    pub(super) async fn all_jobs(&self, run: &str) -> Result<Vec<JobRecord>> {
        let table = &self.tables.job_audit;
        let mut pages = self
            .client
            .query()
            .table_name(table)
            .key_condition_expression("workflow_execution_id = :run")
            .expression_attribute_values(":run", text(run))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut jobs: Vec<JobRecord> = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| Call::new("DynamoDB Query", table).failed(error))?;
            jobs.push(items::read(item, table)?);
        }
        jobs.sort_by_key(|job| job.plan.position);
        Ok(jobs)
    }

    /// Implements [`shiftwork_ports::Ledger::claim`].
    pub(super) async fn claim_job(&self, run: &str, job: &str, token: &str, now: Timestamp) -> Result<JobRecord> {
        let update = self
            .client
            .update_item()
            .set_key(Some(job_key(run, job)))
            .update_expression(
                "SET execution_status = :running, task_token = :token, \
                 submitted_ts = if_not_exists(submitted_ts, :now), \
                 execution_start_ts = if_not_exists(execution_start_ts, :now)",
            )
            .condition_expression("execution_status IN (:pending, :running) AND attribute_not_exists(waiting_on)")
            .expression_attribute_values(":pending", status(Status::Pending))
            .expression_attribute_values(":running", status(Status::Running))
            .expression_attribute_values(":token", text(token))
            .expression_attribute_values(":now", instant(now));
        match self.update(&self.tables.job_audit, update).await? {
            Updated::Done(record) | Updated::Refused(Some(record)) => Ok(record),
            Updated::Refused(None) => Err(self.no_job(run, job)),
        }
    }

    /// Implements [`shiftwork_ports::Ledger::advance`].
    pub(super) async fn advance_job(&self, at: &Attempt, step: &Step, now: Timestamp) -> Result<Advanced> {
        let update = self
            .client
            .update_item()
            .set_key(Some(job_key(&at.run, &at.job)))
            .condition_expression(
                "attempt = :at_attempt AND #part = :at_part AND execution_status IN (:pending, :running)",
            )
            .expression_attribute_names("#part", "part")
            .expression_attribute_values(":at_attempt", number(at.attempt))
            .expression_attribute_values(":at_part", number(at.part))
            .expression_attribute_values(":pending", status(Status::Pending))
            .expression_attribute_values(":running", status(Status::Running));
        let update = self.change(at, step, now)?.on(update);
        match self.update(&self.tables.job_audit, update).await? {
            Updated::Done(job) => Ok(Advanced { fresh: true, job }),
            Updated::Refused(Some(job)) => Ok(Advanced { fresh: false, job }),
            Updated::Refused(None) => Err(self.no_job(&at.run, &at.job)),
        }
    }

    /// Makes the update of a step. The task tokens are kept, because a function that settles the job after a crash needs
    /// them.
    fn change(&self, at: &Attempt, step: &Step, now: Timestamp) -> Result<Change> {
        let mut change = Change::default();
        match step {
            Step::End(End { status: end, error, message, statement_id, totals }) => {
                change.set("execution_status", status(*end));
                change.set("execution_end_ts", instant(now));
                if let Some(kind) = error {
                    change.set("error_name", text(kind.name()));
                }
                if let Some(words) = message {
                    change.set("error_message", text(words));
                }
                if let Some(id) = statement_id {
                    change.set("statement_id", text(id));
                }
                self.add(&mut change, totals)?;
            }
            Step::Skip { reason, message } => {
                change.set("execution_status", status(Status::Skipped));
                change.set("execution_end_ts", instant(now));
                change.set("skip_reason", text(reason.as_str()));
                change.set("error_message", text(message));
                // The claim set the start, but the attempt was never submitted.
                change.remove("execution_start_ts");
            }
            Step::NextAttempt(attempt) => {
                change.set("execution_status", status(Status::Pending));
                change.set("attempt", number(at.attempt + 1));
                change.append("failed_attempts", vec![self.value(attempt)?]);
                change.remove("submitted_ts");
                change.remove("statement_id");
                change.remove("cancelling");
                for time in TIMES {
                    change.remove(time);
                }
            }
            Step::Cancel(why) => change.set("cancelling", self.value(why)?),
            Step::NextPart { statement_id, session_id, submitting, totals } => {
                self.add(&mut change, totals)?;
                change.set("part", number(at.part + 1));
                if *submitting {
                    change.set("submitted_ts", instant(now));
                } else {
                    change.remove("submitted_ts");
                }
                if let Some(id) = session_id {
                    change.set("session_id", text(id));
                }
                match statement_id {
                    Some(id) => change.set("statement_id", text(id)),
                    None => change.remove("statement_id"),
                }
            }
            Step::Hold => {
                change.set("execution_status", status(Status::Pending));
                change.remove("submitted_ts");
                if (at.attempt, at.part) == (1, 1) {
                    change.remove("execution_start_ts");
                }
                change.add_member("waiting_on", SLOT);
            }
        }
        Ok(change)
    }

    /// Adds the totals of a submission to those of its job.
    fn add(&self, change: &mut Change, totals: &Totals) -> Result<()> {
        let Totals { times, statements, rows } = totals;
        let Times { engine_created_ts, engine_started_ts, engine_ended_ts, queued_us, ran_us, noticed_us, unreported } =
            times;
        for (name, first) in [("engine_created_ts", engine_created_ts), ("engine_started_ts", engine_started_ts)] {
            if let Some(at) = first {
                change.set_once(name, instant(*at));
            }
        }
        if let Some(at) = engine_ended_ts {
            change.set("engine_ended_ts", instant(*at));
        }
        for (name, sum) in [("queued_us", queued_us), ("ran_us", ran_us), ("noticed_us", noticed_us)] {
            if let Some(micros) = sum {
                change.add(name, AttributeValue::N(micros.to_string()));
            }
        }
        if *unreported > 0 {
            change.add("unreported", number(*unreported));
        }
        if let Some(rows) = rows {
            change.add("rows", number(*rows));
        }
        if !statements.is_empty() {
            change.append("statements", statements.iter().map(|one| self.value(one)).collect::<Result<_>>()?);
        }
        Ok(())
    }

    fn value(&self, member: &impl Serialize) -> Result<AttributeValue> {
        serde_dynamo::to_attribute_value(member).map_err(|error| {
            Call::new("DynamoDB UpdateItem", &self.tables.job_audit).failure(FailureKind::Refused, error)
        })
    }

    /// Implements [`shiftwork_ports::Ledger::count`].
    pub(super) async fn count_rows(&self, run: &str, job: &str, rows: i64) -> Result<JobRecord> {
        let mut change = Change::default();
        change.set("rows", number(rows));
        let update = self
            .client
            .update_item()
            .set_key(Some(job_key(run, job)))
            .condition_expression("execution_status = :succeeded")
            .expression_attribute_values(":succeeded", status(Status::Succeeded));
        match self.update(&self.tables.job_audit, change.on(update)).await? {
            Updated::Done(record) | Updated::Refused(Some(record)) => Ok(record),
            Updated::Refused(None) => Err(self.no_job(run, job)),
        }
    }

    /// Implements [`shiftwork_ports::Ledger::free`].
    pub(super) async fn free_job(
        &self,
        run: &str,
        dependent: &str,
        upstream: &str,
        failed: &BTreeSet<String>,
    ) -> Result<JobRecord> {
        // Both clauses change members of a set, so concurrent updates for other upstreams are kept, and a repeated
        // update has no effect. DynamoDB removes the attribute with the last member of its set, and accepts no empty set.
        let expression = if failed.is_empty() {
            "DELETE waiting_on :upstream"
        } else {
            "DELETE waiting_on :upstream ADD failed_upstreams :failed"
        };
        let mut update = self
            .client
            .update_item()
            .set_key(Some(job_key(run, dependent)))
            .update_expression(expression)
            .condition_expression("attribute_exists(job_name)")
            .expression_attribute_values(":upstream", AttributeValue::Ss(vec![upstream.to_owned()]));
        if !failed.is_empty() {
            update =
                update.expression_attribute_values(":failed", AttributeValue::Ss(failed.iter().cloned().collect()));
        }
        match self.update(&self.tables.job_audit, update).await? {
            Updated::Done(record) | Updated::Refused(Some(record)) => Ok(record),
            Updated::Refused(None) => Err(self.no_job(run, dependent)),
        }
    }
}

pub(super) fn status(status: Status) -> AttributeValue {
    text(status.as_str())
}
