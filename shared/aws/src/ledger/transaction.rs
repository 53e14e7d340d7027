//! `TransactWriteItems`: all or nothing. DynamoDB returns the item of each condition that failed.

use aws_sdk_dynamodb::{
    error::BuildError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{CancellationReason, TransactWriteItem},
};
use shiftwork_ports::Result;
use shiftwork_protocol::{Failure, FailureKind};

use super::{DynamoLedger, Item, retries::with_retries};
use crate::failures::Call;

/// The result of a transaction.
#[derive(Debug)]
pub(super) enum Transacted {
    /// All actions were written.
    Done,
    /// At least one condition failed, and nothing was written.
    Refused(Refusal),
}

/// The reasons why a transaction was cancelled, one for each action.
#[derive(Debug)]
pub(super) struct Refusal(Vec<CancellationReason>);

impl Refusal {
    /// The item that did not meet the condition of the action at this index; the inner `None` if the item does not
    /// exist, the outer `None` if the condition was met.
    #[allow(clippy::option_option, reason = "whether it failed, and on what")]
    pub(super) fn of(&mut self, position: usize) -> Option<Option<Item>> {
        let reason = self.0.get_mut(position)?;
        (reason.code.as_deref() == Some(CONDITION)).then(|| reason.item.take())
    }
}

/// Codes of `CancellationReason` (reference of `TransactWriteItems`).
const NONE: &str = "None";
const CONDITION: &str = "ConditionalCheckFailed";
const CONFLICT: [&str; 3] = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];

impl DynamoLedger {
    /// Writes 1 to 100 actions. `what` describes them in failures.
    pub(super) async fn transact(&self, what: &str, actions: Vec<TransactWriteItem>) -> Result<Transacted> {
        let call = Call::new("DynamoDB TransactWriteItems", what);
        let write = self.client.transact_write_items().set_transact_items(Some(actions));
        with_retries(|| async {
            match write.clone().send().await {
                Ok(_) => Ok(Transacted::Done),
                Err(error) => match error.as_service_error() {
                    Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                        classify(call, cancelled.cancellation_reasons().to_vec())
                    }
                    Some(_) | None => Err(call.failed(error)),
                },
            }
        })
        .await
    }
}

/// Converts the reasons of a cancellation. A conflict takes precedence over a failed condition, because with a conflict
/// DynamoDB does not evaluate all conditions.
fn classify(call: Call<'_>, reasons: Vec<CancellationReason>) -> Result<Transacted> {
    let has = |codes: &[&str]| reasons.iter().any(|reason| reason.code().is_some_and(|code| codes.contains(&code)));
    if has(&CONFLICT) {
        return Err(call.failure(FailureKind::Throttled, message(&reasons)));
    }
    if has(&[CONDITION]) {
        return Ok(Transacted::Refused(Refusal(reasons)));
    }
    Err(call.failure(FailureKind::Refused, message(&reasons)))
}

fn message(reasons: &[CancellationReason]) -> String {
    let reasons: Vec<_> = reasons
        .iter()
        .enumerate()
        .filter_map(|(position, reason)| {
            let code = reason.code().filter(|code| *code != NONE)?;
            Some(format!("action {}: {code}: {}", position + 1, reason.message().unwrap_or("without a message")))
        })
        .collect();
    format!("TransactionCanceledException: {}", reasons.join("; "))
}

/// Converts an action that lacks a field which the SDK requires, which is a bug in this crate.
#[allow(clippy::needless_pass_by_value, reason = "stands in `map_err`")]
pub(super) fn incomplete(error: BuildError) -> Failure {
    Failure::new(FailureKind::Refused, format!("DynamoDB TransactWriteItems: an action is incomplete: {error}"))
}
