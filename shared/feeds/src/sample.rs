//! Files for tests.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{FileRecord, FileStatus, Format, feed::Feed};

/// A file of the feed `orders`, just registered.
pub fn file(key: &str, sequencer: &str) -> FileRecord {
    FileRecord {
        feed: "orders".into(),
        bucket: "landing".into(),
        key: key.into(),
        version_id: None,
        etag: Some(format!("etag-{sequencer}")),
        size: 100,
        sequencer: Some(sequencer.into()),
        received_ts: Timestamp::UNIX_EPOCH,
        registered_ts: Timestamp::UNIX_EPOCH,
        format: Some(Format::Csv),
        parts: BTreeMap::new(),
        checksum: None,
        file_status: FileStatus::Received,
        reason: None,
        batch: None,
        claimed_until: None,
        history: Vec::new(),
        revision: 0,
    }
}

/// The feed `orders`: every CSV file under `orders/` of the bucket `landing`.
///
/// # Panics
/// Never: the document is whole.
pub fn feed() -> Feed {
    let text = "feed: orders\nbucket: landing\nkeys: orders/**.csv\nformat: csv\ntable: sales.orders\n";
    let doc = shiftwork_config::read_file("feeds/orders.yaml", text);
    doc.and_then(|doc| Feed::read(&doc)).unwrap_or_else(|problems| panic!("{problems:?}"))
}
