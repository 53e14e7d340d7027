//! `shiftwork drift`: lists the fields whose values the target table has no column for, and changes the table to have them.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context as _, bail};
use console::style;
use shiftwork_protocol::{
    Class, Failure,
    drift::{Drift, DriftRequest, Finding, Migration, MigrationProgress},
};
use tokio::time::sleep;

use crate::{
    Deployment, Outcome, args,
    confirm::confirmed,
    table::{Column, Table},
    words,
};

/// Maximum number of characters of a field's name in a table on a terminal.
const FIELD_CHARS: usize = 60;
/// Time between two requests for the progress of a migration, and before a failed request is repeated.
const PAUSE: Duration = Duration::from_secs(2);
/// Maximum number of attempts for a request that fails with a retryable failure.
const ATTEMPTS: u32 = 5;

/// Prints the fields without a column; with `--apply`, adds columns for them, and changes the types of columns.
pub async fn drift(deployment: &Deployment, asked: &args::Drift) -> anyhow::Result<Outcome> {
    let Some(contract) = &asked.contract else {
        let found = deployment.watcher.ask(&DriftRequest::Watch { scheduled: false }).await?;
        if found.contracts.is_empty() {
            println!("every field has a column");
        }
        for drift in &found.contracts {
            println!("{}", describe(drift));
        }
        let failed = found.contracts.iter().any(|drift| drift.problem.is_some());
        return Ok(if failed { Outcome::Failed } else { Outcome::Done });
    };
    let types = asked.types.iter().cloned().collect();
    let look = DriftRequest::Look { contract: contract.clone(), only: asked.only.clone(), types };
    let drift = request(deployment, &look).await?;
    println!("{}", describe(&drift));
    let Some(migration) = &drift.migration else {
        return Ok(Outcome::Done);
    };
    if !asked.apply {
        println!("to show the statements and execute them: shiftwork drift {contract} --apply");
        return Ok(Outcome::Done);
    }
    println!("{}", statements(contract, migration));
    if !asked.yes && !confirmed("Run these statements?", "run the statements")? {
        println!("nothing was changed");
        return Ok(Outcome::Done);
    }
    apply(deployment, contract, asked, migration).await
}

async fn apply(
    deployment: &Deployment,
    contract: &str,
    asked: &args::Drift,
    migration: &Migration,
) -> anyhow::Result<Outcome> {
    let apply = DriftRequest::Apply {
        contract: contract.into(),
        only: asked.only.clone(),
        types: asked.types.iter().cloned().collect(),
        migration: migration.id.clone(),
    };
    let mut waiting = false;
    loop {
        match request(deployment, &apply).await?.progress {
            MigrationProgress::Done => {
                println!("{} contracts/{contract}.yaml in the scripts bucket now contains:", style("done.").green());
                for line in &migration.contract {
                    println!("  {line}");
                }
                println!("to add the lines to your local file: shiftwork contract pull {contract}");
                return Ok(Outcome::Done);
            }
            MigrationProgress::Running => {
                if !waiting {
                    eprintln!("the migration is running; after Ctrl-C, schema-watcher finishes it");
                }
                waiting = true;
                sleep(PAUSE).await;
            }
            MigrationProgress::Waiting => bail!("schema-watcher did not start the migration: run the command again"),
        }
    }
}

/// Sends a request, and repeats it after retryable failures. The requests are idempotent.
async fn request(deployment: &Deployment, request: &DriftRequest) -> anyhow::Result<Drift> {
    for _ in 1..ATTEMPTS {
        match deployment.watcher.ask(request).await {
            Err(error) if is_retryable(&error) => sleep(PAUSE).await,
            result => return one(result?.contracts),
        }
    }
    one(deployment.watcher.ask(request).await?.contracts)
}

fn one(drifts: Vec<Drift>) -> anyhow::Result<Drift> {
    drifts.into_iter().next().context("schema-watcher returned no table contract")
}

fn is_retryable(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Failure>().is_some_and(|failure| failure.kind.class() == Class::Retryable)
}

/// The fields of a table contract that have no column, as a table with a title.
fn describe(drift: &Drift) -> String {
    let Drift { contract, table, unknown, looked_ts, findings, more, progress, problem, .. } = drift;
    if let Some(problem) = problem {
        return format!("{contract}: {problem}\n");
    }
    let migration = match progress {
        MigrationProgress::Waiting => "",
        MigrationProgress::Running => ". A migration is running",
        MigrationProgress::Done => ". A migration that was started earlier has finished",
    };
    let title = format!(
        "{} → {table}, unknown: {unknown}, checked at {}{migration}",
        style(contract).bold(),
        words::instant(*looked_ts)
    );
    if findings.is_empty() {
        return format!("{title}\nevery field has a column\n");
    }
    let rows = findings_table(findings);
    let more = match more {
        0 => String::new(),
        more => format!(
            "and {more} more fields. If a source sends data as names of fields, map the object that contains the fields to one \
             column of type super\n"
        ),
    };
    format!("{title}\n{rows}\n{more}")
}

