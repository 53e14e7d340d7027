//! The contents that a file had in the git history of the checkout.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

/// The contents that the file had in the commits that HEAD contains, newest first. Empty if the file is not in a git
/// repository, or if git is not installed.
pub(super) fn contents(path: &Path) -> impl Iterator<Item = String> {
    let (directory, rest) = split(path);
    let log = ["log", "--full-history", "--format=", "--raw", "--no-abbrev", "--no-renames", "HEAD", "--"];
    let listed = git(&directory, log.map(Path::new).into_iter().chain([rest.as_path()])).unwrap_or_default();
    let mut seen = BTreeSet::new();
    // `:<mode> <mode> <old blob> <new blob> <status>\t<path>`
    let fields = listed.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(2);
        Some((fields.next()?, fields.next()?))
    });
    let blobs: Vec<String> = fields
        .flat_map(|(old, new)| [new, old])
        .filter(|blob| !blob.bytes().all(|byte| byte == b'0') && seen.insert(*blob))
        .map(str::to_owned)
        .collect();
    blobs.into_iter().filter_map(move |blob| git(&directory, ["cat-file", "blob", blob.as_str()].map(Path::new)))
}

/// True if the repository of a path has only the newest commits.
pub(super) fn is_shallow(path: &Path) -> bool {
    let (directory, _) = split(path);
    git(&directory, ["rev-parse", "--is-shallow-repository"].map(Path::new))
        .is_some_and(|shallow| shallow.trim() == "true")
}

/// The nearest directory above a path that exists, and the rest of the path.
fn split(path: &Path) -> (PathBuf, PathBuf) {
    let directory = path.ancestors().skip(1).find(|above| above.as_os_str().is_empty() || above.is_dir());
    let directory = directory.unwrap_or_else(|| Path::new(""));
    let rest = path.strip_prefix(directory).unwrap_or(path).to_owned();
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    (directory.to_owned(), rest)
}

/// The standard output of git; `None` if git fails or the output is not UTF-8.
fn git<'a>(directory: &Path, arguments: impl IntoIterator<Item = &'a Path>) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(directory).args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok().filter(|_| output.status.success())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_history_of_a_file_has_its_contents_of_all_commits() {
        let repository = tempfile::tempdir().unwrap();
        let root = repository.path();
        let git = |arguments: &[&str]| {
            let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
            let run = Command::new("git").arg("-C").arg(root).args(identity).args(arguments).output().unwrap();
            assert!(run.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
        };
        let file = root.join("workflows/a/load.sql");
        let commit = |text: &str| {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            git(&["add", "."]);
            git(&["commit", "-q", "-m", text]);
        };
        git(&["init", "-q", "-b", "main"]);
        assert_eq!(contents(&file).count(), 0, "a repository without commits");
        commit("one");
        commit("two");
        git(&["checkout", "-q", "-b", "side", "HEAD~1"]);
        commit("side");
        git(&["checkout", "-q", "main"]);
        assert_eq!(contents(&file).collect::<Vec<_>>(), ["two", "one"], "not the content of another branch");
        git(&["merge", "-q", "-s", "ours", "-m", "merge", "side"]);
        let all: BTreeSet<_> = contents(&file).collect();
        assert_eq!(all, ["one", "side", "two"].map(Into::into).into(), "a merged branch");
        git(&["rm", "-q", "-r", "workflows"]);
        git(&["commit", "-q", "-m", "gone"]);
        assert_eq!(contents(&file).count(), 3, "a deleted file");
        fs::write(root.join("new.sql"), "not committed").unwrap();
        assert_eq!(contents(&root.join("new.sql")).count(), 0);
        assert!(!is_shallow(&file));
    }

    #[test]
    fn a_file_outside_a_repository_has_no_history() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.sql"), "select 1").unwrap();
        assert_eq!(contents(&directory.path().join("a.sql")).count(), 0);
        assert!(!is_shallow(&directory.path().join("a.sql")));
    }
}
