//! `shiftwork`: see `shiftwork --help`.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shiftwork_cli::main().await
}
