//! The configuration table: workflows with native DynamoDB attributes, named connections, and the list of workflows with triggers.
//!
//! The list is one item, so that an event without a rule's input, as in a message of the request queue, is matched without a
//! scan of the table. A workflow and its entry in the list change in one transaction.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    error::BuildError,
    types::{AttributeValue, Delete, Put, TransactWriteItem, Update},
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_dynamo::Item;
use serde_json::Value;
use shiftwork_ports::{Configuration, Result};
use shiftwork_protocol::{Connection, Failure, FailureKind};

use crate::failures::Call;

/// Partition key of the table.
const KEY: &str = "workflow_id";

/// Value of `workflow_id` in the item of a named connection. It contains a `/`, which workflow ids do not.
pub fn connection_key(name: &str) -> String {
    format!("connection/{name}")
}

/// Value of `workflow_id` in the item that lists the workflows with triggers.
const TRIGGERED: &str = "index/triggered";
/// The attribute with the ids of these workflows, a set.
const WORKFLOWS: &str = "workflows";
/// Number of workflows that are read concurrently.
const CONCURRENT_READS: usize = 16;

/// Returns true for the key of a workflow. The other keys contain a `/`.
pub fn is_workflow_key(key: &str) -> bool {
    !key.contains('/')
}

/// [`Configuration`] over DynamoDB.
#[derive(Debug, Clone)]
pub struct DynamoConfiguration {
    client: Client,
    table: String,
}

impl DynamoConfiguration {
    /// Makes the adapter for the table with this name.
    pub fn new(config: &SdkConfig, table: impl Into<String>) -> Self {
        Self { client: Client::new(config), table: table.into() }
    }

    /// Writes a workflow under its `workflow_id`, and replaces an existing item. The caller has validated the workflow.
    pub async fn put_workflow(&self, workflow: &Value) -> Result<()> {
        let call = Call::new("DynamoDB TransactWriteItems", &self.table);
        let id = workflow["workflow_id"].as_str().unwrap_or_default();
        let item =
            serde_dynamo::to_item(workflow).map_err(|error| call.failure(FailureKind::InvalidWorkflow, error))?;
        let put = Put::builder().table_name(&self.table).set_item(Some(item)).build();
        let put = put.map_err(|error| call.failure(FailureKind::Refused, error))?;
        let has_triggers = workflow["triggers"].as_array().is_some_and(|triggers| !triggers.is_empty());
        self.write_listed(TransactWriteItem::builder().put(put).build(), id, has_triggers).await
    }

    /// Deletes a workflow. Succeeds if it does not exist.
    pub async fn delete_workflow(&self, workflow_id: &str) -> Result<()> {
        let call = Call::new("DynamoDB TransactWriteItems", &self.table);
        let delete = Delete::builder().table_name(&self.table).key(KEY, AttributeValue::S(workflow_id.into())).build();
        let delete = delete.map_err(|error| call.failure(FailureKind::Refused, error))?;
        self.write_listed(TransactWriteItem::builder().delete(delete).build(), workflow_id, false).await
    }

    /// Writes the item of a workflow and its entry in the list of workflows with triggers.
    async fn write_listed(&self, write: TransactWriteItem, workflow_id: &str, has_triggers: bool) -> Result<()> {
        let call = Call::new("DynamoDB TransactWriteItems", &self.table);
        let update = self.list(workflow_id, has_triggers).map_err(|error| call.failure(FailureKind::Refused, error))?;
        let list = TransactWriteItem::builder().update(update).build();
        let written = self.client.transact_write_items().transact_items(write).transact_items(list).send().await;
        written.map(drop).map_err(|error| call.failed(error))
    }

    fn list(&self, workflow_id: &str, has_triggers: bool) -> std::result::Result<Update, BuildError> {
        let verb = if has_triggers { "ADD" } else { "DELETE" };
        Update::builder()
            .table_name(&self.table)
            .key(KEY, AttributeValue::S(TRIGGERED.into()))
            .update_expression(format!("{verb} {WORKFLOWS} :workflows"))
            .expression_attribute_values(":workflows", AttributeValue::Ss(vec![workflow_id.into()]))
            .build()
    }

    /// Writes a named connection, and replaces an existing item.
    pub async fn put_connection(&self, name: &str, connection: &Connection) -> Result<()> {
        let call = Call::new("DynamoDB PutItem", &self.table);
        let mut item: std::collections::HashMap<String, AttributeValue> =
            serde_dynamo::to_item(connection).map_err(|error| call.failure(FailureKind::InvalidWorkflow, error))?;
        item.insert(KEY.into(), AttributeValue::S(connection_key(name)));
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.map_err(|error| call.failed(error))?;
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<Item>> {
        let get = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(KEY, AttributeValue::S(key.into()))
            .consistent_read(true)
            .send();
        let response = get.await.map_err(|error| Call::new("DynamoDB GetItem", &self.table).failed(error))?;
        Ok(response.item.map(Into::into))
    }

    fn unreadable(&self, key: &str, error: impl std::fmt::Display) -> Failure {
        Failure::new(
            FailureKind::InvalidWorkflow,
            format!("item `{key}` of {}: {error}; fix its source and upload it with `shiftwork push`", self.table),
        )
    }
}

#[async_trait]
impl Configuration for DynamoConfiguration {
    async fn workflow(&self, workflow_id: &str) -> Result<Option<Value>> {
        let item = self.get(workflow_id).await?;
        item.map(|item| serde_dynamo::from_item(item).map_err(|error| self.unreadable(workflow_id, error))).transpose()
    }

    async fn connection(&self, name: &str) -> Result<Option<Connection>> {
        let key = connection_key(name);
        let Some(item) = self.get(&key).await? else { return Ok(None) };
        let mut fields = item.into_inner();
        fields.remove(KEY);
        let connection: Connection =
            serde_dynamo::from_item(Item::from(fields)).map_err(|error| self.unreadable(&key, error))?;
        match connection.problem() {
            Some(problem) => Err(self.unreadable(&key, problem)),
            None => Ok(Some(connection)),
        }
    }

    async fn triggered(&self) -> Result<Vec<Value>> {
        let Some(list) = self.get(TRIGGERED).await? else { return Ok(Vec::new()) };
        let list = list.into_inner();
        let ids = list.get(WORKFLOWS).cloned().map(serde_dynamo::from_attribute_value::<_, Vec<String>>);
        let ids = ids.transpose().map_err(|error| self.unreadable(TRIGGERED, error))?.unwrap_or_default();
        let workflows: Vec<_> = stream::iter(ids)
            .map(async |id: String| self.workflow(&id).await)
            .buffered(CONCURRENT_READS)
            .try_collect()
            .await?;
        Ok(workflows.into_iter().flatten().collect())
    }
}
