//! Workflow files on disk: `*.yaml`, `*.yml` and `*.json` in a directory and its sub-directories, `connections.yaml` among
//! them, and the scripts of each workflow in the directory next to its file that is named after its `workflow_id`.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use shiftwork_protocol::keys::script_key;
use walkdir::{DirEntry, WalkDir};

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
    /// The directory that contains the directory of workflows, `contracts/` and `feeds/`; empty for the current directory.
    pub root: PathBuf,
    /// Workflow files, ordered by path.
    pub workflows: Vec<File>,
    /// Connection files.
    pub connections: Vec<File>,
    /// Table contracts: the files below `contracts/`, next to the directory of workflows.
    pub contracts: Vec<File>,
    /// Feeds: the files below `feeds/`, next to the directory of workflows.
    pub feeds: Vec<File>,
    /// False if single files or sub-directories were selected; there may be other workflow files that were not read.
    pub whole: bool,
}

/// Reads the files that the paths select: a file itself, or the files in a directory and its sub-directories.
pub fn read(paths: &[PathBuf]) -> anyhow::Result<Files> {
    let mut found = Vec::new();
    let mut files = Files { whole: true, ..Files::default() };
    // A directory that contains a directory `workflows` stands for the latter.
    let inner = |path: &PathBuf| Some(path.join("workflows")).filter(|inner| inner.is_dir());
    let paths: Vec<PathBuf> = paths.iter().map(|path| inner(path).unwrap_or_else(|| path.clone())).collect();
    let paths = paths.as_slice();
    for path in paths {
        if path.is_dir() {
            files.whole &= workflows_directory(path) == *path;
            found.extend(below(path)?);
        } else if path.is_file() {
            files.whole = false;
            found.push(path.clone());
        } else {
            bail!(
                "{} is neither a file nor a directory: give workflow files, or a directory that contains workflow files",
                path.display()
            );
        }
        // The connections of a directory apply to the workflow files below it.
        let workflows = workflows_directory(path);
        let above = path.ancestors().skip(1).take_while(|directory| directory.starts_with(&workflows));
        let names = ["connections.yaml", "connections.yml"];
        found.extend(above.flat_map(|directory| names.map(|name| directory.join(name))).filter(|p| p.is_file()));
    }
    files.root = paths.first().map(|path| root(path)).unwrap_or_default();
    for (folder, of) in [("contracts", &mut files.contracts), ("feeds", &mut files.feeds)] {
        for path in beside(paths, folder)? {
            of.push(file(path)?);
        }
    }
    for path in in_order(found) {
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

fn in_order(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    paths.sort();
    paths.dedup();
    paths
}

/// The directory of workflows that a path belongs to: the nearest one named `workflows`, else the directory itself.
pub fn workflows_directory(path: &Path) -> PathBuf {
    let directory = if path.is_dir() { path } else { path.parent().unwrap_or_else(|| Path::new("")) };
    let named = directory.ancestors().find(|above| above.file_name().is_some_and(|name| name == "workflows"));
    named.unwrap_or(directory).to_owned()
}

/// The directory that contains the directory of workflows.
fn root(path: &Path) -> PathBuf {
    let workflows = workflows_directory(path);
    match workflows.file_name() {
        Some(_) => workflows.parent().unwrap_or_else(|| Path::new("")).to_owned(),
        // The current directory, or a path that ends in `.` or `..`.
        None => workflows.join(".."),
    }
}

/// A path relative to the directory that contains the directory of workflows, with `/` between its parts. The same file has
/// the same path in each checkout.
pub fn in_project(root: &Path, path: &Path) -> PathBuf {
    let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
    let whole = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let path = whole(path);
    path.strip_prefix(whole(root)).map(Path::to_owned).unwrap_or(path)
}

/// The files below `folder`, next to the directories of workflows that were selected.
fn beside(paths: &[PathBuf], folder: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        let beside = root(path).join(folder);
        if beside.is_dir() {
            found.extend(below(&beside)?);
        }
    }
    Ok(in_order(found))
}

/// The YAML and JSON files in a directory and its sub-directories. Files and directories whose name starts with `.` are
/// left out.
pub fn below(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let is_shown = |entry: &DirEntry| entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".");
    for entry in WalkDir::new(directory).follow_links(true).into_iter().filter_entry(is_shown) {
        let path = entry.with_context(|| format!("cannot list {}", directory.display()))?.into_path();
        let suffix = path.extension().map(OsStr::to_ascii_lowercase);
        let is_ours = suffix.is_some_and(|suffix| ["yaml", "yml", "json"].iter().any(|ours| suffix == *ours));
        if is_ours && path.is_file() {
            files.push(path);
        }
    }
    Ok(in_order(files))
}

/// Path of a script of a workflow, next to the workflow's file.
pub fn script_path(workflow_file: &Path, workflow_id: &str, script: &str) -> PathBuf {
    workflow_file.with_file_name(workflow_id).join(script)
}

