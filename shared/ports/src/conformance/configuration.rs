use serde_json::{Value, json};
use shiftwork_protocol::Connection;

use super::fresh;
use crate::Configuration;

/// Checks [`Configuration`]. `put_workflow` and `put_connection` write as `shiftwork push` does.
pub async fn configuration(
    configuration: &dyn Configuration,
    put_workflow: impl AsyncFn(&Value),
    put_connection: impl AsyncFn(&str, &Connection),
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
    let triggered = configuration.triggered().await.unwrap();
    assert!(
        triggered.contains(&workflow) && !triggered.contains(&without_triggers),
        "only workflows with triggers are listed"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_configuration_in_memory_conforms() {
        let memory = crate::fake::MemoryConfiguration::default();
        let put_workflow = async |workflow: &Value| memory.put(workflow.clone());
        configuration(&memory, put_workflow, async |name, connection| memory.connect(name, connection.clone())).await;
    }
}
