//! How fast a file of change events is converted to staged files on one core, compared with other tools and with
//! limits.
//!
//! ```text
//! bench-cdc                        300,000 generated events, five runs each, all peers in .venv-bench
//! bench-cdc --events 3000000 --no-peers
//! bench-cdc --core 0 --runs 9 --check
//! ```

mod compare;
mod contracts;
mod formats;
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

/// The goals.
struct Goal {
    /// Minimum MB/s of events.
    speed: f64,
    /// Minimum speed relative to DuckDB.
    duckdb: f64,
    /// Minimum speed of the full decoder alone relative to DuckDB.
    full_duckdb: f64,
    /// Minimum speed relative to dlt.
    dlt: f64,
    /// Minimum share of the time that is needed to walk over the bytes and to compress the output.
    floor: f64,
    /// Maximum resident set in bytes.
    memory: u64,
}

const GOAL: Goal = Goal { speed: 500.0, duckdb: 4.0, full_duckdb: 2.0, dlt: 30.0, floor: 0.65, memory: 32 << 20 };

/// Names of subjects that the goals refer to.
const FULL: &str = "  full decoder only";
const WALK: &str = "limit: read every byte";
const ZSTD: &str = "limit: zstd level 1";

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
        /// Format of the events
        #[arg(long, default_value = "plain")]
        form: Form,
        /// Use only the full decoder
        #[arg(long)]
        full: bool,
        /// Do not compress the output
        #[arg(long)]
        plain: bool,
    },
    /// Stage a file of events with the code of cdc-loader and in-memory collaborators
    Load {
        events: PathBuf,
        output: PathBuf,
        /// Format of the events
        #[arg(long, default_value = "plain")]
        form: Form,
    },
    /// Read every byte of a file
    Skip { events: PathBuf },
    /// Compress a file at level 1
    Compress { codec: Codec, from: PathBuf, to: PathBuf },
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    match &options.part {
        Some(Part::Generate { events, form }) => println!("{}", generate::write(events, options.events, *form)?),
        Some(Part::Stage { events, output, form, full, plain }) => stage::run(events, output, *form, *full, *plain)?,
        Some(Part::Load { events, output, form }) => load::run(events, output, *form)?,
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
    let subject = Subject { events: written(options, &folder, &me, "plain")?, me: &me, folder: &folder };
    let mut all = vec![
        subject.ours("shiftwork", "stage", &[], ("ours.csv.zst", Some(Output::Ours))),
        subject.ours("  without compression", "stage", &["--plain"], ("ours.csv", None)),
        subject.ours(FULL, "stage", &["--full"], ("full.csv.zst", Some(Output::Ours))),
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
    let python = python(options)?;
    if let Some(python) = &python {
        all.extend(peers(&subject, python));
    }
    let mut formats = formats::all(options, &folder, &me, python.as_deref())?;
    let plain = folder.join("ours.csv");
    let events = subject.events.as_os_str();
    all.push(subject.measured(WALK, &me, &["skip".as_ref(), events], PathBuf::new(), None));
    for (name, codec, output) in [(ZSTD, "zstd", "limit.zst"), ("limit: gzip level 1", "gzip", "limit.gz")] {
        let output = folder.join(output);
        let arguments: [&OsStr; 4] = ["compress".as_ref(), codec.as_ref(), plain.as_os_str(), output.as_os_str()];
        all.push(subject.measured(name, &me, &arguments, output.clone(), None));
    }
    // All subjects run in every round, so that temporary load of the machine affects all of them.
    for _ in 0..options.runs {
        all.iter_mut().try_for_each(|one| one.run(options.core))?;
        formats::run(&mut formats, options.core)?;
    }
    println!("{}", table(&all, options.events));
    println!("{}", formats::table(&formats, options.events));

    let of_formats = formats.iter().flat_map(|format| [Some(&format.ours), format.duckdb.as_ref()]).flatten();
    let same = compared(all.iter().chain(of_formats));
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

/// The Python interpreter with the peers. `None` without peers.
fn python(options: &Options) -> Result<Option<PathBuf>> {
    if options.no_peers {
        return Ok(None);
    }
    // The path is not canonicalized: Python finds its virtual environment through the link.
    let python = std::path::absolute(&options.python)?;
    if !python.exists() {
        println!("The peers are skipped: {} does not exist; `make bench-cdc` installs it.", options.python.display());
        return Ok(None);
    }
    Ok(Some(python))
}

fn peers(subject: &Subject<'_>, python: &Path) -> Vec<Measured> {
    let scripts = [
        ("Python: orjson, csv, zstd", include_str!("peers/orjson_csv.py"), "orjson.csv.zst", Output::Numbered),
        ("DuckDB: read_ndjson, COPY", include_str!("peers/duckdb_copy.py"), "duckdb.csv.zst", Output::Unnumbered),
        ("dlt: filesystem, gzip", include_str!("peers/dlt_filesystem.py"), "dlt", Output::Dlt),
    ];
    let measure = |(name, script, output, read): (&'static str, &str, &str, Output)| {
        let output = subject.folder.join(output);
        let events = subject.events.as_os_str();
        let arguments: [&OsStr; 4] = ["-c".as_ref(), script.as_ref(), events, output.as_os_str()];
        subject.measured(name, python, &arguments, output.clone(), Some(read))
    };
    scripts.into_iter().map(measure).collect()
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

/// Compares every output with the first one and prints the result.
fn compared<'m>(mut all: impl Iterator<Item = &'m Measured>) -> bool {
    let Some((ours, _)) = all.next().and_then(Measured::rows) else { return false };
    let mut same = true;
    for (name, (output, read)) in all.filter_map(|one| Some((one.name.trim(), one.rows()?))) {
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
    let of = |name: &str| all.iter().find(|one| one.name.starts_with(name));
    let Some(Measured { runs: ours, bytes, .. }) = of("shiftwork") else { return false };
    let reached = |what: String, reached: bool| {
        println!("{}: {what}", if reached { "goal" } else { "GOAL MISSED" });
        reached
    };
    let mine = speed(*bytes, ours.took());
    let mut all = vec![
        reached(format!("at least {} MB/s on one core, measured {mine:.0}", GOAL.speed), mine >= GOAL.speed),
        reached(
            format!(
                "at most {} of memory for any file size, measured {}",
                mebibytes(GOAL.memory),
                mebibytes(ours.peak())
            ),
            ours.peak() <= GOAL.memory,
        ),
    ];
    if let (Some(walk), Some(zstd)) = (of(WALK), of(ZSTD)) {
        let share = ours.share_of(&[&walk.runs, &zstd.runs]);
        let what = format!(
            "at least {:.0} % of the floor (read every byte + zstd level 1), measured {:.0} %",
            100.0 * GOAL.floor,
            100.0 * share
        );
        all.push(reached(what, share >= GOAL.floor));
    }
    for (subject, name, goal) in
        [("shiftwork", "DuckDB", GOAL.duckdb), (FULL, "DuckDB", GOAL.full_duckdb), ("shiftwork", "dlt", GOAL.dlt)]
    {
        if let (Some(ours), Some(peer)) = (of(subject), of(name)) {
            let times = ours.runs.times_as_fast_as(&peer.runs);
            let what = format!("{}: at least {goal} x {name}, measured {times:.1}", subject.trim());
            all.push(reached(what, times >= goal));
        }
    }
    !all.contains(&false)
}