/// Fields that have no column, with the number of rows and the change that adds one. A terminal shows the first
/// [`FIELD_CHARS`] characters of a field's name: the name comes from the source and has no limit there.
fn findings_table(findings: &[Finding]) -> Table {
    let mut table = Table::new([
        Column::text("field", FIELD_CHARS),
        Column::name("since (UTC)"),
        Column::number("rows"),
        Column::text("values", usize::MAX),
        Column::text("change", usize::MAX),
    ]);
    for finding in findings {
        table.row([
            plain(&finding.field),
            finding.since.map(words::instant).unwrap_or_default(),
            words::count(i64::try_from(finding.rows).unwrap_or(i64::MAX)),
            finding.seen.clone(),
            finding.remedy.to_string(),
        ]);
    }
    table
}

fn statements(contract: &str, migration: &Migration) -> String {
    let mut text = String::new();
    let (before, transactions) = migration.statements.split_at(migration.before.min(migration.statements.len()));
    let (replacement, last) = transactions.split_at(migration.replacement.min(transactions.len()));
    for sql in before {
        let _ = write!(text, "{};\n\n", plain(sql));
    }
    for transaction in [replacement, last].into_iter().filter(|statements| !statements.is_empty()) {
        text.push_str("BEGIN;\n\n");
        for sql in transaction {
            let _ = write!(text, "{};\n\n", plain(sql));
        }
        text.push_str("COMMIT;\n\n");
    }
    let _ = writeln!(text, "-- changes of contracts/{contract}.yaml");
    for line in &migration.contract {
        let _ = writeln!(text, "--   {line}");
    }
    text
}

/// A text that contains data of a source, without control characters, which could manipulate the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use shiftwork_protocol::drift::{Drift, Finding, Migration, MigrationProgress, Remedy};

    use super::{describe, findings_table, plain, statements};
    use crate::table::tests::holds;

    #[test]
    fn the_table_shows_fields_without_a_column_and_their_changes() {
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
        let shown = describe(&drift);
        let lines: Vec<_> = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        for line in [
            "colour 2026-03-01 02:00:00 1,234 texts up to 7 bytes add column colour varchar(64)",
            "id 2026-03-01 02:00:00 1,234 texts up to 7 bytes id is part of the key, whose type cannot be changed",
        ] {
            assert!(lines.iter().any(|shown| shown == line), "{line}\n{lines:#?}");
        }
        assert!(lines.iter().any(|line| line.starts_with("and 99800 more fields.")), "{lines:#?}");
    }

    #[test]
    fn the_statements_are_shown_with_their_transaction() {
        let migration = Migration {
            id: "x".into(),
            statements: ["ALTER TABLE a", "LOCK a", "ALTER TABLE b", "LOCK a", "UPDATE a"].map(Into::into).to_vec(),
            before: 1,
            replacement: 2,
            contract: vec!["- { name: colour, type: varchar(64) }".into()],
        };
        let wanted = "ALTER TABLE a;\n\nBEGIN;\n\nLOCK a;\n\nALTER TABLE b;\n\nCOMMIT;\n\n\
                      BEGIN;\n\nLOCK a;\n\nUPDATE a;\n\nCOMMIT;\n\n\
                      -- changes of contracts/orders.yaml\n--   - { name: colour, type: varchar(64) }\n";
        assert_eq!(statements("orders", &migration), wanted);
    }

    #[test]
    fn a_long_field_is_cut_on_a_terminal_only() {
        let finding = Finding {
            field: "x".repeat(65_535),
            since: None,
            rows: 1,
            seen: "texts up to 7 bytes".into(),
            remedy: Remedy::None {
                why: "the field has no valid name for a column, and the reason is longer than a line".into(),
            },
        };
        let found = findings_table(&[finding]);
        holds(&found);
        assert!(found.render(Some(160)).lines().all(|line| line.chars().count() <= 160));
        assert!(found.render(None).contains(&"x".repeat(65_535)));
    }

    #[test]
    fn control_characters_in_a_field_are_not_printed() {
        assert_eq!(plain("SELECT '\u{1b}]0;'\n"), "SELECT '\u{fffd}]0;'\n");
    }
}
