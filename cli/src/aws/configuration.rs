//! The configuration table, as a push reads and writes it.

use std::collections::BTreeMap;

use anyhow::Context as _;
use aws_sdk_dynamodb::{Client, types::AttributeValue};
use aws_types::SdkConfig;
use serde_json::Value;
use shiftwork_aws::configuration::{DynamoConfiguration, connection_key, is_workflow_key};
use shiftwork_protocol::Connection;

use super::Items;

/// Partition key of the table.
const KEY: &str = "workflow_id";

/// The configuration table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    client: Client,
    name: String,
    items: DynamoConfiguration,
}

impl Table {
    pub(super) fn new(config: &SdkConfig, name: &str) -> Self {
        Self { client: Client::new(config), name: name.into(), items: DynamoConfiguration::new(config, name) }
    }

    /// Reads all items of the table.
    pub(super) async fn read(&self) -> anyhow::Result<Items> {
        let mut items = Items { workflows: BTreeMap::new(), connections: BTreeMap::new() };
        let mut pages = self.client.scan().table_name(&self.name).consistent_read(true).into_paginator().items().send();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| super::failed("DynamoDB Scan", &self.name, &error))?;
            let key = item.get(KEY).and_then(|key| key.as_s().ok()).cloned().unwrap_or_default();
            let mut value: Value = serde_dynamo::from_item(item).with_context(|| {
                format!("item `{key}` of {} contains a value that JSON cannot represent", self.name)
            })?;
            match key.strip_prefix(&connection_key("")) {
                Some(name) => {
                    if let Some(fields) = value.as_object_mut() {
                        fields.remove(KEY);
                    }
                    // An item that is not a valid connection is skipped; a push of the same name overwrites it.
                    if let Ok(connection) = serde_json::from_value(value) {
                        items.connections.insert(name.into(), connection);
                    }
                }
                None if is_workflow_key(&key) => {
                    items.workflows.insert(key, value);
                }
                // The list of workflows with triggers.
                None => {}
            }
        }
        Ok(items)
    }

    pub(super) async fn put_workflow(&self, workflow: &Value) -> anyhow::Result<()> {
        Ok(self.items.put_workflow(workflow).await?)
    }

    pub(super) async fn put_connection(&self, name: &str, connection: &Connection) -> anyhow::Result<()> {
        Ok(self.items.put_connection(name, connection).await?)
    }

    pub(super) async fn delete_workflow(&self, workflow_id: &str) -> anyhow::Result<()> {
        Ok(self.items.delete_workflow(workflow_id).await?)
    }

    pub(super) async fn delete_connection(&self, name: &str) -> anyhow::Result<()> {
        let key = AttributeValue::S(connection_key(name));
        let delete = self.client.delete_item().table_name(&self.name).key(KEY, key);
        delete.send().await.map_err(|error| super::failed("DynamoDB DeleteItem", &self.name, &error))?;
        Ok(())
    }
}
