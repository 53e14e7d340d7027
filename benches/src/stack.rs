//! The deployment under test: the local stack, with statements of configurable duration.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sfn::types::ExecutionStatus;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use hyper::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use shiftwork_aws::client::Aws;
use shiftwork_aws::configuration::DynamoConfiguration;

use crate::graph::Graph;
use crate::http::Server;

/// Interval between two polls of a running execution. The end is read from the `stopDate` of the execution, so the
/// interval does not affect the precision; it limits the load of the benchmark on the emulator.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Maximum duration of one run.
const MAX_WAIT: Duration = Duration::from_mins(5);

/// Number of concurrent requests when scripts are uploaded.
const AT_ONCE: usize = 16;

/// Clients of the local stack.
#[derive(Debug, Clone)]
pub struct Stack {
    /// Client of Step Functions.
    pub states: aws_sdk_sfn::Client,
    /// Client of Lambda.
    pub functions: aws_sdk_lambda::Client,
    dynamo: aws_sdk_dynamodb::Client,
    s3: aws_sdk_s3::Client,
    configuration: DynamoConfiguration,
    outputs: HashMap<String, String>,
    /// Control endpoint of MiniStack's launcher: counts and faults.
    pub control: Server,
    redshift: Server,
}

/// The times of a statement, as the Data API recorded them.
#[derive(Debug, Clone, Copy)]
pub struct Statement {
    /// Time of the submission.
    pub created: Timestamp,
    /// Time of the end.
    pub ended: Timestamp,
}

impl Statement {
    /// Duration of the statement.
    pub fn length(&self) -> Duration {
        between(self.created, self.ended)
    }
}

/// The times of a run, from the request to the end of its execution.
#[derive(Debug, Clone)]
pub struct Timeline {
    /// Time of the request to the trigger.
    pub asked: Timestamp,
    /// Time of the end of the execution.
    pub ended: Timestamp,
    /// The statement of each job, in the order of the graph's jobs.
    pub statements: Vec<Statement>,
}

impl Timeline {
    /// Time from the request to the end.
    pub fn makespan(&self) -> Duration {
        between(self.asked, self.ended)
    }

    /// The measured duration of each job's statement.
    pub fn lengths(&self) -> Vec<Duration> {
        self.statements.iter().map(Statement::length).collect()
    }

    /// Time from the request to the first statement.
    pub fn lead_in(&self) -> Duration {
        self.statements.iter().map(|statement| between(self.asked, statement.created)).min().unwrap_or_default()
    }

    /// Time from the end of the last statement to the end of the run.
    pub fn lead_out(&self) -> Duration {
        self.statements.iter().map(|statement| between(statement.ended, self.ended)).min().unwrap_or_default()
    }

    /// For each job with upstreams: the time from the end of the last upstream to the submission of the job.
    pub fn hand_overs(&self, graph: &Graph) -> Vec<Duration> {
        let released = |upstreams: &[usize]| upstreams.iter().map(|upstream| self.statements[*upstream].ended).max();
        let hand_over = |(job, statement): (&crate::graph::Job, &Statement)| {
            released(&job.upstreams).map(|released| between(released, statement.created))
        };
        graph.jobs.iter().zip(&self.statements).filter_map(hand_over).collect()
    }
}

/// Time between two instants; zero if `end` is before `start`.
pub fn between(start: Timestamp, end: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(start)).unwrap_or_default()
}

