//! Makespan of a run relative to its critical path, compared with the floor of the emulator and a hand-made state
//! machine of waves.
//!
//! ```text
//! . target/local/env && bench-scheduling
//! bench-scheduling --runs 5 --long-runs 3 --only bench_chain
//! ```

mod floor;
mod peer;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use futures::future::try_join_all;
use jiff::Timestamp;
use shiftwork_benches::graph::Graph;
use shiftwork_benches::machine::{self, Made};
use shiftwork_benches::numbers::{median, milliseconds, percentile, ratio, seconds};
use shiftwork_benches::stack::{Stack, Timeline};

use self::floor::{Unit, Work};

/// Maximum makespan, without the overhead of the emulator, relative to the critical path.
const GOAL: f64 = 1.05;

/// Graphs with a longer critical path are run `--long-runs` times.
const LONG: Duration = Duration::from_mins(1);

/// Measures the makespan of runs relative to their critical path
#[derive(Parser)]
struct Options {
    /// Number of runs per graph; the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Number of runs of a graph whose critical path is longer than a minute
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    long_runs: u16,
    /// Run only this graph: bench_six, bench_parallel, bench_chain or bench_random
    #[arg(long)]
    only: Option<String>,
    /// Do not run the peer
    #[arg(long)]
    no_peer: bool,
    /// Exit with an error if the goal is missed
    #[arg(long)]
    check: bool,
}

fn is_long(graph: &Graph) -> bool {
    graph.critical_path(&graph.lengths()).length > LONG
}

/// The measurements of a graph.
struct Measured {
    graph: Graph,
    runs: Vec<Run>,
    /// Overhead of the emulator including the requests of the functions; not measured for long graphs.
    busy: Option<Duration>,
    peer: Option<Duration>,
}

/// A run and its twin.
struct Run {
    ours: Timeline,
    /// Overhead of the emulator in this run.
    emulator: Duration,
}

impl Run {
    fn net(&self) -> Duration {
        self.ours.makespan().saturating_sub(self.emulator)
    }

    /// The critical path with the measured durations of the statements.
    fn path(&self, graph: &Graph) -> Duration {
        graph.critical_path(&self.ours.lengths()).length
    }
}

