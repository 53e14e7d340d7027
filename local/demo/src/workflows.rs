//! The four parts of the demo, each with the conditions that must hold at its end.

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
use shiftwork_protocol::{SkipReason, Status, payload::RunRequest};

use crate::{database::Database, heading, push_workflows, read, write_report};

/// Poll interval; the jobs take about two seconds on the local stack.
const PACE: Pace = Pace { busy: Duration::from_millis(300), quiet: Duration::from_secs(2) };
/// Maximum duration of a run of the demo.
const MAX_WAIT: Duration = Duration::from_mins(5);

/// Minimum number of line items that yearly_sales must load.
const LINE_ITEMS: i64 = 100_000;

/// The orders of the first night of nightly, in new tables.
const DELIVERY: &str = "
    DROP SCHEMA IF EXISTS nightly CASCADE;
    CREATE SCHEMA nightly;
    CREATE TABLE nightly.delivered_order (
        order_id INTEGER NOT NULL, customer VARCHAR(30) NOT NULL, pieces INTEGER NOT NULL, amount VARCHAR(20) NOT NULL);
    INSERT INTO nightly.delivered_order VALUES (1, 'Ada', 2, '19.90'), (2, 'Ada', -1, '-9.95');
";

/// The state of the demo: its deployment and database, and the runs so far.
pub struct Demo {
    /// The deployment under test.
    pub deployment: Deployment,
    pub(crate) database: Database,
    /// Every run, with the path of its report.
    pub runs: Vec<(Snapshot, PathBuf)>,
}

impl Demo {
    /// Runs blog_test_workflow: three stages, six scripts, four rows.
    pub(crate) async fn blog(&mut self) -> anyhow::Result<()> {
        heading("blog_test_workflow", "three stages, six scripts");
        let run = self.run("blog_test_workflow", "demo_test").await?;
        expect(&run, Status::Succeeded)?;
        let rows = self.database.texts("SELECT data::text FROM rsql_blog.blog_table ORDER BY id").await?;
        ensure!(
            rows == ["row 1", "row 2", "row 3", "row 4"],
            "rsql_blog.blog_table contains {rows:?}, expected four rows"
        );
        done("rsql_blog.blog_table contains four rows");
        self.keep(run, "blog_test_workflow").await
    }

    /// Runs yearly_sales: staging tables, parallel dimensions, fact table.
    pub(crate) async fn yearly_sales(&mut self) -> anyhow::Result<()> {
        heading("yearly_sales", "staging tables, parallel dimensions, fact table");
        let run = self.run("yearly_sales", "yearly_sales").await?;
        expect(&run, Status::Succeeded)?;
        let items = self.database.count("SELECT COUNT(*) FROM stg.lineitem").await?;
        let facts = self.database.count("SELECT COUNT(*) FROM dwh.fact_yearly_sale").await?;
        let counted =
            self.database.count("SELECT COALESCE(SUM(line_items), 0)::bigint FROM dwh.fact_yearly_sale").await?;
        ensure!(items >= LINE_ITEMS, "stg.lineitem contains {items} line items, expected at least {LINE_ITEMS}");
        ensure!(facts > 0 && counted == items, "dwh.fact_yearly_sale counts {counted} line items, expected {items}");
        done(&format!(
            "dwh.fact_yearly_sale counts {} line items in {} rows",
            words::count(items),
            words::count(facts)
        ));
        self.keep(run, "yearly_sales").await
    }

    /// Runs nightly on a night on which all loads succeed, and on one on which a load fails. Then corrects the delivery and
    /// restarts the second run.
    pub(crate) async fn nightly(&mut self) -> anyhow::Result<()> {
        heading("nightly", "a good night: the alarm is not needed, and the stage after it runs");
        self.database.run(DELIVERY).await?;
        let good = self.night("2026-06-30T23:30:00Z").await?;
        expect(&good, Status::Succeeded)?;
        ensure!(skip_reason(&good, "alarm") == Some(SkipReason::ConditionNotMet), "the alarm must not be needed");
        let published = self.database.texts("SELECT day::text FROM nightly.published ORDER BY day").await?;
        ensure!(published == ["2026-07-01"], "nightly.published has {published:?}, expected the day in Berlin");
        done("01:30 on the first of July in Berlin was published as 2026-07-01");
        self.keep(good, "nightly-good").await?;

        heading("nightly", "a bad night: an amount is not a number, and the alarm runs");
        self.database.run("INSERT INTO nightly.delivered_order VALUES (3, 'Ida', 1, 'n/a')").await?;
        let bad = self.night("2026-07-01T23:30:00Z").await?;
        expect(&bad, Status::Failed)?;
        expect_jobs(
            &bad,
            &[
                ("load_customers.sql", Status::Succeeded),
                ("load_orders.sql", Status::Failed),
                ("load_returns.sql", Status::Skipped),
                ("totals", Status::Skipped),
                ("alarm", Status::Succeeded),
                ("publish.sql", Status::Skipped),
            ],
        )?;
        for job in ["load_returns.sql", "totals", "publish.sql"] {
            let reason = skip_reason(&bad, job);
            ensure!(reason == Some(SkipReason::UpstreamFailed), "{job} has the skip reason {reason:?}");
        }
        let alarms = self.database.texts("SELECT day::text FROM nightly.alarm").await?;
        ensure!(alarms == ["2026-07-02"], "nightly.alarm has {alarms:?}, expected one alarm");
        done("nothing was published, and nightly.alarm has one row");
        let earlier = bad.run.workflow_execution_id.clone();
        self.keep(bad, "nightly-bad").await?;

        heading("nightly", "the delivery is corrected, and the run is restarted");
        self.database.run("UPDATE nightly.delivered_order SET amount = '5.00' WHERE order_id = 3").await?;
        let run = self.follow(&restart::request(&self.deployment, &earlier, None).await?).await?;
        expect(&run, Status::Succeeded)?;
        let published = self.database.texts("SELECT day::text FROM nightly.published ORDER BY day").await?;
        ensure!(published == ["2026-07-01", "2026-07-02"], "nightly.published has {published:?}, expected both days");
        done("the second night was published for its own date, and the alarm was not needed");
        self.keep(run, "nightly-restarted").await
    }

