//! State machines and functions of the benchmark, for the floor and the peer. They are deleted at the end.

use std::io::{Cursor, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{FunctionCode, Runtime};
use jiff::Timestamp;
use serde_json::Value;
use zip::write::SimpleFileOptions;

use crate::stack::Stack;

/// A function or state machine that the benchmark created.
#[derive(Debug, Clone)]
pub struct Made {
    arn: String,
}

impl Made {
    /// ARN of the resource.
    pub fn arn(&self) -> &str {
        &self.arn
    }
}

/// Deploys a binary of this crate, from the directory of the running program, as a function with an existing role.
///
/// # Errors
/// Returns an error if the binary was not built.
pub async fn function(stack: &Stack, name: &str, binary: &str, role: &str) -> Result<Made> {
    let directory = std::env::current_exe()?
        .parent()
        .map(Path::to_path_buf)
        .context("the path of this program has no parent directory")?;
    let path = directory.join(binary);
    let program = std::fs::read(&path).with_context(|| {
        format!(
            "{} does not exist: build it with `cargo build -p shiftwork-benches --bins` and the profile of this run",
            path.display()
        )
    })?;
    // Delete the function of an interrupted benchmark.
    let _ = stack.functions.delete_function().function_name(name).send().await;
    let create = stack
        .functions
        .create_function()
        .function_name(name)
        .runtime(Runtime::Providedal2023)
        .handler("bootstrap")
        .role(role)
        .timeout(60)
        .code(FunctionCode::builder().zip_file(Blob::new(package(&program)?)).build());
    let made = create.send().await.with_context(|| format!("creating function {name}"))?;
    Ok(Made { arn: made.function_arn.context("the new function has no ARN")? })
}

fn package(program: &[u8]) -> Result<Vec<u8>> {
    let mut package = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options =
        SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored).unix_permissions(0o755);
    package.start_file("bootstrap", options)?;
    package.write_all(program)?;
    Ok(package.finish()?.into_inner())
}

/// Creates a state machine.
pub async fn machine(stack: &Stack, name: &str, definition: &Value, role: &str) -> Result<Made> {
    let create = stack.states.create_state_machine().name(name).definition(definition.to_string()).role_arn(role);
    let made = create.send().await.with_context(|| format!("creating state machine {name}"))?;
    Ok(Made { arn: made.state_machine_arn })
}

/// Runs a state machine; returns the time of its end.
pub async fn execute(stack: &Stack, machine: &Made, name: &str) -> Result<Timestamp> {
    let start = stack.states.start_execution().state_machine_arn(machine.arn()).name(name).input("{}");
    let started = start.send().await.with_context(|| format!("starting {name}"))?;
    stack.ended(&started.execution_arn).await
}

/// Deletes a state machine.
pub async fn remove_machine(stack: &Stack, machine: &Made) -> Result<()> {
    stack
        .states
        .delete_state_machine()
        .state_machine_arn(machine.arn())
        .send()
        .await
        .context("deleting a state machine")?;
    Ok(())
}

/// Deletes a function.
pub async fn remove_function(stack: &Stack, function: &Made) -> Result<()> {
    stack.functions.delete_function().function_name(function.arn()).send().await.context("deleting a function")?;
    Ok(())
}
