//! The adapters of Step Functions, EventBridge, SNS, SQS and DynamoDB over the local stack, tested with the same suites
//! as the ports in memory.
//!
//! `AWS_ENDPOINT_URL` names the endpoint of these services. A test fails if it is not set.
#![allow(clippy::unwrap_used, reason = "a call that fails here fails the test")]

mod endpoint;

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_sdk_sfn::types::ExecutionStatus;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use shiftwork_aws::{
    configuration::DynamoConfiguration,
    executions::StepFunctionsExecutions,
    notices::AwsNotices,
    queues::{SqsDeadLetters, SqsRequests},
    sweeps::{SchedulerSweeps, SweepTarget, schedule_name},
    tokens::StepFunctionsTokens,
};
use shiftwork_ports::{
    Configuration as _,
    conformance::{self, TaskEnd},
};
use shiftwork_protocol::{Connection, FailureKind};

const PATIENCE: Duration = Duration::from_mins(1);

fn own(name: &str) -> String {
    format!("conformance-{}-{name}", std::process::id())
}

/// Calls `ask` repeatedly until it returns a value. Panics after [`PATIENCE`].
async fn wait_for<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{what}: none within {PATIENCE:?}"))
}

/// Creates a table whose key is one text attribute.
async fn a_table(config: &SdkConfig, name: &str, key: &str) -> String {
    let table = own(name);
    let text = AttributeDefinition::builder().attribute_name(key).attribute_type(ScalarAttributeType::S);
    aws_sdk_dynamodb::Client::new(config)
        .create_table()
        .table_name(&table)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(text.build().unwrap())
        .key_schema(KeySchemaElement::builder().attribute_name(key).key_type(KeyType::Hash).build().unwrap())
        .send()
        .await
        .unwrap();
    table
}

/// Creates a state machine with one state, and its role.
async fn a_state_machine(config: &SdkConfig, name: &str, state: Value) -> String {
    let (stacks, name) = (aws_sdk_cloudformation::Client::new(config), own(name));
    let trust = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": { "Service": "states.amazonaws.com" } }] });
    let update = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "dynamodb:UpdateItem",
        "Resource": "*" }] });
    let template = json!({
        "Resources": {
            "Role": { "Type": "AWS::IAM::Role", "Properties": {
                "AssumeRolePolicyDocument": trust,
                "Policies": [{ "PolicyName": "update", "PolicyDocument": update }],
            } },
            "Machine": { "Type": "AWS::StepFunctions::StateMachine", "Properties": {
                "RoleArn": { "Fn::GetAtt": ["Role", "Arn"] },
                "Definition": { "StartAt": "Only", "States": { "Only": state } },
            } },
        },
        "Outputs": { "Machine": { "Value": { "Ref": "Machine" } } },
    });
    let create = stacks.create_stack().stack_name(&name).template_body(template.to_string());
    create.capabilities(aws_sdk_cloudformation::types::Capability::CapabilityIam).send().await.unwrap();
    wait_for("the state machine", async || {
        let described = stacks.describe_stacks().stack_name(&name).send().await.unwrap();
        described.stacks()[0].outputs().first()?.output_value().map(str::to_owned)
    })
    .await
}

/// A queue that keeps the messages that it has received, in the order of arrival.
struct Queue {
    client: aws_sdk_sqs::Client,
    url: String,
    received: Mutex<Vec<String>>,
}

