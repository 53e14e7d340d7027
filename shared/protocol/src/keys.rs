//! Every object that shiftwork keeps in S3: its key, and which function may do what with it.
//!
//! [`PREFIXES`] is held against the roles of `infra/template.yaml`, and `docs/object-keys.md` is made from it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::Attempt;

/// Scripts of workflows, in the scripts bucket.
pub const SCRIPTS: &str = "workflows/";
/// Table contracts, in the scripts bucket.
pub const CONTRACTS: &str = "contracts/";
/// Feeds, in the scripts bucket.
pub const FEEDS: &str = "feeds/";
/// Configuration of metadata-fixer, in the scripts bucket.
pub const METADATA: &str = "metadata/";
/// Key of the repositories that metadata-fixer looks after, in the scripts bucket.
pub const REPOSITORIES_KEY: &str = "metadata/repositories.json";

/// Change data that waits for its load, in the staging bucket.
pub const STAGED: &str = "staged/";
/// Records that were refused and are larger than a message, in the staging bucket.
pub const REFUSED: &str = "refused/";
/// Records of tables that no contract claims, in the staging bucket.
pub const UNCLAIMED: &str = "unclaimed/";
/// Marks for the schema-watcher: rows were staged with a field that no column takes. In the staging bucket.
pub const DRIFT_MARKS: &str = "drift/";
/// Records of the schema-watcher, in the staging bucket.
pub const DRIFT_RECORDS: &str = "findings/";
/// Manifests of loads, in the staging bucket.
pub const MANIFESTS: &str = "manifests/";
/// Markers of tables that were created, in the staging bucket.
pub const TABLES: &str = "tables/";

/// A bucket of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bucket {
    /// `ScriptsBucket`: what people push. It keeps versions.
    Scripts,
    /// `StagingBucket`: what functions keep between their invocations.
    Staging,
}

impl Bucket {
    /// Its logical id in the template.
    pub const fn logical_id(self) -> &'static str {
        match self {
            Self::Scripts => "ScriptsBucket",
            Self::Staging => "StagingBucket",
        }
    }
}

/// What a role does with the objects of a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Reads the newest version.
    Get,
    /// Reads a given version.
    GetVersion,
    /// Writes.
    Put,
    /// Deletes.
    Delete,
}

impl Access {
    /// The IAM action.
    pub const fn action(self) -> &'static str {
        match self {
            Self::Get => "s3:GetObject",
            Self::GetVersion => "s3:GetObjectVersion",
            Self::Put => "s3:PutObject",
            Self::Delete => "s3:DeleteObject",
        }
    }
}

/// The objects that one prefix has.
#[derive(Debug, Clone, Copy)]
pub struct Prefix {
    /// The bucket.
    pub bucket: Bucket,
    /// The prefix.
    pub prefix: &'static str,
    /// The whole key, its parts in `<>`.
    pub key: &'static str,
    /// What an object is.
    pub content: &'static str,
    /// What each role does with the objects, by the name of its function; `warehouse` is Redshift's own role.
    pub access: &'static [(&'static str, &'static [Access])],
}

