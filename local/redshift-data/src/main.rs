//! The `redshift-data` server: see README.md of this crate.

use std::io::Write;

use clap::Parser;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let levels = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn,redshift_data=info".into());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(lines).with(levels.parse::<Targets>()?).init();
    let running = redshift_data::start(redshift_data::Config::parse()).await?;
    // The parent process reads the port from this line.
    println!("listening on http://{}", running.address);
    std::io::stdout().flush()?;
    tokio::select! {
        () = running.join() => {}
        signal = tokio::signal::ctrl_c() => signal?,
    }
    Ok(())
}
