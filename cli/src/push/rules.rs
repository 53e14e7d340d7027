//! The differences between the rules that the triggers of workflows need and the deployed rules. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shiftwork_aws::rules::{RuleKey, TriggerRule};

use super::change::{ChangeKind, Line, Verb};

/// The writes and deletes of rules, and a line for each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuleChanges {
    /// Rules to create or update.
    pub put: BTreeMap<RuleKey, TriggerRule>,
    /// Rules to delete.
    pub gone: BTreeSet<RuleKey>,
    /// One line per change.
    pub lines: Vec<Line>,
    /// Number of rules that already match the files.
    pub unchanged: usize,
}

/// The changes that make the rules match the triggers of the workflows of the files. `remaining` are the ids of the workflows
/// that the deployment has after the push. A rule of a remaining workflow without a file stays; a rule of another one is
/// left over from a push that was interrupted, and is deleted.
pub fn rule_changes(
    desired: BTreeMap<RuleKey, TriggerRule>,
    deployed: &BTreeMap<RuleKey, TriggerRule>,
    of_files: &BTreeSet<&str>,
    remaining: &BTreeSet<&str>,
) -> RuleChanges {
    let mut changes = RuleChanges::default();
    for (key, was) in deployed.iter().filter(|(key, _)| !desired.contains_key(*key)) {
        let stays = was.workflow_id.as_deref().is_some_and(|id| remaining.contains(id) && !of_files.contains(id));
        if !stays {
            changes.line(Verb::Delete, key, None);
            changes.gone.insert(key.clone());
        }
    }
    for (key, rule) in desired {
        match deployed.get(&key) {
            Some(was) if *was == rule => changes.unchanged += 1,
            Some(was) => {
                changes.line(Verb::Update, &key, Some(difference(was, &rule)));
                changes.put.insert(key, rule);
            }
            None => {
                changes.line(Verb::Create, &key, Some(in_words(&key, &rule)));
                changes.put.insert(key, rule);
            }
        }
    }
    changes
}

impl RuleChanges {
    fn line(&mut self, verb: Verb, key: &RuleKey, detail: Option<String>) {
        self.lines.push(Line { verb, kind: ChangeKind::Rule, name: key.name.clone(), detail });
    }
}

/// The bus of a rule, and what its events are.
fn in_words(key: &RuleKey, rule: &TriggerRule) -> String {
    let listed = |field: &str| {
        let tests = rule.pattern[field].as_array().map_or(&[][..], Vec::as_slice);
        let shown: Vec<_> =
            tests.iter().map(|test| test.as_str().map_or_else(|| test.to_string(), str::to_owned)).collect();
        if shown.is_empty() { format!("any {field}") } else { shown.join(", ") }
    };
    format!("bus {}: {} · {}", key.bus, listed("source"), listed("detail-type"))
}

