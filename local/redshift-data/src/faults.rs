//! Faults that tests inject with `POST /_faults`: documented errors and delays of AWS, with a fixed number of
//! occurrences.

use std::sync::Mutex;
use std::time::Duration;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// The effect of a rule on a call, or on the statement that the call submits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Return `ThrottlingException` without executing the call.
    Throttle,
    /// Return `ActiveStatementsExceededException` without executing the call.
    ActiveStatementsExceeded,
    /// Return `InternalServerException` without executing the call.
    InternalError,
    /// Execute the call, then close the connection without a response.
    DropConnection,
    /// Do not send the event of the statement.
    DropEvent,
    /// Send the event of the statement twice.
    DoubleEvent,
    /// Delay the event of the statement.
    DelayEvent {
        /// Delay in milliseconds.
        milliseconds: u64,
    },
    /// Fail the statement with this error instead of running its first SQL text that matches the rule.
    FailStatement {
        /// Value of `Error`, e.g. `ERROR: 1023 …`.
        error: String,
    },
    /// Delay the start of the statement.
    DelayStatement {
        /// Delay in milliseconds.
        milliseconds: u64,
    },
}

/// One rule. All matchers that are set must match.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Operation, e.g. `ExecuteStatement`. For effects on statements and events: the operation that submits the
    /// statement.
    pub operation: Option<String>,
    /// Prefix of the statement name.
    pub statement_name_prefix: Option<String>,
    /// Regular expression that must match one of the SQL texts of the statement.
    pub sql_regex: Option<String>,
    /// The effect.
    pub effect: Effect,
    /// Number of calls or statements to which the rule applies.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

/// The effect of a rule on a statement. It is counted when the statement is submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StatementFault {
    DropEvent,
    DoubleEvent,
    DelayEvent(Duration),
    Fail(FailPart),
    Delay(Duration),
}

/// The SQL text that fails, by index, and its error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FailPart {
    pub(crate) part: usize,
    pub(crate) error: String,
}

/// The effect of a rule on a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallFault {
    Throttle,
    ActiveStatementsExceeded,
    InternalError,
    DropConnection,
}

/// The properties of a call that rules match.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) operation: &'a str,
    pub(crate) name: Option<&'a str>,
    pub(crate) sqls: &'a [String],
}

/// The active rules.
#[derive(Default)]
pub(crate) struct Faults(Mutex<Vec<(Rule, Option<Regex>)>>);

impl Faults {
    /// Adds all rules, or none if one of them is not valid.
    ///
    /// # Errors
    /// Returns an error if an `sql_regex` does not compile.
    pub(crate) fn add(&self, rules: Vec<Rule>) -> Result<(), regex::Error> {
        let mut compiled = Vec::with_capacity(rules.len());
        for rule in rules {
            let regex = rule.sql_regex.as_deref().map(Regex::new).transpose()?;
            compiled.push((rule, regex));
        }
        crate::lock(&self.0).extend(compiled);
        Ok(())
    }

    pub(crate) fn clear(&self) {
        crate::lock(&self.0).clear();
    }

    /// All rules; `times` is the remaining number of occurrences.
    pub(crate) fn rules(&self) -> Vec<Rule> {
        crate::lock(&self.0).iter().map(|(rule, _)| rule.clone()).collect()
    }

    /// The first fault that applies to the call `subject`; decrements `times` of its rule.
    pub(crate) fn claim_call(&self, subject: Subject<'_>) -> Option<CallFault> {
        let mut rules = crate::lock(&self.0);
        rules.iter_mut().find_map(|(rule, regex)| {
            let fault = rule.effect.on_call()?;
            rule.claim(regex.as_ref(), subject).map(|_| fault)
        })
    }

