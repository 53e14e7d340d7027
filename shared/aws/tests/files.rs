//! The register of files over a real endpoint, held to the same suite as the one in memory.
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
use shiftwork_aws::files::DynamoRegister;

fn keys(range: &str) -> Vec<KeySchemaElement> {
    let key = |name: &str, of| KeySchemaElement::builder().attribute_name(name).key_type(of).build().unwrap();
    vec![key("feed_shard", KeyType::Hash), key(range, KeyType::Range)]
}

/// As `infra/template.yaml` makes it.
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
        .local_secondary_indexes(index("by_received", "received_ts", ProjectionType::KeysOnly));
    for name in ["feed_shard", "entry", "open_since", "received_ts"] {
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
    shiftwork_feeds::conformance::register(&DynamoRegister::new(&config, table)).await;
}
