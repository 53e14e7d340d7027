//! What the Markdown files of the repository refer to: links, headings, paths and tests.
//!
//! - A relative link leads to a file or folder of the repository, and its `#anchor` to a heading of that page.
//! - A path in a code span exists. A span is a path if it begins with a folder of the repository or of the page, or if it
//!   ends in a suffix of [`SOURCES`]; a segment with `<`, `*`, `{` or `…` stands for any name.
//! - A name such as `FailureTopic`, with one of the endings of [`RESOURCES`], is a resource, a parameter or an output of the template.
//! - On the pages of [`PROVEN`], every identifier behind a link to a source file is a function of that file, and every row
//!   of a table whose last column is "Proof" names such a function or says `No test`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use crate::{Findings, checkout, sam_template};

/// Suffixes of files that only this repository can mean.
const SOURCES: [&str; 4] = ["rs", "py", "sh", "toml"];
/// Endings of the names of resources and parameters of the template.
const RESOURCES: [&str; 12] = [
    "Role",
    "Policy",
    "Rule",
    "Queue",
    "QueueArn",
    "Table",
    "TableName",
    "Bucket",
    "BucketNames",
    "Topic",
    "Schedule",
    "ScheduleGroup",
];
/// Pages that name a test for each of their promises.
const PROVEN: [&str; 2] = ["docs/guarantees.md", "SECURITY.md"];
/// Folders of the checkout that hold nothing of the repository.
const SKIPPED: [&str; 5] = ["target", "__pycache__", "node_modules", "artifacts", "corpus"];
/// The one folder with a dot that is part of the repository's text.
const CI: &str = ".ci";
/// How a row says that nothing proves it.
const UNPROVEN: &str = "No test";

/// The files of the repository: paths from its root, the texts of the Markdown files among them, and the names of the template.
pub struct Pages {
    files: Vec<PathBuf>,
    markdown: BTreeMap<PathBuf, String>,
    declared: BTreeSet<String>,
}

/// A part of a paragraph that may refer to something.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Code(String),
    Link(String),
}

impl Pages {
    /// Reads the checkout.
    ///
    /// # Panics
    /// When a file cannot be read: there is nothing to check without it.
    pub fn read() -> Self {
        let root = checkout("");
        let mut files = Vec::new();
        walk(&root, Path::new(""), &mut files);
        files.sort();
        let texts = files.iter().filter(|path| path.extension().is_some_and(|suffix| suffix == "md"));
        let markdown = texts.map(|path| (path.clone(), text(path))).collect();
        let template = sam_template();
        let sections =
            ["Resources", "Parameters", "Outputs"].into_iter().filter_map(|section| template[section].as_object());
        let declared = sections.flat_map(|section| section.keys().cloned()).collect();
        Self { files, markdown, declared }
    }

    /// The files of the repository, as paths from its root.
    pub fn files(&self) -> impl Iterator<Item = String> {
        self.files.iter().map(|path| path.to_string_lossy().into_owned())
    }

    /// What the pages refer to and the repository does not have.
    pub fn findings(&self) -> Findings {
        self.markdown.iter().flat_map(|(page, text)| self.findings_of(page, text)).collect()
    }

    /// What one page refers to and the repository does not have.
    pub fn findings_of(&self, page: &Path, text: &str) -> Findings {
        let mut findings = Findings::new();
        for (line, paragraph) in paragraphs(text) {
            for part in parts(&paragraph) {
                let problem = match &part {
                    Part::Link(target) => self.link(page, target),
                    Part::Code(code) => self.path(page, code),
                };
                findings
                    .extend(problem.map(|problem| format!("{}, paragraph at line {line}: {problem}", page.display())));
            }
        }
        // The pages of the stand-ins under local/ name operations of AWS's APIs, which look the same.
        for (at, line) in text.lines().enumerate().filter(|_| !page.starts_with("local")) {
            let unknown = resources(line).filter(|name| !self.declared.contains(*name));
            findings.extend(
                unknown.map(|name| format!("{}:{}: infra/template.yaml declares no `{name}`", page.display(), at + 1)),
            );
        }
        if PROVEN.iter().any(|proven| page == Path::new(proven)) {
            let proofs = text.lines().enumerate().flat_map(|(at, line)| proof(page, at + 1, line));
            findings.extend(proofs);
            findings.extend(unproven(page, text));
        }
        findings
    }

    fn link(&self, page: &Path, target: &str) -> Option<String> {
        if target.contains("://") || target.starts_with("mailto:") {
            return None;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let file = if path.is_empty() { page.to_owned() } else { from(page, path) };
        if !self.exists(&file) {
            return Some(format!("the link `{target}` leads to {}, which does not exist", file.display()));
        }
        let headings = self.markdown.get(&file).map(|text| headings(text)).unwrap_or_default();
        let found = anchor.is_empty() || headings.iter().any(|heading| heading == anchor);
        (!found).then(|| format!("the link `{target}` leads to a heading that {} does not have", file.display()))
    }

    fn path(&self, page: &Path, code: &str) -> Option<String> {
        let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-<>*{},…@".contains(c);
        if code.is_empty() || !code.chars().all(is_path) || code.starts_with('.') && !code.starts_with(CI) {
            return None;
        }
        let segments: Vec<&str> = code.split('/').filter(|segment| !segment.is_empty()).collect();
        let known: Vec<&str> = segments.iter().copied().take_while(|segment| !is_any(segment)).collect();
        let (first, path) = (segments.first()?, known.join("/"));
        let source = code.rsplit_once('.').is_some_and(|(_, suffix)| SOURCES.contains(&suffix));
        if source && known.len() == segments.len() {
            let exists = self.files.iter().any(|file| file.ends_with(&path));
            return (!exists).then(|| format!("no file of the repository is called `{code}`"));
        }
        let beside = from(page, &path);
        let in_root = segments.len() > 1 && !SKIPPED.contains(first) && self.is_folder(Path::new(first));
        let in_page = segments.len() > 1 && self.is_folder(&from(page, first));
        let missing = (in_root || in_page) && !self.exists(Path::new(&path)) && !self.exists(&beside);
        missing.then(|| format!("`{code}` does not exist, neither from the root nor from the page"))
    }

    fn exists(&self, path: &Path) -> bool {
        path == Path::new("") || self.files.iter().any(|file| file.starts_with(path))
    }

    fn is_folder(&self, path: &Path) -> bool {
        self.files.iter().any(|file| file.starts_with(path) && file != path)
    }
}

/// Stands for any name: `<name>`, `*.json`, `{a,b}`.
fn is_any(segment: &str) -> bool {
    segment.contains(['<', '*', '{', '…'])
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(root.join(folder)).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let (path, kind) = (folder.join(&name), entry.file_type());
        match kind {
            Ok(kind) if kind.is_dir() => {
                if name == CI || !name.starts_with('.') && !SKIPPED.contains(&name.as_str()) {
                    walk(root, &path, files);
                }
            }
            Ok(kind) if kind.is_file() => files.push(path),
            Ok(_) | Err(_) => {}
        }
    }
}

