use std::{collections::BTreeMap, env, fs::File, sync::Arc, time::Duration};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_types::SdkConfig;
use serde_json::{Value, json};
use shiftwork_aws::{
    client::Aws,
    configuration::DynamoConfiguration,
    ledger::{DynamoLedger, Tables},
    rules::TriggerRules,
};
use shiftwork_protocol::Connection;

use crate::{Endpoint, InvokeError};

/// A running stack with AWS clients; all names come from the outputs of the stack.
pub struct Stack {
    /// Control endpoint of the launcher: counts, and faults of functions and deliveries.
    pub control: Endpoint,
    /// Control endpoint of the Data API emulator: faults, and the recorded statements.
    pub redshift: Endpoint,
    /// Audit and lease tables.
    pub ledger: DynamoLedger,
    /// Workflow configurations.
    pub configuration: DynamoConfiguration,
    /// The rules of the triggers of workflows.
    pub rules: TriggerRules,
    /// Lambda.
    pub lambda: aws_sdk_lambda::Client,
    /// Kinesis.
    pub kinesis: aws_sdk_kinesis::Client,
    /// Step Functions.
    pub sfn: aws_sdk_sfn::Client,
    /// S3.
    pub s3: aws_sdk_s3::Client,
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// EventBridge.
    pub events: aws_sdk_eventbridge::Client,
    /// EventBridge Scheduler.
    pub scheduler: aws_sdk_scheduler::Client,
    /// SQS.
    pub sqs: aws_sdk_sqs::Client,
    /// SNS.
    pub sns: aws_sdk_sns::Client,
    /// The Data API with the credentials of the root user.
    pub data: aws_sdk_redshiftdata::Client,
    config: SdkConfig,
    outputs: BTreeMap<String, String>,
    /// The lock on the stack, which is held until the end of the test.
    _lock: File,
}

/// Maximum duration of an SQL statement of a test in seconds.
const SQL_SECONDS: u64 = 30;

impl Stack {
    /// The stack, shared with other tests.
    ///
    /// # Panics
    /// If no stack is running, so that `SHIFTWORK_CONTROL_URL` is not set.
    pub async fn shared() -> Arc<Self> {
        Self::connect(File::lock_shared).await
    }

    /// The stack without other tests, for faults that apply to the first matching call of any run.
    ///
    /// # Panics
    /// If no stack is running, so that `SHIFTWORK_CONTROL_URL` is not set.
    pub async fn exclusive() -> Arc<Self> {
        Self::connect(File::lock).await
    }

    async fn connect(lock: fn(&File) -> std::io::Result<()>) -> Arc<Self> {
        let control = env::var("SHIFTWORK_CONTROL_URL").unwrap_or_else(|_| {
            panic!(
                "SHIFTWORK_CONTROL_URL is not set, and this test needs the local stack. Run `make test`, or \
                 `make up-test && . target/local-test/env` before `cargo test`"
            )
        });
        let held = lock_stack(&control, lock).await;
        let redshift = env::var("SHIFTWORK_REDSHIFT_DATA_URL").expect("`make up` exports SHIFTWORK_REDSHIFT_DATA_URL");
        let aws = Aws::from_env().expect("`make up` exports a region and access keys");
        let config = aws.config();
        let outputs = outputs(&aws).await;
        let output = |name: &str| outputs.get(name).unwrap_or_else(|| panic!("the stack has no output {name}")).clone();
        let tables = Tables {
            workflow_audit: output("WorkflowAuditTable"),
            job_audit: output("JobAuditTable"),
            leases: output("LeaseTable"),
        };
        Arc::new(Self {
            control: Endpoint::new(control),
            redshift: Endpoint::new(redshift),
            ledger: DynamoLedger::new(config, tables),
            configuration: DynamoConfiguration::new(config, output("ConfigTable")),
            rules: TriggerRules::new(
                config,
                &stack_name(),
                &output("EventBus"),
                &output("TriggerFunctionArn"),
                &output("EventDeadLetterQueueArn"),
            ),
            lambda: aws_sdk_lambda::Client::new(config),
            kinesis: aws_sdk_kinesis::Client::new(config),
            sfn: aws_sdk_sfn::Client::new(config),
            s3: aws_sdk_s3::Client::new(config),
            dynamodb: aws_sdk_dynamodb::Client::new(config),
            events: aws_sdk_eventbridge::Client::new(config),
            scheduler: aws_sdk_scheduler::Client::new(config),
            sqs: aws_sdk_sqs::Client::new(config),
            sns: aws_sdk_sns::Client::new(config),
            data: aws_sdk_redshiftdata::Client::new(config),
            config: config.clone(),
            outputs,
            _lock: held,
        })
    }

