//! Whether a checkout has seen what its push would replace. `docs/decisions/0012-push-and-checkouts.md` has the reasons.
//!
//! A deployed content was seen if this checkout pushed or pulled it (`.shiftwork/pushed.json`), or if the file had this
//! content in the git history of the checkout.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use console::style;
use serde::{Deserialize, Serialize};
use shiftwork_protocol::name::sha256;

use super::{
    change::{Changes, Desired, Present, digest},
    history,
    thing::{Kind, Record, Thing},
};
use crate::files;

/// Directory of the state, beside the directory of workflows. It ignores itself in git.
const DIRECTORY: &str = ".shiftwork";
const FILE: &str = "pushed.json";

/// The digest of each piece when this checkout last pushed or pulled it, by deployment (`account/Region/stack`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State(BTreeMap<String, BTreeMap<String, String>>);

impl State {
    /// Reads the state of a checkout. A file that cannot be parsed is an empty state: what was seen is only forgotten.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let path = root.join(DIRECTORY).join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(serde_json::from_str(&text).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Writes the state of a checkout.
    pub(crate) fn write(&self, root: &Path) -> anyhow::Result<()> {
        let directory = root.join(DIRECTORY);
        let write = || {
            fs::create_dir_all(&directory)?;
            fs::write(directory.join(".gitignore"), "*\n")?;
            fs::write(directory.join(FILE), format!("{}\n", serde_json::to_string_pretty(self)?))
        };
        write().with_context(|| format!("cannot write {}", directory.join(FILE).display()))
    }

    /// Records that a deployment has pieces with these digests. A digest of `None` is a piece that was deleted.
    pub(crate) fn see(&mut self, deployment: &str, pieces: impl IntoIterator<Item = (String, Option<String>)>) {
        let seen = self.0.entry(deployment.into()).or_default();
        for (piece, digest) in pieces {
            match digest {
                Some(digest) => seen.insert(piece, digest),
                None => seen.remove(&piece),
            };
        }
    }

    fn has(&self, deployment: &str, piece: &str, digest: &str) -> bool {
        self.0.get(deployment).and_then(|seen| seen.get(piece)).is_some_and(|seen| seen == digest)
    }
}

/// The digests of all pieces that the local files define.
pub(super) fn digests(desired: &Desired) -> BTreeMap<String, String> {
    let workflows = desired.workflows.iter().map(|(id, item)| (Thing::new(Kind::Workflow, id).piece(), digest(item)));
    let connections = desired
        .connections
        .iter()
        .map(|(name, connection)| (Thing::new(Kind::Connection, name).piece(), digest(connection)));
    let stored = desired.scripts.iter().map(|(key, text)| (key.clone(), sha256(text)));
    workflows.chain(connections).chain(stored).collect()
}

/// A reason why a push is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The thing belongs to another project.
    Foreign {
        /// The thing.
        thing: Thing,
        /// The record of its last push.
        record: Record,
    },
    /// The deployed content of a piece was not seen by this checkout.
    Unseen {
        /// The thing that the piece belongs to.
        thing: Thing,
        /// The piece, as in [`Changes::replaced`].
        piece: String,
        /// The record of the last push of the thing.
        record: Option<Record>,
    },
}

/// The reasons why these changes are refused. `seen` says whether the checkout has seen a deployed content, by piece and
/// digest.
pub fn refusals(
    changes: &Changes,
    present: &Present,
    project: Option<&str>,
    mut seen: impl FnMut(&Thing, &str, &str) -> bool,
) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for thing in changes.claims.keys() {
        if let Some(record) = present.records.get(thing)
            && let Some(owner) = record.project.as_deref()
            && Some(owner) != project
        {
            refusals.push(Refusal::Foreign { thing: thing.clone(), record: record.clone() });
        }
    }
    for (piece, digest) in &changes.replaced {
        let Some(thing) = thing_of(piece) else { continue };
        if !seen(&thing, piece, digest) {
            let record = present.records.get(&thing).cloned();
            refusals.push(Refusal::Unseen { thing, piece: piece.clone(), record });
        }
    }
    refusals
}

/// The thing of a piece.
pub(super) fn thing_of(piece: &str) -> Option<Thing> {
    match piece.split_once('/')? {
        ("connections", name) => Some(Thing::new(Kind::Connection, name)),
        ("workflows", id) if !id.contains('/') => Some(Thing::new(Kind::Workflow, id)),
        _ => Thing::of_key(piece),
    }
}

/// What a checkout has seen of a deployment.
pub(super) struct Checkout<'a> {
    /// The directory that contains the directory of workflows.
    pub(super) root: &'a Path,
    pub(super) state: &'a State,
    /// The deployment, as in [`State`].
    pub(super) deployment: &'a str,
    /// Paths of the local files, relative to `root`.
    pub(super) files: &'a BTreeMap<Thing, String>,
    pub(super) present: &'a Present,
}

impl Checkout<'_> {
    /// True if this checkout has seen the content with this digest.
    pub(super) fn has_seen(&self, thing: &Thing, piece: &str, wanted: &str) -> bool {
        self.state.has(self.deployment, piece, wanted)
            || self.path(thing, piece).is_some_and(|path| {
                history::contents(&path).any(|content| digest_in(thing, piece, &path, &content, wanted))
            })
    }

    /// The file of a piece: the local one, else the one that the last push names.
    fn path(&self, thing: &Thing, piece: &str) -> Option<PathBuf> {
        let recorded = || self.present.records.get(thing).map(|record| &record.file);
        let file = self.root.join(self.files.get(thing).or_else(recorded)?);
        let prefix = shiftwork_protocol::keys::script_key(&thing.name, "");
        match piece.strip_prefix(&prefix).filter(|_| thing.kind == Kind::Workflow) {
            Some(script) => Some(files::script_path(&file, &thing.name, script)),
            None => Some(file),
        }
    }
}

/// True if a content of a file defines the piece with this digest. Git may store other line ends than the checkout has.
fn digest_in(thing: &Thing, piece: &str, path: &Path, content: &str, wanted: &str) -> bool {
    let name = path.display().to_string();
    let doc = || shiftwork_planner::read_file(&name, content).ok();
    match thing.kind {
        Kind::Workflow if piece == thing.piece() => doc().is_some_and(|doc| digest(doc.value()) == wanted),
        Kind::Connection => {
            let connections = doc().and_then(|doc| shiftwork_planner::connections(&doc).ok());
            connections.is_some_and(|all| all.get(&thing.name).is_some_and(|connection| digest(connection) == wanted))
        }
        Kind::Workflow | Kind::Contract | Kind::Feed => {
            sha256(content) == wanted || sha256(content.replace('\n', "\r\n")) == wanted
        }
    }
}

/// The refusals in words, each with the difference between the deployed and the local content. `difference` returns the
/// difference of a piece.
pub(super) fn render(refusals: &[Refusal], mut difference: impl FnMut(&str) -> String) -> String {
    let mut out = String::new();
    for refusal in refusals {
        let sign = style("error:").red().bold();
        match refusal {
            Refusal::Foreign { thing, record } => {
                let project = record.project.as_deref().unwrap_or_default();
                let _ = writeln!(out, "{sign} {thing} belongs to project {project} ({record})");
            }
            Refusal::Unseen { thing, piece, record } => {
                let record = record.as_ref().map_or_else(|| "not by a push".to_owned(), ToString::to_string);
                let what = if *piece == thing.piece() { thing.to_string() } else { format!("{piece} of {thing}") };
                let _ = writeln!(
                    out,
                    "{sign} {what} was changed in the deployment ({record}), and this checkout never had that content"
                );
                out.push_str(&difference(piece));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
