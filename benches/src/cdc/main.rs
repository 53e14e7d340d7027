//! How fast a file of change events is converted to staged files on one core, compared with other tools and with
//! limits.
//!
//! ```text
//! bench-cdc                        300,000 generated events, five runs each, all peers in .venv-bench
//! bench-cdc --events 3000000 --no-peers
//! bench-cdc --core 0 --runs 9 --check
//! ```

mod compare;
mod generate;
mod limits;
mod load;
mod measure;
mod schema;
mod stage;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use comfy_table::{CellAlignment, Table, presets};
use shiftwork_benches::numbers::seconds;

use self::compare::Output;
use self::generate::Form;
use self::limits::Codec;
use self::measure::{Run, Runs};

/// Minimum MB/s of events, minimum speed relative to DuckDB and to dlt, and maximum resident set in bytes.
const GOAL: (f64, f64, f64, u64) = (500.0, 3.0, 30.0, 32 << 20);

/// Measures how fast change events are staged
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    part: Option<Part>,
    /// Number of events in the generated file
    #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Number of runs per subject; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// CPU core on which all processes run
    #[arg(long, default_value_t = 1)]
    core: u16,
    /// Directory for events and outputs
    #[arg(long, default_value = "target/bench-cdc")]
    folder: PathBuf,
    /// Python interpreter with the peers
    #[arg(long, default_value = ".venv-bench/bin/python")]
    python: PathBuf,
    /// Do not run the peers
    #[arg(long)]
    no_peers: bool,
    /// Exit with an error if a goal is missed or an output differs
    #[arg(long)]
    check: bool,
}

/// Parts that run in a separate process, so that they can be measured from outside.
#[derive(Subcommand)]
enum Part {
    /// Write a file of events
    Generate { events: PathBuf, form: Form },
    /// Stage a file of events
    Stage {
        events: PathBuf,
        output: PathBuf,
        /// Use only the full decoder
        #[arg(long)]
        full: bool,
        /// Do not compress the output
        #[arg(long)]
        plain: bool,
    },
    /// Stage a file of events with the code of cdc-loader and in-memory collaborators
    Load { events: PathBuf, output: PathBuf },
    /// Read every byte of a file
    Skip { events: PathBuf },
    /// Compress a file at level 1
    Compress { codec: Codec, from: PathBuf, to: PathBuf },
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    match &options.part {
        Some(Part::Generate { events, form }) => println!("{}", generate::write(events, options.events, *form)?),
        Some(Part::Stage { events, output, full, plain }) => stage::run(events, output, *full, *plain)?,
        Some(Part::Load { events, output }) => load::run(events, output)?,
        Some(Part::Skip { events }) => {
            limits::skip(events)?;
        }
        Some(Part::Compress { codec, from, to }) => limits::compress(*codec, from, to)?,
        None => return bench(&options),
    }
    Ok(ExitCode::SUCCESS)
}

/// A measured process and its output.
struct Measured {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<OsString>,
    runs: Runs,
    /// Size of the events in bytes, from which the speed is computed even if the process reads another file.
    bytes: u64,
    /// Path of the output; empty if there is none.
    output: PathBuf,
    /// Format of the output, if its rows are compared.
    read: Option<Output>,
}

impl Measured {
    fn run(&mut self, core: u16) -> Result<()> {
        clear(&self.output)?;
        self.runs.push(Run::of(core, &self.program, &self.arguments)?);
        Ok(())
    }

    /// Size of the output in bytes.
    fn written(&self) -> Option<u64> {
        (!self.output.as_os_str().is_empty()).then(|| size(&self.output))
    }

    /// Path and format of the rows, if they are compared.
    fn rows(&self) -> Option<(&Path, Output)> {
        self.read.map(|read| (self.output.as_path(), read))
    }
}

