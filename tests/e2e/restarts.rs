//! A restart runs failed jobs and their dependents, and reuses successful jobs.

use serde_json::json;
use shiftwork_e2e::Stack;
use shiftwork_protocol::Status;

#[tokio::test]
async fn a_restart_runs_the_remaining_jobs_with_the_original_date_and_parameters() {
    let stack = Stack::shared().await;
    let workflow = json!({
        "parameters": { "n": { "type": "integer" } },
        "workflow_stages": [
            { "execution_type": "sequential", "scripts": ["first.sql"] },
            { "execution_type": "parallel", "scripts": ["good.sql", "broken.sql"] },
            { "execution_type": "sequential", "scripts": ["last.sql"] } ] });
    let scripts = [
        ("first.sql", "insert into {s}.t values (1)"),
        ("good.sql", "insert into {s}.t values (2)"),
        ("broken.sql", "insert into {s}.tt select :n::int"),
        ("last.sql", "insert into {s}.t select datediff(day, '2020-01-01'::date, :run_date::date)"),
    ];
    let flow = stack.push("again", workflow, &scripts).await;
    flow.make_table().await;
    let first = flow.start_with(json!({ "parameters": { "n": 30 }, "logical_date": "2020-01-11T05:00:00Z" })).await;
    let failed = first.end().await;
    assert_eq!(failed.run.execution_status, Status::Failed);
    assert_eq!(flow.traces().await, [1, 2]);

    flow.script("broken.sql", "insert into {s}.t select :n::int").await;
    flow.script("good.sql", "insert into {s}.t values (3)").await;
    let reused = json!({ "restart_of": first.id, "from_statement": { "good.sql": 1 } });
    let refusal = flow.request(reused).await.unwrap_err();
    assert!(refusal.message.contains("job good.sql: it is reused"), "{refusal:?}");
    let second = flow.start_with(json!({ "restart_of": first.id })).await;
    let ended = second.end().await;

    ended.succeeded();
    assert_eq!(flow.traces().await, [1, 2, 10, 30]);
    assert_eq!(ended.run.logical_date, failed.run.logical_date);
    assert_eq!(ended.run.parameters, failed.run.parameters);
    assert_eq!(ended.run.restart_of.as_deref(), Some(first.id.as_str()));
    let ran: Vec<_> = ended.statements.iter().map(|statement| statement.name.job.as_str()).collect();
    assert_eq!(ran, ["broken.sql", "last.sql"]);
    for job in ["first.sql", "good.sql"] {
        assert_eq!(ended.job(job).reused_from.as_deref(), Some(first.id.as_str()), "{job}");
        assert_eq!(ended.job(job).statement_id, failed.job(job).statement_id, "{job}");
    }
    let hash = |job: &shiftwork_protocol::JobRecord| job.plan.work.script().map(|script| script.sha256.clone());
    assert_eq!(ended.job("broken.sql").script_was, hash(failed.job("broken.sql")));
    assert_ne!(ended.job("broken.sql").script_was, hash(ended.job("broken.sql")));
    assert_eq!(ended.job("last.sql").script_was, None);
    // The job `good.sql` was reused: its record has the text that ran, and says that there is another one now.
    assert_eq!(hash(ended.job("good.sql")), hash(failed.job("good.sql")));
    assert!(ended.job("good.sql").script_now.is_some());
    assert_eq!(ended.job("first.sql").script_now, None);

    let refusal = flow.request(json!({ "restart_of": second.id })).await.unwrap_err();
    assert!(refusal.message.contains("nothing to restart"), "{refusal:?}");
    let refusal = flow.request(json!({ "restart_of": first.id, "parameters": { "n": 1 } })).await.unwrap_err();
    assert!(refusal.message.contains("uses the parameters"), "{refusal:?}");
}