fn text(path: &Path) -> String {
    crate::text(&path.to_string_lossy())
}

/// A path that is written from where the page lies.
fn from(page: &Path, path: &str) -> PathBuf {
    let mut absolute = page.parent().unwrap_or(Path::new("")).to_owned();
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir => {
                absolute.pop();
            }
            Component::Normal(name) => absolute.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    absolute
}

/// The paragraphs of a page, with the line of each. Fenced code belongs to none.
fn paragraphs(text: &str) -> Vec<(usize, String)> {
    let (mut all, mut open, mut fenced) = (Vec::new(), None, false);
    for (at, line) in text.lines().enumerate() {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        if fence || fenced || line.trim().is_empty() {
            all.extend(open.take());
        } else {
            let (_, paragraph): &mut (usize, String) = open.get_or_insert((at + 1, String::new()));
            paragraph.push_str(line);
            paragraph.push('\n');
        }
    }
    all.extend(open);
    all
}

/// The code spans and the targets of links, in their order.
fn parts(paragraph: &str) -> Vec<Part> {
    let (mut parts, mut rest) = (Vec::new(), paragraph);
    while let Some(at) = rest.find(['`', ']']) {
        rest = &rest[at..];
        if let Some(target) = rest.strip_prefix("](") {
            let end = target.find(')').unwrap_or(target.len());
            parts.push(Part::Link(target[..end].trim().to_owned()));
            rest = &target[end..];
        } else if rest.starts_with('`') {
            let ticks = rest.len() - rest.trim_start_matches('`').len();
            let (mark, inside) = rest.split_at(ticks);
            let Some(end) = inside.find(mark) else { return parts };
            parts.push(Part::Code(inside[..end].trim().to_owned()));
            rest = &inside[end + ticks..];
        } else {
            rest = &rest[1..];
        }
    }
    parts
}

/// The words of a line that can only be names of the template. An action such as `sts:AssumeRole` is not one.
fn resources(line: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || ":_-/.<>*$…".contains(c);
    line.split(move |c| !is_part(c)).map(|word| word.trim_end_matches('.')).filter(|word| {
        let capitals = word.chars().filter(char::is_ascii_uppercase).count();
        let is_name =
            word.starts_with(|c: char| c.is_ascii_uppercase()) && word.chars().all(|c| c.is_ascii_alphanumeric());
        is_name && capitals > 1 && RESOURCES.iter().any(|ending| word.len() > ending.len() && word.ends_with(ending))
    })
}

/// The anchors of a page's headings, as GitHub makes them.
fn headings(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let heading = line.trim_start_matches('#');
        if fenced || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = heading.trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_');
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let before = anchors.iter().filter(|other| **other == anchor).count();
        anchors.push(if before == 0 { anchor } else { format!("{anchor}-{before}") });
    }
    anchors
}

/// The functions that a line names behind links to source files, and that those files do not have.
fn proof(page: &Path, line: usize, words: &str) -> Vec<String> {
    let (mut findings, mut file) = (Vec::new(), None);
    for part in parts(words) {
        match part {
            Part::Link(target) => {
                let source = Path::new(&target).extension().is_some_and(|suffix| suffix == "rs" || suffix == "py");
                file = source.then(|| from(page, &target));
            }
            Part::Code(name) => {
                let Some(file) = &file else { continue };
                let is_name = name.contains('_')
                    && name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit());
                let source = fs::read_to_string(checkout(&file.to_string_lossy())).unwrap_or_default();
                if is_name && !source.contains(&format!("fn {name}(")) && !source.contains(&format!("def {name}(")) {
                    findings.push(format!("{}:{line}: {} has no function `{name}`", page.display(), file.display()));
                }
            }
        }
    }
    findings
}

/// The rows of tables with a last column "Proof" that name no proof and do not say so.
fn unproven(page: &Path, text: &str) -> Vec<String> {
    let (mut findings, mut proofs) = (Vec::new(), false);
    for (at, line) in text.lines().enumerate() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let last = cells.last().copied().unwrap_or_default();
        if !line.starts_with('|') {
            proofs = false;
        } else if last == "Proof" {
            proofs = true;
        } else if proofs && !last.starts_with("---") && !last.starts_with(UNPROVEN) && !last.contains("](") {
            findings.push(format!("{}:{}: neither names a test nor says `{UNPROVEN}`", page.display(), at + 1));
        }
    }
    findings
}
