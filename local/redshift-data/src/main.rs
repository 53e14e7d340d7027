//! `redshift-data`: see the README beside this crate.

use std::io::Write;

use clap::Parser;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,redshift_data=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let running = redshift_data::start(redshift_data::Config::parse()).await?;
    // Whoever started this program reads the port from the line.
    println!("listening on http://{}", running.address);
    std::io::stdout().flush()?;
    tokio::select! {
        () = running.join() => {}
        signal = tokio::signal::ctrl_c() => signal?,
    }
    Ok(())
}
