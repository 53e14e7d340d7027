//! The keys of all objects that shiftwork stores in S3, and the access of each function to them.
//!
//! A test compares [`PREFIXES`] with the roles of `infra/template.yaml`; `docs/object-keys.md` is generated from it.

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
/// Key of the list of repositories that metadata-fixer indexes, in the scripts bucket.
pub const REPOSITORIES_KEY: &str = "metadata/repositories.json";

/// Staged change data that is not yet loaded, in the staging bucket.
pub const STAGED: &str = "staged/";
/// Refused records that are larger than a message may be, in the staging bucket.
pub const REFUSED: &str = "refused/";
/// Records of tables without a table contract, in the staging bucket.
pub const UNCLAIMED: &str = "unclaimed/";
/// Marks for schema-watcher, in the staging bucket: rows were staged that have a field without a column.
pub const DRIFT_MARKS: &str = "drift/";
/// Findings and migrations of schema-watcher, in the staging bucket.
pub const DRIFT_RECORDS: &str = "findings/";
/// Manifests of loads, in the staging bucket.
pub const MANIFESTS: &str = "manifests/";
/// Empty objects that mark tables as created, in the staging bucket.
pub const TABLES: &str = "tables/";
/// Values of secret parameters, in the staging bucket.
pub const SECRETS: &str = "secrets/";

/// A bucket of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bucket {
    /// `ScriptsBucket`: files that `shiftwork push` uploads. The bucket has versioning.
    Scripts,
    /// `StagingBucket`: objects that functions keep between invocations.
    Staging,
}

impl Bucket {
    /// Logical id of the bucket in the template.
    pub const fn logical_id(self) -> &'static str {
        match self {
            Self::Scripts => "ScriptsBucket",
            Self::Staging => "StagingBucket",
        }
    }
}

/// An operation of a role on the objects of a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Read the newest version.
    Get,
    /// Read a given version.
    GetVersion,
    /// Write.
    Put,
    /// Delete.
    Delete,
}

impl Access {
    /// Name of the IAM action.
    pub const fn action(self) -> &'static str {
        match self {
            Self::Get => "s3:GetObject",
            Self::GetVersion => "s3:GetObjectVersion",
            Self::Put => "s3:PutObject",
            Self::Delete => "s3:DeleteObject",
        }
    }
}

/// The objects below one prefix.
#[derive(Debug, Clone, Copy)]
pub struct Prefix {
    /// Bucket of the objects.
    pub bucket: Bucket,
    /// Prefix of the keys, with its final slash.
    pub prefix: &'static str,
    /// Pattern of the whole key, with the variable parts in `<>`.
    pub key: &'static str,
    /// Content of an object.
    pub content: &'static str,
    /// Operations of each role, by the name of its function; `warehouse` is the role of the Redshift warehouse.
    pub access: &'static [(&'static str, &'static [Access])],
}

/// Every prefix of the deployment's buckets. `shiftwork push` writes the scripts bucket as the user who runs it.
pub const PREFIXES: [Prefix; 12] = {
    use Access::{Delete, Get, GetVersion, Put};
    use Bucket::{Scripts, Staging};
    [
        Prefix {
            bucket: Scripts,
            prefix: SCRIPTS,
            key: "workflows/<workflow>/<script>",
            content: "a script of a workflow, as SQL",
            access: &[("trigger", &[Get, GetVersion]), ("job-launcher", &[GetVersion])],
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
            content: "staged rows, as CSV compressed with Zstandard",
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
            content: "a refused record that is larger than a message may be, as JSON",
            access: &[("cdc-loader", &[Get, GetVersion, Put])],
        },
        Prefix {
            bucket: Staging,
            prefix: UNCLAIMED,
            key: "unclaimed/<table>/<partition>/<first>-<last>.ndjson.gz, unclaimed/<table>/contract.<server>.<database>.yaml",
            content: "records of a table without a table contract, and the contract proposed for it",
            access: &[("cdc-loader", &[Get, GetVersion, Put])],
        },
        Prefix {
            bucket: Staging,
            prefix: DRIFT_MARKS,
            key: "drift/<contract>",
            content: "the key of the newest staged file with a field that has no column",
            access: &[("cdc-loader", &[Put]), ("schema-watcher", &[Get, Delete])],
        },
        Prefix {
            bucket: Staging,
            prefix: DRIFT_RECORDS,
            key: "findings/<contract>.json",
            content: "the findings of schema-watcher about a contract, and the migration",
            access: &[("schema-watcher", &[Get, Put])],
        },
        Prefix {
            bucket: Staging,
            prefix: MANIFESTS,
            key: "manifests/<run>/<job>/<attempt>.json, manifests/<run>/<job>/<attempt>.c<columns>.json, manifests/<run>/<job>/<attempt>.h<header>.json",
            content: "the files that an attempt loads, as a COPY manifest; with several layouts or headers, one more manifest for each",
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
            content: "an empty object: the tables of the contract were created",
            access: &[("job-launcher", &[Get, Put])],
        },
        Prefix {
            bucket: Staging,
            prefix: SECRETS,
            key: "secrets/<run>.json, secrets/<run>.request.json",
            content: "the values of the secret parameters of a run, as JSON; the second is of a request that could not be planned",
            access: &[("trigger", &[Get, Put]), ("job-launcher", &[Get])],
        },
    ]
};

