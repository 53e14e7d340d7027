use std::{collections::BTreeMap, env, fs::File, sync::Arc, time::Duration};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_types::SdkConfig;
use serde_json::{Value, json};
use shiftwork_aws::{
    client::Aws,
    configuration::DynamoConfiguration,
    ledger::{DynamoLedger, Tables},
};
use shiftwork_protocol::Connection;

use crate::{Endpoint, Refusal};

/// A running stack, and the clients of a stranger: names come from its outputs alone.
pub struct Stack {
    /// The launcher's endpoint: counts, and faults of functions and deliveries.
    pub control: Endpoint,
    /// The Data API's stand-in: its faults, and the proof of what ran.
    pub redshift: Endpoint,
    /// Audit and leases.
    pub ledger: DynamoLedger,
    /// Workflows.
    pub configuration: DynamoConfiguration,
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
    /// The Data API, as the account's root.
    pub data: aws_sdk_redshiftdata::Client,
    config: SdkConfig,
    outputs: BTreeMap<String, String>,
    /// Held while the test lives.
    _turn: File,
}

/// How long one SQL statement of a test may take.
const SQL_SECONDS: u64 = 30;

impl Stack {
    /// The stack, used by other tests at the same time.
    ///
    /// # Panics
    /// Without a stack: `SHIFTWORK_CONTROL_URL` is not set.
    pub async fn shared() -> Arc<Self> {
        Self::connect(File::lock_shared).await
    }

    /// The stack, used by no other test meanwhile: for faults that hit the first call that matches, of any run.
    ///
    /// # Panics
    /// Without a stack: `SHIFTWORK_CONTROL_URL` is not set.
    pub async fn alone() -> Arc<Self> {
        Self::connect(File::lock).await
    }

