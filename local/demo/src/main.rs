//! The demos, on a laptop's AWS that `make up` started. `make demo`: three runs through everything that a workflow is;
//! `make demo-cdc` (`shiftwork-demo change-data`): the change stream of a shop; `make demo-files` (`shiftwork-demo files`): a
//! thousand files.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let demo = match std::env::args().nth(1).as_deref() {
        None => shiftwork_demo::demo().await,
        Some("change-data") => shiftwork_demo::change_data().await,
        Some("files") => shiftwork_demo::landing().await,
        Some(other) => {
            Err(anyhow::anyhow!("there is no demo `{other}`: leave it out, or write `change-data` or `files`"))
        }
    };
    match demo {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} {error:#}", console::style("the demo failed:").for_stderr().red().bold());
            ExitCode::FAILURE
        }
    }
}