fn difference(was: &TriggerRule, is: &TriggerRule) -> String {
    let fields = [
        ("workflow", was.workflow_id == is.workflow_id),
        ("pattern", was.pattern == is.pattern),
        ("disabled by hand, enabled again", was.enabled == is.enabled),
        ("function", was.function_arn == is.function_arn),
        ("dead-letter queue", was.dead_letter_arn == is.dead_letter_arn),
    ];
    fields.iter().filter(|(_, same)| !same).map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// Why no event of the sources that a pattern names arrives at the buses of the deployment; `None` if one can.
pub fn not_delivered(pattern: &serde_json::Map<String, Value>, buses: &str) -> Option<String> {
    const PARTNER: &str = "aws.partner/";
    let sources = pattern.get("source")?.as_array()?;
    let is_partner = |source: &Value| {
        source.as_str().or_else(|| source["prefix"].as_str()).is_some_and(|source| source.starts_with(PARTNER))
    };
    (!sources.is_empty() && sources.iter().all(is_partner)).then(|| {
        format!(
            "events of partners arrive on a bus of the partner, and the rules of this stack are on {buses}: create a rule that \
             sends the events of the partner's bus there"
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(name: &str) -> RuleKey {
        RuleKey { bus: "default".into(), name: name.into() }
    }

    fn rule(workflow_id: &str, source: &str) -> TriggerRule {
        TriggerRule {
            workflow_id: Some(workflow_id.into()),
            pattern: json!({ "source": [source], "detail-type": ["Object Created"] }),
            enabled: true,
            function_arn: "arn:function".into(),
            dead_letter_arn: "arn:queue".into(),
        }
    }

    fn shown(changes: &RuleChanges) -> Vec<String> {
        let lines = changes.lines.iter();
        lines.map(|line| format!("{:?} {} {}", line.verb, line.name, line.detail.as_deref().unwrap_or("-"))).collect()
    }

    #[test]
    fn each_difference_is_one_change() {
        let desired = || BTreeMap::from([(key("s.a.1"), rule("a", "aws.s3")), (key("s.a.2"), rule("a", "custom"))]);
        let of = |deployed: &BTreeMap<_, _>| rule_changes(desired(), deployed, &["a"].into(), &["a", "b"].into());
        let created = of(&BTreeMap::new());
        assert_eq!(created.put, desired());
        let lines =
            ["Create s.a.1 bus default: aws.s3 · Object Created", "Create s.a.2 bus default: custom · Object Created"];
        assert_eq!(shown(&created), lines);
        let same = of(&desired());
        assert_eq!((same.lines.len(), same.unchanged), (0, 2));

        let disabled = TriggerRule { enabled: false, ..rule("a", "aws.s3") };
        let without_target = TriggerRule {
            workflow_id: None,
            function_arn: String::new(),
            dead_letter_arn: String::new(),
            ..rule("a", "custom")
        };
        let changed = of(&BTreeMap::from([(key("s.a.1"), disabled), (key("s.a.2"), without_target)]));
        let lines =
            ["Update s.a.1 disabled by hand, enabled again", "Update s.a.2 workflow, function, dead-letter queue"];
        assert_eq!(shown(&changed), lines);
        assert_eq!(changed.put, desired());
    }

    #[test]
    fn a_rule_is_deleted_with_its_trigger_and_with_its_workflow() {
        let interrupted = TriggerRule { workflow_id: None, ..rule("", "aws.s3") };
        let deployed = BTreeMap::from([
            (key("s.a.1"), rule("a", "aws.s3")),
            (key("s.a.2"), rule("a", "aws.s3")),
            (key("s.b.1"), rule("b", "aws.s3")),
            (key("s.deleted.1"), rule("deleted", "aws.s3")),
            (key("s.interrupted.1"), interrupted),
        ]);
        let desired = BTreeMap::from([(key("s.a.1"), rule("a", "aws.s3"))]);
        let changes = rule_changes(desired, &deployed, &["a"].into(), &["a", "b"].into());
        assert_eq!(changes.gone, ["s.a.2", "s.deleted.1", "s.interrupted.1"].map(key).into());
        assert_eq!(changes.unchanged, 1, "a rule of a workflow without a file stays");
    }

    #[test]
    fn a_pattern_for_a_partner_is_not_delivered() {
        let of = |sources: Value| not_delivered(json!({ "source": sources }).as_object().unwrap(), "bus default");
        assert!(of(json!(["aws.partner/example.com/1"])).unwrap().contains("are on bus default"));
        assert!(of(json!([{ "prefix": "aws.partner/example.com" }])).is_some());
        for delivered in
            [json!(["aws.s3"]), json!(["aws.partner/example.com/1", "aws.s3"]), json!([{ "prefix": "" }]), json!([])]
        {
            assert_eq!(of(delivered.clone()), None, "{delivered}");
        }
        assert_eq!(not_delivered(&serde_json::Map::new(), "bus default"), None);
    }
}
