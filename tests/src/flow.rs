use std::{sync::Arc, time::Duration};

use aws_sdk_scheduler::operation::get_schedule::GetScheduleError;
use serde_json::{Value, json};
use shiftwork_ports::Ledger as _;
use shiftwork_protocol::{JobRecord, RunRecord, payload::RunAnswer};
use tokio::time::{Instant, sleep};

use crate::{Ended, Stack, ended};

/// How long a run may take: many times what one takes on a busy laptop.
const RUN_SECONDS: u64 = 120;
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// What a function answered instead of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The failure's name, such as `Shiftwork.InvalidWorkflow`.
    pub name: String,
    /// Its words.
    pub message: String,
}

/// A pushed workflow with an id and a database schema of its own.
#[derive(Clone)]
pub struct Flow {
    /// The stack that it lies in.
    pub stack: Arc<Stack>,
    /// Its id; also the name of its schema.
    pub id: String,
}

impl Stack {
    /// A workflow id that no other test has. It is good as the name of a schema, too.
    pub fn unique(label: &str) -> String {
        format!("{label}_{}", &uuid::Uuid::new_v4().simple().to_string()[..10])
    }

    /// Pushes a workflow (without its id) and its scripts, unvalidated. `{s}` in either is the id, which is also the name
    /// of the schema. `label` is short: it begins the id.
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
    /// Pushes another configuration under the same id.
    pub async fn push(&self, mut workflow: Value) {
        workflow["workflow_id"] = json!(self.id);
        let workflow = serde_json::from_str(&self.named(&workflow.to_string())).expect("an id needs no escapes");
        self.stack.configuration.put_workflow(&workflow).await.expect("the configuration table takes a workflow");
    }

    /// Pushes a script, or another version of it.
    pub async fn script(&self, name: &str, text: &str) {
        let put = self.stack.s3.put_object().bucket(self.stack.output("ScriptsBucket"));
        let key = shiftwork_planner::script_key(&self.id, name);
        let put = put.key(key).body(self.named(text).into_bytes().into());
        put.send().await.unwrap_or_else(|error| panic!("script {name} cannot be pushed: {error:?}"));
    }

    /// Makes the schema of this workflow, and a table `t(n int)` in it for jobs to leave a trace.
    pub async fn make_table(&self) {
        self.sql("create schema {s}").await;
        self.sql("create table {s}.t (n int)").await;
    }

    /// Runs SQL as the account's root; `{s}` is the schema.
    pub async fn sql(&self, sql: &str) -> Vec<Vec<String>> {
        self.stack.sql(&self.named(sql)).await
    }

    /// What the jobs left in `{s}.t`, sorted.
    pub async fn traces(&self) -> Vec<i64> {
        let rows = self.sql("select n from {s}.t order by n").await;
        rows.iter().map(|row| row[0].parse().expect("n is a number")).collect()
    }

    fn named(&self, text: &str) -> String {
        text.replace("{s}", &self.id)
    }

    /// Asks the trigger for a run, by hand. `request` has what the workflow's id alone does not say.
    pub async fn request(&self, mut request: Value) -> Result<RunAnswer, Refusal> {
        request["workflow_id"] = json!(self.id);
        let answer = self.stack.invoke("TriggerFunction", &request).await?;
        Ok(serde_json::from_value(answer).expect("the trigger answers as the contract says"))
    }

    /// Starts a run under an id of its own.
    pub async fn start(&self) -> Run {
        self.start_with(json!({})).await
    }

    /// Starts a run with what the request says.
    pub async fn start_with(&self, request: Value) -> Run {
        let run = self.run(&Stack::unique("r"));
        self.start_as(&run, request).await;
        run
    }

    /// Starts a run under an id that is known already: faults may have been ordered for it.
    pub async fn start_as(&self, run: &Run, mut request: Value) {
        request["workflow_execution_id"] = json!(run.id);
        let answer = self.request(request).await.unwrap_or_else(|error| panic!("{} was refused: {error:?}", self.id));
        assert_eq!(answer.workflow_execution_id, run.id);
    }

    /// A run of this workflow by its id, which it may not have yet.
    pub fn run(&self, id: &str) -> Run {
        Run { stack: Arc::clone(&self.stack), workflow: self.id.clone(), id: id.into() }
    }
}

/// A run that was asked for.
#[derive(Clone)]
pub struct Run {
    stack: Arc<Stack>,
    workflow: String,
    /// Its id.
    pub id: String,
}

impl Run {
    /// Its record.
    pub async fn record(&self) -> Option<RunRecord> {
        self.stack.ledger.run(&self.id).await.expect("the workflow audit can be read")
    }

    /// Its jobs, barriers included.
    pub async fn jobs(&self) -> Vec<JobRecord> {
        self.stack.ledger.jobs(&self.id).await.expect("the job audit can be read")
    }

    /// One of its jobs.
    pub async fn job(&self, name: &str) -> JobRecord {
        let job = self.stack.ledger.job(&self.id, name).await.expect("the job audit can be read");
        job.unwrap_or_else(|| panic!("run {} has no job {name}", self.id))
    }

    /// ARN of its execution.
    pub fn execution(&self) -> String {
        format!("{}:{}", self.stack.output("RunStateMachine").replace(":stateMachine:", ":execution:"), self.id)
    }

    /// How its execution stands; `None` when it was never started.
    pub async fn execution_status(&self) -> Option<String> {
        let execution = self.stack.sfn.describe_execution().execution_arn(self.execution()).send().await.ok()?;
        Some(execution.status().as_str().to_owned())
    }

    /// Stops its execution, as a person does in the console.
    pub async fn stop(&self) {
        let stop = self.stack.sfn.stop_execution().execution_arn(self.execution()).cause("stopped by a person");
        stop.send().await.unwrap_or_else(|error| panic!("{} cannot be stopped: {error:?}", self.id));
    }

    /// What the Data API knows of its statements.
    pub async fn statements(&self) -> Vec<crate::Evidence> {
        ended::statements(&self.stack, &self.id).await
    }

    /// True while the run's own schedule watches it.
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
            Err(error) => panic!("the schedule of {} cannot be read: {error:?}", self.id),
        }
    }

    /// Waits until something holds of the run.
    pub async fn until(&self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self).await {
            let in_time = begun.elapsed().as_secs() < RUN_SECONDS;
            assert!(in_time, "run {}: not {what} within {RUN_SECONDS} s\n{}", self.id, self.picture().await);
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until a job's statement runs in Redshift.
    pub async fn until_running(&self, job: &str) {
        let begun = async |run: &Self| {
            let statements = run.statements().await;
            statements.iter().any(|statement| statement.name.job == job && statement.status == "STARTED")
        };
        self.until(&format!("running {job}"), begun).await;
    }

    /// Waits for its end: run, execution and lease. Then holds the audit against what Redshift did.
    pub async fn end(&self) -> Ended {
        self.until("ended", Self::is_over).await;
        Ended::read(&self.stack, self).await
    }

    /// [`Run::end`], with the run looked after every few seconds instead of every minute: for runs that lost something
    /// which only the sweep brings back.
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

    /// Everything that helps to see why a run did not end.
    async fn picture(&self) -> String {
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
