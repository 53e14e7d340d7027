//! `shiftwork metadata`: the rules of document repositories are pushed, a repository is checked, or mended as a whole.
//!
//! It does what metadata-fixer does, by the same code, over everything that is there already.

use std::{collections::BTreeMap, fmt::Write as _, fs, io::IsTerminal as _, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use comfy_table::{Cell, CellAlignment};
use console::style;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use shiftwork_ports::{Changed, Condition, NewObject};
use shiftwork_protocol::{Class, Failure, FailureKind, keys::REPOSITORIES_KEY};
use shiftwork_search_metadata::{Configuration, FixKind, Fixer, Outcome as Found, Rules};

use crate::{Outcome, args, args::Target, aws, diagnostics, status, words};

/// Files that are looked at side by side.
const AT_ONCE: usize = 16;

/// Does what was asked for.
pub async fn metadata(target: &Target, asked: &args::Metadata) -> anyhow::Result<Outcome> {
    match &asked.command {
        args::MetadataCommand::Push(asked) => push(target, asked).await,
        args::MetadataCommand::Check(asked) => go_over(target, asked, Mode::Check).await,
        args::MetadataCommand::Fix(asked) => go_over(target, asked, Mode::Fix).await,
    }
}

/// Reads `metadata.yaml`, or says everything that is wrong with it.
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
    let scripts = aws::scripts(target).await?;
    let before = scripts.read(REPOSITORIES_KEY).await?;
    let known: Option<Configuration> = before.as_ref().and_then(|before| serde_json::from_slice(&before.bytes).ok());
    let changes = changes(known.as_ref(), &configuration);
    if !asked.dry_run && known.as_ref() != Some(&configuration) {
        let bytes = format!("{}\n", serde_json::to_string_pretty(&configuration)?).into_bytes();
        let condition = before.map_or(Condition::IfAbsent, |before| Condition::IfUnchanged(before.head.etag));
        let written = scripts.write(REPOSITORIES_KEY, NewObject::json(bytes), &condition).await?;
        if written == Changed::ConditionFailed {
            bail!("another push changed the configuration at the same moment; check what is there, and push again");
        }
    }
    print!("{changes}");
    match (changes.is_empty(), asked.dry_run) {
        (true, _) => println!("the deployment agrees with {}", asked.file.display()),
        (false, true) => println!("a push without --dry-run makes these changes"),
        (false, false) => println!("pushed; metadata-fixer hears of it within a minute"),
    }
    Ok(Outcome::Done)
}

/// A line for each repository that a push changes.
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
    let aside = |of: &Configuration| (of.quarantine.clone(), of.originals.clone());
    if before.is_some_and(|before| aside(before) != aside(after)) {
        let _ = writeln!(out, "{} quarantine, originals", style("~").yellow());
    }
    out
}

/// What is done about what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Check,
    /// All of it.
    Fix,
}