impl Stack {
    /// The stack in the sourced environment.
    ///
    /// # Errors
    /// Returns an error if no stack is running, or if shiftwork is not deployed in it.
    pub async fn connect() -> Result<Self> {
        let control = Server::from_env("SHIFTWORK_CONTROL_URL")?;
        let redshift = Server::from_env("SHIFTWORK_REDSHIFT_DATA_URL")?;
        let name = std::env::var("SHIFTWORK_STACK").unwrap_or_else(|_| "shiftwork".to_owned());
        let aws = Aws::from_env()?;
        let config = aws.config();
        let formation = aws_sdk_cloudformation::Client::new(config);
        let described = formation.describe_stacks().stack_name(&name).send().await;
        let described = described.with_context(|| format!("cannot find stack `{name}`: deploy it with `make up`"))?;
        let outputs: HashMap<String, String> = described
            .stacks()
            .iter()
            .flat_map(aws_sdk_cloudformation::types::Stack::outputs)
            .filter_map(|output| Some((output.output_key()?.to_owned(), output.output_value()?.to_owned())))
            .collect();
        let config_table = outputs.get("ConfigTable").context("the stack has no output ConfigTable")?;
        Ok(Self {
            states: aws_sdk_sfn::Client::new(config),
            functions: aws_sdk_lambda::Client::new(config),
            dynamo: aws_sdk_dynamodb::Client::new(config),
            s3: aws_sdk_s3::Client::from_conf(aws_sdk_s3::config::Builder::from(config).force_path_style(true).build()),
            configuration: DynamoConfiguration::new(config, config_table),
            outputs,
            control,
            redshift,
        })
    }

    /// The value of an output of the stack.
    pub fn output(&self, name: &str) -> Result<&str> {
        self.outputs.get(name).map(String::as_str).with_context(|| format!("the stack has no output {name}"))
    }

    /// Uploads the workflow and the scripts of a graph.
    pub async fn push(&self, graph: &Graph) -> Result<()> {
        let bucket = self.output("ScriptsBucket")?;
        stream::iter(&graph.jobs)
            .map(|job| {
                let text = format!("-- {}\nselect 1", job.name).into_bytes();
                self.s3.put_object().bucket(bucket).key(graph.script(job)).body(ByteStream::from(text)).send()
            })
            .buffer_unordered(AT_ONCE)
            .try_for_each(async |_| Ok(()))
            .await
            .context("cannot upload the scripts")?;
        Ok(self.configuration.put_workflow(&graph.workflow()).await?)
    }

    /// Deletes the workflow of a graph.
    pub async fn remove(&self, graph: &Graph) -> Result<()> {
        self.remove_workflow(graph.id).await
    }

    /// Uploads a workflow without scripts.
    pub async fn push_workflow(&self, workflow: &Value) -> Result<()> {
        Ok(self.configuration.put_workflow(workflow).await?)
    }

    /// Uploads an object to the bucket whose name is in an output.
    pub async fn put(&self, bucket: &str, key: &str, text: String) -> Result<()> {
        let put = self.s3.put_object().bucket(self.output(bucket)?).key(key).body(text.into_bytes().into());
        put.send().await.map(drop).with_context(|| format!("cannot upload {key}"))
    }