fn bench(options: &Options) -> Result<ExitCode> {
    std::fs::create_dir_all(&options.folder).with_context(|| options.folder.display().to_string())?;
    let folder = options.folder.canonicalize()?;
    let me = std::env::current_exe()?;
    let subject = Subject { options, events: written(options, &folder, &me, "plain")?, me: &me, folder: &folder };
    let mut all = vec![
        subject.ours("shiftwork", "stage", &[], ("ours.csv.zst", Some(Output::Ours))),
        subject.ours("  without compression", "stage", &["--plain"], ("ours.csv", None)),
        subject.ours("  full decoder only", "stage", &["--full"], ("full.csv.zst", Some(Output::Ours))),
        subject.ours("  through cdc-loader", "load", &[], ("load.csv.zst", Some(Output::Loaded))),
    ];
    let packed = Subject { events: packed(&subject.events)?, ..subject };
    let through = packed.ours("  through cdc-loader, gzip input", "load", &[], ("gzip.csv.zst", Some(Output::Loaded)));
    all.push(Measured { bytes: size(&subject.events), ..through });
    let enveloped = Subject { events: written(options, &folder, &me, "enveloped")?, ..subject };
    for (name, flags, output) in [
        ("shiftwork, with schema", [].as_slice(), "enveloped.csv.zst"),
        ("  full decoder only, with schema", &["--full"], "enveloped-full.csv.zst"),
    ] {
        all.push(enveloped.ours(name, "stage", flags, (output, Some(Output::Ours))));
    }
    if !options.no_peers {
        all.extend(peers(&subject)?);
    }
    let plain = folder.join("ours.csv");
    let events = subject.events.as_os_str();
    all.push(subject.measured("limit: read every byte", &me, &["skip".as_ref(), events], PathBuf::new(), None));
    for (name, codec, output) in
        [("limit: zstd level 1", "zstd", "limit.zst"), ("limit: gzip level 1", "gzip", "limit.gz")]
    {
        let output = folder.join(output);
        let arguments: [&OsStr; 4] = ["compress".as_ref(), codec.as_ref(), plain.as_os_str(), output.as_os_str()];
        all.push(subject.measured(name, &me, &arguments, output.clone(), None));
    }
    // All subjects run in every round, so that temporary load of the machine affects all of them.
    for _ in 0..options.runs {
        all.iter_mut().try_for_each(|one| one.run(options.core))?;
    }
    println!("{}", table(&all, options.events));

    let same = compared(&all);
    Ok(if (same && reached(&all)) || !options.check { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Generates the events in a format, in a separate file.
fn written(options: &Options, folder: &Path, me: &Path, form: &str) -> Result<PathBuf> {
    let events = folder.join(format!("events-{}-{form}.ndjson", options.events));
    // A separate process generates the events: Linux counts the resident set of this process in each child process.
    print!("{form}: ");
    io::stdout().flush()?;
    let number = options.events.to_string();
    let generator = Command::new(me).args(["--events", &number, "generate"]).arg(&events).arg(form).status()?;
    ensure!(generator.success(), "cannot generate the events: {generator}");
    Ok(events)
}

/// The events, compressed by gzip with its default level.
fn packed(events: &Path) -> Result<PathBuf> {
    let status = Command::new("gzip").args(["--keep", "--force"]).arg(events).status().context("starting gzip")?;
    ensure!(status.success(), "cannot compress the events: {status}");
    Ok(events.with_added_extension("gz"))
}

/// The common parameters of measured processes.
struct Subject<'o> {
    options: &'o Options,
    me: &'o Path,
    folder: &'o Path,
    events: PathBuf,
}

impl Subject<'_> {
    /// A part of this program.
    fn ours(&self, name: &'static str, part: &str, flags: &[&str], (output, read): (&str, Option<Output>)) -> Measured {
        let output = self.folder.join(output);
        let mut arguments: Vec<&OsStr> = vec![part.as_ref(), self.events.as_os_str(), output.as_os_str()];
        arguments.extend(flags.iter().map(OsStr::new));
        self.measured(name, self.me, &arguments, output.clone(), read)
    }

    fn measured(
        &self,
        name: &'static str,
        program: &Path,
        arguments: &[&OsStr],
        output: PathBuf,
        read: Option<Output>,
    ) -> Measured {
        let arguments = arguments.iter().map(OsString::from).collect();
        let (program, bytes) = (program.to_owned(), size(&self.events));
        Measured { name, program, arguments, runs: Runs::default(), bytes, output, read }
    }
}

/// The peers, if a Python interpreter with them exists.
fn peers(subject: &Subject<'_>) -> Result<Vec<Measured>> {
    let options = subject.options;
    // The path is not canonicalized: Python finds its virtual environment through the link.
    let python = std::path::absolute(&options.python)?;
    if !python.exists() {
        println!("The peers are skipped: {} does not exist; `make bench-cdc` installs it.", options.python.display());
        return Ok(Vec::new());
    }
    let scripts = [
        ("Python: orjson, csv, zstd", include_str!("peers/orjson_csv.py"), "orjson.csv.zst", Output::Numbered),
        ("DuckDB: read_ndjson, COPY", include_str!("peers/duckdb_copy.py"), "duckdb.csv.zst", Output::Unnumbered),
        ("dlt: filesystem, gzip", include_str!("peers/dlt_filesystem.py"), "dlt", Output::Dlt),
    ];
    let measure = |(name, script, output, read): (&'static str, &str, &str, Output)| {
        let output = subject.folder.join(output);
        let events = subject.events.as_os_str();
        let arguments: [&OsStr; 4] = ["-c".as_ref(), script.as_ref(), events, output.as_os_str()];
        subject.measured(name, &python, &arguments, output.clone(), Some(read))
    };
    Ok(scripts.into_iter().map(measure).collect())
}

fn clear(output: &Path) -> Result<()> {
    if output.is_dir() {
        std::fs::remove_dir_all(output)?;
    } else if output.is_file() {
        std::fs::remove_file(output)?;
    }
    Ok(())
}

/// Size of a file, or of the files that dlt loaded, in bytes.
fn size(output: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(output.join("loaded/bench/orders")) else {
        return output.metadata().map(|file| file.len()).unwrap_or_default();
    };
    entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).sum()
}

