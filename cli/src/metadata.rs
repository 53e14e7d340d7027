//! `shiftwork metadata`: pushes the configuration of repositories, and checks or fixes the metadata files under a prefix.
//!
//! It uses the code of metadata-fixer, for files that landed before.

use std::{collections::BTreeMap, fmt::Write as _, fs, io::IsTerminal as _, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use console::style;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use shiftwork_ports::{Changed, Condition, NewObject};
use shiftwork_protocol::{Class, Failure, FailureKind, keys::REPOSITORIES_KEY};
use shiftwork_search_metadata::{
    Configuration, Coverage, DocumentAccess, FixKind, Fixer, Outcome as FixerOutcome, Rules,
};

use crate::{
    Outcome, args,
    args::Target,
    aws, diagnostics,
    table::{Column, Table},
    words,
};

/// Number of keys that are processed concurrently.
const AT_ONCE: usize = 16;

/// Maximum number of keys that are held until it is known whether their documents need an access control list.
const HELD: usize = 10_000;

/// The words about a document that needs an entry in an access control list and has none.
const WITHOUT_ENTRY: &str =
    "the document has no access control list: Bedrock does not ingest it if the data source has `aclEnabled`";

/// Executes the subcommand.
pub async fn metadata(target: &Target, asked: &args::Metadata) -> anyhow::Result<Outcome> {
    match &asked.command {
        args::MetadataCommand::Push(asked) => push(target, asked).await,
        args::MetadataCommand::Check(asked) => go_over(target, asked, Mode::Check).await,
        args::MetadataCommand::Fix(asked) => go_over(target, asked, Mode::Fix).await,
    }
}

/// Reads `metadata.yaml`, and prints its problems if it is not valid.
pub fn read(path: &Path) -> anyhow::Result<(Configuration, Rules)> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = path.display().to_string();
    let doc = shiftwork_config::read_file(&name, &text);
    doc.and_then(|doc| shiftwork_search_metadata::read(&doc)).map_err(|problems| {
        let texts = BTreeMap::from([(name.clone(), text)]);
        eprint!("{}", diagnostics::render(&problems, &texts, console::colors_enabled_stderr()));
        Failure::new(FailureKind::InvalidRequest, format!("{} in {name}", words::plural(problems.len(), "problem")))
            .into()
    })
}

async fn push(target: &Target, asked: &args::MetadataPush) -> anyhow::Result<Outcome> {
    let (configuration, _) = read(&asked.file)?;
    let (scripts, location) = aws::scripts(target).await?;
    eprintln!("{location}");
    let before = scripts.read(REPOSITORIES_KEY).await?;
    let known: Option<Configuration> = before.as_ref().and_then(|before| serde_json::from_slice(&before.bytes).ok());
    let changes = changes(known.as_ref(), &configuration);
    if !asked.dry_run && known.as_ref() != Some(&configuration) {
        let bytes = format!("{}\n", serde_json::to_string_pretty(&configuration)?).into_bytes();
        let condition = before.map_or(Condition::IfAbsent, |before| Condition::IfUnchanged(before.head.etag));
        let written = scripts.write(REPOSITORIES_KEY, NewObject::json(bytes), &condition).await?;
        if written == Changed::ConditionFailed {
            bail!(
                "another push changed the configuration at the same time: check the changes with --dry-run, then push again"
            );
        }
    }
    print!("{changes}");
    match (changes.is_empty(), asked.dry_run) {
        (true, _) => println!("the deployment already has the configuration of {}", asked.file.display()),
        (false, true) => println!("run without --dry-run to make these changes"),
        (false, false) => println!("pushed; metadata-fixer uses the configuration within a minute"),
    }
    Ok(Outcome::Done)
}

