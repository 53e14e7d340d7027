//! What is pushed, owned and deleted as one: a workflow with its scripts and its schedule, a table contract, a feed or a
//! connection; and the record of its last push.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shiftwork_protocol::{
    keys::{CONTRACTS, FEEDS, SCRIPTS, contract_key, feed_key},
    name::is_workflow_id,
};

use crate::words;

/// The rule for names of projects, as a hint.
pub const PROJECT_HINT: &str = "use 1 to 64 of A-Z, a-z, 0-9, `_` and `-`";

/// True for a valid name of a project. The rule is the same as for the id of a workflow.
pub fn is_project(name: &str) -> bool {
    is_workflow_id(name)
}

/// The kinds of things. Things are deleted in this order, so that nothing starts without what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Kind {
    /// A workflow with its scripts, its schedule and its triggers.
    Workflow,
    /// A feed.
    Feed,
    /// A table contract.
    Contract,
    /// A named connection.
    Connection,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Workflow, Self::Feed, Self::Contract, Self::Connection];

    /// The name of the kind.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Workflow => "workflow",
            Self::Feed => "feed",
            Self::Contract => "contract",
            Self::Connection => "connection",
        }
    }
}

/// A workflow, table contract, feed or connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thing {
    /// The kind.
    pub kind: Kind,
    /// Id of the workflow, or name of the contract, feed or connection.
    pub name: String,
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

impl Thing {
    /// Makes a thing.
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }

    /// The thing that an object of the scripts bucket belongs to; `None` for the configuration of metadata-fixer.
    pub fn of_key(key: &str) -> Option<Self> {
        let file = |rest: &str| rest.strip_suffix(".yaml").map(str::to_owned);
        if let Some(rest) = key.strip_prefix(SCRIPTS) {
            return Some(Self::new(Kind::Workflow, rest.split_once('/')?.0));
        }
        if let Some(rest) = key.strip_prefix(CONTRACTS) {
            return Some(Self::new(Kind::Contract, file(rest)?));
        }
        Some(Self::new(Kind::Feed, file(key.strip_prefix(FEEDS)?)?))
    }

    /// The name of its main piece, as in [`super::Changes::replaced`]: `workflows/<id>`, `connections/<name>`, or the key in
    /// the scripts bucket.
    pub fn piece(&self) -> String {
        match self.kind {
            Kind::Workflow => format!("{SCRIPTS}{}", self.name),
            Kind::Feed => feed_key(&self.name),
            Kind::Contract => contract_key(&self.name),
            Kind::Connection => format!("connections/{}", self.name),
        }
    }

    /// The key of its record, as `<kind>/<name>`.
    pub fn record_key(&self) -> String {
        format!("{}/{}", self.kind.as_str(), self.name)
    }

    /// The thing with this key of its record.
    pub fn of_record_key(key: &str) -> Option<Self> {
        let (kind, name) = key.split_once('/')?;
        let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind)?;
        Some(Self::new(kind, name))
    }
}

/// The things with their kinds, separated by commas.
pub fn listed(things: &[Thing]) -> String {
    things.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The record of the last push of a thing, an item of the configuration table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Name of the project; `None` if the push named no project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// ARN of the caller who pushed it.
    pub pushed_by: String,
    /// Time of the push.
    pub pushed_ts: Timestamp,
    /// Number of the pushes that changed it, this one included.
    pub version: u64,
    /// Path of its file, relative to the directory that contains the directory of workflows.
    pub file: String,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let project = self.project.as_ref().map(|project| format!(" for project {project}")).unwrap_or_default();
        let (by, at) = (caller(&self.pushed_by), words::instant(self.pushed_ts));
        write!(f, "version {}, pushed by {by}{project} at {at} UTC", self.version)
    }
}

/// The readable part of a caller's ARN: `role/session` of an assumed role, else the part after the account.
fn caller(arn: &str) -> &str {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or(arn);
    resource.strip_prefix("assumed-role/").unwrap_or(resource)
}

#[cfg(test)]
mod tests {
    use super::{Kind, Thing, caller};

    #[test]
    fn every_key_belongs_to_one_thing() {
        for (key, expected) in [
            ("workflows/nightly/load.sql", Some(Thing::new(Kind::Workflow, "nightly"))),
            ("workflows/nightly/dir/load.sql", Some(Thing::new(Kind::Workflow, "nightly"))),
            ("contracts/orders.yaml", Some(Thing::new(Kind::Contract, "orders"))),
            ("feeds/files.yaml", Some(Thing::new(Kind::Feed, "files"))),
            ("metadata/repositories.json", None),
        ] {
            assert_eq!(Thing::of_key(key), expected, "{key}");
        }
    }

    #[test]
    fn a_record_key_names_its_thing() {
        for kind in Kind::ALL {
            let thing = Thing::new(kind, "a-b_c");
            assert_eq!(Thing::of_record_key(&thing.record_key()), Some(thing));
        }
        assert_eq!(Thing::of_record_key("table/orders"), None);
    }

    #[test]
    fn a_caller_is_named_without_the_account() {
        for (arn, expected) in [
            ("arn:aws:sts::123456789012:assumed-role/Developer/anna", "Developer/anna"),
            ("arn:aws:iam::123456789012:user/anna", "user/anna"),
            ("arn:aws:iam::123456789012:root", "root"),
        ] {
            assert_eq!(caller(arn), expected);
        }
    }
}
