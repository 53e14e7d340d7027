//! The rules that send events to trigger: one for each trigger of a workflow and each event bus, named
//! `<stack>.<workflow>.<number of the trigger>`.
//!
//! A target puts the id of the workflow next to the event ([`TriggerEvent`]), so that the function reads one workflow and not
//! all of them.

use std::collections::{BTreeMap, BTreeSet};

use aws_config::SdkConfig;
use aws_sdk_eventbridge::{
    Client,
    operation::{delete_rule::DeleteRuleError, list_targets_by_rule::ListTargetsByRuleError},
    types::{DeadLetterConfig, InputTransformer, RetryPolicy, Rule, RuleState, Target},
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use shiftwork_ports::Result;
use shiftwork_protocol::{FailureKind, limits, name::sha256, payload::TriggerEvent, workflow::EventTrigger};

use crate::failures::Call;

/// The bus on which AWS services publish events.
const DEFAULT_BUS: &str = "default";
/// Id of the target of a rule.
const TARGET: &str = "trigger";
/// Variable of an input transformer: the whole event as JSON.
const WHOLE_EVENT: &str = "<aws.events.event.json>";
/// Retries of a delivery that fails, and the maximum age of the event in seconds; afterwards the event goes to the dead-letter
/// queue. The rules of the template have the same values.
const RETRIES: i32 = 60;
const AGE_SECONDS: i32 = 21_600;
/// Number of concurrent requests.
const AT_ONCE: usize = 8;
/// Length of the digest in a shortened name in characters.
const DIGEST_CHARS: usize = 8;

/// Bus and name of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleKey {
    /// Name of the event bus.
    pub bus: String,
    /// Name of the rule.
    pub name: String,
}

/// A rule, desired or deployed.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerRule {
    /// Id of the workflow that the rule starts; `None` if the rule has no target, after a push that was interrupted.
    pub workflow_id: Option<String>,
    /// The event pattern.
    pub pattern: Value,
    /// False if a person disabled the rule.
    pub enabled: bool,
    /// ARN of the function that the rule invokes; empty if the rule has no target.
    pub function_arn: String,
    /// ARN of the dead-letter queue of the target.
    pub dead_letter_arn: String,
}

/// The rules of the triggers of a deployment.
#[derive(Debug, Clone)]
pub struct TriggerRules {
    client: Client,
    stack: String,
    buses: BTreeSet<String>,
    function_arn: String,
    dead_letter_arn: String,
}

impl TriggerRules {
    /// Makes the adapter for a stack. `bus` is the bus on which the deployment publishes its events; AWS services publish on
    /// the default bus.
    pub fn new(config: &SdkConfig, stack: &str, bus: &str, function_arn: &str, dead_letter_arn: &str) -> Self {
        Self {
            client: Client::new(config),
            stack: stack.into(),
            buses: BTreeSet::from([DEFAULT_BUS.to_owned(), bus.to_owned()]),
            function_arn: function_arn.into(),
            dead_letter_arn: dead_letter_arn.into(),
        }
    }

    /// The rules that a workflow with these triggers needs.
    pub fn desired(&self, workflow_id: &str, triggers: &[EventTrigger]) -> BTreeMap<RuleKey, TriggerRule> {
        let of_bus = |bus: &String| {
            triggers.iter().zip(1..).map({
                let bus = bus.clone();
                move |(trigger, number)| {
                    let key = RuleKey { bus: bus.clone(), name: rule_name(&self.stack, workflow_id, number) };
                    let rule = TriggerRule {
                        workflow_id: Some(workflow_id.into()),
                        pattern: Value::Object(trigger.pattern.clone()),
                        enabled: true,
                        function_arn: self.function_arn.clone(),
                        dead_letter_arn: self.dead_letter_arn.clone(),
                    };
                    (key, rule)
                }
            })
        };
        self.buses.iter().flat_map(of_bus).collect()
    }

