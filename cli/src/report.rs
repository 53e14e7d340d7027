//! `shiftwork report`: a run as one self-contained HTML file, which needs no network.

mod flow;
mod graph;
mod sql;
mod timeline;
mod view;

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use minijinja::{AutoEscape, Environment, syntax::SyntaxConfig, value::Serde};
use shiftwork_protocol::{JobRecord, ScriptPin};

pub use view::Scripts;

use crate::{
    Deployment, Outcome, args,
    wait::{self, Snapshot},
};

/// Number of scripts that are read concurrently.
const AT_ONCE: usize = 8;

/// Writes the report of a run to a file.
pub async fn report(deployment: &Deployment, asked: &args::Report) -> anyhow::Result<Outcome> {
    let html = of_run(deployment, &asked.run).await?;
    let path = asked.output.clone().unwrap_or_else(|| PathBuf::from(format!("report-{}.html", asked.run)));
    fs::write(&path, html).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(Outcome::Done)
}

/// The report of a run of a deployment, as HTML.
pub async fn of_run(deployment: &Deployment, run: &str) -> anyhow::Result<String> {
    let run = wait::snapshot(&*deployment.ledger, run).await?.with_context(|| format!("run {run} does not exist"))?;
    let pins: Vec<(String, ScriptPin)> = run.jobs.iter().filter_map(pin).collect();
    let scripts = stream::iter(pins).map(async |(job, pin)| {
        let text = shiftwork_ports::scripts::pinned(&deployment.scripts, &pin).await.map_err(|failure| failure.message);
        (job, text)
    });
    let scripts: Scripts = scripts.buffer_unordered(AT_ONCE).collect().await;
    render(&run, &scripts, deployment.clock.now())
}

fn pin(job: &JobRecord) -> Option<(String, ScriptPin)> {
    Some((job.plan.job_name.clone(), job.plan.work.script()?.clone()))
}

/// The report of a run as HTML, from its records and the texts of its scripts.
pub fn render(run: &Snapshot, scripts: &Scripts, now: Timestamp) -> anyhow::Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_template("report", include_str!("report/report.html"))?;
    environment.add_template("style", include_str!("report/report.css"))?;
    environment.add_template("graph", include_str!("report/graph.svg"))?;
    environment.add_template("timeline", include_str!("report/timeline.html"))?;
    let page = view::page(run, scripts, now);
    Ok(environment.get_template("report")?.render(Serde(&page))?)
}

#[cfg(test)]
mod tests;
