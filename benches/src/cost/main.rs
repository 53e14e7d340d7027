//! Counts the invocations, entered states and requests of a run at the emulator. Fails if the goal is missed.
//!
//! ```text
//! . target/local/env && bench-cost
//! ```

mod bill;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use hyper::Method;
use jiff::Timestamp;
use serde_json::json;
use shiftwork_benches::graph::Graph;
use shiftwork_benches::stack::Stack;

use self::bill::Bill;

/// Duration of every statement. It is longer than the functions run, so that the ends of jobs do not overlap.
const LENGTH: Duration = Duration::from_millis(100);

/// Delay of the run's `Refreshed` event, so that the requests it causes are counted separately.
const HELD_BACK: Duration = Duration::from_secs(3);

/// A run is complete when there is no new request for this time.
const QUIET: Duration = Duration::from_millis(600);

/// Maximum costs of the run with six jobs.
const GOAL: Costs = Costs { invocations: 16, states: 20, dynamodb: 32 };

/// Costs of the Python framework of the same design, counted with stubbed SQL.
const FRAMEWORK: Costs = Costs { invocations: 21, states: 42, dynamodb: 29 };

/// The three costs that have a goal.
#[derive(Clone, Copy)]
struct Costs {
    invocations: u64,
    states: u64,
    dynamodb: u64,
}

/// Counts the cost of runs
#[derive(Parser)]
struct Options {}

/// The costs of a graph's run until its end, and of its `Refreshed` event afterwards.
struct Counted {
    graph: Graph,
    run: Bill,
    refreshed: Bill,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let Options {} = Options::parse();
    let stack = Stack::connect().await?;
    let mut counted = Vec::new();
    for graph in [Graph::six(), Graph::parallel(), Graph::chain()] {
        eprintln!("{}", graph.title);
        counted.push(count(&stack, graph.with_length(LENGTH)).await?);
    }
    println!(
        "COST OF A RUN: counted at the emulator, from the call of the trigger to the end of the run. DynamoDB:\n\
         requests of the functions and of Step Functions. After: what the Refreshed event of the run\n\
         causes; nothing, because no workflow of the benchmark has a trigger.\n\
         Per job: invocations · states · DynamoDB requests of the run, divided by the number of jobs."
    );
    println!("{}\n", totals(&counted));
    let six = counted.first().context("there are no counts")?;
    println!("{}: requests by caller", six.graph.title);
    println!("{}", by_caller(&six.run));
    let missed = missed(&six.run);
    for line in &missed {
        eprintln!("cost: {line}");
    }
    if missed.is_empty() {
        println!("Goal met: {} needs at most {}.", six.graph.title, described(GOAL));
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn count(stack: &Stack, graph: Graph) -> Result<Counted> {
    stack.push(&graph).await?;
    let stamp = Timestamp::now().as_millisecond();
    let counts = async || -> Result<Bill> { Bill::read(&stack.control.request(Method::GET, "counts", None).await?) };
    let quiet = async || -> Result<Bill> {
        let mut last = counts().await?;
        loop {
            tokio::time::sleep(QUIET).await;
            let now = counts().await?;
            if now == last {
                return Ok(now);
            }
            last = now;
        }
    };
    let run = async |name: &str, fault: serde_json::Value| -> Result<Bill> {
        quiet().await?;
        stack.control.request(Method::DELETE, "faults", None).await?;
        stack.control.request(Method::POST, "faults", Some(&fault)).await?;
        stack.control.request(Method::POST, "counts/reset", None).await?;
        stack.run(&graph, &format!("{}-{stamp}-{name}", graph.id)).await?;
        quiet().await
    };
    let pattern = json!({ "source": ["shiftwork"], "detail-type": ["Shiftwork Workflow Refreshed"] });
    // The first run causes cold starts: a new process calls STS once for the role of its statements.
    run("warm-up", json!({ "kind": "drop", "pattern": pattern, "count": 1 })).await?;
    let seconds = HELD_BACK.as_secs_f64();
    let bill = run("counted", json!({ "kind": "delay", "pattern": pattern, "count": 1, "seconds": seconds })).await?;
    tokio::time::sleep(HELD_BACK).await;
    let refreshed = quiet().await?.difference_to(&bill);
    stack.remove(&graph).await?;
    Ok(Counted { graph, run: bill, refreshed })
}

fn totals(counted: &[Counted]) -> Table {
    let mut table = table(&["", "jobs", "invocations", "states", "DynamoDB", "other requests", "per job"]);
    for one in counted {
        let jobs = one.graph.jobs.len();
        let bill = &one.run;
        table.add_row([
            one.graph.title.to_owned(),
            jobs.to_string(),
            bill.invocations().to_string(),
            bill.states.to_string(),
            bill.dynamodb().to_string(),
            bill.other_requests().to_string(),
            per_job(bill, jobs),
        ]);
        let after = &one.refreshed;
        table.add_row([
            "  after: Refreshed".to_owned(),
            String::new(),
            format!("+{}", after.invocations()),
            format!("+{}", after.states),
            format!("+{}", after.dynamodb()),
            format!("+{}", after.other_requests()),
            String::new(),
        ]);
    }
    for (name, costs) in [("goal, 6 jobs", GOAL), ("Python framework, 6 jobs", FRAMEWORK)] {
        let numbers = [costs.invocations, costs.states, costs.dynamodb].map(|number| number.to_string());
        let [invocations, states, dynamodb] = numbers;
        let none = String::new;
        table.add_row([name.to_owned(), "6".to_owned(), invocations, states, dynamodb, none(), none()]);
    }
    table
}

/// `2.5 · 3.0 · 5.3`: invocations, states and DynamoDB requests per job.
#[allow(clippy::cast_precision_loss, reason = "a few hundred, to one decimal")]
fn per_job(bill: &Bill, jobs: usize) -> String {
    let share = |number: u64| format!("{:.1}", number as f64 / jobs as f64);
    [bill.invocations(), bill.states, bill.dynamodb()].map(share).join(" · ")
}

fn by_caller(bill: &Bill) -> Table {
    let mut table = table(&["caller", "invoked", "DynamoDB", "other requests", "operations"]);
    for (caller, requests) in &bill.requests {
        let which: Vec<String> = requests.iter().map(|(operation, times)| format!("{times} {operation}")).collect();
        let of = |dynamodb: bool| -> u64 {
            requests.iter().filter(|(name, _)| bill::is_dynamodb(name) == dynamodb).map(|(_, times)| times).sum()
        };
        table.add_row([
            caller.clone(),
            bill.invoked.get(caller).map_or_else(String::new, u64::to_string),
            of(true).to_string(),
            of(false).to_string(),
            which.join("\n"),
        ]);
    }
    table
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        if header[column.index] != "operations" {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn described(costs: Costs) -> String {
    format!("{} invocations, {} states entered, {} DynamoDB requests", costs.invocations, costs.states, costs.dynamodb)
}

fn missed(bill: &Bill) -> Vec<String> {
    let goals = [
        ("Lambda invocations", bill.invocations(), GOAL.invocations),
        ("states entered", bill.states, GOAL.states),
        ("DynamoDB requests", bill.dynamodb(), GOAL.dynamodb),
    ];
    goals
        .iter()
        .filter(|(_, counted, goal)| counted > goal)
        .map(|(what, counted, goal)| {
            format!("the run with six jobs needs {counted} {what}; the goal is at most {goal}")
        })
        .collect()
}
