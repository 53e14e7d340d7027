//! `make demo`: three runs through everything that shiftwork is, on a laptop's AWS that `make up` started.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match shiftwork_demo::demo().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} {error:#}", console::style("the demo failed:").for_stderr().red().bold());
            ExitCode::FAILURE
        }
    }
}
