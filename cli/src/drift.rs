//! `shiftwork drift`: what a source sends that no column takes, and taking it in.

use std::{fmt::Write as _, io::IsTerminal as _, time::Duration};

use anyhow::{Context as _, bail};
use comfy_table::{Cell, CellAlignment};
use console::style;
use shiftwork_protocol::{
    Class, Failure,
    drift::{Drift, DriftRequest, Migration, MigrationProgress},
};
use tokio::time::sleep;

use crate::{Deployment, Outcome, args, status, words};

/// Characters of a field's name: a source may call it anything.
const FIELD_CHARS: usize = 60;
/// Between two questions about a migration that Redshift is at.
const PAUSE: Duration = Duration::from_secs(2);
/// How often a question is asked again that AWS had no answer to.
const TRIES: u32 = 5;

/// Shows what waits; with `--apply` migrates it.
pub async fn drift(deployment: &Deployment, asked: &args::Drift) -> anyhow::Result<Outcome> {
    let Some(contract) = &asked.contract else {
        let answer = deployment.watcher.ask(&DriftRequest::Watch { scheduled: false }).await?;
        if answer.contracts.is_empty() {
            println!("nothing waits for a column");
        }
        for drift in &answer.contracts {
            println!("{}", in_words(drift));
        }
        let failed = answer.contracts.iter().any(|drift| drift.problem.is_some());
        return Ok(if failed { Outcome::Failed } else { Outcome::Done });
    };
    let look = DriftRequest::Look { contract: contract.clone(), only: asked.only.clone() };
    let drift = insist(deployment, &look).await?;
    println!("{}", in_words(&drift));
    let Some(migration) = &drift.migration else {
        return Ok(Outcome::Done);
    };
    if !asked.apply {
        println!("shiftwork drift {contract} --apply shows the statements, and takes it in");
        return Ok(Outcome::Done);
    }
    println!("{}", statements(contract, migration));
    if !asked.yes && !confirmed()? {
        println!("nothing was changed");
        return Ok(Outcome::Done);
    }
    apply(deployment, contract, &asked.only, migration).await
}

async fn apply(
    deployment: &Deployment,
    contract: &str,
    only: &[String],
    migration: &Migration,
) -> anyhow::Result<Outcome> {
    let apply = DriftRequest::Apply { contract: contract.into(), only: only.to_vec(), migration: migration.id.clone() };
    let mut waiting = false;
    loop {
        match insist(deployment, &apply).await?.progress {
            MigrationProgress::Done => {
                println!("{} contracts/{contract}.yaml in the scripts bucket has now:", style("done.").green());
                for line in &migration.contract {
                    println!("  {line}");
                }
                println!("`shiftwork contract pull {contract}` writes them into the file that you push from");
                return Ok(Outcome::Done);
            }
            MigrationProgress::Running => {
                if !waiting {
                    eprintln!("Redshift is at it; Ctrl-C leaves it to itself, and the schema-watcher finishes it");
                }
                waiting = true;
                sleep(PAUSE).await;
            }
            MigrationProgress::Waiting => bail!("the schema-watcher did not begin: look again"),
        }
    }
}

/// Asks until there is an answer: what was done is found, and nothing is done twice.
async fn insist(deployment: &Deployment, request: &DriftRequest) -> anyhow::Result<Drift> {
    for _ in 1..TRIES {
        match deployment.watcher.ask(request).await {
            Err(error) if is_passing(&error) => sleep(PAUSE).await,
            answer => return one(answer?.contracts),
        }
    }
    one(deployment.watcher.ask(request).await?.contracts)
}

fn one(drifts: Vec<Drift>) -> anyhow::Result<Drift> {
    drifts.into_iter().next().context("the schema-watcher answered nothing")
}

fn is_passing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Failure>().is_some_and(|failure| failure.kind.class() == Class::Retryable)
}