    /// The faults that apply to the new statement `subject`; decrements `times` of their rules.
    pub(crate) fn claim_statement(&self, subject: Subject<'_>) -> Vec<StatementFault> {
        let mut rules = crate::lock(&self.0);
        let claimed = rules.iter_mut().filter_map(|(rule, regex)| {
            if rule.effect.on_call().is_some() {
                return None;
            }
            let part = rule.claim(regex.as_ref(), subject)?;
            rule.effect.on_statement(part)
        });
        claimed.collect()
    }
}

impl Rule {
    /// Index of the SQL text that matched (0 without `sql_regex`), if the rule matches and has occurrences left.
    fn claim(&mut self, regex: Option<&Regex>, subject: Subject<'_>) -> Option<usize> {
        let operation = self.operation.as_deref().is_none_or(|operation| operation == subject.operation);
        let name = self
            .statement_name_prefix
            .as_deref()
            .is_none_or(|prefix| subject.name.is_some_and(|name| name.starts_with(prefix)));
        if self.times == 0 || !operation || !name {
            return None;
        }
        let part = match regex {
            Some(regex) => subject.sqls.iter().position(|sql| regex.is_match(sql))?,
            None => 0,
        };
        self.times -= 1;
        Some(part)
    }
}

impl Effect {
    fn on_call(&self) -> Option<CallFault> {
        match self {
            Self::Throttle => Some(CallFault::Throttle),
            Self::ActiveStatementsExceeded => Some(CallFault::ActiveStatementsExceeded),
            Self::InternalError => Some(CallFault::InternalError),
            Self::DropConnection => Some(CallFault::DropConnection),
            Self::DropEvent
            | Self::DoubleEvent
            | Self::DelayEvent { .. }
            | Self::FailStatement { .. }
            | Self::DelayStatement { .. } => None,
        }
    }

    fn on_statement(&self, part: usize) -> Option<StatementFault> {
        match self {
            Self::DropEvent => Some(StatementFault::DropEvent),
            Self::DoubleEvent => Some(StatementFault::DoubleEvent),
            Self::DelayEvent { milliseconds } => Some(StatementFault::DelayEvent(Duration::from_millis(*milliseconds))),
            Self::FailStatement { error } => Some(StatementFault::Fail(FailPart { part, error: error.clone() })),
            Self::DelayStatement { milliseconds } => Some(StatementFault::Delay(Duration::from_millis(*milliseconds))),
            Self::Throttle | Self::ActiveStatementsExceeded | Self::InternalError | Self::DropConnection => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CallFault, Faults, StatementFault, Subject};

    fn faults(rules: &str) -> Faults {
        let faults = Faults::default();
        faults.add(serde_json::from_str(rules).unwrap()).unwrap();
        faults
    }

    #[test]
    fn a_rule_ends_after_its_number_of_occurrences() {
        let faults = faults(r#"[{"operation":"ExecuteStatement","effect":"throttle","times":2}]"#);
        let subject = Subject { operation: "ExecuteStatement", name: None, sqls: &[] };
        assert_eq!(faults.claim_call(Subject { operation: "CancelStatement", ..subject }), None);
        assert_eq!(faults.claim_call(subject), Some(CallFault::Throttle));
        assert_eq!(faults.claim_call(subject), Some(CallFault::Throttle));
        assert_eq!(faults.claim_call(subject), None);
    }

    #[test]
    fn a_failure_applies_to_the_matching_sql() {
        let faults = faults(
            r#"[{"statement_name_prefix":"shiftwork:","sql_regex":"(?i)insert","effect":{"fail_statement":{"error":"E"}}}]"#,
        );
        let sqls = ["select 1".to_owned(), "INSERT into t values (1)".to_owned()];
        let subject = Subject { operation: "BatchExecuteStatement", name: Some("other"), sqls: &sqls };
        assert!(faults.claim_statement(subject).is_empty());
        let hit = faults.claim_statement(Subject { name: Some("shiftwork:r:j:1"), ..subject });
        assert!(matches!(&hit[..], [StatementFault::Fail(fail)] if fail.part == 1 && fail.error == "E"));
    }
}
