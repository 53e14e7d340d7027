//! `shiftwork.yaml`, beside the directory of workflows: the name of the project.

use std::{fs, io, path::Path};

use anyhow::{Context as _, bail};
use shiftwork_config::Located;

use super::thing::{PROJECT_HINT, is_project};

/// Name of the file.
pub(super) const FILE: &str = "shiftwork.yaml";

/// The project of the files below `root`: the one that the command line or `SHIFTWORK_PROJECT` names, else the one of the
/// file; `None` if neither exists.
pub(crate) fn project(named: Option<&str>, root: &Path) -> anyhow::Result<Option<String>> {
    if let Some(named) = named {
        return Ok(Some(named.into()));
    }
    let path = root.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    match shiftwork_config::read_file(&path.display().to_string(), &text) {
        Ok(doc) => read(&doc).map(Some).with_context(|| path.display().to_string()),
        Err(problems) => bail!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

fn read(doc: &Located) -> anyhow::Result<String> {
    let fields = doc.value().as_object().with_context(|| format!("expected `project: NAME`; {PROJECT_HINT}"))?;
    if let Some(unknown) = fields.keys().find(|name| *name != "project") {
        bail!("unknown field `{unknown}`: the only field is `project`");
    }
    match fields.get("project").and_then(|project| project.as_str()) {
        Some(project) if is_project(project) => Ok(project.into()),
        Some(_) | None => bail!("`project` is not a valid name of a project: {PROJECT_HINT}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_takes_precedence_over_the_file() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(project(None, root.path()).unwrap(), None);
        assert_eq!(project(Some("a"), root.path()).unwrap().as_deref(), Some("a"));
        fs::write(root.path().join(FILE), "project: sales\n").unwrap();
        assert_eq!(project(None, root.path()).unwrap().as_deref(), Some("sales"));
        assert_eq!(project(Some("a"), root.path()).unwrap().as_deref(), Some("a"));
    }

    #[test]
    fn a_file_that_names_no_valid_project_is_an_error_with_its_path() {
        let root = tempfile::tempdir().unwrap();
        for (text, part) in [
            ("", "expected `project: NAME`"),
            ("projekt: sales\n", "unknown field `projekt`"),
            ("project: two words\n", "is not a valid name"),
            ("project: [a]\n", "is not a valid name"),
        ] {
            fs::write(root.path().join(FILE), text).unwrap();
            let error = format!("{:#}", project(None, root.path()).unwrap_err());
            assert!(error.contains(part) && error.contains(FILE), "{text}: {error}");
        }
    }
}
