//! The three acts, each with what must hold when it is over.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use console::style;
use shiftwork_cli::{
    Deployment, files, restart,
    run::new_id,
    wait::{Pace, Snapshot, until_end},
    words,
};
use shiftwork_protocol::{Status, payload::RunRequest};

use crate::{database::Database, heading, push_workflows, read, write_report};

/// The emulator's jobs take a second or two.
const PACE: Pace = Pace { busy: Duration::from_millis(300), quiet: Duration::from_secs(2) };
/// What a run of the demo may take before something is stuck.
const PATIENCE: Duration = Duration::from_mins(5);

/// Fewer would prove little.
const LINE_ITEMS: i64 = 100_000;

/// What the demo plays on, and what it has played.
pub struct Stage {
    /// Where shiftwork is deployed.
    pub deployment: Deployment,
    pub(crate) database: Database,
    /// Every run, with its report.
    pub programme: Vec<(Snapshot, PathBuf)>,
}

impl Stage {
    /// Three stages, six scripts, four rows.
    pub(crate) async fn blog(&mut self) -> anyhow::Result<()> {
        heading("blog_test_workflow", "three stages, six scripts");
        let run = self.run("blog_test_workflow", "demo_test").await?;
        expect(&run, Status::Succeeded)?;
        let rows = self.database.texts("SELECT data::text FROM rsql_blog.blog_table ORDER BY id").await?;
        ensure!(rows == ["row 1", "row 2", "row 3", "row 4"], "rsql_blog.blog_table holds {rows:?}, and not four rows");
        done("rsql_blog.blog_table holds its four rows");
        self.keep(run, "blog_test_workflow").await
    }

    /// Staging, dimensions side by side, the fact.
    pub(crate) async fn yearly_sales(&mut self) -> anyhow::Result<()> {
        heading("yearly_sales", "staging tables, dimensions side by side, the fact");
        let run = self.run("yearly_sales", "yearly_sales").await?;
        expect(&run, Status::Succeeded)?;
        let items = self.database.count("SELECT COUNT(*) FROM stg.lineitem").await?;
        let facts = self.database.count("SELECT COUNT(*) FROM dwh.fact_yearly_sale").await?;
        let counted =
            self.database.count("SELECT COALESCE(SUM(line_items), 0)::bigint FROM dwh.fact_yearly_sale").await?;
        ensure!(items >= LINE_ITEMS, "stg.lineitem holds {items} line items, expected at least {LINE_ITEMS}");
        ensure!(
            facts > 0 && counted == items,
            "dwh.fact_yearly_sale sums {counted} line items up, and there are {items}"
        );
        done(&format!(
            "dwh.fact_yearly_sale sums {} line items up in {} rows",
            words::count(items),
            words::count(facts)
        ));
        self.keep(run, "yearly_sales").await
    }

    /// A script fails, is mended, and the run goes on from there.
    pub(crate) async fn mend_and_restart(&mut self) -> anyhow::Result<()> {
        heading("fix_me", "a script fails, is mended, and the run is restarted");
        let failed = self.run("fix_me", "fix_me").await?;
        expect(&failed, Status::Failed)?;
        expect_jobs(
            &failed,
            &[
                ("create_tables.sql", Status::Succeeded),
                ("load_products.sql", Status::Succeeded),
                ("load_orders.sql", Status::Failed),
                ("order_totals.sql", Status::Skipped),
            ],
        )?;
        let error = failed.run.error_message.clone().context("a run that failed must say why")?;
        println!("{} {error}", style("as it should, it failed:").yellow());
        let earlier = failed.run.workflow_execution_id.clone();
        self.keep(failed, "fix_me").await?;

        heading("fix_me", "the mended script is pushed, and the run restarted");
        let mended = read(&|path: &Path| files::script(&if_broken(path)))?;
        print!("{}", push_workflows(&self.deployment, &mended).await?);
        let request = restart::request(&self.deployment, &earlier, None).await?;
        let run = self.follow(&request).await?;
        expect(&run, Status::Succeeded)?;
        let reused: Vec<_> =
            run.real_jobs().filter(|job| job.reused_from.is_some()).map(|job| job.plan.job_name.as_str()).collect();
        ensure!(reused == ["create_tables.sql", "load_products.sql"], "the restart reused {reused:?}");
        let changed = run.real_jobs().filter(|job| job.script_was.is_some()).map(|job| job.plan.job_name.as_str());
        ensure!(changed.eq(["load_orders.sql"]), "the audit must say that load_orders.sql, and it alone, was changed");
        let totals = self.database.count("SELECT COUNT(*) FROM fix_me.order_total").await?;
        ensure!(totals == 3, "fix_me.order_total holds {totals} rows, expected 3");
        done("what had succeeded was reused, the rest ran, and fix_me.order_total holds its three rows");
        self.keep(run, "fix_me-restarted").await
    }

    async fn run(&self, workflow_id: &str, name: &str) -> anyhow::Result<Snapshot> {
        let request = RunRequest {
            workflow_id: workflow_id.into(),
            workflow_execution_id: Some(new_id(name, self.deployment.clock.now())),
            ..RunRequest::default()
        };
        self.follow(&request).await
    }

    /// Asks for a run and watches it to its end.
    async fn follow(&self, request: &RunRequest) -> anyhow::Result<Snapshot> {
        let answer = self.deployment.trigger.request(request).await?;
        let id = &answer.workflow_execution_id;
        println!("{id}");
        let end = until_end(&*self.deployment.ledger, &*self.deployment.clock, id, PACE);
        let run = tokio::time::timeout(PATIENCE, end).await.with_context(|| {
            format!(
                "{id} has not ended within {} s: target/local/log says what the laptop's AWS did",
                PATIENCE.as_secs()
            )
        })??;
        Ok(run)
    }

    async fn keep(&mut self, run: Snapshot, name: &str) -> anyhow::Result<()> {
        let report = write_report(&self.deployment, &run, name).await?;
        self.programme.push((run, report));
        Ok(())
    }
}

/// The mended script in the place of the broken one.
fn if_broken(path: &Path) -> PathBuf {
    let broken = Path::new("fix_me").join("load_orders.sql");
    if path.ends_with(broken) { path.with_file_name("fixed").join("load_orders.sql") } else { path.to_owned() }
}

fn done(words: &str) {
    println!("{} {words}", style("✔").green());
}

fn expect(run: &Snapshot, status: Status) -> anyhow::Result<()> {
    let id = &run.run.workflow_execution_id;
    let found = run.run.execution_status;
    let why = run.run.error_message.as_deref().unwrap_or("no message was recorded");
    ensure!(found == status, "{id} is {found}, expected {status}: {why}");
    Ok(())
}

fn expect_jobs(run: &Snapshot, expected: &[(&str, Status)]) -> anyhow::Result<()> {
    for (name, status) in expected {
        let found = run.real_jobs().find(|job| job.plan.job_name == *name).map(|job| job.execution_status);
        ensure!(found == Some(*status), "{name} is {found:?}, expected {status}");
    }
    Ok(())
}
