//! The ports of shiftwork over AWS: the client configuration, the runtime of a Lambda function, and one adapter per
//! port, each with a Cargo feature of its name.
//!
//! Every adapter is made from the [`aws_config::SdkConfig`] of [`client::Aws`]. No other type of the AWS SDKs is part
//! of this crate's interface.

pub mod client;
pub mod environment;
pub mod lambda;

#[cfg(feature = "configuration")]
pub mod configuration;
#[cfg(feature = "executions")]
pub mod executions;
#[cfg(feature = "files")]
pub mod files;
#[cfg(feature = "ledger")]
pub mod ledger;
#[cfg(feature = "notices")]
pub mod notices;
#[cfg(feature = "objects")]
pub mod objects;
#[cfg(feature = "queues")]
pub mod queues;
#[cfg(feature = "rules")]
pub mod rules;
#[cfg(feature = "sweeps")]
pub mod sweeps;
#[cfg(feature = "tokens")]
pub mod tokens;
#[cfg(feature = "warehouse")]
pub mod warehouse;

#[cfg(any(
    feature = "configuration",
    feature = "executions",
    feature = "files",
    feature = "ledger",
    feature = "notices",
    feature = "objects",
    feature = "queues",
    feature = "rules",
    feature = "sweeps",
    feature = "tokens",
    feature = "warehouse",
))]
mod failures;

/// An error and its causes, in one line.
pub fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    words
}