impl Queue {
    async fn new(config: &SdkConfig, name: &str) -> Self {
        let client = aws_sdk_sqs::Client::new(config);
        let url = client.create_queue().queue_name(own(name)).send().await.unwrap().queue_url.unwrap();
        let queue = Self { client, url, received: Mutex::default() };
        let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "sqs:SendMessage",
            "Resource": queue.arn(), "Principal": { "Service": ["events.amazonaws.com", "sns.amazonaws.com"] } }] });
        let allow = queue.client.set_queue_attributes().queue_url(&queue.url);
        allow.attributes(QueueAttributeName::Policy, policy.to_string()).send().await.unwrap();
        queue
    }

    fn arn(&self) -> String {
        format!("arn:aws:sqs:eu-central-1:000000000000:{}", self.url.rsplit('/').next().unwrap())
    }

    /// Waits until the queue has received the given number of messages, and returns them.
    async fn holding(&self, messages: usize) -> Vec<String> {
        wait_for(&format!("{messages} messages in {}", self.url), async || {
            let receive = self.client.receive_message().queue_url(&self.url).max_number_of_messages(10);
            let found = receive.wait_time_seconds(1).send().await.unwrap();
            for message in found.messages.unwrap_or_default() {
                let receipt = message.receipt_handle.unwrap();
                self.client.delete_message().queue_url(&self.url).receipt_handle(receipt).send().await.unwrap();
                self.received.lock().unwrap().push(message.body.unwrap());
            }
            let received = self.received.lock().unwrap();
            (received.len() >= messages).then(|| received.clone())
        })
        .await
    }
}

#[tokio::test]
async fn the_task_tokens_of_step_functions_conform() {
    let config = endpoint::config("AWS_ENDPOINT_URL");
    let (machines, items) = (aws_sdk_sfn::Client::new(&config), aws_sdk_dynamodb::Client::new(&config));
    let table = a_table(&config, "tokens", "id").await;
    let task = json!({
        "Type": "Task", "End": true, "TimeoutSeconds": 300,
        "Resource": "arn:aws:states:::aws-sdk:dynamodb:updateItem.waitForTaskToken",
        "Parameters": {
            "TableName": table, "Key": { "id": { "S.$": "$$.Execution.Id" } }, "UpdateExpression": "SET waiting = :token",
            "ExpressionAttributeValues": { ":token": { "S.$": "$$.Task.Token" } },
        },
    });
    let machine = a_state_machine(&config, "tokens", task).await;
    let executions = Mutex::new(BTreeMap::new());
    let open = async || {
        let execution = machines.start_execution().state_machine_arn(&machine).send().await.unwrap().execution_arn;
        let token = wait_for("a token", async || {
            let id = AttributeValue::S(execution.clone());
            let item = items.get_item().table_name(&table).key("id", id).consistent_read(true).send().await.unwrap();
            item.item?.get("waiting")?.as_s().ok().cloned()
        });
        let token = token.await;
        executions.lock().unwrap().insert(token.clone(), execution);
        token
    };
    let end_of = async |token: &str| {
        let execution = executions.lock().unwrap()[token].clone();
        wait_for("the end of a task", async || {
            let found = machines.describe_execution().execution_arn(&execution).send().await.unwrap();
            match found.status {
                ExecutionStatus::Running => None,
                ExecutionStatus::Succeeded => {
                    Some(TaskEnd::Succeeded(serde_json::from_str(&found.output.unwrap()).unwrap()))
                }
                ExecutionStatus::Failed => Some(TaskEnd::Failed(found.error.unwrap())),
                other => panic!("{execution} is {other}"),
            }
        })
        .await
    };
    conformance::task_tokens(&StepFunctionsTokens::new(&config), open, end_of).await;
}

#[tokio::test]
async fn the_executions_of_step_functions_conform() {
    let config = endpoint::config("AWS_ENDPOINT_URL");
    let machine = a_state_machine(&config, "runs", json!({ "Type": "Wait", "Seconds": 300, "End": true })).await;
    conformance::executions(&StepFunctionsExecutions::new(&config, machine)).await;
}