/// Every prefix of the deployment's own buckets. People write the scripts bucket with `shiftwork push`, under their own identity.
pub const PREFIXES: [Prefix; 11] = {
    use Access::{Delete, Get, GetVersion, Put};
    use Bucket::{Scripts, Staging};
    [
        Prefix {
            bucket: Scripts,
            prefix: SCRIPTS,
            key: "workflows/<workflow>/<script>",
            content: "a script of a workflow, as SQL",
            access: &[("trigger", &[Get]), ("job-launcher", &[GetVersion])],
        },
        Prefix {
            bucket: Scripts,
            prefix: CONTRACTS,
            key: "contracts/<contract>.yaml",
            content: "a table contract",
            access: &[
                ("trigger", &[Get]),
                ("job-launcher", &[GetVersion]),
                ("cdc-loader", &[Get]),
                ("schema-watcher", &[Get, Put]),
            ],
        },
        Prefix {
            bucket: Scripts,
            prefix: FEEDS,
            key: "feeds/<feed>.yaml",
            content: "a feed",
            access: &[("trigger", &[Get]), ("job-launcher", &[GetVersion]), ("file-intake", &[Get])],
        },
        Prefix {
            bucket: Scripts,
            prefix: METADATA,
            key: REPOSITORIES_KEY,
            content: "the repositories of documents, as JSON",
            access: &[("metadata-fixer", &[Get])],
        },
        Prefix {
            bucket: Staging,
            prefix: STAGED,
            key: "staged/<contract>/<partition>/<first>-<last>.c<columns>.csv.zst",
            content: "rows that wait for their load, as CSV compressed with Zstandard",
            access: &[
                ("cdc-loader", &[Put]),
                ("trigger", &[Delete]),
                ("job-launcher", &[Delete]),
                ("job-callback", &[Delete]),
                ("audit-updater", &[Delete]),
                ("warehouse", &[Get]),
            ],
        },
        Prefix {
            bucket: Staging,
            prefix: REFUSED,
            key: "refused/<partition>/<offset>",
            content: "a record that was refused and is larger than a message, as JSON",
            access: &[("cdc-loader", &[Get, GetVersion, Put])],
        },
        Prefix {
            bucket: Staging,
            prefix: UNCLAIMED,
            key: "unclaimed/<table>/<partition>/<first>-<last>.ndjson.gz, unclaimed/<table>/contract.yaml",
            content: "records of a table that no contract claims, and the contract proposed for it",
            access: &[("cdc-loader", &[Get, GetVersion, Put])],
        },
        Prefix {
            bucket: Staging,
            prefix: DRIFT_MARKS,
            key: "drift/<contract>",
            content: "the key of the newest staged file with a field that no column takes",
            access: &[("cdc-loader", &[Put]), ("schema-watcher", &[Get, Delete])],
        },
        Prefix {
            bucket: Staging,
            prefix: DRIFT_RECORDS,
            key: "findings/<contract>.json",
            content: "what the schema-watcher found in a contract's tables, and its migration",
            access: &[("schema-watcher", &[Get, Put])],
        },
        Prefix {
            bucket: Staging,
            prefix: MANIFESTS,
            key: "manifests/<run>/<job>/<attempt>.json, manifests/<run>/<job>/<attempt>.c<columns>.json",
            content: "the files that an attempt loads, as a COPY manifest; one more for each layout where there are several",
            access: &[
                ("job-launcher", &[Get, Put]),
                ("trigger", &[Get]),
                ("job-callback", &[Get]),
                ("audit-updater", &[Get]),
                ("warehouse", &[Get]),
            ],
        },
        Prefix {
            bucket: Staging,
            prefix: TABLES,
            key: "tables/<contract>.<SHA-256 of connection and DDL>",
            content: "nothing: the tables of the contract were created",
            access: &[("job-launcher", &[Get, Put])],
        },
    ]
};

/// Characters of a name that stand in a key as they are.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Key of a script; also its path in a repository that keeps workflows under `workflows/`.
pub fn script_key(workflow_id: &str, script: &str) -> String {
    format!("{SCRIPTS}{workflow_id}/{script}")
}

/// Key of a table contract; also its path in a repository that keeps contracts under `contracts/`.
pub fn contract_key(contract: &str) -> String {
    format!("{CONTRACTS}{contract}.yaml")
}

/// Key of a feed; also its path in a repository that keeps feeds under `feeds/`.
pub fn feed_key(feed: &str) -> String {
    format!("{FEEDS}{feed}.yaml")
}

/// Prefix of everything that is staged for a contract. `shiftwork_change_data::layout` has the rest of the key.
pub fn staged_prefix(contract: &str) -> String {
    format!("{STAGED}{contract}/")
}

/// Key of a refused record that is larger than a message.
pub fn refused_key(partition: &str, offset: &str) -> String {
    format!("{REFUSED}{}/{offset}", utf8_percent_encode(partition, PLAIN))
}

