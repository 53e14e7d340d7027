use serde_json::{Value, json};
use shiftwork_protocol::Connection;

use super::fresh;
use crate::Configuration;

/// Checks [`Configuration`]. `put_workflow`, `put_connection` and `delete_workflow` write as `shiftwork push` does.
pub async fn configuration(
    configuration: &dyn Configuration,
    put_workflow: impl AsyncFn(&Value),
    put_connection: impl AsyncFn(&str, &Connection),
    delete_workflow: impl AsyncFn(&str),
) {
    let (name, quiet) = (fresh("workflow"), fresh("quiet"));
    assert_eq!(configuration.workflow(&name).await, Ok(None));
    assert_eq!(configuration.connection(&name).await, Ok(None));
    let workflow = json!({
        "workflow_id": name, "on_overlap": "queue", "parameters": {"days": {"type": "integer", "default": 7}},
        "triggers": [{"pattern": {"source": ["aws.s3"]}}],
        "workflow_stages": [{"execution_type": "parallel", "scripts": ["a.sql", {"script": "b.sql", "retries": 2}]}],
    });
    let without_triggers = json!({"workflow_id": quiet, "workflow_stages": []});
    let connection = Connection { cluster: Some("c".into()), database: "dev".into(), ..Connection::default() };
    put_workflow(&workflow).await;
    put_workflow(&without_triggers).await;
    put_connection(&name, &connection).await;

    assert_eq!(configuration.workflow(&name).await, Ok(Some(workflow.clone())));
    assert_eq!(configuration.workflow(&quiet).await, Ok(Some(without_triggers.clone())));
    assert_eq!(configuration.connection(&name).await, Ok(Some(connection)), "a workflow and a connection share a name");
    assert_eq!(configuration.connection(&quiet).await, Ok(None));
    let triggered = async || -> Vec<Value> {
        let all = configuration.triggered().await.unwrap().into_iter();
        all.filter(|workflow| workflow["workflow_id"] == *name || workflow["workflow_id"] == *quiet).collect()
    };
    let one = std::slice::from_ref(&workflow);
    assert_eq!(triggered().await, one, "only workflows with triggers are listed");
    put_workflow(&workflow).await;
    assert_eq!(triggered().await, one, "a second push changes nothing");

    let mut changed = workflow.clone();
    changed["triggers"] = json!([]);
    put_workflow(&changed).await;
    assert_eq!(triggered().await, [Value::Null; 0], "its triggers were removed");
    put_workflow(&workflow).await;
    delete_workflow(&name).await;
    delete_workflow(&name).await;
    assert_eq!(configuration.workflow(&name).await, Ok(None));
    assert_eq!(triggered().await, [Value::Null; 0], "it was deleted");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_configuration_in_memory_conforms() {
        let memory = crate::fake::MemoryConfiguration::default();
        let put_workflow = async |workflow: &Value| memory.put(workflow.clone());
        let put_connection = async |name: &str, connection: &Connection| memory.connect(name, connection.clone());
        configuration(&memory, put_workflow, put_connection, async |id| memory.remove(id)).await;
    }
}
