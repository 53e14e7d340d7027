//! What a function or an alarm is missing: everything that has to be added by hand, each with the place to add it to.
//!
//! The functions are the directories of `functions/`, the alarms and queues those of the template.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{
    Findings, checkout,
    source::{Function, Source},
    template::{is_queue, resources},
    text,
};

/// The alarms of every function: name suffix and metric.
const ALARMED: [(&str, &str); 2] = [("ErrorAlarm", "Errors"), ("ThrottleAlarm", "Throttles")];

/// Finds resources, documents and samples that a function or an alarm must have and that do not exist.
pub fn findings(template: &Value, source: &Source) -> Findings {
    let mut findings = Findings::new();
    let page = text("docs/architecture.md");
    for function in &source.functions {
        of_function(template, function, &mut findings);
        let name = &function.name;
        if !page.contains(&format!("](../functions/{name}/src/lib.rs)")) {
            findings.insert(format!(
                "{name}: docs/architecture.md has no row for it: add one to the table of functions, with a link to functions/{name}/src/lib.rs"
            ));
        }
        let event = function.start_event.as_deref().unwrap_or_default();
        if !checkout(&format!("events/{name}/{event}.json")).exists() {
            findings.insert(format!(
                "{name}: bench-start has no event for it: write events/{name}/<event>.json, and in functions/{name}/Cargo.toml \
                 `[package.metadata.start] event = \"<event>\"`"
            ));
        }
    }
    for (id, _) in resources(template, "AWS::Serverless::Function") {
        if !source.functions.iter().any(|function| function.resource("Function") == id) {
            findings.insert(format!("{id}: functions/ has no such function: remove it from the template"));
        }
    }
    copies(template, source, &mut findings);
    dead_letters(template, &mut findings);
    findings
}

/// Alarms and events that the pages `docs/operating.md` and `docs/events.md` do not have.
pub fn undocumented(template: &Value, source: &Source, operating: &str, events: &str) -> Findings {
    let mut findings = Findings::new();
    for (alarm, _) in resources(template, "AWS::CloudWatch::Alarm") {
        let of_every_function = source.functions.iter().find_map(|function| alarm.strip_prefix(function.id.as_str()));
        let of_every_rule = alarm
            .strip_suffix("DeliveryAlarm")
            .is_some_and(|rule| template["Resources"][format!("{rule}Rule")]["Type"] == "AWS::Events::Rule");
        let named = match of_every_function.filter(|kind| ALARMED.iter().any(|(of, _)| of == kind)) {
            Some(kind) => format!("`<Function>{kind}`"),
            None if of_every_rule => "`<Rule>DeliveryAlarm`".to_owned(),
            None => format!("`{alarm}`"),
        };
        if !operating.contains(&named) {
            findings.insert(format!(
                "docs/operating.md: does not name the alarm {named}: say what it means and what to do"
            ));
        }
    }
    for detail_type in shiftwork_protocol::event::DETAIL_TYPES {
        if !events.contains(&format!("\n## {detail_type}\n")) {
            findings.insert(format!("docs/events.md: has no section on `{detail_type}`: add its type to `event_page`"));
        }
    }
    findings
}

