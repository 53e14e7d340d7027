use std::{sync::Arc, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_scheduler::operation::get_schedule::GetScheduleError;
use serde_json::{Value, json};
use shiftwork_ports::Ledger as _;
use shiftwork_protocol::{JobRecord, RunRecord, payload::RunResponse, workflow::EventTrigger};
use tokio::time::{Instant, sleep};

use crate::{Ended, Stack, ended};

/// Maximum duration of a run in seconds, which is much longer than a run on a busy machine.
const RUN_SECONDS: u64 = 120;
const POLL_INTERVAL: Duration = Duration::from_millis(150);

/// The error of a function invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvokeError {
    /// The error name, such as `Shiftwork.InvalidWorkflow`.
    pub name: String,
    /// The error message.
    pub message: String,
}

/// A pushed workflow with a unique id and a separate database schema.
#[derive(Clone)]
pub struct Flow {
    /// The stack of the workflow.
    pub stack: Arc<Stack>,
    /// Id of the workflow; also the name of its schema.
    pub id: String,
}

impl Stack {
    /// A unique workflow id, which is also a valid schema name.
    pub fn unique(label: &str) -> String {
        format!("{label}_{}", &uuid::Uuid::new_v4().simple().to_string()[..10])
    }

    /// Pushes a workflow (without its id) and its scripts without validation. `{s}` in both is replaced by the id,
    /// which is also the name of the schema. `label` is a short prefix of the id.
    pub async fn push(self: &Arc<Self>, label: &str, workflow: Value, scripts: &[(&str, &str)]) -> Flow {
        let flow = Flow { stack: Arc::clone(self), id: Self::unique(label) };
        flow.push(workflow).await;
        for (name, text) in scripts {
            flow.script(name, text).await;
        }
        flow
    }
}

impl Flow {
    /// Pushes another configuration with the same id, and the rules of its triggers.
    pub async fn push(&self, mut workflow: Value) {
        workflow["workflow_id"] = json!(self.id);
        let workflow: Value =
            serde_json::from_str(&self.named(&workflow.to_string())).expect("the workflow with its id is valid JSON");
        self.stack
            .configuration
            .put_workflow(&workflow)
            .await
            .expect("the workflow can be put into the configuration table");
        let triggers: Vec<EventTrigger> = serde_json::from_value(workflow["triggers"].clone()).unwrap_or_default();
        for (key, rule) in self.stack.rules.desired(&self.id, &triggers) {
            self.stack.rules.put(&key, &rule).await.expect("the rule of a trigger can be created");
        }
    }

    /// Pushes a script or a new version of it.
    pub async fn script(&self, name: &str, text: &str) {
        let put = self.stack.s3.put_object().bucket(self.stack.output("ScriptsBucket"));
        let key = shiftwork_protocol::keys::script_key(&self.id, name);
        let put = put.key(key).body(self.named(text).into_bytes().into());
        put.send().await.unwrap_or_else(|error| panic!("cannot push script {name}: {error:?}"));
    }

    /// Creates the schema of the workflow, and a table `t(n int)` for the results of jobs.
    pub async fn make_table(&self) {
        self.sql("create schema {s}").await;
        self.sql("create table {s}.t (n int)").await;
    }

    /// Runs SQL as the root user; `{s}` is replaced by the schema.
    pub async fn sql(&self, sql: &str) -> Vec<Vec<String>> {
        self.stack.sql(&self.named(sql)).await
    }

    /// The values in `{s}.t`, sorted.
    pub async fn traces(&self) -> Vec<i64> {
        let rows = self.sql("select n from {s}.t order by n").await;
        rows.iter().map(|row| row[0].parse().expect("n is a number")).collect()
    }

    fn named(&self, text: &str) -> String {
        text.replace("{s}", &self.id)
    }

    /// Requests a run from the trigger. `request` contains the fields in addition to the workflow id.
    pub async fn request(&self, mut request: Value) -> Result<RunResponse, InvokeError> {
        request["workflow_id"] = json!(self.id);
        let response = self.stack.invoke("TriggerFunction", &request).await?;
        Ok(serde_json::from_value(response).expect("the response of the trigger is valid"))
    }

    /// Starts a run with a new id.
    pub async fn start(&self) -> Run {
        self.start_with(json!({})).await
    }

    /// Starts a run with a new id and the fields of the request.
    pub async fn start_with(&self, request: Value) -> Run {
        let run = self.run(&Stack::unique("r"));
        self.start_as(&run, request).await;
        run
    }

    /// Starts a run with a known id, for which faults may have been requested before.
    pub async fn start_as(&self, run: &Run, mut request: Value) {
        request["workflow_execution_id"] = json!(run.id);
        let response =
            self.request(request).await.unwrap_or_else(|error| panic!("the request of {} failed: {error:?}", self.id));
        assert_eq!(response.workflow_execution_id, run.id);
    }

    /// The runs of the workflow.
    pub async fn runs(&self) -> Vec<Run> {
        let query = self.stack.dynamodb.query().table_name(self.stack.output("WorkflowAuditTable"));
        let query = query
            .index_name(shiftwork_aws::ledger::BY_WORKFLOW)
            .key_condition_expression("workflow_id = :id")
            .expression_attribute_values(":id", AttributeValue::S(self.id.clone()));
        let found = query.send().await.expect("the workflow audit table can be queried");
        let ids = found.items().iter().filter_map(|item| item["workflow_execution_id"].as_s().ok());
        ids.map(|id| self.run(id)).collect()
    }

