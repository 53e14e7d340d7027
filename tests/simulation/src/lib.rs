//! Runs of random workflows through the real handlers, over the in-memory collaborators, under random bad luck.
//!
//! - [`chaos`]: every call to a collaborator may kill the caller before or after it, or lose its answer;
//! - [`machine`]: Step Functions, EventBridge and Redshift as far as a run meets them;
//! - [`tests`]: what must hold, whatever happened.
//!
//! Nothing here waits: the fakes answer at once, so a handler that is still pending after one poll was killed.
#![cfg(test)]

mod chaos;
mod files;
mod loads;
mod machine;
mod tests;
