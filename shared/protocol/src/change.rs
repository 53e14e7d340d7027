//! What the loader of change data and whoever replays its dead letters say to each other.

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