/// The resources of all measurements.
struct Bench {
    stack: Stack,
    noop: Made,
    statement: Made,
    busy: Made,
    role: String,
    unit: Unit,
    /// Makes the names of this benchmark's resources different from those of earlier runs.
    stamp: i64,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let stack = Stack::connect().await?;
    let stamp = Timestamp::now().as_second();
    let role = stack.output("StatementRole")?.to_owned();
    let noop = machine::function(&stack, "shiftwork-bench-noop", "bench-start-noop", &role).await?;
    let statement = machine::function(&stack, "shiftwork-bench-statement", "bench-scheduling-statement", &role).await?;
    let launcher = stack.functions.get_function_configuration().function_name(stack.output("JobLauncherFunction")?);
    let launcher = launcher
        .send()
        .await
        .context("cannot read the configuration of the launcher")?
        .role
        .context("the launcher has no role")?;
    let busy = machine::function(&stack, "shiftwork-bench-busy", "bench-scheduling-statement", &launcher).await?;
    let unit = floor::unit(&stack, &noop, &role, stamp).await?;
    let bench = Bench { stack, noop, statement, busy, role, unit, stamp };
    let measured = bench.all(&options).await;
    bench.stack.clear_lengths().await?;
    for function in [&bench.noop, &bench.statement, &bench.busy] {
        machine::remove_function(&bench.stack, function).await?;
    }
    let measured = measured?;
    println!("{}", method(&bench.unit));
    println!("{}\n", makespans(&measured));
    println!("Time beyond the critical path (medians of all jobs of all runs, including the emulator):");
    println!("{}", parts(&measured));
    let missed: Vec<&str> = measured.iter().filter(|one| median_ratio(one) > GOAL).map(|one| one.graph.title).collect();
    if missed.is_empty() {
        println!("Goal met: net makespan ≤ {GOAL} × critical path for every graph.");
    } else {
        println!("Goal missed (net makespan ≤ {GOAL} × critical path): {}.", missed.join("; "));
    }
    Ok(if options.check && !missed.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Bench {
    async fn all(&self, options: &Options) -> Result<Vec<Measured>> {
        let graphs: Vec<Graph> = [Graph::six(), Graph::parallel(), Graph::chain(), Graph::random()]
            .into_iter()
            .filter(|graph| options.only.as_deref().is_none_or(|only| only == graph.id))
            .collect();
        anyhow::ensure!(
            !graphs.is_empty(),
            "unknown graph {}: use bench_six, bench_parallel, bench_chain or bench_random",
            options.only.as_deref().unwrap_or_default()
        );
        let mut measured = Vec::new();
        for graph in graphs {
            let runs = if is_long(&graph) { options.long_runs } else { options.runs };
            eprintln!("{}: {runs} run(s)", graph.title);
            let (runs, busy) = self.ours(&graph, runs).await.with_context(|| graph.title)?;
            measured.push(Measured { graph, runs, busy, peer: None });
        }
        if !options.no_peer {
            eprintln!("running the peers concurrently: they wait most of the time");
            self.stack.clear_lengths().await?;
            // The functions of the peers are warm, like those of shiftwork.
            self.peer(&Graph::parallel().with_length(Duration::from_millis(20)), "warm-up").await?;
            let peers = try_join_all(measured.iter().map(|one| self.peer(&one.graph, "peer"))).await?;
            for (one, peer) in measured.iter_mut().zip(peers) {
                one.peer = Some(peer);
            }
        }
        Ok(measured)
    }

    /// Runs a graph repeatedly, each run followed by one of its twin, after one warm-up of both; finally runs the busy
    /// twin and returns its overhead.
    async fn ours(&self, graph: &Graph, runs: u16) -> Result<(Vec<Run>, Option<Duration>)> {
        let idle = Work::Nothing { noop: &self.noop };
        let busy = Work::Requests { busy: &self.busy, table: self.stack.output("JobAuditTable")? };
        let warm_up = graph.clone().with_length(Duration::from_millis(20));
        self.stack.push(graph).await?;
        self.stack.run(&warm_up, &format!("{}-{}-warm-up", graph.id, self.stamp)).await?;
        self.twins(&warm_up, &idle, 0).await?;
        let mut all = Vec::new();
        for number in 0..runs {
            let ours = self.stack.run(graph, &format!("{}-{}-{number}", graph.id, self.stamp)).await?;
            all.push(Run { ours, emulator: self.twins(graph, &idle, number).await? });
        }
        let busy = if is_long(graph) {
            None
        } else {
            self.twins(&warm_up, &busy, 0).await?;
            Some(self.twins(graph, &busy, 0).await?)
        };
        self.stack.remove(graph).await?;
        Ok((all, busy))
    }

    /// Runs the twin of a graph; returns the time beyond the critical path.
    async fn twins(&self, graph: &Graph, work: &Work<'_>, number: u16) -> Result<Duration> {
        let path = graph.critical_path(&graph.lengths());
        // The duration of a job is a separate state in the twin, but not in shiftwork's state machine.
        let beyond = u32::try_from(path.jobs.len()).map(|jobs| self.unit.state * jobs).unwrap_or_default();
        let twin = self.machine(graph, "twin", &floor::twin(graph, work)).await?;
        let makespan = floor::run_twin(&self.stack, &twin, &self.noop, &format!("twin-{number}")).await?;
        machine::remove_machine(&self.stack, &twin).await?;
        Ok(makespan.saturating_sub(path.length).saturating_sub(beyond))
    }

    async fn peer(&self, graph: &Graph, kind: &str) -> Result<Duration> {
        let run = format!("{}-{kind}-{}", graph.id, self.stamp);
        let peer = self.machine(graph, kind, &peer::definition(graph, &run, &self.statement)).await?;
        self.stack.set_lengths(graph, &peer::prefix(&run)).await?;
        let makespan = peer::run(&self.stack, &peer, &self.noop, &run).await.with_context(|| graph.title)?;
        machine::remove_machine(&self.stack, &peer).await?;
        Ok(makespan)
    }

    async fn machine(&self, graph: &Graph, kind: &str, definition: &serde_json::Value) -> Result<Made> {
        let name = format!("{}-{kind}-{}", graph.id, self.stamp);
        machine::machine(&self.stack, &name, definition, &self.role).await
    }
}

/// The median of `of` over all runs.
fn median_of(one: &Measured, of: impl Fn(&Run) -> Duration) -> Duration {
    median(&one.runs.iter().map(of).collect::<Vec<_>>())
}

fn median_ratio(one: &Measured) -> f64 {
    median_of(one, Run::net).as_secs_f64() / median_of(one, |run| run.path(&one.graph)).as_secs_f64()
}

fn method(unit: &Unit) -> String {
    format!(
        "SCHEDULING: time from the call of the trigger to the end of the execution, relative to the critical path.\n\
         Critical path: the longest path through the graph, with the duration of each statement in the Data API emulator,\n\
         which delays every statement by its seeded duration. Emulator: the time of the graph's twin beyond its critical\n\
         path, measured directly after shiftwork: a state machine with the same number of branches and invocations, a no-op\n\
         function, and `Wait` states for statements. The twin makes no DynamoDB, S3, EventBridge or Data API requests,\n\
         which a single Python process serves sequentially; their time is included in `shiftwork, net`. `Net of requests`\n\
         also subtracts the time of a twin whose functions make as many DynamoDB updates as shiftwork's functions make\n\
         requests. Peer: a hand-made state machine of waves that polls each statement once a second, with statements of\n\
         the same durations; the peers run concurrently and once; net of the same emulator time.\n\
         This emulator: {} per state, {} per invocation of a no-op function, {} per execution.",
        milliseconds(unit.state),
        milliseconds(unit.invocation),
        milliseconds(unit.execution),
    )
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn makespans(measured: &[Measured]) -> Table {
    let mut table = table(&[
        "graph",
        "runs",
        "critical path",
        "shiftwork",
        "emulator",
        "shiftwork, net",
        "net / path",
        "net of requests",
        "peer",
        "peer, net",
        "net / path",
    ]);
    for one in measured {
        let path = median_of(one, |run| run.path(&one.graph));
        let (emulator, net) = (median_of(one, |run| run.emulator), median_of(one, Run::net));
        let makespan = median_of(one, |run| run.ours.makespan());
        let nominal = one.graph.critical_path(&one.graph.lengths()).length;
        let peer_net = one.peer.map(|peer| peer.saturating_sub(emulator));
        let or_dash = |time: Option<Duration>| time.map_or_else(|| "-".to_owned(), seconds);
        table.add_row([
            one.graph.title.to_owned(),
            one.runs.len().to_string(),
            seconds(path),
            seconds(makespan),
            seconds(emulator),
            seconds(net),
            ratio(net, path),
            one.busy.map_or_else(|| "-".to_owned(), |busy| ratio(makespan.saturating_sub(busy), path)),
            or_dash(one.peer),
            or_dash(peer_net),
            peer_net.map_or_else(|| "-".to_owned(), |net| ratio(net, nominal)),
        ]);
    }
    table
}

fn parts(measured: &[Measured]) -> Table {
    let mut table = table(&[
        "graph",
        "request to first statement",
        "end of upstream to submission",
        "p90",
        "end of last statement to end of run",
    ]);
    for one in measured {
        let hand_overs: Vec<Duration> = one.runs.iter().flat_map(|run| run.ours.hand_overs(&one.graph)).collect();
        let hand_over =
            |percent| if hand_overs.is_empty() { "-".into() } else { milliseconds(percentile(&hand_overs, percent)) };
        table.add_row([
            one.graph.title.to_owned(),
            milliseconds(median_of(one, |run| run.ours.lead_in())),
            hand_over(50),
            hand_over(90),
            milliseconds(median_of(one, |run| run.ours.lead_out())),
        ]);
    }
    table
}
