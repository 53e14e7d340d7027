//! The attributes that an `UpdateItem` sets, removes and adds to. Every name has a placeholder, because some names (`part`,
//! `rows`) are reserved words of DynamoDB's expressions.

use std::collections::HashMap;

use aws_sdk_dynamodb::{operation::update_item::builders::UpdateItemFluentBuilder, types::AttributeValue};

/// The changes to one item.
#[derive(Debug, Default)]
pub(super) struct Change {
    sets: Vec<String>,
    removes: Vec<String>,
    adds: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Change {
    /// Sets an attribute.
    pub(super) fn set(&mut self, name: &str, value: AttributeValue) {
        self.sets.push(format!("#{name} = :{name}"));
        self.name(name);
        self.values.insert(format!(":{name}"), value);
    }

    /// Sets an attribute unless it exists.
    pub(super) fn set_once(&mut self, name: &str, value: AttributeValue) {
        self.sets.push(format!("#{name} = if_not_exists(#{name}, :{name})"));
        self.name(name);
        self.values.insert(format!(":{name}"), value);
    }

    /// Adds a number to an attribute, which need not exist.
    pub(super) fn add(&mut self, name: &str, number: AttributeValue) {
        self.sets.push(format!("#{name} = if_not_exists(#{name}, :nothing) + :{name}"));
        self.name(name);
        self.values.insert(":nothing".into(), AttributeValue::N("0".into()));
        self.values.insert(format!(":{name}"), number);
    }

    /// Appends members to a list attribute, which need not exist.
    pub(super) fn append(&mut self, name: &str, members: Vec<AttributeValue>) {
        self.sets.push(format!("#{name} = list_append(if_not_exists(#{name}, :none), :{name})"));
        self.name(name);
        self.values.insert(":none".into(), AttributeValue::L(Vec::new()));
        self.values.insert(format!(":{name}"), AttributeValue::L(members));
    }

    /// Removes an attribute.
    pub(super) fn remove(&mut self, name: &str) {
        self.removes.push(format!("#{name}"));
        self.name(name);
    }

    /// Adds a member to a string set, which need not exist.
    pub(super) fn add_member(&mut self, name: &str, member: &str) {
        self.adds.push(format!("#{name} :{name}"));
        self.name(name);
        self.values.insert(format!(":{name}"), AttributeValue::Ss(vec![member.to_owned()]));
    }

    /// Adds the changes to a request. The values of the request's condition must not have the name of an attribute that
    /// is set here.
    pub(super) fn on(self, mut update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        let clauses = [("SET", self.sets), ("REMOVE", self.removes), ("ADD", self.adds)];
        let expression: Vec<_> = clauses
            .into_iter()
            .filter(|(_, parts)| !parts.is_empty())
            .map(|(clause, parts)| format!("{clause} {}", parts.join(", ")))
            .collect();
        for (placeholder, name) in self.names {
            update = update.expression_attribute_names(placeholder, name);
        }
        for (placeholder, value) in self.values {
            update = update.expression_attribute_values(placeholder, value);
        }
        update.update_expression(expression.join(" "))
    }

    fn name(&mut self, name: &str) {
        self.names.insert(format!("#{name}"), name.into());
    }
}