    async fn connect(lock: fn(&File) -> std::io::Result<()>) -> Arc<Self> {
        let control = env::var("SHIFTWORK_CONTROL_URL").unwrap_or_else(|_| {
            panic!(
                "SHIFTWORK_CONTROL_URL is not set, and this test needs the local stack. Run `make test`, or \
                 `make up-test && . target/local-test/env` before `cargo test`"
            )
        });
        let turn = turn(&control, lock).await;
        let redshift = env::var("SHIFTWORK_REDSHIFT_DATA_URL").expect("`make up` exports SHIFTWORK_REDSHIFT_DATA_URL");
        let aws = Aws::from_env().expect("`make up` exports a region and throw-away keys");
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
            _turn: turn,
        })
    }

    /// What clients of the stack are made from.
    pub(crate) const fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// A name, URL or ARN that the stack gives out.
    pub fn output(&self, name: &str) -> &str {
        self.outputs.get(name).unwrap_or_else(|| panic!("the stack has no output {name}"))
    }

    /// Invokes the function that an output names, and waits for its answer.
    pub async fn invoke(&self, function: &str, payload: &Value) -> Result<Value, Refusal> {
        let answer = self
            .lambda
            .invoke()
            .function_name(self.output(function))
            .payload(payload.to_string().into_bytes().into())
            .send()
            .await
            .unwrap_or_else(|error| panic!("{function} cannot be invoked: {error:?}"));
        let body = answer.payload().map(AsRef::as_ref).unwrap_or_default();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        if answer.function_error().is_none() {
            return Ok(body);
        }
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        Err(Refusal { name: text("errorType"), message: text("errorMessage") })
    }

    /// Looks after a run as its own schedule does once a minute.
    pub async fn sweep(&self, run: &str) {
        let swept = self.invoke("JobCallbackFunction", &json!({ "sweep": run })).await;
        swept.unwrap_or_else(|error| panic!("the sweep of {run} failed: {error:?}"));
    }

    /// Orders a fault of functions or deliveries; see `local/stack/faults.py`.
    pub async fn fault(&self, fault: Value) {
        self.control.post("faults", &fault).await;
    }

    /// Orders a fault of the Data API; see `local/redshift-data/README.md`.
    pub async fn redshift_fault(&self, rule: Value) {
        self.redshift.post("_faults", &json!([rule])).await;
    }

    /// Runs SQL as the account's root and gives back the rows, each value as text.
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
        panic!("{sql}: not done within {SQL_SECONDS} s")
    }

    async fn rows(&self, id: &str) -> Vec<Vec<String>> {
        use aws_sdk_redshiftdata::types::Field;
        let result = self.data.get_statement_result().id(id).send().await;
        let result = result.unwrap_or_else(|error| panic!("the result of {id}: {error:?}"));
        let text = |field: &Field| match field {
            Field::StringValue(text) => text.clone(),
            Field::LongValue(number) => number.to_string(),
            Field::BooleanValue(flag) => flag.to_string(),
            Field::DoubleValue(number) => number.to_string(),
            Field::IsNull(_) => "NULL".into(),
            other => panic!("a field that no test asks for: {other:?}"),
        };
        result.records().iter().map(|record| record.iter().map(text).collect()).collect()
    }

    /// Cancels a statement as the role that every statement of shiftwork belongs to.
    pub async fn cancel_statement(&self, id: &str) {
        let cancelled = self.data_as_shiftwork().await.cancel_statement().id(id).send().await;
        let cancelled = cancelled.unwrap_or_else(|error| panic!("{id} cannot be cancelled: {error:?}"));
        assert_eq!(cancelled.status(), Some(true), "{id} had ended already");
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
        submit.send().await.unwrap_or_else(|error| panic!("{name} cannot be submitted: {error:?}"));
    }

    /// The Data API as the role that every statement of shiftwork belongs to. It lets only the functions in.
    async fn data_as_shiftwork(&self) -> aws_sdk_redshiftdata::Client {
        let launcher = self.assume(&self.config, &self.role_of("JobLauncherFunction").await).await;
        aws_sdk_redshiftdata::Client::new(&self.assume(&launcher, self.output("StatementRole")).await)
    }

    /// What a function may do, for a client to be made of.
    pub async fn as_function(&self, function: &str) -> SdkConfig {
        self.assume(&self.config, &self.role_of(function).await).await
    }

    /// ARN of the role of the function that an output names.
    async fn role_of(&self, function: &str) -> String {
        let described = self.lambda.get_function_configuration().function_name(self.output(function)).send().await;
        let described = described.unwrap_or_else(|error| panic!("{function} is no function: {error:?}"));
        described.role().expect("a function has a role").to_owned()
    }

    async fn assume(&self, as_whom: &SdkConfig, role: &str) -> SdkConfig {
        let sts = aws_sdk_sts::Client::new(as_whom);
        let assumed = sts.assume_role().role_arn(role).role_session_name("e2e").send().await;
        let assumed = assumed.unwrap_or_else(|error| panic!("{role} cannot be assumed: {error:?}"));
        let given = assumed.credentials().expect("STS gives credentials");
        let (key, secret, token) = (given.access_key_id(), given.secret_access_key(), given.session_token());
        let credentials = Credentials::new(key, secret, Some(token.into()), None, "e2e");
        as_whom.to_builder().credentials_provider(SharedCredentialsProvider::new(credentials)).build()
    }

    /// The connection that jobs have which name none.
    async fn connection(&self) -> Connection {
        let function = self.lambda.get_function_configuration().function_name(self.output("TriggerFunction")).send();
        let function = function.await.expect("the trigger is a function");
        let variables = function.environment().and_then(|environment| environment.variables());
        let connection = variables.and_then(|all| all.get("DEFAULT_CONNECTION")).expect("the trigger has it");
        serde_json::from_str(connection).expect("DEFAULT_CONNECTION is a connection")
    }
}

/// Waits for this test's turn on the stack. A lock on a file, because tests may be threads or processes.
async fn turn(control: &str, lock: fn(&File) -> std::io::Result<()>) -> File {
    let name: String = control.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let path = env::temp_dir().join(format!("shiftwork-e2e-{name}.lock"));
    let waiting = tokio::task::spawn_blocking(move || {
        let file = File::options().create(true).append(true).open(&path)?;
        lock(&file)?;
        std::io::Result::Ok(file)
    });
    waiting.await.expect("the lock does not panic").expect("the directory of temporary files takes a lock file")
}

async fn outputs(aws: &Aws) -> BTreeMap<String, String> {
    let name = env::var("SHIFTWORK_STACK").unwrap_or_else(|_| "shiftwork".into());
    let cloudformation = aws_sdk_cloudformation::Client::new(aws.config());
    let described = cloudformation.describe_stacks().stack_name(&name).send().await;
    let described = described.unwrap_or_else(|error| panic!("there is no stack {name}: {error:?}"));
    let outputs = described.stacks().iter().flat_map(aws_sdk_cloudformation::types::Stack::outputs);
    outputs.filter_map(|output| Some((output.output_key()?.into(), output.output_value()?.into()))).collect()
}