    /// The configuration of AWS clients for the stack.
    pub(crate) const fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// The value of an output of the stack.
    pub fn output(&self, name: &str) -> &str {
        self.outputs.get(name).unwrap_or_else(|| panic!("the stack has no output {name}"))
    }

    /// Invokes the function whose name is in an output, and returns its response.
    pub async fn invoke(&self, function: &str, payload: &Value) -> Result<Value, InvokeError> {
        let response = self
            .lambda
            .invoke()
            .function_name(self.output(function))
            .payload(payload.to_string().into_bytes().into())
            .send()
            .await
            .unwrap_or_else(|error| panic!("cannot invoke {function}: {error:?}"));
        let body = response.payload().map(AsRef::as_ref).unwrap_or_default();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        if response.function_error().is_none() {
            return Ok(body);
        }
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        Err(InvokeError { name: text("errorType"), message: text("errorMessage") })
    }

    /// Sweeps a run, as its schedule does once a minute.
    pub async fn sweep(&self, run: &str) {
        let swept = self.invoke("JobCallbackFunction", &json!({ "sweep": run })).await;
        swept.unwrap_or_else(|error| panic!("the sweep of {run} failed: {error:?}"));
    }

    /// Requests a fault of functions or deliveries; see `local/stack/faults.py`.
    pub async fn fault(&self, fault: Value) {
        self.control.post("faults", &fault).await;
    }

    /// Requests a fault of the Data API; see `local/redshift-data/README.md`.
    pub async fn redshift_fault(&self, rule: Value) {
        self.redshift.post("_faults", &json!([rule])).await;
    }

