//! The place of a record in the transport: `dw_md_partition` and `dw_md_offset`, which the watermarks use.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use crate::number::padded;

/// An ordered stream of records: `kafka/<topic>/<partition>`, `kinesis/<stream>/<shard>`, `dynamodb/<table>/<shard>`,
/// `s3/<bucket>/<key>@<version>`, `replay/<partition>/<offset>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition(String);

/// Most bytes of a percent-encoded partition, so that the key of a staged object stays below S3's limit of 1,024 bytes.
const LONGEST: usize = 640;

impl Partition {
    /// A partition of a Kafka topic.
    pub fn kafka(topic: &str, partition: i64) -> Self {
        Self::fitted("kafka", &format!("{topic}/{partition}"))
    }

    /// A shard of a Kinesis stream.
    pub fn kinesis(stream: &str, shard: &str) -> Self {
        Self::fitted("kinesis", &format!("{stream}/{shard}"))
    }

    /// A shard of the stream of a DynamoDB table.
    pub fn dynamodb(table: &str, shard: &str) -> Self {
        Self::fitted("dynamodb", &format!("{table}/{shard}"))
    }

    /// A version of an S3 object. In a bucket without versioning, `version` is the ETag.
    pub fn s3(bucket: &str, key: &str, version: &str) -> Self {
        Self::fitted("s3", &format!("{bucket}/{key}@{version}"))
    }

    /// A replayed record, which has its own partition because the watermark of its first partition may be past it.
    pub fn replay(partition: &Self, offset: &Offset) -> Self {
        Self::fitted("replay", &format!("{partition}/{offset}"))
    }

    /// The partition for a contract with this generation of its source. A topic that was deleted and created again counts its offsets again, so a higher
    /// generation has a watermark of its own.
    #[must_use]
    pub fn in_generation(self, generation: u16) -> Self {
        if generation == 0 { self } else { Self(format!("{self}~g{generation}")) }
    }

    /// A partition from the text in a staged row.
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// The text in a staged row.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a producer writes all changes of a row to this partition, in their order: a partition of Kafka, or a shard of Kinesis.
    pub(crate) fn is_log(&self) -> bool {
        self.0.starts_with("kafka/") || self.0.starts_with("kinesis/")
    }

    /// A partition with this name. A name that is too long (S3 keys have up to 1,024 bytes), or that VARCHAR cannot hold, is cut and ends in
    /// its hash, so that it stays unique.
    fn fitted(kind: &str, name: &str) -> Self {
        if encoded(name).len() <= LONGEST && !name.contains(char::is_control) {
            return Self(format!("{kind}/{name}"));
        }
        let hash = hex::encode(Sha256::digest(name));
        let mut head = String::new();
        for character in name.chars() {
            let is_full = encoded(&head).len() + 3 * character.len_utf8() + encoded("~").len() + hash.len() > LONGEST;
            if is_full || character.is_control() {
                break;
            }
            head.push(character);
        }
        Self(format!("{kind}/{head}~{hash}"))
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Characters that are percent-encoded in a segment of an object's key: all except letters, digits, `-`, `_` and `.`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Encodes a text as one segment of an object's key.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Decodes a segment. `None` if [`encoded`] does not write such a segment.
pub(crate) fn decoded(segment: &str) -> Option<String> {
    let text = percent_decode_str(segment).decode_utf8().ok()?;
    (encoded(&text) == segment).then(|| text.into_owned())
}

/// An offset in a partition, with leading zeros so that the order of the texts is the order of the records.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Offset(String);

impl Clone for Offset {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }

    /// Reuses the allocated memory, because a stager clones the offset of each record.
    fn clone_from(&mut self, other: &Self) {
        self.0.clone_from(&other.0);
    }
}

impl Offset {
    /// An offset of Kafka, or the number of a line in a file.
    pub fn number(number: u64) -> Self {
        let mut digits = String::with_capacity(20);
        padded(&mut digits, number, 20);
        Self(digits)
    }

    /// The sequence number of a Kinesis record (currently 56 digits) or of a DynamoDB stream record (21 to 40 digits).
    /// `None` if the text is not a number of at most 128 digits.
    pub fn sequence_number(digits: &str) -> Option<Self> {
        let is_number = (1..=128).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| Self(format!("{digits:0>64}")))
    }

    /// An offset from the text in a staged row.
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// The text in a staged row.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LONGEST, Offset, Partition, decoded, encoded};

    #[test]
    fn partitions_have_readable_names() {
        assert_eq!(Partition::kafka("shop.public.orders", 3).as_str(), "kafka/shop.public.orders/3");
        assert_eq!(Partition::s3("lake", "in/a b.json", "v1").as_str(), "s3/lake/in/a b.json@v1");
        let kafka = Partition::kafka("orders", 0);
        assert_eq!(
            Partition::replay(&kafka, &Offset::number(7)).as_str(),
            "replay/kafka/orders/0/00000000000000000007"
        );
    }

    #[test]
    fn sequence_numbers_are_numbers() {
        assert!(Offset::sequence_number("49590338271490256608559692538361571095921575989136588898").is_some());
        assert!(Offset::sequence_number("").is_none());
        assert!(Offset::sequence_number("12a").is_none());
        assert!(Offset::sequence_number(&"1".repeat(129)).is_none());
    }

    proptest! {
        #[test]
        fn offsets_sort_as_their_numbers(a: u64, b: u64) {
            prop_assert_eq!(Offset::number(a).to_string(), format!("{a:020}"));
            prop_assert_eq!(Offset::number(a).cmp(&Offset::number(b)), a.cmp(&b));
        }

        #[test]
        fn any_text_is_a_segment_and_back(text in "(?s:.{0,40})") {
            let segment = encoded(&text);
            prop_assert!(segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.%".contains(&b)));
            prop_assert_eq!(decoded(&segment), Some(text));
        }

        #[test]
        fn a_long_name_is_cut_and_stays_unique(key in "(?s:.{0,900})", other in "(?s:.{0,9})") {
            let partition = Partition::s3("bucket", &key, "v");
            prop_assert!(encoded(partition.as_str()).len() <= LONGEST + encoded("s3/").len());
            if !other.is_empty() {
                prop_assert_ne!(partition, Partition::s3("bucket", &format!("{key}{other}"), "v"));
            }
        }
    }
}