#[tokio::test]
async fn the_configuration_table_conforms() {
    let config = endpoint::config("AWS_ENDPOINT_URL");
    let table = DynamoConfiguration::new(&config, a_table(&config, "config", "workflow_id").await);
    let put_workflow = async |workflow: &Value| table.put_workflow(workflow).await.unwrap();
    let put_connection =
        async |name: &str, connection: &Connection| table.put_connection(name, connection).await.unwrap();
    let delete_workflow = async |id: &str| table.delete_workflow(id).await.unwrap();
    conformance::configuration(&table, put_workflow, put_connection, delete_workflow).await;

    let broken = Connection { database: "dev".into(), ..Connection::default() };
    put_connection("broken", &broken).await;
    let failure = table.connection("broken").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::InvalidWorkflow);
    assert!(failure.message.contains("connection/broken"), "{failure}");
}

#[tokio::test]
async fn the_sweeps_of_the_scheduler_conform() {
    let config = endpoint::config("AWS_ENDPOINT_URL");
    let schedules = aws_sdk_scheduler::Client::new(&config);
    let target = SweepTarget {
        group: "default".into(),
        function_arn: "arn:aws:lambda:eu-central-1:000000000000:function:job-callback".into(),
        role_arn: "arn:aws:iam::000000000000:role/sweeps".into(),
    };
    let is_watched = async |run: &str| {
        let found = schedules.get_schedule().group_name("default").name(schedule_name(run)).send().await;
        match found {
            Ok(schedule) => {
                assert_eq!(
                    schedule.target().and_then(|target| target.input()),
                    Some(&*json!({"sweep": run}).to_string())
                );
                true
            }
            Err(error) => {
                assert!(error.as_service_error().unwrap().is_resource_not_found_exception(), "{error:?}");
                false
            }
        }
    };
    conformance::sweeps(&SchedulerSweeps::new(&config, target), is_watched).await;
}

#[tokio::test]
async fn the_requests_of_sqs_conform() {
    let config = endpoint::config("AWS_ENDPOINT_URL");
    let queue = Queue::new(&config, "requests").await;
    let receive = async || {
        let received = queue.holding(1).await;
        queue.received.lock().unwrap().clear();
        received.iter().map(|body| serde_json::from_str(body).unwrap()).collect()
    };
    conformance::requests(&SqsRequests::new(&config, &queue.url), receive).await;
}

#[tokio::test]
async fn the_dead_letters_of_sqs_conform() {
    let config = endpoint::config("AWS_ENDPOINT_URL");
    let queue = Queue::new(&config, "dead-letters").await;
    conformance::dead_letters(&SqsDeadLetters::new(&config, &queue.url), async |letters| queue.holding(letters).await)
        .await;
}

#[tokio::test]
async fn the_notices_of_eventbridge_and_sns_conform() {
    let config = endpoint::config("AWS_ENDPOINT_URL");
    let (events, messages) = (aws_sdk_eventbridge::Client::new(&config), aws_sdk_sns::Client::new(&config));
    let (heard, told) = (Queue::new(&config, "heard").await, Queue::new(&config, "told").await);
    let bus = own("bus");
    events.create_event_bus().name(&bus).send().await.unwrap();
    let pattern = json!({ "source": ["shiftwork"] }).to_string();
    events.put_rule().event_bus_name(&bus).name("all").event_pattern(pattern).send().await.unwrap();
    let target = aws_sdk_eventbridge::types::Target::builder().id("queue").arn(heard.arn()).build().unwrap();
    events.put_targets().event_bus_name(&bus).rule("all").targets(target).send().await.unwrap();
    let topic = messages.create_topic().name(own("topic")).send().await.unwrap().topic_arn.unwrap();
    messages.subscribe().topic_arn(&topic).protocol("sqs").endpoint(told.arn()).send().await.unwrap();

    let events = async |number: usize| {
        let shown = |body: &String| {
            let mut event: Value = serde_json::from_str(body).unwrap();
            (event["detail-type"].as_str().unwrap().to_owned(), event["detail"].take())
        };
        heard.holding(number).await.iter().map(shown).collect()
    };
    conformance::notices(&AwsNotices::new(&config, bus, topic), events, async |number| told.holding(number).await)
        .await;
}
