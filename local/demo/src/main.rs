//! The demos, on the local stack that `make up` starts. `make demo` runs four workflows, `make demo-cdc`
//! (`shiftwork-demo change-data`) loads the change stream of a shop, `make demo-files` (`shiftwork-demo files`) loads a
//! thousand files.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let demo = match std::env::args().nth(1).as_deref() {
        None => shiftwork_demo::demo().await,
        Some("change-data") => shiftwork_demo::change_data().await,
        Some("files") => shiftwork_demo::landing().await,
        Some(other) => Err(anyhow::anyhow!("unknown demo `{other}`: use `change-data`, `files` or no argument")),
    };
    match demo {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} {error:#}", console::style("the demo failed:").for_stderr().red().bold());
            ExitCode::FAILURE
        }
    }
}
