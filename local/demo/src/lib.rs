//! The demo: pushes `workflows/`, runs four of them, checks the results in the database, and writes reports.
//!
//! It uses the functions of the command line.

mod change_data;
mod database;
mod landing;
mod shop;
mod workflows;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use console::style;
use shiftwork_cli::{
    Deployment,
    args::Target,
    check::{Checked, check},
    files, push, report,
    table::{Column, Table},
    validate,
    wait::Snapshot,
    words,
};

pub use change_data::change_data;
pub use landing::landing;
pub use workflows::Demo;

/// Directory of the workflows, relative to the root of the repository.
const WORKFLOWS: &str = "workflows";
/// Output directory of the reports.
const REPORTS: &str = "target/demo";

/// Runs the demo. Fails if a result is not as expected.
pub async fn demo() -> anyhow::Result<()> {
    let stack = std::env::var("SHIFTWORK_STACK").unwrap_or_else(|_| "shiftwork".into());
    let deployment = Deployment::find(&Target { stack, ..Target::default() }).await?;
    let database = database::Database::connect().await?;
    fs::create_dir_all(REPORTS).with_context(|| format!("cannot create {REPORTS}"))?;

    heading("push", "update the deployment from workflows/");
    let changes = push_workflows(&deployment, &read(&files::script)?).await?;
    print!("{changes}");

    let mut demo = Demo { deployment, database, runs: Vec::new() };
    demo.blog().await?;
    demo.yearly_sales().await?;
    demo.nightly().await?;
    demo.fix_and_restart().await?;

    println!("\n{}", table(&demo));
    println!("reports (open in a browser):");
    for (_, report) in &demo.runs {
        println!("  {}", fs::canonicalize(report).unwrap_or_else(|_| report.clone()).display());
    }
    Ok(())
}

fn heading(name: &str, words: &str) {
    println!("\n{} {words}", style(name).bold().underlined());
}

/// Reads and checks all workflows; `read_script` may replace scripts.
fn read(read_script: &shiftwork_cli::check::ReadScript) -> anyhow::Result<Checked> {
    let checked = check(&files::read(&[PathBuf::from(WORKFLOWS)])?, read_script);
    if !checked.problems.is_empty() {
        eprint!("{}", validate::problems(&checked, console::colors_enabled_stderr()));
        bail!("{}", validate::summary(&checked));
    }
    Ok(checked)
}

/// Pushes the workflows; returns a description of the changes.
async fn push_workflows(deployment: &Deployment, checked: &Checked) -> anyhow::Result<String> {
    let comparison = push::compare(deployment, checked, None, false).await?;
    push::apply(deployment, checked, &comparison).await?;
    Ok(format!("{}{}\n", push::render(&comparison.changes), push::summary(&comparison.changes, false)))
}

/// Writes the report of a run; returns its path.
async fn write_report(deployment: &Deployment, run: &Snapshot, name: &str) -> anyhow::Result<PathBuf> {
    let html = report::of_run(deployment, &run.run.workflow_execution_id).await?;
    let path = Path::new(REPORTS).join(format!("report-{name}.html"));
    fs::write(&path, html).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn table(demo: &Demo) -> Table {
    let mut table = Table::new([
        Column::name("run"),
        Column::name("status"),
        Column::number("jobs"),
        Column::number("statements"),
        Column::number("duration"),
        Column::number("rows"),
    ]);
    for (run, _) in &demo.runs {
        let reused = run.real_jobs().filter(|job| job.reused_from.is_some()).count();
        let jobs = match reused {
            0 => run.real_jobs().count().to_string(),
            reused => format!("{} ({reused} reused)", run.real_jobs().count()),
        };
        let time = words::run_duration(&run.run, demo.deployment.clock.now()).map(words::duration);
        table.row([
            run.run.workflow_execution_id.clone(),
            run.run.execution_status.to_string(),
            jobs,
            run.statements().to_string(),
            time.unwrap_or_default(),
            words::count(run.rows()),
        ]);
    }
    table
}
