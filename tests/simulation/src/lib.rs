//! Runs random workflows through the real handlers over the in-memory ports, with random faults.
//!
//! - `chains`: the properties of runs that events start.
//! - `faults`: every call of a port can stop its caller before or after the call, fail, or lose its result.
//! - `files`: the properties of file loads.
//! - `lines`: the log lines of runs.
//! - `loads`: the properties of loads of change data.
//! - `machine`: Step Functions, EventBridge and Redshift, as far as a run uses them.
//! - `requests`: requests that are refused and restarted, and logical dates.
//! - `sweeps`: the properties of sweeps of large runs.
//! - `secrets`: where the values of secret parameters are.
//! - `tests`: the properties that hold for every run.
//!
//! The fakes complete at once. A handler that is still pending after one poll was stopped by a fault.
#![cfg(test)]

mod chains;
mod faults;
mod files;
mod lines;
mod loads;
mod machine;
mod requests;
mod secrets;
mod sweeps;
mod tests;
