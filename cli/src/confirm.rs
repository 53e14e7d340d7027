//! Asks the user before something is changed that cannot be changed back.

use std::io::IsTerminal as _;

use anyhow::bail;

/// Asks a question on the standard error, and returns true if the reply is yes.
///
/// # Errors
/// The standard input is not a terminal. `without` says what `--yes` does, as in `delete them`.
pub(crate) fn confirmed(question: &str, without: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("the standard input is not a terminal: use --yes to {without} without confirmation");
    }
    eprint!("{question} [y/N] ");
    let mut reply = String::new();
    std::io::stdin().read_line(&mut reply)?;
    Ok(matches!(reply.trim(), "y" | "Y" | "yes"))
}
