//! Transaction conflicts: two invocations touched one item in the same moment, and DynamoDB let one pass. The SDK does
//! not repeat such a call by itself; a moment later it goes through.

use std::{future::Future, time::Duration};

use shiftwork_ports::Result;
use shiftwork_protocol::FailureKind;

/// Tries of one write. A conflict is over within milliseconds; a shortage of throughput is not, and the SDK has slept
/// through several of its own backoffs by then.
const TRIES: u32 = 5;
/// Longest wait before the second try; it doubles with every further one, and each wait is a random part of it.
const FIRST_WAIT: Duration = Duration::from_millis(25);

/// Repeats a conditional write that was throttled. The last failure is the caller's.
pub(super) async fn patiently<T, F: Future<Output = Result<T>>>(write: impl Fn() -> F) -> Result<T> {
    let mut longest = FIRST_WAIT;
    for _ in 1..TRIES {
        match write().await {
            Err(failure) if failure.kind == FailureKind::Throttled => {
                tracing::debug!(%failure, "again in a moment");
                tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
                longest *= 2;
            }
            done => return done,
        }
    }
    write().await
}
