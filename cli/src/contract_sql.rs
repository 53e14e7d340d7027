//! `shiftwork contract sql`: prints the SQL statements that are generated from a table contract.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use shiftwork_change_data::contract;
use shiftwork_promotion::{Load, Promotion};

use crate::{Outcome, args, diagnostics};

/// The folder in which `shiftwork push` looks for table contracts.
const FOLDER: &str = "contracts";

/// Prints the statements that create the tables, the transaction of a load, and the query for fields without a column.
pub fn sql(asked: &args::ContractSql) -> anyhow::Result<Outcome> {
    let path = path_of(&asked.contract);
    let name = path.display().to_string();
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
    let contract = match contract::read(&name, &text) {
        Ok(contract) => contract,
        Err(problems) => {
            let files = [(name, text)].into();
            eprint!("{}", diagnostics::render(&problems, &files, console::colors_enabled_stderr()));
            return Ok(Outcome::Failed);
        }
    };
    let promotion = Promotion::of(&contract);
    let columns = asked.columns.unwrap_or(contract.columns().len());
    let manifest = format!("s3://<staging bucket>/manifests/{}.json", contract.name());
    let load = promotion.load(&Load { groups: vec![(columns, manifest)], ..Load::default() })?;
    let mut out = io::stdout().lock();
    print(&mut out, "Before the first load: tables that do not exist yet", &promotion.ddl())?;
    print(&mut out, "A load: one transaction", &load)?;
    print(&mut out, "Fields without a column", &[promotion.drift_report(100)])?;
    Ok(Outcome::Done)
}

/// The path itself if it is a file, otherwise the path of the contract with this name in [`FOLDER`].
fn path_of(contract: &str) -> PathBuf {
    let file = Path::new(contract);
    let is_file = file.exists() || file.extension().is_some();
    if is_file { file.to_owned() } else { Path::new(FOLDER).join(format!("{contract}.yaml")) }
}

fn print(out: &mut impl io::Write, title: &str, statements: &[String]) -> io::Result<()> {
    writeln!(out, "-- == {title} {}\n", "=".repeat(100_usize.saturating_sub(title.len())))?;
    for sql in statements {
        writeln!(out, "{sql};\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{path_of, print};

    #[test]
    fn a_name_is_a_contract_in_the_folder_and_a_path_stays_a_path() {
        assert_eq!(path_of("orders").to_str(), Some("contracts/orders.yaml"));
        assert_eq!(path_of("elsewhere/orders.yaml").to_str(), Some("elsewhere/orders.yaml"));
        assert_eq!(path_of("src").to_str(), Some("src"), "the path exists");
    }

    #[test]
    fn statements_are_printed_with_titles_as_comments() {
        let mut out = Vec::new();
        print(&mut out, "Two", &["SELECT 1".into(), "SELECT 2".into()]).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.starts_with("-- == Two ==="), "{out}");
        assert!(out.ends_with("SELECT 1;\n\nSELECT 2;\n\n"), "{out}");
    }
}