/// The keys of the files in the folder of a workflow's scripts and its sub-folders, next to the workflow's file.
pub fn script_keys(workflow_file: &Path, workflow_id: &str) -> Vec<String> {
    let folder = script_path(workflow_file, workflow_id, "");
    let files = WalkDir::new(&folder).into_iter().filter_map(Result::ok).filter(|entry| entry.path().is_file());
    let keys = files.filter_map(|entry| {
        let parts: Vec<&str> =
            entry.path().strip_prefix(&folder).ok()?.iter().map(OsStr::to_str).collect::<Option<_>>()?;
        Some(script_key(workflow_id, &parts.join("/")))
    });
    keys.collect()
}

/// Reads a script; returns `None` if the file does not exist.
pub fn script(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A directory with empty files at these paths.
    fn directory(paths: &[&str]) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        for path in paths {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        directory
    }

    fn names(of: &[File], directory: &TempDir) -> Vec<String> {
        of.iter().map(|file| file.path.strip_prefix(directory.path()).unwrap().display().to_string()).collect()
    }

    const TREE: [&str; 12] = [
        "workflows/a.yaml",
        "workflows/a/one.sql",
        "workflows/connections.yaml",
        "workflows/sales/b.yml",
        "workflows/sales/emea/c.JSON",
        "workflows/sales/emea/connections.yaml",
        "workflows/.shiftwork/state.json",
        "workflows/notes.txt",
        "contracts/orders.yaml",
        "contracts/shop/customers.yaml",
        "feeds/eu/files.yaml",
        "other/d.yaml",
    ];

    #[test]
    fn directories_are_read_with_their_sub_directories() {
        let tree = directory(&TREE);
        let files = read(&[tree.path().join("workflows")]).unwrap();
        assert_eq!(
            names(&files.workflows, &tree),
            ["workflows/a.yaml", "workflows/sales/b.yml", "workflows/sales/emea/c.JSON"]
        );
        assert_eq!(
            names(&files.connections, &tree),
            ["workflows/connections.yaml", "workflows/sales/emea/connections.yaml"]
        );
        assert_eq!(names(&files.contracts, &tree), ["contracts/orders.yaml", "contracts/shop/customers.yaml"]);
        assert_eq!(names(&files.feeds, &tree), ["feeds/eu/files.yaml"]);
        assert_eq!((files.root, files.whole), (tree.path().to_owned(), true));
    }

    #[test]
    fn a_directory_of_a_project_stands_for_its_workflows() {
        let tree = directory(&TREE);
        assert_eq!(read(&[tree.path().to_owned()]).unwrap(), read(&[tree.path().join("workflows")]).unwrap());
    }

    #[test]
    fn a_file_in_a_sub_directory_has_the_connections_contracts_and_feeds_of_its_project() {
        let tree = directory(&TREE);
        let files = read(&[tree.path().join("workflows/sales/emea/c.JSON")]).unwrap();
        assert_eq!(names(&files.workflows, &tree), ["workflows/sales/emea/c.JSON"]);
        assert_eq!(
            names(&files.connections, &tree),
            ["workflows/connections.yaml", "workflows/sales/emea/connections.yaml"]
        );
        assert_eq!((files.contracts.len(), files.feeds.len()), (2, 1));
        assert_eq!((files.root, files.whole), (tree.path().to_owned(), false));
        let sub_directory = read(&[tree.path().join("workflows/sales")]).unwrap();
        assert_eq!(names(&sub_directory.workflows, &tree), ["workflows/sales/b.yml", "workflows/sales/emea/c.JSON"]);
        assert_eq!(
            names(&sub_directory.connections, &tree),
            ["workflows/connections.yaml", "workflows/sales/emea/connections.yaml"]
        );
        assert!(!sub_directory.whole, "other directories have further files");
    }

    #[test]
    fn the_scripts_of_a_workflow_are_the_files_in_its_folder() {
        let tree = directory(&["workflows/sub/a.yaml", "workflows/sub/a/one.sql", "workflows/sub/a/dir/two.sql"]);
        let file = tree.path().join("workflows/sub/a.yaml");
        let mut keys = script_keys(&file, "a");
        keys.sort();
        assert_eq!(keys, ["workflows/a/dir/two.sql", "workflows/a/one.sql"]);
        assert_eq!(script_keys(&file, "b"), Vec::<String>::new());
    }

    #[test]
    fn the_root_is_the_directory_that_contains_the_directory_of_workflows() {
        let tree = directory(&TREE);
        for path in ["workflows", "workflows/sales", "workflows/sales/b.yml", "other"] {
            assert_eq!(root(&tree.path().join(path)), tree.path(), "{path}");
        }
        for (path, expected) in [(".", "./.."), ("..", "../..")] {
            assert_eq!(root(Path::new(path)), Path::new(expected), "{path}");
        }
    }
}