fn confirmed() -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("nobody is there to be asked: give --yes");
    }
    eprint!("Run these? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// What waits in the rows of a contract.
fn in_words(drift: &Drift) -> String {
    let Drift { contract, table, unknown, looked_ts, findings, more, progress, problem, .. } = drift;
    if let Some(problem) = problem {
        return format!("{contract}: {problem}\n");
    }
    let begun = match progress {
        MigrationProgress::Waiting => "",
        MigrationProgress::Running => ". A migration is under way",
        MigrationProgress::Done => ". A migration that was begun earlier has been finished",
    };
    let title = format!(
        "{} → {table}, unknown: {unknown}, looked at {}{begun}",
        style(contract).bold(),
        words::instant(*looked_ts)
    );
    if findings.is_empty() {
        return format!("{title}\nnothing waits\n");
    }
    let mut rows = status::table(["field", "waits since (UTC)", "rows", "values", "what would be done"]);
    for finding in findings {
        rows.add_row([
            Cell::new(printable(&finding.field)),
            Cell::new(finding.since.map(words::instant).unwrap_or_default()),
            Cell::new(words::count(i64::try_from(finding.rows).unwrap_or(i64::MAX)))
                .set_alignment(CellAlignment::Right),
            Cell::new(&finding.seen),
            Cell::new(finding.remedy.to_string()),
        ]);
    }
    let more = match more {
        0 => String::new(),
        more => format!(
            "and {more} more fields. A source that brings so many does not add columns: it writes data into its keys. Map the \
             document that they come from as one super column\n"
        ),
    };
    format!("{title}\n{rows}\n{more}")
}

fn statements(contract: &str, migration: &Migration) -> String {
    let mut text = String::new();
    for (index, sql) in migration.statements.iter().enumerate() {
        if index == migration.before {
            text.push_str("BEGIN;\n\n");
        }
        text.push_str(&plain(sql));
        text.push_str(";\n\n");
    }
    if migration.statements.len() > migration.before {
        text.push_str("COMMIT;\n\n");
    }
    let _ = writeln!(text, "-- and contracts/{contract}.yaml gets");
    for line in &migration.contract {
        let _ = writeln!(text, "--   {line}");
    }
    text
}

/// A field's name, on one line.
fn printable(field: &str) -> String {
    words::brief(&plain(&field.replace(['\n', '\r'], " ")), FIELD_CHARS)
}

/// A text that a source had a hand in, without what could move a terminal's cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use shiftwork_protocol::drift::{Drift, Finding, Migration, MigrationProgress, Remedy};

    use super::{in_words, plain, printable, statements};

    #[test]
    fn a_person_sees_what_waits_and_what_would_be_done() {
        let finding = |field: &str, remedy| Finding {
            field: field.into(),
            since: Some("2026-03-01T02:00:00Z".parse().unwrap()),
            rows: 1_234,
            seen: "texts up to 7 bytes".into(),
            remedy,
        };
        let drift = Drift {
            contract: "orders".into(),
            table: "shop.orders".into(),
            unknown: "capture".into(),
            looked_ts: "2026-03-01T03:00:00Z".parse().unwrap(),
            findings: vec![
                finding("colour", Remedy::Add { column: "colour".into(), column_type: "varchar(64)".into() }),
                finding("id", Remedy::None { why: "id is part of the key, whose type cannot be changed".into() }),
            ],
            more: 99_800,
            migration: None,
            progress: MigrationProgress::Waiting,
            problem: None,
        };
        let said = in_words(&drift);
        let said: Vec<_> = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        for line in [
            "colour 2026-03-01 02:00:00 1,234 texts up to 7 bytes add column colour varchar(64)",
            "id 2026-03-01 02:00:00 1,234 texts up to 7 bytes id is part of the key, whose type cannot be changed",
        ] {
            assert!(said.iter().any(|shown| shown == line), "{line}\n{said:#?}");
        }
        assert!(said.iter().any(|line| line.starts_with("and 99800 more fields.")), "{said:#?}");
    }

    #[test]
    fn the_statements_are_shown_as_they_commit() {
        let migration = Migration {
            id: "x".into(),
            statements: vec!["ALTER TABLE a".into(), "LOCK a".into(), "UPDATE a".into()],
            before: 1,
            contract: vec!["- { name: colour, type: varchar(64) }".into()],
        };
        let wanted = "ALTER TABLE a;\n\nBEGIN;\n\nLOCK a;\n\nUPDATE a;\n\nCOMMIT;\n\n\
                      -- and contracts/orders.yaml gets\n--   - { name: colour, type: varchar(64) }\n";
        assert_eq!(statements("orders", &migration), wanted);
    }

    #[test]
    fn a_hostile_field_does_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
        assert!(printable(&"x".repeat(65_535)).chars().count() <= 60);
        assert_eq!(plain("SELECT '\u{1b}]0;'\n"), "SELECT '\u{fffd}]0;'\n");
    }
}