/// One line for each repository that a push adds (`+`), removes (`-`) or changes (`~`).
fn changes(before: Option<&Configuration>, after: &Configuration) -> String {
    let mut out = String::new();
    let none = BTreeMap::new();
    let old = before.map_or(&none, |before| &before.repositories);
    for name in old.keys().chain(after.repositories.keys()).collect::<std::collections::BTreeSet<_>>() {
        let _ = match (old.get(name), after.repositories.get(name)) {
            (None, Some(_)) => writeln!(out, "{} repository {name}", style("+").green()),
            (Some(_), None) => writeln!(out, "{} repository {name}", style("-").red()),
            (Some(old), Some(new)) if old != new => writeln!(out, "{} repository {name}", style("~").yellow()),
            (Some(_), Some(_)) | (None, None) => Ok(()),
        };
    }
    let archives = |of: &Configuration| (of.quarantine.clone(), of.originals.clone());
    if before.is_some_and(|before| archives(before) != archives(after)) {
        let _ = writeln!(out, "{} quarantine, originals", style("~").yellow());
    }
    let access = |of: &Configuration| (of.access_file.clone(), of.users.clone(), of.groups.clone());
    if before.is_some_and(|before| access(before) != access(after)) {
        let _ = writeln!(out, "{} access_file, users, groups", style("~").yellow());
    }
    out
}

/// Whether metadata files are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Report the next step for each file, and change no file.
    Check,
    /// Fix and move the files.
    Fix,
}

