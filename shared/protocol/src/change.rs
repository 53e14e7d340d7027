//! What the loader of change data and whoever replays its dead letters say to each other.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A message of the dead-letter queue of change data: a record that cannot be staged, with everything that is needed to
/// send it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// The record.
    pub refused: Replay,
    /// The table contract whose record it is, where that much could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
    /// The kind of reason.
    pub kind: String,
    /// The reason, in words.
    pub reason: String,
}

/// A message of the change queue: a record that is to be staged once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReplayRequest {
    /// The record.
    pub replay: Replay,
}

/// A record, and where its transport had it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Its partition, such as `kafka/shop.orders/3`.
    pub partition: String,
    /// Its place there.
    pub offset: String,
    /// The bytes of its key in base64, where the transport has keys (Kafka).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its bytes.
    pub record: Bytes,
}

/// The bytes of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bytes {
    /// In base64.
    Base64(String),
    /// In an object of the staging bucket, by its key: more than a message holds.
    Object(String),
    /// Nowhere: longer than a record may be. It is in the file that the partition names.
    Lost {},
}

/// Characters of a table's name that stand in a key as they are.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// What the keys of a table's unclaimed records begin with, in the staging bucket.
pub fn unclaimed_prefix(table: &str) -> String {
    format!("{UNCLAIMED}{}/", utf8_percent_encode(table, PLAIN))
}

/// Key of a file of a table's unclaimed records, in the staging bucket: gzip of one [`Replay`] a line. The same records are
/// the same file.
pub fn unclaimed_key(table: &str, partition: &str, first: &str, last: &str) -> String {
    format!("{}{}/{first}-{last}.ndjson.gz", unclaimed_prefix(table), utf8_percent_encode(partition, PLAIN))
}

/// Key of the contract that is proposed for a table without one, beside its unclaimed records.
pub fn proposal_key(table: &str) -> String {
    format!("{}contract.yaml", unclaimed_prefix(table))
}

/// Key of a refused record that is more than a message holds, in the staging bucket.
pub fn refused_key(partition: &str, offset: &str) -> String {
    format!("refused/{}/{offset}", utf8_percent_encode(partition, PLAIN))
}

/// What the keys of all unclaimed records begin with: those of tables that no contract speaks of.
pub const UNCLAIMED: &str = "unclaimed/";

/// The table of a file of unclaimed records.
pub fn table_of_unclaimed(key: &str) -> Option<String> {
    let (table, _) = key.strip_suffix(".ndjson.gz")?.strip_prefix(UNCLAIMED)?.split_once('/')?;
    Some(percent_decode_str(table).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::{proposal_key, table_of_unclaimed, unclaimed_key, unclaimed_prefix};

    #[test]
    fn a_table_is_a_folder_whatever_its_name() {
        for table in ["public.orders", "a/b \"c\"", "größe", "."] {
            let key = unclaimed_key(table, "kafka/shop/0", "1", "2");
            assert!(key.starts_with(&unclaimed_prefix(table)) && key.split('/').count() == 4, "{key}");
            assert_eq!(table_of_unclaimed(&key).as_deref(), Some(table));
            assert_eq!(table_of_unclaimed(&proposal_key(table)), None);
        }
    }
}
