//! `shiftwork contract`: proposes table contracts from change events, and checks table contracts.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use indicatif::ProgressBar;
use shiftwork_change_data::{
    contract::{self, ContractDraft, Proposal, SharedTable, TableContract, evolves, retypes, shared_tables},
    event::Identity,
};
use shiftwork_planner::{Place, Problem};
use shiftwork_protocol::change::{Bytes, Replay};

use crate::{Outcome, args, decode, diagnostics, files, words};

/// Proposes table contracts for the tables in a file of change events.
pub fn propose(asked: &args::ContractPropose) -> anyhow::Result<Outcome> {
    let mut proposal = Proposal::default();
    let mut refused = 0;
    decode::each_line(decode::open(&asked.file, &ProgressBar::hidden())?, |number, line| {
        if let Err(reason) = add(&mut proposal, line) {
            eprintln!("{}:{number}: refused: {reason}", asked.file.display());
            refused += 1;
        }
        Ok(())
    })?;
    if refused > 0 {
        eprintln!("{} refused, without effect on the contracts", words::plural(refused, "record"));
    }
    // A file of the folder that has a contract of another table keeps its name.
    let is_taken = |contract: &ContractDraft| {
        let text = asked.out.as_deref().and_then(|folder| fs::read_to_string(file_of(folder, contract)).ok());
        let there = text.and_then(|text| contract::read("contract", &text).ok());
        there.is_some_and(|there| *there.source() != contract.source)
    };
    let contracts = proposal.by_table(is_taken).into_iter();
    let wanted = |identity: &Identity, contract: &ContractDraft| {
        asked.table.as_ref().is_none_or(|table| *table == contract.source.table || *table == identity.table())
    };
    let contracts: Vec<_> =
        contracts.filter(|(identity, contract)| wanted(identity, contract)).map(|(_, contract)| contract).collect();
    if contracts.is_empty() {
        bail!(
            "{} has no change event of a row{}",
            asked.file.display(),
            if asked.table.is_some() { " of that table" } else { "" }
        );
    }
    let Some(folder) = &asked.out else {
        let mut out = io::stdout().lock();
        for (index, contract) in contracts.iter().enumerate() {
            // A file holds one contract, so a comment marks where the next file starts.
            let between = if index > 0 { "\n# ---\n" } else { "" };
            write!(out, "{between}{}", contract.yaml())?;
        }
        return Ok(Outcome::Done);
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for contract in &contracts {
        let path = file_of(folder, contract);
        let file = fs::File::create_new(&path)
            .with_context(|| format!("cannot create {}: choose another folder if the file exists", path.display()));
        file?.write_all(contract.yaml().as_bytes())?;
        println!(
            "{}: {} of table {}",
            path.display(),
            words::plural(contract.columns.len(), "column"),
            contract.source.table
        );
    }
    Ok(Outcome::Done)
}

fn file_of(folder: &Path, contract: &ContractDraft) -> PathBuf {
    folder.join(format!("{}.yaml", contract.contract))
}

/// Adds a line: a change event, or a line of a file under `unclaimed/`, which is a record with its key in base64.
fn add(proposal: &mut Proposal, line: &[u8]) -> anyhow::Result<()> {
    let Ok(unclaimed) = serde_json::from_slice::<Replay>(line) else { return Ok(proposal.record(line, None)?) };
    let Bytes::Base64(record) = &unclaimed.record else { bail!("the line does not have the bytes of its record") };
    let key = unclaimed.key.map(|key| BASE64.decode(key)).transpose().context("the key is not valid base64")?;
    let record = BASE64.decode(record).context("the record is not valid base64")?;
    Ok(proposal.record(&record, key.as_deref())?)
}

/// Checks table contracts, and prints their problems.
pub fn check(asked: &args::ContractCheck) -> anyhow::Result<Outcome> {
    if asked.schema {
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&contract::schema())?)?;
        return Ok(Outcome::Done);
    }
    let mut files = BTreeMap::new();
    for path in paths(&asked.paths)? {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        files.insert(path.display().to_string(), text);
    }
    let mut problems = Vec::new();
    let valid = problems_of(&files, &mut problems);
    problems.extend(problems_together(valid.iter().map(|(file, contract)| (file.as_str(), contract))));
    if let Some(against) = &asked.against {
        problems.extend(regressions(&valid, against)?);
    }
    let warnings: Vec<Problem> = valid.iter().filter_map(|(file, contract)| warning(file, contract)).collect();
    eprint!("{}", diagnostics::render_warnings(&warnings, &files, console::colors_enabled_stderr()));
    eprint!("{}", diagnostics::render(&problems, &files, console::colors_enabled_stderr()));
    let count = words::plural(problems.len(), "problem");
    println!(
        "{}: {}",
        words::plural(files.len(), "contract"),
        if problems.is_empty() { "no problems" } else { &count }
    );
    Ok(if problems.is_empty() { Outcome::Done } else { Outcome::Failed })
}