async fn go_over(target: &Target, asked: &args::MetadataOf, mode: Mode) -> anyhow::Result<Outcome> {
    let place = asked.place.strip_prefix("s3://").unwrap_or(&asked.place);
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let rules = match &asked.config {
        Some(file) => read(file)?.1,
        None => pushed(target).await?,
    };
    let (documents, location) = aws::documents(target, bucket).await?;
    if mode == Mode::Fix {
        eprintln!("{location}, bucket {bucket}");
    }
    let fixer = Fixer { rules: Arc::new(rules), documents };
    let bar = bar(mode);
    let mut tally = Tally::default();
    let mut report = |key: &str, found: &Found| {
        tally.count(key, found);
        bar.inc(1);
        bar.set_message(tally.brief());
        if let Some(line) = line(key, &found.result) {
            bar.suspend(|| println!("{line}"));
        }
        for key in tally.take_without_entry() {
            bar.suspend(|| println!("{} {key}  {WITHOUT_ENTRY}", style("✘").red()));
        }
    };
    let ended = tokio::select! {
        ended = walk(&fixer, prefix, asked.after.clone(), mode, &mut report) => ended.map_err(anyhow::Error::from),
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    bar.finish_and_clear();
    if tally.unnamed > 0 {
        let words = "without an access control list are not named: set `acl_enabled: true` in the configuration, and check again";
        println!("{} {} more {words}", style("✘").red(), words::plural(tally.unnamed, "document"));
    }
    if tally.last.is_some() {
        println!("{}", tally.table(mode));
    }
    if let Err(error) = ended {
        let rest = tally.last.as_ref().map(|key| format!("; to continue, use --after '{key}'")).unwrap_or_default();
        bail!("{error:#}{rest}");
    }
    if tally.last.is_none() {
        println!("no objects under {place}");
    }
    Ok(tally.outcome(mode))
}

async fn pushed(target: &Target) -> anyhow::Result<Rules> {
    let found = aws::scripts(target).await?.0.read(REPOSITORIES_KEY).await?;
    let found =
        found.context("no repositories are configured: use `shiftwork metadata push`, or name a file with --config")?;
    Ok(Rules::pushed(&String::from_utf8_lossy(&found.bytes))?)
}

/// The outcomes of all steps for a key, or the failure that prevented them.
pub type KeyResult = Result<Vec<FixerOutcome>, Failure>;

/// What was found out about a key.
pub struct Found {
    /// The outcomes of its steps.
    pub result: KeyResult,
    /// The access control list of the document, if the key is that of a document whose index reads lists of Bedrock. A fix does
    /// not look for it.
    pub access: Option<DocumentAccess>,
}

/// Processes every key under a prefix after `after`, and reports the results in the order of the keys. A failure that concerns
/// a single key is reported as its result. Any other failure ends the walk; a later walk can continue after the last
/// reported key.
pub async fn walk(
    fixer: &Fixer,
    prefix: &str,
    after: Option<String>,
    mode: Mode,
    report: &mut (dyn FnMut(&str, &Found) + Send),
) -> Result<(), Failure> {
    let coverage = fixer.coverage().await?;
    let pages = stream::try_unfold(Some(after), async |next: Option<Option<String>>| {
        let Some(after) = next else { return Ok(None) };
        let page = fixer.documents.page(prefix, after.as_deref()).await?;
        let next = page.more.then(|| page.objects.last().map(|object| object.key.clone()));
        let keys = page.objects.into_iter().map(|object| Ok(object.key));
        Ok::<_, Failure>(Some((stream::iter(keys), next)))
    });
    let keys = pages.try_flatten();
    // The order of the keys is kept, so that all keys before the last reported key are reported.
    let mut results = keys
        .map_ok(async |key| {
            let found = match mode {
                Mode::Check => check(fixer, &coverage, &key).await,
                Mode::Fix => fix(fixer, &key).await.map(|steps| (steps, None)),
            };
            match found {
                Err(failure) if ends_the_walk(&failure) => Err(failure),
                Err(failure) => Ok((key, Found { result: Err(failure), access: None })),
                Ok((steps, access)) => Ok((key, Found { result: Ok(steps), access })),
            }
        })
        .try_buffered(AT_ONCE)
        .boxed();
    while let Some((key, found)) = results.try_next().await? {
        report(&key, &found);
    }
    Ok(())
}

async fn check(
    fixer: &Fixer,
    coverage: &Coverage,
    key: &str,
) -> Result<(Vec<FixerOutcome>, Option<DocumentAccess>), Failure> {
    let outcome = fixer.check(key).await?;
    let access = fixer.access_of(coverage, key, &outcome).await?;
    Ok((vec![outcome], access))
}

/// True if other keys would fail in the same way.
fn ends_the_walk(failure: &Failure) -> bool {
    failure.kind == FailureKind::AccessDenied || failure.kind.class() == Class::Retryable
}

/// Executes all steps for a key, as the events of its files would.
async fn fix(fixer: &Fixer, key: &str) -> KeyResult {
    let mut steps = vec![fixer.process(key).await?];
    while let Some(FixerOutcome::Written { key, .. }) = steps.last() {
        let key = key.clone();
        steps.push(fixer.process(&key).await?);
    }
    Ok(steps)
}

/// The line about a key; `None` if its metadata is valid or the key is not the key of a metadata file.
fn line(key: &str, result: &KeyResult) -> Option<String> {
    let steps = match result {
        Ok(steps) => steps,
        Err(failure) => return Some(format!("{} {key}  {failure}", style("✘").red())),
    };
    match steps.first()? {
        FixerOutcome::Foreign | FixerOutcome::Gone | FixerOutcome::Valid | FixerOutcome::Retired { .. } => None,
        FixerOutcome::Waiting => {
            Some(format!("{} {key}  {}", style("·").dim(), style("waiting for its document").dim()))
        }
        FixerOutcome::Written { key: to, from, fixes } => {
            let fixes: Vec<_> =
                fixes.iter().map(|fix| format!("{} {}", fix.kind.as_str(), fix.field).trim().to_owned()).collect();
            let place = if from.is_some() { format!(" → {to}") } else { String::new() };
            Some(format!("{} {key}{place}  {}", style("~").yellow(), style(fixes.join(", ")).dim()))
        }
        FixerOutcome::Quarantined { problems, stubs, .. } => {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            let closed = if stubs.is_empty() {
                String::new()
            } else {
                format!("; a stub at {} keeps the document closed", stubs.join(", "))
            };
            Some(format!("{} {key}  {}{closed}", style("✘").red(), problems.join("; ")))
        }
        FixerOutcome::Left { problems } => {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Some(format!("{} {key}  {}; the file is left in its place", style("✘").red(), problems.join("; ")))
        }
        FixerOutcome::Stub => Some(format!(
            "{} {key}  a stub with only the access control list: the metadata is in quarantine",
            style("✘").red()
        )),
        FixerOutcome::Unrecognized => {
            let words = "no field of it is metadata of the repository: left as a document";
            Some(format!("{} {key}  {}", style("·").dim(), style(words).dim()))
        }
    }
}

/// Counts of the results.
#[derive(Debug, Default)]
pub struct Tally {
    outcomes: BTreeMap<&'static str, usize>,
    kinds: BTreeMap<FixKind, usize>,
    moved: usize,
    /// True if a document has an entry, so that its knowledge base reads access control lists.
    has_lists: bool,
    /// Number of documents that need an entry and have none.
    without_entry: usize,
    /// The keys of these documents that were not taken yet.
    to_name: Vec<String>,
    /// Number of documents without an entry that need one if another document has one.
    undecided: usize,
    /// The keys of these documents, at most [`HELD`].
    held: Vec<String>,
    /// Number of documents that need an entry, have none, and whose keys were not held.
    unnamed: usize,
    /// The last reported key.
    pub last: Option<String>,
}

impl Tally {
    /// Counts the result for a key.
    pub fn count(&mut self, key: &str, Found { result, access }: &Found) {
        self.last = Some(key.to_owned());
        match access {
            Some(access) if access.has_entry => self.has_lists = true,
            Some(access) => self.count_without_entry(key, access.is_needed),
            None => {}
        }
        if self.has_lists {
            self.unnamed += self.undecided - self.held.len();
            self.without_entry += std::mem::take(&mut self.undecided);
            self.to_name.append(&mut self.held);
        }
        let outcome = match result {
            Ok(steps) => steps.first().map_or("gone", FixerOutcome::as_str),
            Err(_) => "failed",
        };
        *self.outcomes.entry(outcome).or_default() += 1;
        if let Ok(steps) = result
            && let Some(FixerOutcome::Written { from, fixes, .. }) = steps.first()
        {
            self.moved += usize::from(from.is_some());
            for kind in fixes.iter().map(|fix| fix.kind).collect::<std::collections::BTreeSet<_>>() {
                *self.kinds.entry(kind).or_default() += 1;
            }
        }
    }

    fn of(&self, outcome: &str) -> usize {
        self.outcomes.get(outcome).copied().unwrap_or_default()
    }

    fn count_without_entry(&mut self, key: &str, is_needed: Option<bool>) {
        match is_needed {
            Some(true) => {
                self.without_entry += 1;
                self.to_name.push(key.to_owned());
            }
            Some(false) => {}
            None => {
                self.undecided += 1;
                if self.held.len() < HELD {
                    self.held.push(key.to_owned());
                }
            }
        }
    }

    /// The documents that are now known to need an entry in an access control list and to have none. Each key is returned once.
    pub fn take_without_entry(&mut self) -> Vec<String> {
        std::mem::take(&mut self.to_name)
    }

    fn brief(&self) -> String {
        format!("{} valid, {} to fix, {} unfixable", self.of("valid"), self.of("written"), self.of("quarantined"))
    }

    /// The counts as a table, one row per outcome that occurred.
    pub fn table(&self, mode: Mode) -> Table {
        let mut table = Table::new([Column::name("metadata"), Column::number("files")]);
        let mut row = |words: &str, number: usize| {
            if number > 0 {
                table.row([words.to_owned(), words::count(i64::try_from(number).unwrap_or(i64::MAX))]);
            }
        };
        let (fixed, moved, deleted, quarantined) = match mode {
            Mode::Check => ("to fix or move", "  to move", "sources to delete, already moved", "to move to quarantine"),
            Mode::Fix => ("fixed or moved", "  moved", "sources deleted, already moved", "moved to quarantine"),
        };
        row("valid", self.of("valid"));
        row(fixed, self.of("written"));
        row(moved, self.moved);
        for (kind, number) in &self.kinds {
            row(&format!("  {}", kind.as_str()), *number);
        }
        row(deleted, self.of("retired"));
        row("waiting for its document", self.of("waiting"));
        row(quarantined, self.of("quarantined"));
        row("stubs of files in quarantine", self.of("stub"));
        row("not valid, left in place", self.of("left"));
        row("failed", self.of("failed"));
        row("not metadata", self.of("foreign") + self.of("gone") + self.of("unrecognized"));
        row("documents without an access control list", self.without_entry);
        table
    }

    /// A check fails if a file is not valid or a document has no access control list that it needs; a fix fails if a file was quarantined or could not be processed.
    pub fn outcome(&self, mode: Mode) -> Outcome {
        let unfixed = self.of("quarantined") + self.of("failed") + self.of("left");
        let found = match mode {
            Mode::Check => {
                let open = self.of("stub") + self.without_entry;
                unfixed + open + self.of("written") + self.of("retired")
            }
            Mode::Fix => unfixed,
        };
        if found == 0 { Outcome::Done } else { Outcome::Failed }
    }
}

/// A spinner instead of a bar, because the number of keys is unknown until the last page.
fn bar(mode: Mode) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let verb = match mode {
        Mode::Check => "checked",
        Mode::Fix => "processed",
    };
    let style = ProgressStyle::with_template(&format!("{{spinner}} {{human_pos}} {verb}, {{per_sec}}: {{msg}}"));
    let bar = ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

#[cfg(test)]
mod tests;
