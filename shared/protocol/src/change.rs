//! Messages about records of change data that cannot be staged, and about their replay.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A message of the dead-letter queue of change data: a record that cannot be staged, with everything that a replay
/// needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// The record that was refused.
    pub refused: Replay,
    /// The table contract of the record, if cdc-loader could read the name of the record's table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
    /// The kind of reason, as a word that programs compare.
    pub kind: String,
    /// The reason, as a sentence.
    pub reason: String,
}

/// A message of the change queue: a record to stage again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReplayRequest {
    /// The record to stage again.
    pub replay: Replay,
}

/// A record, and its position in its transport.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Partition of the record, such as `kafka/shop.orders/3`.
    pub partition: String,
    /// Offset of the record in the partition.
    pub offset: String,
    /// Key of the record in base64, if the transport has keys (Kafka).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Content of the record.
    pub record: Bytes,
}

/// The content of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bytes {
    /// The bytes in base64.
    Base64(String),
    /// Key of an object in the staging bucket that holds the bytes, because they are larger than a message may be.
    Object(String),
    /// The record is larger than the limit for records and was not kept. The file that the partition names still has it.
    Lost {},
}