#[allow(clippy::cast_precision_loss, reason = "a speed, to the megabyte")]
fn speed(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / 1e6 / took.as_secs_f64()
}

#[allow(clippy::cast_precision_loss, reason = "a size, to one decimal")]
fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[allow(clippy::cast_precision_loss, reason = "to the thousand")]
fn thousands(events: u64, took: Duration) -> String {
    format!("{:.0}k", events as f64 / 1e3 / took.as_secs_f64())
}

fn table(all: &[Measured], events: u64) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header([
        "events to staged file",
        "MB/s",
        "events/s",
        "shiftwork is",
        "median",
        "fastest … slowest",
        "CPU time",
        "peak memory",
        "written",
    ]);
    let ours = all.first().map(|ours| ours.runs.took().as_secs_f64()).unwrap_or_default();
    for one in all {
        let took = one.runs.took();
        let (fastest, slowest) = one.runs.spread();
        table.add_row([
            one.name.to_owned(),
            format!("{:.0}", speed(one.bytes, took)),
            thousands(events, took),
            format!("{:.2}x", took.as_secs_f64() / ours),
            seconds(took),
            format!("{} … {}", seconds(fastest), seconds(slowest)),
            seconds(one.runs.on_core()),
            mebibytes(one.runs.peak()),
            one.written().map_or_else(String::new, mebibytes),
        ]);
    }
    for column in 1..9 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Compares every output with shiftwork's output and prints the result.
fn compared(all: &[Measured]) -> bool {
    let Some((ours, _)) = all.first().and_then(Measured::rows) else { return false };
    let mut same = true;
    for (name, (output, read)) in all.iter().skip(1).filter_map(|one| Some((one.name.trim(), one.rows()?))) {
        match compare::rows(ours, output, read) {
            Ok(rows) => println!("{name}: {rows} equal rows."),
            Err(error) => {
                same = false;
                println!("{name}: DIFFERENT rows: {error:#}");
            }
        }
    }
    same
}

/// Checks the goals and prints a line for each of them.
fn reached(all: &[Measured]) -> bool {
    let (fast, duckdb, dlt, memory) = GOAL;
    let of = |name: &str| all.iter().find(|one| one.name.starts_with(name));
    let Some(Measured { runs: ours, bytes, .. }) = of("shiftwork") else { return false };
    let reached = |what: String, reached: bool| {
        println!("{}: {what}", if reached { "goal" } else { "GOAL MISSED" });
        reached
    };
    let mine = speed(*bytes, ours.took());
    let mut all = vec![
        reached(format!("at least {fast} MB/s on one core, measured {mine:.0}"), mine >= fast),
        reached(
            format!("at most {} of memory for any file size, measured {}", mebibytes(memory), mebibytes(ours.peak())),
            ours.peak() <= memory,
        ),
    ];
    for (name, goal) in [("DuckDB", duckdb), ("dlt", dlt)] {
        if let Some(peer) = of(name).map(|peer| &peer.runs) {
            let times = ours.times_as_fast_as(peer);
            all.push(reached(format!("at least {goal} x {name}, measured {times:.1}"), times >= goal));
        }
    }
    !all.contains(&false)
}