fn of_function(template: &Value, function: &Function, findings: &mut Findings) {
    let (name, id) = (&function.name, function.resource("Function"));
    let resource = &template["Resources"][&id];
    if resource["Type"] != "AWS::Serverless::Function" {
        findings.insert(format!(
            "{name}: infra/template.yaml has no {id}: add it with {0}Policy and {0}LogGroup",
            function.id
        ));
    }
    let role = function.resource("Role");
    if template["Resources"][&role]["Type"] != "AWS::IAM::Role" {
        findings
            .insert(format!("{name}: has no role {role}: add {} to the list of Fn::ForEach::Functions", function.id));
    }
    if resource["Properties"]["Role"]["Fn::GetAtt"][0] != role {
        findings.insert(format!("{name}: runs as another role: write `Role: !GetAtt {role}.Arn` in {id}"));
    }
    if resource["DependsOn"] != function.resource("Policy") {
        findings.insert(format!(
            "{name}: Lambda may poll its sources before it is allowed to: write `DependsOn: {}` in {id}",
            function.resource("Policy")
        ));
    }
    if template["Resources"][function.resource("LogGroup")]["Type"] != "AWS::Logs::LogGroup" {
        findings.insert(format!("{name}: has no log group: add {}", function.resource("LogGroup")));
    }
    for (kind, metric) in ALARMED {
        let alarm = &template["Resources"][function.resource(kind)]["Properties"];
        if alarm["MetricName"] != metric || alarm["Dimensions"][0]["Value"]["Ref"] != id {
            findings.insert(format!(
                "{name}: has no alarm on {metric}: add {} to the list of Fn::ForEach::Functions",
                function.id
            ));
        }
    }
    if template["Outputs"][&id]["Value"]["Ref"] != id {
        findings.insert(format!("{name}: infra/template.yaml has no output {id}: add it with `Value: !Ref {id}`"));
    }
    let polled = resource["Properties"]["Events"].is_object()
        || resources(template, "AWS::Lambda::EventSourceMapping")
            .any(|(_, mapping)| mapping["Properties"]["FunctionName"]["Ref"] == id);
    let machines = resources(template, "AWS::Serverless::StateMachine");
    let called = machines
        .flat_map(|(_, machine)| machine["Properties"]["DefinitionSubstitutions"].as_object().into_iter().flatten())
        .any(|(_, value)| value["Fn::GetAtt"][0] == id);
    let on_failure = &resource["Properties"]["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Destination"];
    if !polled && !called && !is_queue(template, on_failure) {
        findings.insert(format!(
            "{name}: an asynchronous invocation that fails is lost: set EventInvokeConfig.DestinationConfig.OnFailure of {id} \
             to EventDeadLetterQueue"
        ));
    }
}

/// The resources that a loop makes for most functions, and another function has as a copy with a condition: but for the
/// condition and the name of the function they are equal. So are the log groups, whose names a loop cannot make.
fn copies(template: &Value, source: &Source, findings: &mut Findings) {
    for kind in ["Role", "ErrorAlarm", "ThrottleAlarm", "LogGroup"] {
        let mut first: Option<(String, Value)> = None;
        for function in &source.functions {
            let id = function.resource(kind);
            // Properties that a mapping of the template sets for one function may differ.
            let mapped = template["Mappings"][format!("{kind}s")][&function.id].is_object();
            let Some(resource) = template["Resources"].get(&id).filter(|_| !mapped) else { continue };
            let mut general = general(resource, function);
            general.as_object_mut().map(|members| members.remove("Condition"));
            match &first {
                None => first = Some((id, general)),
                Some((of, one)) if *one != general => {
                    findings.insert(format!(
                        "{id}: differs from {of} in more than the name and the condition: make them equal"
                    ));
                }
                Some(_) => {}
            }
        }
    }
}

/// A value with placeholders for the names of a function.
fn general(value: &Value, function: &Function) -> Value {
    match value {
        Value::String(text) => text.replace(&function.id, "<Function>").replace(&function.name, "<function>").into(),
        Value::Array(items) => items.iter().map(|item| general(item, function)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), general(value, function))).collect::<Map<_, _>>().into()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Each queue that takes what failed has an alarm: on the messages that are in it, or, if nothing reaches it by a redrive policy, on
/// the messages that are sent to it.
fn dead_letters(template: &Value, findings: &mut Findings) {
    let mut queues = BTreeSet::new();
    collect(
        &template["Resources"],
        &["/deadLetterTargetArn", "/DeadLetterConfig/Arn", "/OnFailure/Destination"],
        &mut queues,
    );
    let mut redriven = BTreeSet::new();
    collect(&template["Resources"], &["/deadLetterTargetArn"], &mut redriven);
    for queue in queues {
        let watched = resources(template, "AWS::CloudWatch::Alarm").any(|(_, alarm)| {
            let alarm = &alarm["Properties"];
            let counts = alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
                || (alarm["MetricName"] == "NumberOfMessagesSent" && !redriven.contains(queue));
            counts && alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0] == queue
        });
        if !watched {
            findings.insert(format!(
                "{queue}: receives what failed, and has no alarm: add one on ApproximateNumberOfMessagesVisible"
            ));
        }
    }
}

/// The queues whose ARNs are at these places, anywhere in a value.
fn collect<'a>(value: &'a Value, places: &[&str], queues: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            for place in places {
                queues.extend(value.pointer(place).and_then(|arn| arn["Fn::GetAtt"][0].as_str()));
            }
            members.values().for_each(|value| collect(value, places, queues));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, places, queues)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
