//! Workflow files on disk: `*.yaml`, `*.yml` and `*.json`, `connections.yaml` in the same directory, and the scripts of
//! each workflow in the directory named after its `workflow_id`.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

/// A file of workflows, connections, contracts or feeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Path of the file, as problems show it.
    pub path: PathBuf,
    /// Text of the file.
    pub text: String,
}

impl File {
    /// The path as text.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// All files that the paths of a command line select.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// Workflow files, ordered by path.
    pub workflows: Vec<File>,
    /// Connection files, one per directory.
    pub connections: Vec<File>,
    /// Table contracts: the files in `contracts/`, next to the directory of workflows.
    pub contracts: Vec<File>,
    /// Feeds: the files in `feeds/`, next to the directory of workflows.
    pub feeds: Vec<File>,
    /// Files in the directories next to the workflow files: scripts, of which one can be suggested for a misspelt name.
    pub scripts: Vec<PathBuf>,
    /// False if single files were selected; there may be other workflow files that were not read.
    pub whole: bool,
}

/// Reads the files that the paths select: a file itself, or the files directly in a directory.
pub fn read(paths: &[PathBuf]) -> anyhow::Result<Files> {
    let mut found = Vec::new();
    let mut whole = true;
    for path in paths {
        if path.is_dir() {
            found.extend(directory(path).with_context(|| format!("cannot list {}", path.display()))?);
        } else if path.is_file() {
            whole = false;
            found.push(path.clone());
            // Connections are shared by the workflow files of a directory.
            let beside = path.parent().unwrap_or_else(|| Path::new(""));
            found.extend(
                ["connections.yaml", "connections.yml"]
                    .map(|name| beside.join(name))
                    .into_iter()
                    .filter(|p| p.is_file()),
            );
        } else {
            bail!(
                "{} is neither a file nor a directory: give workflow files, or a directory that contains workflow files",
                path.display()
            );
        }
    }
    found.sort();
    found.dedup();
    let mut files = Files { whole, ..Files::default() };
    for path in beside(paths, "contracts")? {
        files.contracts.push(file(path)?);
    }
    for path in beside(paths, "feeds")? {
        files.feeds.push(file(path)?);
    }
    let beside_workflows: BTreeSet<PathBuf> =
        found.iter().map(|path| path.parent().unwrap_or_else(|| Path::new("")).to_owned()).collect();
    files.scripts = beside_workflows.iter().flat_map(|directory| scripts(directory)).collect();
    for path in found {
        let file = file(path)?;
        let is_connections = file.path.file_stem().is_some_and(|stem| stem == "connections");
        let of = if is_connections { &mut files.connections } else { &mut files.workflows };
        of.push(file);
    }
    if files.workflows.is_empty() && files.connections.is_empty() {
        let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        bail!("no workflow files (*.yaml, *.yml, *.json) in {}", paths.join(", "));
    }
    Ok(files)
}

fn file(path: PathBuf) -> anyhow::Result<File> {
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(File { path, text })
}

/// The files in `folder`, next to the directories of workflows that were selected.
fn beside(paths: &[PathBuf], folder: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        let directory = if path.is_dir() { Some(path.as_path()) } else { path.parent() };
        let beside = match directory.and_then(Path::file_name) {
            Some(_) => directory.and_then(Path::parent).unwrap_or_else(|| Path::new("")).join(folder),
            // The current directory, or a path that ends in `.` or `..`.
            None => directory.unwrap_or_else(|| Path::new("")).join("..").join(folder),
        };
        if beside.is_dir() {
            found.extend(self::directory(&beside).with_context(|| format!("cannot list {}", beside.display()))?);
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn directory(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let is_ours = path.extension().is_some_and(|suffix| ["yaml", "yml", "json"].iter().any(|ours| suffix == *ours));
        if is_ours && path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

/// The files in the sub-directories of a directory. A directory that cannot be read has none, because they are only suggestions.
fn scripts(directory: &Path) -> Vec<PathBuf> {
    const DEPTH: usize = 4;
    let mut found = Vec::new();
    let mut level = vec![directory.to_owned()];
    for depth in 0..=DEPTH {
        let entries = level.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten();
        let (directories, files): (Vec<_>, Vec<_>) = entries.map(|entry| entry.path()).partition(|path| path.is_dir());
        if depth > 0 {
            found.extend(files);
        }
        level = directories;
    }
    found.sort();
    found
}

/// Path of a script of a workflow, next to the workflow's file.
pub fn script_path(workflow_file: &Path, workflow_id: &str, script: &str) -> PathBuf {
    workflow_file.with_file_name(workflow_id).join(script)
}

/// Reads a script; returns `None` if the file does not exist.
pub fn script(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}
