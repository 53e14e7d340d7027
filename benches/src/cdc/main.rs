//! How fast a file of change events becomes staged files, on one core, beside what people use and beside the limits.
//!
//! ```text
//! bench-cdc                        300,000 generated events, five runs each, all peers that .venv-bench has
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

/// Megabytes of events a second; times DuckDB's and dlt's; largest resident set.
const GOAL: (f64, f64, f64, u64) = (500.0, 3.0, 30.0, 32 << 20);

/// Measures how fast change events are staged.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    part: Option<Part>,
    /// Events of the generated file.
    #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Runs of each; the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// The core that everything runs on.
    #[arg(long, default_value_t = 1)]
    core: u16,
    /// Where the events and the outputs go.
    #[arg(long, default_value = "target/bench-cdc")]
    folder: PathBuf,
    /// The Python that has the peers.
    #[arg(long, default_value = ".venv-bench/bin/python")]
    python: PathBuf,
    /// Leave the peers out.
    #[arg(long)]
    no_peers: bool,
    /// Fail where the goal is missed, or an output differs.
    #[arg(long)]
    check: bool,
}

/// What runs in a process of its own, to be measured from outside.
#[derive(Subcommand)]
enum Part {
    /// Write a file of events.
    Generate { events: PathBuf, form: Form },
    /// Stage a file of events.
    Stage {
        events: PathBuf,
        output: PathBuf,
        /// With the full decoder alone.
        #[arg(long)]
        full: bool,
        /// Do not compress.
        #[arg(long)]
        plain: bool,
    },
    /// Stage a file of events as the loader does it, its collaborators in memory.
    Load { events: PathBuf, output: PathBuf },
    /// Walk over the bytes of a file.
    Skip { events: PathBuf },
    /// Compress a file at level 1.
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

/// What is measured, and what it writes.
struct Measured {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<OsString>,
    runs: Runs,
    /// What its speed is of: the events, also where it reads something else.
    bytes: u64,
    /// Where it writes; nowhere, if empty.
    output: PathBuf,
    /// How its rows are to be read.
    read: Option<Output>,
}

impl Measured {
    fn run(&mut self, core: u16) -> Result<()> {
        clear(&self.output)?;
        self.runs.push(Run::of(core, &self.program, &self.arguments)?);
        Ok(())
    }

    /// Bytes that it wrote.
    fn written(&self) -> Option<u64> {
        (!self.output.as_os_str().is_empty()).then(|| size(&self.output))
    }

    /// Where its rows are, and how they are to be read.
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
        subject.ours("  the full decoder alone", "stage", &["--full"], ("full.csv.zst", Some(Output::Ours))),
        subject.ours("  through the loader", "load", &[], ("load.csv.zst", Some(Output::Loaded))),
    ];
    let packed = Subject { events: packed(&subject.events)?, ..subject };
    let through = packed.ours("  through the loader, a gzip file", "load", &[], ("gzip.csv.zst", Some(Output::Loaded)));
    all.push(Measured { bytes: size(&subject.events), ..through });
    let enveloped = Subject { events: written(options, &folder, &me, "enveloped")?, ..subject };
    for (name, flags, output) in [
        ("shiftwork, with the schema", [].as_slice(), "enveloped.csv.zst"),
        ("  the full decoder alone, with the schema", &["--full"], "enveloped-full.csv.zst"),
    ] {
        all.push(enveloped.ours(name, "stage", flags, (output, Some(Output::Ours))));
    }
    if !options.no_peers {
        all.extend(peers(&subject)?);
    }
    let plain = folder.join("ours.csv");
    let events = subject.events.as_os_str();
    all.push(subject.measured("limit: walk over the bytes", &me, &["skip".as_ref(), events], PathBuf::new(), None));
    for (name, codec, output) in
        [("limit: zstd level 1 alone", "zstd", "limit.zst"), ("limit: gzip level 1 alone", "gzip", "limit.gz")]
    {
        let output = folder.join(output);
        let arguments: [&OsStr; 4] = ["compress".as_ref(), codec.as_ref(), plain.as_os_str(), output.as_os_str()];
        all.push(subject.measured(name, &me, &arguments, output.clone(), None));
    }
    // In rounds, so that what the machine does beside it for some seconds meets everybody.
    for _ in 0..options.runs {
        all.iter_mut().try_for_each(|one| one.run(options.core))?;
    }
    println!("{}", table(&all, options.events));

    let same = compared(&all);
    Ok(if (same && reached(&all)) || !options.check { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The events in a form, in a file of their own.
fn written(options: &Options, folder: &Path, me: &Path, form: &str) -> Result<PathBuf> {
    let events = folder.join(format!("events-{}-{form}.ndjson", options.events));
    // This process stays small: Linux counts its resident set as the first of each process that it starts.
    print!("{form}: ");
    io::stdout().flush()?;
    let number = options.events.to_string();
    let generator = Command::new(me).args(["--events", &number, "generate"]).arg(&events).arg(form).status()?;
    ensure!(generator.success(), "the events were not written: {generator}");
    Ok(events)
}

/// The same file, packed by gzip as people pack files: by its default level.
fn packed(events: &Path) -> Result<PathBuf> {
    let status = Command::new("gzip").args(["--keep", "--force"]).arg(events).status().context("starting gzip")?;
    ensure!(status.success(), "the events were not packed: {status}");
    Ok(events.with_added_extension("gz"))
}

/// What a run is of.
struct Subject<'o> {
    options: &'o Options,
    me: &'o Path,
    folder: &'o Path,
    events: PathBuf,
}

impl Subject<'_> {
    /// Measures a part of this program.
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

/// The peers, where a Python with them is at hand.
fn peers(subject: &Subject<'_>) -> Result<Vec<Measured>> {
    let options = subject.options;
    // Not canonical: a virtual environment is known by the link's own place.
    let python = std::path::absolute(&options.python)?;
    if !python.exists() {
        println!("The peers are left out: {} is missing; `make bench-cdc` installs it.", options.python.display());
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

/// Bytes of a file, or of what dlt loaded.
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
        "ours is",
        "median",
        "fastest … slowest",
        "on the core",
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

/// Holds every output against ours, and says what came out.
fn compared(all: &[Measured]) -> bool {
    let Some((ours, _)) = all.first().and_then(Measured::rows) else { return false };
    let mut same = true;
    for (name, (output, read)) in all.iter().skip(1).filter_map(|one| Some((one.name.trim(), one.rows()?))) {
        match compare::rows(ours, output, read) {
            Ok(rows) => println!("{name}: the same {rows} rows."),
            Err(error) => {
                same = false;
                println!("{name}: NOT the same rows: {error:#}");
            }
        }
    }
    same
}

/// Whether the goal is reached by what was measured, and a line on each part of it.
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
        reached(format!("{fast} MB/s on one core, reached {mine:.0}"), mine >= fast),
        reached(
            format!("{} whatever the file's size, reached {}", mebibytes(memory), mebibytes(ours.peak())),
            ours.peak() <= memory,
        ),
    ];
    for (name, goal) in [("DuckDB", duckdb), ("dlt", dlt)] {
        if let Some(peer) = of(name).map(|peer| &peer.runs) {
            let times = ours.times_as_fast_as(peer);
            all.push(reached(format!("{goal} x {name}, reached {times:.1}"), times >= goal));
        }
    }
    !all.contains(&false)
}
