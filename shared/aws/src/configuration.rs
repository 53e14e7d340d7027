//! The configuration table: workflows with native DynamoDB attributes, and named connections.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::{Client, types::AttributeValue};
use serde::Serialize;
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
        self.put(workflow, None).await
    }

    /// Writes a named connection, and replaces an existing item.
    pub async fn put_connection(&self, name: &str, connection: &Connection) -> Result<()> {
        self.put(connection, Some(connection_key(name))).await
    }

    async fn put(&self, entry: &impl Serialize, key: Option<String>) -> Result<()> {
        let call = Call::new("DynamoDB PutItem", &self.table);
        let mut item: std::collections::HashMap<String, AttributeValue> =
            serde_dynamo::to_item(entry).map_err(|error| call.failure(FailureKind::InvalidWorkflow, error))?;
        if let Some(key) = key {
            item.insert(KEY.into(), AttributeValue::S(key));
        }
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
        let mut pages = self
            .client
            .scan()
            .table_name(&self.table)
            .filter_expression("attribute_exists(triggers)")
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut workflows = Vec::new();
        while let Some(item) = pages.next().await {
            let item: Item = item.map_err(|error| Call::new("DynamoDB Scan", &self.table).failed(error))?.into();
            workflows.push(serde_dynamo::from_item(item).map_err(|error| self.unreadable("?", error))?);
        }
        Ok(workflows)
    }
}
