//! The dashboard: CloudWatch reads its body as JSON at the deployment, and shows what it does not name as nothing.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{Findings, template::resources};

/// What the dashboard does not show.
pub fn findings(template: &Value) -> Findings {
    let mut findings = Findings::new();
    let dashboards: Vec<_> = resources(template, "AWS::CloudWatch::Dashboard").collect();
    let [(id, dashboard)] = dashboards.as_slice() else {
        return Findings::from([format!("the template has {} dashboards: expected one", dashboards.len())]);
    };
    for branch in [1, 2] {
        let body = filled(&dashboard["Properties"]["DashboardBody"], branch);
        if let Err(error) = serde_json::from_str::<Value>(&body) {
            findings
                .insert(format!("{id}: where conditions take branch {branch}, its body is not valid JSON: {error}"));
        }
    }
    let body = filled(&dashboard["Properties"]["DashboardBody"], 1);
    let Ok(body) = serde_json::from_str::<Value>(&body) else { return findings };
    let widgets = body["widgets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let alarms =
        texts(widgets.iter().flat_map(|widget| widget["properties"]["alarms"].as_array().into_iter().flatten()));
    for (alarm, _) in resources(template, "AWS::CloudWatch::Alarm") {
        if !alarms.contains(format!("${{{alarm}.Arn}}").as_str()) {
            findings.insert(format!("{alarm}: is not on the dashboard: add it to the alarms of {id}"));
        }
    }
    for (of_type, dimension, metrics) in [
        ("AWS::Serverless::Function", "", &["Errors", "Duration"][..]),
        ("AWS::SQS::Queue", ".QueueName", &["ApproximateNumberOfMessagesVisible"]),
    ] {
        for metric in metrics {
            let rows = widgets.iter().filter(|widget| widget["properties"]["metrics"][0][1] == *metric);
            let rows = rows.flat_map(|widget| widget["properties"]["metrics"].as_array().into_iter().flatten());
            let shown = texts(rows.flat_map(|row| row.as_array().into_iter().flatten()));
            for (resource, _) in resources(template, of_type) {
                if !shown.contains(format!("${{{resource}{dimension}}}").as_str()) {
                    findings.insert(format!(
                        "{resource}: its {metric} are not on the dashboard: add a row to that widget of {id}"
                    ));
                }
            }
        }
    }
    findings
}

fn texts<'a>(values: impl Iterator<Item = &'a Value>) -> BTreeSet<&'a str> {
    values.filter_map(Value::as_str).collect()
}

/// The text of an `Fn::Sub`, its own variables replaced by a branch of their conditions: 1 where they hold, 2 where not.
fn filled(value: &Value, branch: usize) -> String {
    if let Some(branches) = value["Fn::If"].as_array() {
        return filled(&branches[branch], branch);
    }
    match &value["Fn::Sub"] {
        Value::Array(arguments) => {
            let variables = arguments[1].as_object().into_iter().flatten();
            variables.fold(filled(&arguments[0], branch), |text, (name, value)| {
                text.replace(&format!("${{{name}}}"), &filled(value, branch))
            })
        }
        Value::String(text) => text.clone(),
        _ => value.as_str().unwrap_or_default().to_owned(),
    }
}
