use shiftwork_protocol::payload::RunInput;

use super::fresh;
use crate::{Execution, Executions};

/// Checks [`Executions`]. The state machine must run until it is stopped.
pub async fn executions(executions: &dyn Executions) {
    let run = fresh("run");
    let input = RunInput { workflow_execution_id: run.clone() };
    assert_eq!(executions.state(&run).await, Ok(None), "never started");
    assert_eq!(executions.stop(&run, "too early").await, Ok(()), "an execution that does not exist needs no stop");
    for _ in 0..2 {
        assert_eq!(executions.start(&input).await, Ok(()));
        assert_eq!(executions.state(&run).await, Ok(Some(Execution::Running)));
    }
    // Step Functions allows 32,768 characters, so the adapter truncates the cause.
    let cause = format!("by hand {}", "x".repeat(40_000));
    assert_eq!(executions.stop(&run, &cause).await, Ok(()));
    let closed = executions.state(&run).await.unwrap();
    let Some(Execution::Closed { reason }) = &closed else { panic!("{run} was stopped and is {closed:?}") };
    assert!(reason.starts_with("ABORTED: ") && reason.contains("by hand"), "{reason}");
    assert_eq!(executions.stop(&run, "again").await, Ok(()), "an execution that has ended needs no stop");
    assert_eq!(executions.start(&input).await, Ok(()), "an execution that has ended was started");
    assert_eq!(executions.state(&run).await, Ok(closed), "and is not started again");
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn the_executions_in_memory_conform() {
        super::executions(&crate::fake::MemoryExecutions::default()).await;
    }
}