/// Prefix of a table's unclaimed records.
pub fn unclaimed_prefix(table: &str) -> String {
    format!("{UNCLAIMED}{}/", utf8_percent_encode(table, PLAIN))
}

/// Key of a file of a table's unclaimed records: gzip of one [`Replay`](crate::change::Replay) a line. The same records have
/// the same key.
pub fn unclaimed_key(table: &str, partition: &str, first: &str, last: &str) -> String {
    format!("{}{}/{first}-{last}.ndjson.gz", unclaimed_prefix(table), utf8_percent_encode(partition, PLAIN))
}

/// Key of the contract that is proposed for a table without one, beside its unclaimed records.
pub fn proposal_key(table: &str) -> String {
    format!("{}contract.yaml", unclaimed_prefix(table))
}

/// The table of a file of unclaimed records.
pub fn table_of_unclaimed(key: &str) -> Option<String> {
    let (table, _) = key.strip_suffix(".ndjson.gz")?.strip_prefix(UNCLAIMED)?.split_once('/')?;
    Some(percent_decode_str(table).decode_utf8_lossy().into_owned())
}

/// Key of the mark of a contract. It is written after the staged file that it names, so that a mark of another file is another
/// mark.
pub fn drift_mark_key(contract: &str) -> String {
    format!("{DRIFT_MARKS}{contract}")
}

/// Key of what the schema-watcher knows about a contract.
pub fn drift_record_key(contract: &str) -> String {
    format!("{DRIFT_RECORDS}{contract}.json")
}

/// Key of the manifest that an attempt loads: every attempt of a job has its own, and every try of one attempt the same.
pub fn manifest_key(of: &Attempt) -> String {
    let Attempt { run, job, attempt, .. } = of;
    format!("{MANIFESTS}{run}/{job}/{attempt}.json")
}

/// Key of the manifest of those files of a load that have this many columns.
pub fn layout_manifest_key(manifest: &str, columns: usize) -> String {
    format!("{}.c{columns}.json", manifest.trim_end_matches(".json"))
}

/// Key of the marker that a contract's tables were created; `sha256` is that of connection and DDL.
pub fn tables_key(contract: &str, sha256: &str) -> String {
    format!("{TABLES}{contract}.{sha256}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::Owner;

    #[test]
    fn a_table_is_a_folder_whatever_its_name() {
        for table in ["public.orders", "a/b \"c\"", "größe", "."] {
            let key = unclaimed_key(table, "kafka/shop/0", "1", "2");
            assert!(key.starts_with(&unclaimed_prefix(table)) && key.split('/').count() == 4, "{key}");
            assert_eq!(table_of_unclaimed(&key).as_deref(), Some(table));
            assert_eq!(table_of_unclaimed(&proposal_key(table)), None);
        }
    }

    #[test]
    fn every_key_is_below_one_prefix() {
        let attempt = Attempt { owner: Owner::Job, run: "r".into(), job: "j".into(), attempt: 1, part: 1, parts: 1 };
        let manifest = manifest_key(&attempt);
        let keys = [
            script_key("nightly", "a.sql"),
            contract_key("orders"),
            feed_key("orders"),
            REPOSITORIES_KEY.to_owned(),
            staged_prefix("orders"),
            refused_key("kafka/shop/0", "1"),
            unclaimed_key("public.orders", "kafka/shop/0", "1", "2"),
            proposal_key("public.orders"),
            drift_mark_key("orders"),
            drift_record_key("orders"),
            layout_manifest_key(&manifest, 3),
            manifest,
            tables_key("orders", "0123"),
        ];
        for key in &keys {
            let of = PREFIXES.iter().filter(|prefix| key.starts_with(prefix.prefix));
            assert_eq!(of.count(), 1, "{key}");
        }
        for Prefix { prefix, key, .. } in PREFIXES {
            assert!(key.split(", ").all(|key| key.starts_with(prefix)), "{key}");
            assert!(keys.iter().any(|key| key.starts_with(prefix)), "{prefix} has no key");
        }
        assert_eq!(keys[10], "manifests/r/j/1.c3.json");
    }
}