    /// A run of this workflow by its id; the run does not have to exist.
    pub fn run(&self, id: &str) -> Run {
        Run { stack: Arc::clone(&self.stack), workflow: self.id.clone(), id: id.into() }
    }
}

/// A run of a workflow.
#[derive(Clone)]
pub struct Run {
    stack: Arc<Stack>,
    workflow: String,
    /// Id of the run.
    pub id: String,
}

impl Run {
    /// The record of the run.
    pub async fn record(&self) -> Option<RunRecord> {
        self.stack.ledger.run(&self.id).await.expect("the workflow audit table can be read")
    }

    /// The jobs of the run, including barriers.
    pub async fn jobs(&self) -> Vec<JobRecord> {
        self.stack.ledger.jobs(&self.id).await.expect("the job audit table can be read")
    }

    /// A job of the run.
    pub async fn job(&self, name: &str) -> JobRecord {
        let job = self.stack.ledger.job(&self.id, name).await.expect("the job audit table can be read");
        job.unwrap_or_else(|| panic!("run {} has no job {name}", self.id))
    }

    /// ARN of the execution.
    pub fn execution(&self) -> String {
        format!("{}:{}", self.stack.output("RunStateMachine").replace(":stateMachine:", ":execution:"), self.id)
    }

    /// Status of the execution; `None` if it was not started.
    pub async fn execution_status(&self) -> Option<String> {
        let execution = self.stack.sfn.describe_execution().execution_arn(self.execution()).send().await.ok()?;
        Some(execution.status().as_str().to_owned())
    }

    /// Stops the execution, as in the console.
    pub async fn stop(&self) {
        let stop = self.stack.sfn.stop_execution().execution_arn(self.execution()).cause("stopped in the console");
        stop.send().await.unwrap_or_else(|error| panic!("cannot stop {}: {error:?}", self.id));
    }

    /// The statements of the run.
    pub async fn statements(&self) -> Vec<crate::StatementRecord> {
        ended::statements(&self.stack, &self.id).await
    }

    /// True while the run has a sweep schedule.
    pub async fn is_watched(&self) -> bool {
        let schedule = self
            .stack
            .scheduler
            .get_schedule()
            .group_name(self.stack.output("SweepScheduleGroup"))
            .name(shiftwork_aws::sweeps::schedule_name(&self.id));
        match schedule.send().await {
            Ok(_) => true,
            Err(error) if error.as_service_error().is_some_and(GetScheduleError::is_resource_not_found_exception) => {
                false
            }
            Err(error) => panic!("cannot read the schedule of {}: {error:?}", self.id),
        }
    }

    /// Waits until the run meets a condition.
    pub async fn until(&self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self).await {
            let in_time = begun.elapsed().as_secs() < RUN_SECONDS;
            assert!(in_time, "run {}: not {what} after {RUN_SECONDS} s\n{}", self.id, self.diagnostics().await);
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until the statement of a job is running in Redshift.
    pub async fn until_running(&self, job: &str) {
        let begun = async |run: &Self| {
            let statements = run.statements().await;
            statements.iter().any(|statement| statement.name.job == job && statement.status == "STARTED")
        };
        self.until(&format!("running {job}"), begun).await;
    }

    /// Waits for the end of the run, its execution and its lease. Then compares the audit with the statements in
    /// Redshift.
    pub async fn end(&self) -> Ended {
        self.until("ended", Self::is_over).await;
        Ended::read(&self.stack, self).await
    }

    /// Like [`Run::end`], but with a sweep every few seconds instead of every minute, for runs that only a sweep can
    /// complete.
    pub async fn end_with_sweeps(&self) -> Ended {
        let swept = async {
            loop {
                sleep(Duration::from_secs(5)).await;
                let _ = self.stack.invoke("JobCallbackFunction", &json!({ "sweep": self.id })).await;
            }
        };
        tokio::select! {
            ended = self.end() => ended,
            () = swept => unreachable!("sweeps go on until the run has ended"),
        }
    }

    async fn is_over(&self) -> bool {
        let Some(record) = self.record().await else { return false };
        if !record.execution_status.is_terminal() || self.execution_status().await.as_deref() == Some("RUNNING") {
            return false;
        }
        let lease = self.stack.ledger.lease(&self.workflow).await.expect("the lease table can be read");
        lease.is_none_or(|lease| lease.holder.as_deref() != Some(&self.id))
    }

    /// Diagnostics for a run that does not end.
    async fn diagnostics(&self) -> String {
        let record = self.record().await.map(|run| (run.execution_status, run.error_message));
        let jobs = self.jobs().await;
        let jobs: Vec<_> = jobs
            .iter()
            .map(|job| {
                format!(
                    "  {} {} attempt {} part {} submitted {:?} waits on {:?} error {:?}",
                    job.plan.job_name,
                    job.execution_status,
                    job.attempt,
                    job.part,
                    job.submitted_ts,
                    job.waiting_on,
                    job.error_message
                )
            })
            .collect();
        let statements = self.statements().await;
        let statements: Vec<_> =
            statements.iter().map(|statement| format!("  {} {}", statement.name, statement.status)).collect();
        format!(
            "execution {:?}, run {record:?}\n{}\n{}",
            self.execution_status().await,
            jobs.join("\n"),
            statements.join("\n")
        )
    }
}
