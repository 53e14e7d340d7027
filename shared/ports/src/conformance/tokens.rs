use serde_json::{Value, json};
use shiftwork_protocol::{Failure, FailureKind, Status, payload::JobEnd};

use crate::{PAUSE, PROCEED, TaskTokens, WAIT};

/// The end of a task that waited for its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEnd {
    /// The task succeeded with this output.
    Succeeded(Value),
    /// The task failed with an error of this name.
    Failed(String),
}

/// Checks [`TaskTokens`]. `open` starts a task and returns its token; `end_of` waits until the task of a token ends.
pub async fn task_tokens(
    tokens: &dyn TaskTokens,
    open: impl AsyncFn() -> String,
    end_of: impl AsyncFn(&str) -> TaskEnd,
) {
    let end = JobEnd { job_name: "load.sql".into(), execution_status: Status::Failed };
    let failure = Failure::new(FailureKind::SerializationConflict, "x".repeat(40_000));
    let failed = |name: &str| TaskEnd::Failed(name.into());
    let expected = [
        TaskEnd::Succeeded(json!({})),
        TaskEnd::Succeeded(json!({ "job_name": "load.sql", "execution_status": "FAILED" })),
        failed(FailureKind::SerializationConflict.name()),
        failed(PROCEED),
        failed(PAUSE),
        failed(WAIT),
    ];
    let say = async |call: usize, token: &str| match call {
        0 => tokens.release(token).await,
        1 => tokens.end(token, &end).await,
        2 => tokens.fail(token, &failure).await,
        3 => tokens.proceed(token).await,
        4 => tokens.pause(token, super::minute(0)).await,
        _ => tokens.wait(token).await,
    };
    let expected_calls = expected.len();
    for (call, expected) in expected.iter().enumerate() {
        let token = open().await;
        assert_eq!(say(call, &token).await, Ok(()), "call {call}");
        assert_eq!(end_of(&token).await, *expected, "call {call}");
        for later in 0..expected_calls {
            assert_eq!(say(later, &token).await, Ok(()), "call {later} on a token that call {call} has closed");
        }
        assert_eq!(end_of(&token).await, *expected, "a closed token stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Closed, MemoryTokens};

    #[tokio::test]
    async fn the_tokens_in_memory_conform() {
        let tokens = MemoryTokens::default();
        let end_of = async |token: &str| match tokens.closed_by(token).unwrap() {
            Closed::Release => TaskEnd::Succeeded(json!({})),
            Closed::End(end) => TaskEnd::Succeeded(serde_json::to_value(end).unwrap()),
            Closed::Fail(failure) => TaskEnd::Failed(failure.kind.name().into()),
            Closed::Proceed => TaskEnd::Failed(PROCEED.into()),
            Closed::Pause(_) => TaskEnd::Failed(PAUSE.into()),
            Closed::Wait => TaskEnd::Failed(WAIT.into()),
        };
        task_tokens(&tokens, async || super::super::fresh("token"), end_of).await;
    }
}
