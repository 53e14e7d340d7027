//! The feeds in the scripts bucket.

use jiff::SignedDuration;
use shiftwork_config::read_file;
use shiftwork_feeds::{Feed, Feeds};
use shiftwork_ports::{Bucket, Catalog, ScriptText};
use shiftwork_protocol::keys::FEEDS;

/// The feeds of the scripts bucket, looked at once an invocation.
pub(crate) fn feeds(scripts: Bucket) -> Catalog<Feed, Feeds> {
    let all = |feeds: Vec<std::sync::Arc<Feed>>| Feeds::new(feeds.iter().map(|feed| (**feed).clone()));
    Catalog::new(scripts, FEEDS, SignedDuration::ZERO, read, all)
}

/// `shiftwork push` refuses a feed that is not valid; the other feeds go on where another program has put one there.
fn read(script: &ScriptText) -> Option<Feed> {
    match read_file(&script.key, &script.text).and_then(|doc| Feed::read(&doc)) {
        Ok(feed) => Some(feed),
        Err(problems) => {
            for problem in problems {
                tracing::error!("a feed that is not valid: {problem}");
            }
            None
        }
    }
}
