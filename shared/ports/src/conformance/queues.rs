use std::time::Duration;

use shiftwork_protocol::{FailureKind, payload::RunRequest};

use super::fresh;
use crate::{DEAD_LETTER_BYTES, DeadLetters, Requests};

/// Checks [`Requests`]. `receive` waits for the next request of the queue, and returns all requests that have arrived.
pub async fn requests(requests: &dyn Requests, receive: impl AsyncFn() -> Vec<RunRequest>) {
    let request = |run: &str| -> RunRequest {
        serde_json::from_value(serde_json::json!({
            "workflow_id": "w", "workflow_execution_id": run, "parameters": {"day": "2026-03-01", "n": 7},
            "logical_date": "2026-03-01T02:00:00.000Z",
        }))
        .unwrap()
    };
    let (now, soon) = (request(&fresh("now")), request(&fresh("soon")));
    assert_eq!(requests.request(&now, Duration::ZERO).await, Ok(()));
    assert_eq!(receive().await, std::slice::from_ref(&now));
    assert_eq!(requests.request(&soon, Duration::from_millis(1)).await, Ok(()), "a fraction of a second");
    assert_eq!(receive().await, [soon]);
    assert_eq!(
        requests.request(&now, Duration::from_hours(1)).await,
        Ok(()),
        "longer than the maximum delay of a message"
    );
}

/// Checks [`DeadLetters`]. `receive` waits until the queue has the given number of messages, and returns them.
pub async fn dead_letters(dead_letters: &dyn DeadLetters, receive: impl AsyncFn(usize) -> Vec<String>) {
    assert_eq!(dead_letters.put(&[]).await, Ok(()), "none");
    // More than one call can have, in number and in bytes.
    let mut messages: Vec<String> = (0..12).map(|n| format!("{{\"letter\":{n}}}")).collect();
    messages.extend(["a", "b"].map(|message| message.repeat(DEAD_LETTER_BYTES)));
    assert_eq!(dead_letters.put(&messages).await, Ok(()));
    let mut received = receive(messages.len()).await;
    received.sort();
    received.dedup();
    messages.sort();
    assert_eq!(received, messages);
    let refused = dead_letters.put(&["ok".into(), "x".repeat(DEAD_LETTER_BYTES + 1)]).await;
    assert_eq!(refused.unwrap_err().kind, FailureKind::Refused, "above the maximum size of a message");
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::fake::{MemoryDeadLetters, MemoryRequests};

    #[tokio::test]
    async fn the_requests_in_memory_conform() {
        let memory = MemoryRequests::default();
        let seen = Cell::new(0);
        let receive = async || {
            let asked = memory.requests();
            asked[seen.replace(asked.len())..].iter().map(|(request, _)| request.clone()).collect()
        };
        requests(&memory, receive).await;
    }

    #[tokio::test]
    async fn the_dead_letters_in_memory_conform() {
        let memory = MemoryDeadLetters::default();
        dead_letters(&memory, async |_| memory.messages()).await;
    }
}
