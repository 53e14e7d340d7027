//! `TransactWriteItems`: all or nothing, and for each condition that failed the item that made it fail.

use aws_sdk_dynamodb::{
    error::BuildError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{CancellationReason, TransactWriteItem},
};
use shiftwork_ports::Result;
use shiftwork_protocol::{Failure, FailureKind};

use super::{DynamoLedger, Item, patience::patiently};
use crate::failures::Call;

/// What became of a transaction.
#[derive(Debug)]
pub(super) enum Transacted {
    /// All of it is written.
    Done,
    /// At least one condition failed, and nothing is written.
    Refused(Refusal),
}

/// Why nothing was written, by the position of each action.
#[derive(Debug)]
pub(super) struct Refusal(Vec<CancellationReason>);

impl Refusal {
    /// The item that failed the condition of the action at this position, if that one failed; an inner `None` when there
    /// was no item.
    #[allow(clippy::option_option, reason = "whether it failed, and on what")]
    pub(super) fn of(&mut self, position: usize) -> Option<Option<Item>> {
        let reason = self.0.get_mut(position)?;
        (reason.code.as_deref() == Some(CONDITION)).then(|| reason.item.take())
    }
}

/// Codes of `CancellationReason`, as the reference of `TransactWriteItems` lists them.
const NONE: &str = "None";
const CONDITION: &str = "ConditionalCheckFailed";
const CONFLICT: [&str; 3] = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];

impl DynamoLedger {
    /// Writes 1 to 100 actions. `what` names them in a failure.
    pub(super) async fn transact(&self, what: &str, actions: Vec<TransactWriteItem>) -> Result<Transacted> {
        let call = Call::new("DynamoDB TransactWriteItems", what);
        let write = self.client.transact_write_items().set_transact_items(Some(actions));
        patiently(|| async {
            match write.clone().send().await {
                Ok(_) => Ok(Transacted::Done),
                Err(error) => match error.as_service_error() {
                    Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                        judge(call, cancelled.cancellation_reasons().to_vec())
                    }
                    Some(_) | None => Err(call.failed(error)),
                },
            }
        })
        .await
    }
}

/// A conflict outweighs a failed condition: beside it we do not know whether the other conditions would have held.
fn judge(call: Call<'_>, reasons: Vec<CancellationReason>) -> Result<Transacted> {
    let has = |codes: &[&str]| reasons.iter().any(|reason| reason.code().is_some_and(|code| codes.contains(&code)));
    if has(&CONFLICT) {
        return Err(call.failure(FailureKind::Throttled, words(&reasons)));
    }
    if has(&[CONDITION]) {
        return Ok(Transacted::Refused(Refusal(reasons)));
    }
    Err(call.failure(FailureKind::Refused, words(&reasons)))
}

fn words(reasons: &[CancellationReason]) -> String {
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

/// An action that lacks what the SDK demands of it: a mistake in this crate.
#[allow(clippy::needless_pass_by_value, reason = "stands in `map_err`")]
pub(super) fn incomplete(error: BuildError) -> Failure {
    Failure::new(FailureKind::Refused, format!("DynamoDB TransactWriteItems: an action is incomplete: {error}"))
}
