//! The feed that unit tests use.

use crate::Feed;

/// The feed `orders`: all CSV files under `orders/` in the bucket `landing`.
pub(crate) fn feed() -> Feed {
    let text = "feed: orders\nbucket: landing\nkeys: orders/**.csv\nformat: csv\ntable: sales.orders\n";
    let doc = shiftwork_config::read_file("feeds/orders.yaml", text);
    doc.and_then(|doc| Feed::read(&doc)).unwrap_or_else(|problems| panic!("{problems:?}"))
}