    /// Runs SQL as the root user and returns the rows, each value as text.
    pub async fn sql(&self, sql: &str) -> Vec<Vec<String>> {
        let connection = self.connection().await;
        let submitted = self
            .data
            .execute_statement()
            .set_workgroup_name(connection.workgroup)
            .set_cluster_identifier(connection.cluster)
            .database(connection.database)
            .sql(sql)
            .send()
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let id = submitted.id().unwrap_or_default();
        for _ in 0..SQL_SECONDS * 20 {
            let now = self.data.describe_statement().id(id).send().await;
            let now = now.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
            match now.status().map(aws_sdk_redshiftdata::types::StatusString::as_str) {
                Some("FINISHED") if now.has_result_set() == Some(true) => return self.rows(id).await,
                Some("FINISHED") => return Vec::new(),
                Some("FAILED" | "ABORTED") => panic!("{sql}: {}", now.error().unwrap_or("without a message")),
                Some(_) | None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        panic!("{sql}: not finished after {SQL_SECONDS} s")
    }

    async fn rows(&self, id: &str) -> Vec<Vec<String>> {
        use aws_sdk_redshiftdata::types::Field;
        let result = self.data.get_statement_result().id(id).send().await;
        let result = result.unwrap_or_else(|error| panic!("cannot read the result of {id}: {error:?}"));
        let text = |field: &Field| match field {
            Field::StringValue(text) => text.clone(),
            Field::LongValue(number) => number.to_string(),
            Field::BooleanValue(flag) => flag.to_string(),
            Field::DoubleValue(number) => number.to_string(),
            Field::IsNull(_) => "NULL".into(),
            other => panic!("unexpected field: {other:?}"),
        };
        result.records().iter().map(|record| record.iter().map(text).collect()).collect()
    }

    /// Cancels a statement with the role that owns all statements of shiftwork.
    pub async fn cancel_statement(&self, id: &str) {
        let cancelled = self.data_as_shiftwork().await.cancel_statement().id(id).send().await;
        let cancelled = cancelled.unwrap_or_else(|error| panic!("cannot cancel {id}: {error:?}"));
        assert_eq!(cancelled.status(), Some(true), "{id} had already ended");
    }

    /// Submits a statement as job-launcher does.
    pub async fn submit_as_shiftwork(&self, name: &str, sql: &str) {
        let connection = self.connection().await;
        let data = self.data_as_shiftwork().await;
        let submit = data
            .execute_statement()
            .set_workgroup_name(connection.workgroup)
            .set_cluster_identifier(connection.cluster)
            .database(connection.database)
            .statement_name(name)
            .with_event(true)
            .sql(sql);
        submit.send().await.unwrap_or_else(|error| panic!("cannot submit {name}: {error:?}"));
    }

    /// The Data API with the role that owns all statements of shiftwork. Only functions can assume this role.
    async fn data_as_shiftwork(&self) -> aws_sdk_redshiftdata::Client {
        let launcher = self.assume(&self.config, &self.role_of("JobLauncherFunction").await).await;
        aws_sdk_redshiftdata::Client::new(&self.assume(&launcher, self.output("StatementRole")).await)
    }

    /// A client configuration with the permissions of a function.
    pub async fn as_function(&self, function: &str) -> SdkConfig {
        self.assume(&self.config, &self.role_of(function).await).await
    }

    /// ARN of the role of the function whose name is in an output.
    async fn role_of(&self, function: &str) -> String {
        let described = self.lambda.get_function_configuration().function_name(self.output(function)).send().await;
        let described =
            described.unwrap_or_else(|error| panic!("cannot read the configuration of {function}: {error:?}"));
        described.role().expect("a function has a role").to_owned()
    }

    async fn assume(&self, caller: &SdkConfig, role: &str) -> SdkConfig {
        let sts = aws_sdk_sts::Client::new(caller);
        let assumed = sts.assume_role().role_arn(role).role_session_name("e2e").send().await;
        let assumed = assumed.unwrap_or_else(|error| panic!("cannot assume {role}: {error:?}"));
        let given = assumed.credentials().expect("the response contains credentials");
        let (key, secret, token) = (given.access_key_id(), given.secret_access_key(), given.session_token());
        let credentials = Credentials::new(key, secret, Some(token.into()), None, "e2e");
        caller.to_builder().credentials_provider(SharedCredentialsProvider::new(credentials)).build()
    }

    /// The default connection of jobs.
    async fn connection(&self) -> Connection {
        let function = self.lambda.get_function_configuration().function_name(self.output("TriggerFunction")).send();
        let function = function.await.expect("the configuration of the trigger can be read");
        let variables = function.environment().and_then(|environment| environment.variables());
        let connection = variables
            .and_then(|all| all.get("DEFAULT_CONNECTION"))
            .expect("the trigger has the variable DEFAULT_CONNECTION");
        serde_json::from_str(connection).expect("DEFAULT_CONNECTION is a connection")
    }
}

/// Waits for the lock on the stack. It is a file lock, because tests can be threads or processes.
async fn lock_stack(control: &str, lock: fn(&File) -> std::io::Result<()>) -> File {
    let name: String = control.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let path = env::temp_dir().join(format!("shiftwork-e2e-{name}.lock"));
    let waiting = tokio::task::spawn_blocking(move || {
        let file = File::options().create(true).append(true).open(&path)?;
        lock(&file)?;
        std::io::Result::Ok(file)
    });
    waiting.await.expect("the lock does not panic").expect("the lock file can be created in the temporary directory")
}

fn stack_name() -> String {
    env::var("SHIFTWORK_STACK").unwrap_or_else(|_| "shiftwork".into())
}

async fn outputs(aws: &Aws) -> BTreeMap<String, String> {
    let name = stack_name();
    let cloudformation = aws_sdk_cloudformation::Client::new(aws.config());
    let described = cloudformation.describe_stacks().stack_name(&name).send().await;
    let described = described.unwrap_or_else(|error| panic!("cannot find stack {name}: {error:?}"));
    let outputs = described.stacks().iter().flat_map(aws_sdk_cloudformation::types::Stack::outputs);
    outputs.filter_map(|output| Some((output.output_key()?.into(), output.output_value()?.into()))).collect()
}
