//! Reads the feeds from the scripts bucket.

use jiff::SignedDuration;
use shiftwork_config::read_file;
use shiftwork_feeds::{Feed, Feeds};
use shiftwork_ports::{Bucket, Catalog, ScriptText};
use shiftwork_protocol::keys::FEEDS;

/// A catalog of the feeds in the scripts bucket, which is read once in each invocation.
pub(crate) fn feeds(scripts: Bucket) -> Catalog<Feed, Feeds> {
    let all = |feeds: Vec<std::sync::Arc<Feed>>| Feeds::new(feeds.iter().map(|feed| (**feed).clone()));
    Catalog::new(scripts, FEEDS, SignedDuration::ZERO, read, all)
}

/// Returns `None` for a feed that is not valid, and logs its problems. `shiftwork push` refuses such a feed, but another program can write
/// one into the bucket; the other feeds are not affected.
fn read(script: &ScriptText) -> Option<Feed> {
    match read_file(&script.key, &script.text).and_then(|doc| Feed::read(&doc)) {
        Ok(feed) => Some(feed),
        Err(problems) => {
            for problem in problems {
                tracing::error!("the feed is not valid: {problem}");
            }
            None
        }
    }
}
