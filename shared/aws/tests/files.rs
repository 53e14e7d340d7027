//! The file audit table and the work item queue over a real endpoint, tested with the same suites as those in memory.
//!
//! `AWS_ENDPOINT_URL` names the endpoint of DynamoDB. The test fails if it is not set.
#![allow(clippy::unwrap_used, reason = "a call that fails here fails the test")]

mod endpoint;

use aws_sdk_dynamodb::{
    Client,
    types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, LocalSecondaryIndex, Projection, ProjectionType,
        ScalarAttributeType,
    },
};
use shiftwork_aws::{files::DynamoRegister, queues::SqsWorkItems};
use shiftwork_ports::conformance;

fn keys(range: &str) -> Vec<KeySchemaElement> {
    let key = |name: &str, of| KeySchemaElement::builder().attribute_name(name).key_type(of).build().unwrap();
    vec![key("feed_shard", KeyType::Hash), key(range, KeyType::Range)]
}

/// Creates the table as `infra/template.yaml` does.
async fn create(client: &Client, table: &str) {
    let index = |name: &str, range: &str, of| {
        let projection = Projection::builder().projection_type(of).build();
        let index = LocalSecondaryIndex::builder().index_name(name).set_key_schema(Some(keys(range)));
        index.projection(projection).build().unwrap()
    };
    let mut create = client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(keys("entry")))
        .local_secondary_indexes(index("by_open", "open_since", ProjectionType::All))
        .local_secondary_indexes(index("by_batch", "open_batch", ProjectionType::KeysOnly))
        .local_secondary_indexes(index("by_received", "received_ts", ProjectionType::KeysOnly));
    for name in ["feed_shard", "entry", "open_since", "open_batch", "received_ts"] {
        let text = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
        create = create.attribute_definitions(text.build().unwrap());
    }
    create.send().await.unwrap();
}

#[tokio::test]
async fn the_register_over_dynamodb_conforms() {
    let config = endpoint::config("AWS_ENDPOINT_URL");
    let table = format!("conformance-{}-files", std::process::id());
    create(&Client::new(&config), &table).await;
    conformance::file_register(&DynamoRegister::new(&config, table)).await;
}

#[tokio::test]
async fn the_queue_of_work_items_over_sqs_conforms() {
    let config = endpoint::config("AWS_ENDPOINT_URL");
    let client = aws_sdk_sqs::Client::new(&config);
    let name = format!("conformance-{}-work", std::process::id());
    let queue = client.create_queue().queue_name(name).send().await.unwrap().queue_url.unwrap();
    let received = async || {
        let received = client.receive_message().queue_url(&queue).max_number_of_messages(10).wait_time_seconds(1);
        let messages = received.send().await.unwrap().messages.unwrap_or_default();
        messages.iter().map(|message| serde_json::from_str(message.body().unwrap()).unwrap()).collect()
    };
    conformance::work_queue(&SqsWorkItems::new(&config, &queue), received).await;
}
