//! `shiftwork contract pull`: writes a deployed table contract to its local file.

use std::{fs, io, path::Path};

use anyhow::{Context as _, bail};
use console::style;
use shiftwork_change_data::contract::{self, evolves};

use shiftwork_protocol::name::sha256;

use crate::{Deployment, Outcome, args, push::seen::State};

/// Writes the file, and prints the columns that the deployed contract adds or changes.
pub async fn pull(deployment: &Deployment, asked: &args::ContractPull) -> anyhow::Result<Outcome> {
    let name = &asked.contract;
    let key = shiftwork_protocol::keys::contract_key(name);
    let deployed = shiftwork_ports::scripts::newest(&deployment.scripts, &key).await?;
    let deployed = deployed.with_context(|| format!("the deployment has no table contract `{name}`"))?.text;
    let path = asked.folder.join(format!("{name}.yaml"));
    let file = match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let changes = match file.as_deref() {
        Some(file) if file == deployed => {
            seen(deployment, asked, &key, &deployed)?;
            println!("{} already has the deployed contract", path.display());
            return Ok(Outcome::Done);
        }
        Some(file) => compare(&path.display().to_string(), file, &deployed),
        None => Ok(Vec::new()),
    };
    let changes = match changes {
        Ok(changes) => changes,
        Err(_) if asked.force => Vec::new(),
        Err(reasons) => bail!(
            "{} has changes that the deployed contract does not have; the file was not changed (use --force to overwrite it):\n  {}",
            path.display(),
            reasons.join("\n  ")
        ),
    };
    fs::create_dir_all(&asked.folder).with_context(|| format!("cannot create {}", asked.folder.display()))?;
    fs::write(&path, &deployed).with_context(|| format!("cannot write {}", path.display()))?;
    seen(deployment, asked, &key, &deployed)?;
    println!("wrote the deployed contract to {}", path.display());
    for line in changes {
        println!("  {} {line}", style("+").green());
    }
    Ok(Outcome::Done)
}

/// Records that this checkout has the deployed contract, so that a later push may replace it.
fn seen(deployment: &Deployment, asked: &args::ContractPull, key: &str, deployed: &str) -> anyhow::Result<()> {
    let root = asked.folder.parent().unwrap_or_else(|| Path::new(""));
    let mut state = State::read(root)?;
    state.see(&deployment.location.key(), [(key.to_owned(), Some(sha256(deployed)))]);
    state.write(root)
}

/// The columns that the deployed contract adds to the file or changes, one line each; the error holds the reasons why it
/// cannot replace the file.
fn compare(name: &str, file: &str, deployed: &str) -> Result<Vec<String>, Vec<String>> {
    let read = |text: &str| {
        contract::read(name, text).map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<String>>())
    };
    let (file, deployed) = (read(file)?, read(deployed)?);
    let mut reasons = evolves(&file, &deployed);
    if reasons.is_empty() && file.with_columns(deployed.columns()).as_ref() != Ok(&deployed) {
        reasons.push("the file differs in more than columns: push the file first, or undo its changes".into());
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let changes = deployed.columns().iter().filter_map(|column| match file.column(&column.name) {
        None => Some(format!("{} {}", column.name, column.column_type)),
        Some(was) if was.column_type != column.column_type => {
            Some(format!("{} {} (was {})", column.name, column.column_type, was.column_type))
        }
        Some(_) => None,
    });
    Ok(changes.collect())
}

#[cfg(test)]
mod tests {
    use super::compare;

    const FILE: &str = "
contract: orders
source: { format: debezium, table: public.orders }
target: { schema: shop, table: orders }
key: [id]
columns:
  - { name: id, type: bigint }
  - { name: status, type: varchar(16) }
";

    #[test]
    fn added_and_widened_columns_are_listed() {
        let deployed = FILE.replace("varchar(16)", "varchar(64)") + "  - { name: colour, type: varchar(16) }\n";
        assert_eq!(
            compare("orders.yaml", FILE, &deployed),
            Ok(vec!["status varchar(64) (was varchar(16))".into(), "colour varchar(16)".into()])
        );
    }

    #[test]
    fn a_file_with_changes_is_not_overwritten() {
        let ahead = FILE.to_owned() + "  - { name: colour, type: varchar(16) }\n";
        assert!(compare("orders.yaml", &ahead, FILE).unwrap_err()[0].contains("`colour` would be removed"));
        let stricter = FILE.to_owned() + "unknown: freeze\n";
        assert!(compare("orders.yaml", &stricter, FILE).unwrap_err()[0].contains("more than columns"));
    }
}
