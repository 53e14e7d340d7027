//! The configuration table, as a push reads and writes it.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, bail};
use aws_sdk_dynamodb::{
    Client,
    operation::put_item::PutItemError,
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure},
};
use aws_types::SdkConfig;
use serde_json::Value;
use shiftwork_aws::configuration::{DynamoConfiguration, connection_key, is_workflow_key};
use shiftwork_protocol::Connection;

use super::Items;
use crate::push::{Claim, Record, Thing};

/// Partition key of the table.
const KEY: &str = "workflow_id";
/// Start of the key of the record of a push. It contains a `/`, which workflow ids do not.
const RECORD: &str = "pushed/";

fn record_key(thing: &Thing) -> String {
    format!("{RECORD}{}", thing.record_key())
}

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
        let mut items = Items { workflows: BTreeMap::new(), connections: BTreeMap::new(), records: BTreeMap::new() };
        let mut pages = self.client.scan().table_name(&self.name).consistent_read(true).into_paginator().items().send();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| super::failed("DynamoDB Scan", &self.name, &error))?;
            let key = item.get(KEY).and_then(|key| key.as_s().ok()).cloned().unwrap_or_default();
            let mut value: Value = serde_dynamo::from_item(item).with_context(|| {
                format!("item `{key}` of {} contains a value that JSON cannot represent", self.name)
            })?;
            if let Some(thing) = key.strip_prefix(RECORD).and_then(Thing::of_record_key) {
                // A record that is not valid was not written by a push; the next push writes it.
                items.records.extend(serde_json::from_value(value).ok().map(|record| (thing, record)));
                continue;
            }
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

    /// Writes the new record of a thing, unless it was pushed since its record was read.
    pub(super) async fn claim(&self, thing: &Thing, claim: &Claim) -> anyhow::Result<()> {
        let mut item: HashMap<String, AttributeValue> = serde_dynamo::to_item(&claim.record)?;
        item.insert(KEY.into(), AttributeValue::S(record_key(thing)));
        let put = self.client.put_item().table_name(&self.name).set_item(Some(item));
        let put = match claim.expected {
            None => put.condition_expression("attribute_not_exists(workflow_id)"),
            Some(version) => put
                .condition_expression("version = :version")
                .expression_attribute_values(":version", AttributeValue::N(version.to_string())),
        };
        let put = put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = put.send().await else { return Ok(()) };
        let Some(PutItemError::ConditionalCheckFailedException(found)) = error.as_service_error() else {
            return Err(super::failed("DynamoDB PutItem", &self.name, &error));
        };
        // A request whose response was lost is sent again, and finds the record that it wrote.
        let found: Option<Record> = found.item.clone().and_then(|item| serde_dynamo::from_item(item).ok());
        match found {
            Some(found) if found == claim.record => Ok(()),
            Some(found) => bail!("{thing} changed during this push (now {found}): push again"),
            None => bail!("{thing} was deleted during this push: push again"),
        }
    }

    /// Deletes the record of a thing that was deleted.
    pub(super) async fn forget(&self, thing: &Thing) -> anyhow::Result<()> {
        self.delete(record_key(thing)).await
    }

    pub(super) async fn delete_workflow(&self, workflow_id: &str) -> anyhow::Result<()> {
        Ok(self.items.delete_workflow(workflow_id).await?)
    }

    pub(super) async fn delete_connection(&self, name: &str) -> anyhow::Result<()> {
        self.delete(connection_key(name)).await
    }

    async fn delete(&self, key: String) -> anyhow::Result<()> {
        let delete = self.client.delete_item().table_name(&self.name).key(KEY, AttributeValue::S(key));
        delete.send().await.map_err(|error| super::failed("DynamoDB DeleteItem", &self.name, &error))?;
        Ok(())
    }
}