async fn go_over(target: &Target, asked: &args::MetadataOf, mode: Mode) -> anyhow::Result<Outcome> {
    let place = asked.place.strip_prefix("s3://").unwrap_or(&asked.place);
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let rules = match &asked.config {
        Some(file) => read(file)?.1,
        None => pushed(target).await?,
    };
    let fixer = Fixer { rules: Arc::new(rules), documents: aws::documents(target, bucket).await? };
    let bar = bar(mode);
    let mut tally = Tally::default();
    let mut tell = |key: &str, news: &News| {
        tally.count(key, news);
        bar.inc(1);
        bar.set_message(tally.brief());
        if let Some(line) = line(key, news) {
            bar.suspend(|| println!("{line}"));
        }
    };
    let ended = tokio::select! {
        ended = walk(&fixer, prefix, asked.after.clone(), mode, &mut tell) => ended.map_err(anyhow::Error::from),
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    bar.finish_and_clear();
    if tally.last.is_some() {
        println!("{}", tally.table(mode));
    }
    if let Err(error) = ended {
        let rest = tally.last.as_ref().map(|key| format!("; go on with --after '{key}'")).unwrap_or_default();
        bail!("{error:#}{rest}");
    }
    if tally.last.is_none() {
        println!("there is nothing under {place}");
    }
    Ok(tally.outcome(mode))
}

async fn pushed(target: &Target) -> anyhow::Result<Rules> {
    let found = aws::scripts(target).await?.read(REPOSITORIES_KEY).await?;
    let found =
        found.context("no repositories were pushed: `shiftwork metadata push`, or name a file with --config")?;
    Ok(Rules::pushed(&String::from_utf8_lossy(&found.bytes))?)
}

/// What a key led to: the last word of the fixer, or why it had none.
pub type News = Result<Vec<Found>, Failure>;

/// Looks at every key under a prefix, in order, and tells of each one. A key that somebody has to mend first is told, and
/// passed; a failure of AWS ends the walk, which goes on later behind the last key that was told.
pub async fn walk(
    fixer: &Fixer,
    prefix: &str,
    after: Option<String>,
    mode: Mode,
    tell: &mut (dyn FnMut(&str, &News) + Send),
) -> Result<(), Failure> {
    let pages = stream::try_unfold(Some(after), async |next: Option<Option<String>>| {
        let Some(after) = next else { return Ok(None) };
        let page = fixer.documents.page(prefix, after.as_deref()).await?;
        let next = page.more.then(|| page.objects.last().map(|object| object.key.clone()));
        let keys = page.objects.into_iter().map(|object| Ok(object.key));
        Ok::<_, Failure>(Some((stream::iter(keys), next)))
    });
    let keys = pages.try_flatten();
    // In the order of the keys, so that the last one told has none behind it that was not.
    let mut looked = keys
        .map_ok(async |key| {
            let news = match mode {
                Mode::Check => fixer.check(&key).await.map(|found| vec![found]),
                Mode::Fix => fix(fixer, &key).await,
            };
            match news {
                Err(failure) if ends_the_walk(&failure) => Err(failure),
                news => Ok((key, news)),
            }
        })
        .try_buffered(AT_ONCE)
        .boxed();
    while let Some((key, news)) = looked.try_next().await? {
        tell(&key, &news);
    }
    Ok(())
}

/// Another key would fare no better.
fn ends_the_walk(failure: &Failure) -> bool {
    failure.kind == FailureKind::AccessDenied || failure.kind.class() == Class::Retryable
}

/// Does the steps of one file, as its events would do one by one.
async fn fix(fixer: &Fixer, key: &str) -> News {
    let mut steps = vec![fixer.look(key).await?];
    while let Some(Found::Written { key, .. }) = steps.last() {
        let key = key.clone();
        steps.push(fixer.look(&key).await?);
    }
    Ok(steps)
}

/// A line for what is not as it should be.
fn line(key: &str, news: &News) -> Option<String> {
    let steps = match news {
        Ok(steps) => steps,
        Err(failure) => return Some(format!("{} {key}  {failure}", style("✘").red())),
    };
    match steps.first()? {
        Found::Foreign | Found::Gone | Found::Valid | Found::Retired { .. } => None,
        Found::Waiting => Some(format!("{} {key}  {}", style("·").dim(), style("its document is not there yet").dim())),
        Found::Written { key: to, from, changes } => {
            let changes: Vec<_> = changes
                .iter()
                .map(|change| format!("{} {}", change.sort.as_str(), change.field).trim().to_owned())
                .collect();
            let place = if from.is_some() { format!(" → {to}") } else { String::new() };
            Some(format!("{} {key}{place}  {}", style("~").yellow(), style(changes.join(", ")).dim()))
        }
        Found::Quarantined { problems, .. } => {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Some(format!("{} {key}  {}", style("✘").red(), problems.join("; ")))
        }
    }
}

/// Everything that was found.
#[derive(Debug, Default)]
pub struct Tally {
    outcomes: BTreeMap<&'static str, usize>,
    sorts: BTreeMap<FixKind, usize>,
    moved: usize,
    /// The last key that was looked at.
    pub last: Option<String>,
}

impl Tally {
    /// Takes news in.
    pub fn count(&mut self, key: &str, news: &News) {
        self.last = Some(key.to_owned());
        let word = match news {
            Ok(steps) => steps.first().map_or("gone", Found::as_str),
            Err(_) => "failed",
        };
        *self.outcomes.entry(word).or_default() += 1;
        if let Ok(steps) = news
            && let Some(Found::Written { from, changes, .. }) = steps.first()
        {
            self.moved += usize::from(from.is_some());
            for sort in changes.iter().map(|change| change.sort).collect::<std::collections::BTreeSet<_>>() {
                *self.sorts.entry(sort).or_default() += 1;
            }
        }
    }

    fn of(&self, outcome: &str) -> usize {
        self.outcomes.get(outcome).copied().unwrap_or_default()
    }

    fn brief(&self) -> String {
        format!("{} valid, {} to mend, {} beyond mending", self.of("valid"), self.of("written"), self.of("quarantined"))
    }

    /// Found, counted.
    pub fn table(&self, mode: Mode) -> comfy_table::Table {
        let mut table = status::table(["metadata", "files"]);
        let mut row = |words: &str, number: usize| {
            if number > 0 {
                let number = words::count(i64::try_from(number).unwrap_or(i64::MAX));
                table.add_row([Cell::new(words), Cell::new(number).set_alignment(CellAlignment::Right)]);
            }
        };
        let (mended, moved, gone, aside) = match mode {
            Mode::Check => {
                ("to be mended or moved", "  to be moved", "to be deleted, for it is in its place", "beyond mending")
            }
            Mode::Fix => ("mended or moved", "  moved", "deleted, for it was in its place", "in quarantine"),
        };
        row("valid, and in its place", self.of("valid"));
        row(mended, self.of("written"));
        row(moved, self.moved);
        for (sort, number) in &self.sorts {
            row(&format!("  {}", sort.as_str()), *number);
        }
        row(gone, self.of("retired"));
        row("waiting for its document", self.of("waiting"));
        row(aside, self.of("quarantined"));
        row("failed", self.of("failed"));
        row("no metadata", self.of("foreign") + self.of("gone"));
        table
    }

    /// A check that found something, and a fix that left something, failed.
    pub fn outcome(&self, mode: Mode) -> Outcome {
        let left = self.of("quarantined") + self.of("failed");
        let found = match mode {
            Mode::Check => left + self.of("written") + self.of("retired"),
            Mode::Fix => left,
        };
        if found == 0 { Outcome::Done } else { Outcome::Failed }
    }
}

/// Nobody knows how many files there are until the last one.
fn bar(mode: Mode) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let verb = match mode {
        Mode::Check => "checked",
        Mode::Fix => "looked at",
    };
    let style = ProgressStyle::with_template(&format!("{{spinner}} {{human_pos}} {verb}, {{per_sec}}: {{msg}}"));
    let bar = ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

#[cfg(test)]
#[path = "metadata_tests.rs"]
mod tests;