/// Characters of a name that a key contains without percent-encoding.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Characters of a name between points that a key contains without percent-encoding.
const PLAIN_BETWEEN_POINTS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

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

/// Prefix of all staged files of a contract. `shiftwork_change_data::layout` defines the rest of the key.
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

/// Key of a file of a table's unclaimed records, compressed with gzip, one [`Replay`](crate::change::Replay) per line.
/// The same records have the same key.
pub fn unclaimed_key(table: &str, partition: &str, first: &str, last: &str) -> String {
    format!("{}{}/{first}-{last}.ndjson.gz", unclaimed_prefix(table), utf8_percent_encode(partition, PLAIN))
}

/// Key of the contract that is proposed for a table without one. It is below the prefix of the table's unclaimed records. Tables of one
/// name of several servers or databases have a contract each.
pub fn proposal_key(table: &str, server: Option<&str>, database: Option<&str>) -> String {
    let part = |part: &str| format!(".{}", utf8_percent_encode(part, PLAIN_BETWEEN_POINTS));
    let parts: String = [server, database].into_iter().flatten().map(part).collect();
    format!("{}contract{parts}.yaml", unclaimed_prefix(table))
}

/// Name of the table of a file of unclaimed records; `None` if the key is not that of such a file.
pub fn table_of_unclaimed(key: &str) -> Option<String> {
    let (table, _) = key.strip_suffix(".ndjson.gz")?.strip_prefix(UNCLAIMED)?.split_once('/')?;
    Some(percent_decode_str(table).decode_utf8_lossy().into_owned())
}

/// Key of the drift mark of a contract. cdc-loader writes the mark after the staged file that it names.
pub fn drift_mark_key(contract: &str) -> String {
    format!("{DRIFT_MARKS}{contract}")
}

/// Key of schema-watcher's findings about a contract.
pub fn drift_record_key(contract: &str) -> String {
    format!("{DRIFT_RECORDS}{contract}.json")
}

/// Key of the manifest that an attempt loads. Every attempt has its own manifest, which all submissions of the attempt
/// share.
pub fn manifest_key(of: &Attempt) -> String {
    let Attempt { run, job, attempt, .. } = of;
    format!("{MANIFESTS}{run}/{job}/{attempt}.json")
}

/// Key of the manifest of the files of a load that have the given number of columns.
pub fn layout_manifest_key(manifest: &str, columns: usize) -> String {
    format!("{}.c{columns}.json", manifest.trim_end_matches(".json"))
}

/// Key of the manifest of the files of a load that have the same header; `header` counts the headers of the load from 1.
pub fn header_manifest_key(manifest: &str, header: usize) -> String {
    format!("{}.h{header}.json", manifest.trim_end_matches(".json"))
}

/// Key of the object that marks a contract's tables as created; `sha256` is the digest of the connection and the DDL.
pub fn tables_key(contract: &str, sha256: &str) -> String {
    format!("{TABLES}{contract}.{sha256}")
}

/// Key of the values of the secret parameters of a run.
pub fn secrets_key(run: &str) -> String {
    format!("{SECRETS}{run}.json")
}

/// Key of the values that are masked in the request of a run that could not be planned.
pub fn request_secrets_key(run: &str) -> String {
    format!("{SECRETS}{run}.request.json")
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
            assert_eq!(table_of_unclaimed(&proposal_key(table, Some("shop"), Some("crm"))), None);
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
            proposal_key("public.orders", None, None),
            drift_mark_key("orders"),
            drift_record_key("orders"),
            layout_manifest_key(&manifest, 3),
            header_manifest_key(&manifest, 1),
            manifest,
            tables_key("orders", "0123"),
            secrets_key("r"),
            request_secrets_key("r"),
        ];
        for key in &keys {
            let of = PREFIXES.iter().filter(|prefix| key.starts_with(prefix.prefix));
            assert_eq!(of.count(), 1, "{key}");
        }
        for Prefix { prefix, key, .. } in PREFIXES {
            assert!(key.split(", ").all(|key| key.starts_with(prefix)), "{key}");
            assert!(keys.iter().any(|key| key.starts_with(prefix)), "{prefix} has no key");
        }
        assert_eq!(keys[10..12], ["manifests/r/j/1.c3.json", "manifests/r/j/1.h1.json"]);
    }
}
