//! The feeds that were pushed: read once, and again when one of them changed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use shiftwork_config::read_file;
use shiftwork_feeds::{Feed, Feeds, feed::FEEDS};
use shiftwork_ports::{Result, Scripts};

/// Feeds read at once.
const READING: usize = 16;

/// The feeds of the scripts bucket.
pub(crate) struct Catalog {
    scripts: Arc<dyn Scripts>,
    /// The feeds as of these tags.
    known: Mutex<Option<(BTreeMap<String, String>, Feeds)>>,
}

impl Catalog {
    pub(crate) fn new(scripts: Arc<dyn Scripts>) -> Self {
        Self { scripts, known: Mutex::default() }
    }

    /// The feeds as they are now: one listing, and the texts where something changed.
    pub(crate) async fn feeds(&self) -> Result<Feeds> {
        let tags = self.scripts.tags(FEEDS).await?;
        if let Some((of, feeds)) = &*self.known.lock().unwrap_or_else(PoisonError::into_inner)
            && *of == tags
        {
            return Ok(feeds.clone());
        }
        let texts: Vec<_> = stream::iter(tags.keys().cloned())
            .map(|key| async move { self.scripts.newest(&key).await })
            .buffer_unordered(READING)
            .try_collect()
            .await?;
        let feeds = Feeds::new(texts.into_iter().flatten().filter_map(|script| {
            match read_file(&script.key, &script.text).and_then(|doc| Feed::read(&doc)) {
                Ok(feed) => Some(feed),
                Err(problems) => {
                    // `shiftwork push` lets none such through; somebody else put it there. The other feeds go on.
                    for problem in problems {
                        tracing::error!("a feed that cannot be read: {problem}");
                    }
                    None
                }
            }
        }));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((tags, feeds.clone()));
        Ok(feeds)
    }
}
