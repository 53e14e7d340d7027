//! Keys of staged objects: `staged/<contract>/<partition>/<first>-<last>.c<columns>.csv.zst`.
//!
//! The key is the only record of a staged object, and has all the information that a load needs. Within a partition, the order of the keys
//! is the order of the offsets.

use shiftwork_protocol::keys::{STAGED, staged_prefix};

use crate::transport::{Offset, Partition, decoded, encoded};

/// The content of a staged object, from its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// Name of the contract.
    pub contract: String,
    /// The partition of the transport.
    pub partition: Partition,
    /// Offset of the first row.
    pub first: Offset,
    /// Offset of the last row.
    pub last: Offset,
    /// Number of the contract's columns in the object.
    pub columns: usize,
}

const SUFFIX: &str = ".csv.zst";

impl Staged {
    /// Key of the object.
    pub fn key(&self) -> String {
        let Self { contract, partition, first, last, columns } = self;
        format!("{}{}/{first}-{last}.c{columns}{SUFFIX}", staged_prefix(contract), encoded(partition.as_str()))
    }

    /// Parses a key. `None` if it is not the key of a staged object.
    pub fn parse(key: &str) -> Option<Self> {
        let (contract, rest) = key.strip_prefix(STAGED)?.split_once('/')?;
        let (partition, name) = rest.split_once('/')?;
        let (range, columns) = name.strip_suffix(SUFFIX)?.split_once(".c")?;
        let (first, last) = range.split_once('-')?;
        let is_offset = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if contract.is_empty() || !is_offset(first) || !is_offset(last) {
            return None;
        }
        Some(Self {
            contract: contract.into(),
            partition: Partition::from_text(&decoded(partition)?),
            first: Offset::from_text(first),
            last: Offset::from_text(last),
            columns: columns.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Staged;
    use crate::transport::{Offset, Partition};

    fn staged(key: &str, first: u64, last: u64) -> Staged {
        Staged {
            contract: "c".repeat(64),
            partition: Partition::s3(
                "b".repeat(63).as_str(),
                key,
                "3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY_MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo",
            ),
            first: Offset::number(first),
            last: Offset::number(last),
            columns: 1600,
        }
    }

    #[test]
    fn a_key_is_parsed() {
        let staged = Staged {
            contract: "orders".into(),
            partition: Partition::kafka("shop.public.orders", 3),
            first: Offset::number(41),
            last: Offset::number(97),
            columns: 17,
        };
        assert_eq!(
            staged.key(),
            "staged/orders/kafka%2Fshop.public.orders%2F3/00000000000000000041-00000000000000000097.c17.csv.zst"
        );
        for other in [
            "manifests/a.json",
            "staged/orders/p/1-2.csv.zst",
            "staged/orders/p/a-2.c1.csv.zst",
            "staged//p/1-2.c1.csv.zst",
            "staged/orders/a%2/1-2.c1.csv.zst",
            "staged/orders/a%ff/1-2.c1.csv.zst",
            "staged/orders/a+b/1-2.c1.csv.zst",
        ] {
            assert_eq!(Staged::parse(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_key_is_parsed_back_and_fits_s3(key in "(?s:.{0,1024})", first: u64, last: u64) {
            let staged = staged(&key, first, last);
            prop_assert!(staged.key().len() <= 1024);
            prop_assert_eq!(Staged::parse(&staged.key()), Some(staged));
        }

        #[test]
        fn a_listing_is_in_the_order_of_offsets(a: u64, b: u64) {
            let key = |first: u64| staged("f", first, first.saturating_add(9)).key();
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
        }
    }
}
