//! Retries after transaction conflicts. Of two invocations that write an item concurrently, DynamoDB refuses one. The
//! SDK does not retry such a call.

use std::{future::Future, time::Duration};

use shiftwork_ports::Result;
use shiftwork_protocol::FailureKind;

/// Maximum number of tries of a write. A conflict ends within milliseconds. After throttling, the SDK has already
/// retried with its own backoff.
const TRIES: u32 = 5;
/// Maximum wait before the second try. It doubles with every try, and each wait is a random part of it.
const FIRST_WAIT: Duration = Duration::from_millis(25);

/// Repeats a conditional write that failed with [`FailureKind::Throttled`]. Returns the last failure.
pub(super) async fn with_retries<T, F: Future<Output = Result<T>>>(write: impl Fn() -> F) -> Result<T> {
    let mut longest = FIRST_WAIT;
    for _ in 1..TRIES {
        match write().await {
            Err(failure) if failure.kind == FailureKind::Throttled => {
                tracing::debug!(failure = failure.kind.name(), "retrying a write after a conflict: {failure}");
                tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
                longest *= 2;
            }
            done => return done,
        }
    }
    write().await
}