    /// Deletes all objects with a prefix from the bucket whose name is in an output.
    pub async fn empty(&self, bucket: &str, prefix: &str) -> Result<()> {
        let bucket = self.output(bucket)?;
        let mut pages = self.s3.list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.with_context(|| format!("cannot list {prefix}"))?;
            for key in page.contents().iter().filter_map(aws_sdk_s3::types::Object::key) {
                self.s3
                    .delete_object()
                    .bucket(bucket)
                    .key(key)
                    .send()
                    .await
                    .with_context(|| format!("cannot delete {key}"))?;
            }
        }
        Ok(())
    }

    /// Deletes a workflow.
    pub async fn remove_workflow(&self, workflow: &str) -> Result<()> {
        let key = AttributeValue::S(workflow.to_owned());
        let table = self.output("ConfigTable")?;
        self.dynamo
            .delete_item()
            .table_name(table)
            .key("workflow_id", key)
            .send()
            .await
            .context("cannot delete a workflow")?;
        Ok(())
    }

    /// Sets the durations of the statements `<prefix><job>:…` of a graph.
    pub async fn set_lengths(&self, graph: &Graph, prefix: &str) -> Result<()> {
        let rules: Vec<Value> = graph
            .jobs
            .iter()
            .map(|job| {
                let milliseconds = u64::try_from(job.length.as_millis()).unwrap_or(u64::MAX);
                json!({
                    "statement_name_prefix": format!("{prefix}{}:", job.name),
                    "effect": { "delay_statement": { "milliseconds": milliseconds } },
                })
            })
            .collect();
        self.redshift.request(Method::POST, "_faults", Some(&json!(rules))).await?;
        Ok(())
    }

    /// Removes all durations.
    pub async fn clear_lengths(&self) -> Result<()> {
        self.redshift.request(Method::DELETE, "_faults", None).await?;
        Ok(())
    }

    /// Runs the workflow of a graph; returns an error if the run does not succeed.
    pub async fn run(&self, graph: &Graph, run: &str) -> Result<Timeline> {
        self.clear_lengths().await?;
        self.set_lengths(graph, &format!("shiftwork:{run}:")).await?;
        let asked = Timestamp::now();
        let request = json!({ "workflow_id": graph.id, "workflow_execution_id": run });
        self.invoke(self.output("TriggerFunction")?, &request).await?;
        let machine = self.output("RunStateMachine")?;
        let ended = self.ended(&format!("{}:{run}", machine.replace(":stateMachine:", ":execution:"))).await?;
        self.clear_lengths().await?;
        Ok(Timeline { asked, ended, statements: self.statements(graph, &format!("shiftwork:{run}:")).await? })
    }

    /// Invokes a function and returns its response.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<Value> {
        let call = self.functions.invoke().function_name(function).payload(Blob::new(event.to_string()));
        let response = call.send().await.with_context(|| format!("cannot invoke {function}"))?;
        let payload = response.payload.map(Blob::into_inner).unwrap_or_default();
        if let Some(error) = response.function_error {
            bail!("{function} failed ({error}): {}", String::from_utf8_lossy(&payload));
        }
        Ok(serde_json::from_slice(&payload)?)
    }

    /// Waits for the end of an execution; returns an error if the execution does not succeed.
    pub async fn ended(&self, execution: &str) -> Result<Timestamp> {
        let look = async {
            loop {
                let found = self.states.describe_execution().execution_arn(execution).send().await;
                let found = found.with_context(|| format!("cannot describe {execution}"))?;
                match (&found.status, found.stop_date) {
                    (ExecutionStatus::Running, _) | (_, None) => tokio::time::sleep(POLL_INTERVAL).await,
                    (ExecutionStatus::Succeeded, Some(at)) => return Ok(Timestamp::from_nanosecond(at.as_nanos())?),
                    (status, Some(_)) => bail!(
                        "{execution} ended with status {status}: {} {}",
                        found.error().unwrap_or_default(),
                        found.cause().unwrap_or_default()
                    ),
                }
            }
        };
        tokio::time::timeout(MAX_WAIT, look).await.with_context(|| format!("{execution} has not ended in time"))?
    }

    /// The single statement of each job of a graph, by the names `<prefix><job>:…`.
    async fn statements(&self, graph: &Graph, prefix: &str) -> Result<Vec<Statement>> {
        #[derive(Deserialize)]
        struct Seen {
            name: Option<String>,
            created_at: Timestamp,
            ended_at: Option<Timestamp>,
        }
        let seen: Vec<Seen> = serde_json::from_value(self.redshift.request(Method::GET, "_statements", None).await?)?;
        let mut by_job: HashMap<String, Statement> = HashMap::new();
        for statement in seen {
            let job = statement.name.as_deref().and_then(|name| name.strip_prefix(prefix));
            let Some((job, _)) = job.and_then(|rest| rest.split_once(':')) else { continue };
            let ended = statement.ended_at.with_context(|| format!("{prefix}{job} has not ended"))?;
            let before = by_job.insert(job.to_owned(), Statement { created: statement.created_at, ended });
            ensure!(before.is_none(), "{prefix}{job} ran twice");
        }
        graph
            .jobs
            .iter()
            .map(|job| by_job.remove(&job.name).with_context(|| format!("{prefix}{} did not run", job.name)))
            .collect()
    }
}