/// Returns the valid contracts by file, and adds the problems of all files to `problems`.
fn problems_of(files: &BTreeMap<String, String>, problems: &mut Vec<Problem>) -> BTreeMap<String, TableContract> {
    let mut valid = BTreeMap::new();
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    for (file, text) in files {
        let whole = || Place { file: Some(file.clone()), ..Place::default() };
        match contract::read(file, text) {
            Err(found) => problems.extend(found),
            Ok(contract) => {
                if let Some(earlier) = named.insert(contract.name().to_owned(), file.clone()) {
                    let message = format!("contract `{}` is already defined in {earlier}", contract.name());
                    problems.push(Problem::new(whole(), message).hint("rename one of the two contracts"));
                }
                valid.insert(file.clone(), contract);
            }
        }
    }
    valid
}

/// The problems of contracts that have a table in common, by file.
pub(crate) fn problems_together<'c>(contracts: impl IntoIterator<Item = (&'c str, &'c TableContract)>) -> Vec<Problem> {
    let problem = |shared: SharedTable<&str>| {
        let place =
            Place { file: Some(shared.later.to_owned()), path: Some("$.target.table".into()), ..Place::default() };
        let message = format!(
            "{} is also a table of the contract in {}, and each load would replace rows of the other contract",
            shared.table, shared.earlier
        );
        Problem::new(place, message).hint("give each contract a target table of its own")
    };
    shared_tables(contracts).into_iter().map(problem).collect()
}

/// What is probably wrong in a contract.
pub(crate) fn warning(file: &str, contract: &TableContract) -> Option<Problem> {
    let place = || Place { file: Some(file.to_owned()), path: Some("$.source".into()), ..Place::default() };
    contract.source().lacks_server().then(|| {
        let message = "without `server` the contract takes the tables of this name of all servers, and rows with one key become one row";
        Problem::new(place(), message)
            .hint("write the connector's logical name (`source.name` of the events), or `\"*\"` if all servers are meant")
    })
}

/// The reasons why contracts cannot replace the contracts with the same names in the folder `against`.
fn regressions(new: &BTreeMap<String, TableContract>, against: &Path) -> anyhow::Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for path in paths(&[against.to_owned()])? {
        let name = path.display().to_string();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
        // An invalid contract has no effect in a deployment, so any contract can replace it.
        let Ok(old) = contract::read(&name, &text) else { continue };
        for (file, new) in new.iter().filter(|(_, new)| new.name() == old.name()) {
            let place = || Place { file: Some(file.clone()), ..Place::default() };
            let reasons = evolves(&old, new).into_iter().chain(retypes(&old, new));
            problems.extend(reasons.map(|reason| Problem::new(place(), reason)));
        }
    }
    Ok(problems)
}

/// The given files, and the files in the given folders and their sub-folders, sorted.
fn paths(asked: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in asked {
        if path.is_dir() {
            found.extend(files::below(path)?);
        } else if path.is_file() {
            found.push(path.clone());
        } else {
            bail!(
                "{} is not a file or a folder: name files of table contracts, or folders that contain them",
                path.display()
            );
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests;