    /// All rules of the deployment.
    pub async fn list(&self) -> Result<BTreeMap<RuleKey, TriggerRule>> {
        let mut found = Vec::new();
        for bus in &self.buses {
            let mut next = None;
            loop {
                let page = self
                    .client
                    .list_rules()
                    .event_bus_name(bus)
                    .name_prefix(prefix(&self.stack))
                    .set_next_token(next)
                    .send()
                    .await
                    .map_err(|error| Call::new("EventBridge ListRules", bus).failed(error))?;
                found.extend(page.rules().iter().map(|rule| (bus, rule.clone())));
                next = page.next_token;
                if next.is_none() {
                    break;
                }
            }
        }
        stream::iter(found).map(|(bus, rule)| self.with_target(bus, rule)).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn with_target(&self, bus: &str, rule: Rule) -> Result<(RuleKey, TriggerRule)> {
        let key = RuleKey { bus: bus.into(), name: rule.name().unwrap_or_default().into() };
        let targets = self.targets(&key).await?;
        let target = targets.iter().find(|target| target.id() == TARGET);
        let input = target.and_then(Target::input_transformer).map(InputTransformer::input_template);
        let dead_letters = target.and_then(Target::dead_letter_config).and_then(DeadLetterConfig::arn);
        let pattern = rule.event_pattern().and_then(|pattern| serde_json::from_str(pattern).ok());
        let rule = TriggerRule {
            workflow_id: input.and_then(workflow_of),
            pattern: pattern.unwrap_or_default(),
            enabled: rule.state() != Some(&RuleState::Disabled),
            function_arn: target.map(Target::arn).unwrap_or_default().into(),
            dead_letter_arn: dead_letters.unwrap_or_default().into(),
        };
        Ok((key, rule))
    }

    /// The targets of a rule; empty if the rule does not exist.
    async fn targets(&self, key: &RuleKey) -> Result<Vec<Target>> {
        let list = self.client.list_targets_by_rule().event_bus_name(&key.bus).rule(&key.name).send().await;
        match list {
            // A rule has at most five targets, which fit into one page.
            Ok(found) => Ok(found.targets.unwrap_or_default()),
            Err(error)
                if error.as_service_error().is_some_and(ListTargetsByRuleError::is_resource_not_found_exception) =>
            {
                Ok(Vec::new())
            }
            Err(error) => Err(Call::new("EventBridge ListTargetsByRule", &key.name).failed(error)),
        }
    }

    /// Creates or replaces a rule of [`TriggerRules::desired`] and its target.
    pub async fn put(&self, key: &RuleKey, rule: &TriggerRule) -> Result<()> {
        let workflow_id = rule.workflow_id.as_deref().unwrap_or_default();
        self.client
            .put_rule()
            .event_bus_name(&key.bus)
            .name(&key.name)
            .description(format!("Starts workflow {workflow_id}. Managed by `shiftwork push` for stack {}", self.stack))
            .event_pattern(rule.pattern.to_string())
            .state(if rule.enabled { RuleState::Enabled } else { RuleState::Disabled })
            .send()
            .await
            .map_err(|error| Call::new("EventBridge PutRule", &key.name).failed(error))?;
        let call = Call::new("EventBridge PutTargets", &key.name);
        let refused = |error| call.failure(FailureKind::Refused, error);
        let input = InputTransformer::builder().input_template(template(workflow_id)).build().map_err(refused)?;
        let target = Target::builder()
            .id(TARGET)
            .arn(&rule.function_arn)
            .input_transformer(input)
            .dead_letter_config(DeadLetterConfig::builder().arn(&rule.dead_letter_arn).build())
            .retry_policy(
                RetryPolicy::builder()
                    .maximum_retry_attempts(RETRIES)
                    .maximum_event_age_in_seconds(AGE_SECONDS)
                    .build(),
            )
            .build()
            .map_err(refused)?;
        let put = self.client.put_targets().event_bus_name(&key.bus).rule(&key.name).targets(target).send().await;
        let put = put.map_err(|error| call.failed(error))?;
        match put.failed_entries() {
            [] => Ok(()),
            [entry, ..] => {
                let code = entry.error_code().unwrap_or("an error without a code");
                let message = format!("{code}: {}", entry.error_message().unwrap_or("no message"));
                Err(call.failure(FailureKind::Refused, message))
            }
        }
    }

    /// Deletes a rule with its targets; a rule that does not exist is not an error.
    pub async fn delete(&self, key: &RuleKey) -> Result<()> {
        let ids: Vec<_> = self.targets(key).await?.into_iter().map(|target| target.id).collect();
        if !ids.is_empty() {
            let call = Call::new("EventBridge RemoveTargets", &key.name);
            let remove = self.client.remove_targets().event_bus_name(&key.bus).rule(&key.name).set_ids(Some(ids));
            let removed = remove.send().await.map_err(|error| call.failed(error))?;
            if removed.failed_entry_count() > 0 {
                return Err(call.failure(FailureKind::Refused, "a target was not removed"));
            }
        }
        let delete = self.client.delete_rule().event_bus_name(&key.bus).name(&key.name).send().await;
        match delete {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(DeleteRuleError::is_resource_not_found_exception) => {
                Ok(())
            }
            Err(error) => Err(Call::new("EventBridge DeleteRule", &key.name).failed(error)),
        }
    }
}

/// Beginning of the names of a stack's rules. The name of a stack has no `.`, so no other stack has it.
fn prefix(stack: &str) -> String {
    format!("{stack}.")
}

/// Name of the rule of a trigger, whose number is from 1. An id that is too long is cut and gets a digest.
fn rule_name(stack: &str, workflow_id: &str, number: u32) -> String {
    let (prefix, suffix) = (prefix(stack), format!(".{number}"));
    let left = limits::RULE_NAME_CHARS.saturating_sub(prefix.len() + suffix.len());
    if workflow_id.len() <= left {
        return format!("{prefix}{workflow_id}{suffix}");
    }
    // The characters of an id are ASCII, and those that a rule can have.
    let kept: String = workflow_id.chars().take(left.saturating_sub(DIGEST_CHARS + 1)).collect();
    format!("{prefix}{kept}-{}{suffix}", &sha256(workflow_id)[..DIGEST_CHARS])
}

/// The template of a target's input: a [`TriggerEvent`] with the event that the rule matched.
fn template(workflow_id: &str) -> String {
    format!("{{\"triggered_workflow\":{},\"event\":{WHOLE_EVENT}}}", json!(workflow_id))
}

/// The workflow that a template names.
fn workflow_of(template: &str) -> Option<String> {
    let event: TriggerEvent = serde_json::from_str(&template.replace(WHOLE_EVENT, "null")).ok()?;
    Some(event.triggered_workflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_of_a_target_is_a_trigger_event() {
        for workflow_id in ["nightly", "a-b_C9"] {
            let sent = template(workflow_id).replace(WHOLE_EVENT, r#"{"source":"aws.s3"}"#);
            let read: TriggerEvent = serde_json::from_str(&sent).unwrap();
            assert_eq!(
                read,
                TriggerEvent { triggered_workflow: workflow_id.into(), event: json!({ "source": "aws.s3" }) }
            );
            assert_eq!(workflow_of(&template(workflow_id)).as_deref(), Some(workflow_id));
        }
        assert_eq!(workflow_of("\"text\""), None);
    }

    #[test]
    fn names_are_unique_and_as_long_as_a_rule_can_have() {
        assert_eq!(rule_name("shiftwork", "nightly", 1), "shiftwork.nightly.1");
        // A function named `<stack>-schema-watcher` leaves 49 characters for the name of the stack.
        let stack = "s".repeat(49);
        let long = ["w".repeat(64), "w".repeat(63), format!("{}x", "w".repeat(63))];
        let names: BTreeSet<_> =
            long.iter().flat_map(|id| [1, 2, 10, 100].map(|number| rule_name(&stack, id, number))).collect();
        assert_eq!(names.len(), 12, "{names:?}");
        assert!(names.iter().all(|name| name.len() <= limits::RULE_NAME_CHARS && name.starts_with(&prefix(&stack))));
    }
}