    /// Runs nightly for a logical date.
    async fn night(&self, logical_date: &str) -> anyhow::Result<Snapshot> {
        let request = RunRequest {
            workflow_id: "nightly".into(),
            workflow_execution_id: Some(new_id("nightly", self.deployment.clock.now())),
            logical_date: Some(logical_date.into()),
            ..RunRequest::default()
        };
        self.follow(&request).await
    }

    /// Runs a workflow with an invalid script, fixes the script, and restarts the run.
    pub(crate) async fn fix_and_restart(&mut self) -> anyhow::Result<()> {
        heading("fix_me", "a script fails, is fixed, and the run is restarted");
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
        let error = failed.run.error_message.clone().context("a failed run must have an error message")?;
        println!("{} {error}", style("failed, as expected:").yellow());
        let earlier = failed.run.workflow_execution_id.clone();
        self.keep(failed, "fix_me").await?;

        heading("fix_me", "the fixed script is pushed, and the run is restarted");
        let fixed = read(&|path: &Path| files::script(&fixed_path(path)))?;
        print!("{}", push_workflows(&self.deployment, &fixed).await?);
        let request = restart::request(&self.deployment, &earlier, None).await?;
        let run = self.follow(&request).await?;
        expect(&run, Status::Succeeded)?;
        let reused: Vec<_> =
            run.real_jobs().filter(|job| job.reused_from.is_some()).map(|job| job.plan.job_name.as_str()).collect();
        ensure!(
            reused == ["create_tables.sql", "load_products.sql"],
            "the restart reused {reused:?}, expected create_tables.sql and load_products.sql"
        );
        let changed = run.real_jobs().filter(|job| job.script_was.is_some()).map(|job| job.plan.job_name.as_str());
        ensure!(changed.eq(["load_orders.sql"]), "the audit must show load_orders.sql as the only changed script");
        let totals = self.database.count("SELECT COUNT(*) FROM fix_me.order_total").await?;
        ensure!(totals == 3, "fix_me.order_total contains {totals} rows, expected 3");
        done("successful jobs were reused, the other jobs ran, and fix_me.order_total contains three rows");
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

    /// Requests a run and waits for its end.
    async fn follow(&self, request: &RunRequest) -> anyhow::Result<Snapshot> {
        let response = self.deployment.trigger.request(request).await?;
        let id = &response.workflow_execution_id;
        println!("{id}");
        let end = until_end(&*self.deployment.ledger, &*self.deployment.clock, id, PACE);
        let run = tokio::time::timeout(MAX_WAIT, end).await.with_context(|| {
            format!(
                "{id} has not ended within {} s: see the logs of the local stack in target/local/log",
                MAX_WAIT.as_secs()
            )
        })??;
        Ok(run)
    }

    async fn keep(&mut self, run: Snapshot, name: &str) -> anyhow::Result<()> {
        let report = write_report(&self.deployment, &run, name).await?;
        self.runs.push((run, report));
        Ok(())
    }
}

/// The path of the fixed script instead of the invalid one; other paths are unchanged.
fn fixed_path(path: &Path) -> PathBuf {
    let broken = Path::new("fix_me").join("load_orders.sql");
    if path.ends_with(broken) { path.with_file_name("fixed").join("load_orders.sql") } else { path.to_owned() }
}

fn skip_reason(run: &Snapshot, name: &str) -> Option<SkipReason> {
    run.real_jobs().find(|job| job.plan.job_name == name)?.skip_reason
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
