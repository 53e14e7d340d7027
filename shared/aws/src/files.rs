//! The file audit table.
//!
//! | key | value |
//! | --- | --- |
//! | `feed_shard` | `<feed>#<0…3>`, by a hash of the key |
//! | `entry` | `<hash of bucket and key>#<content>`, or `#deleted.<sequencer>` |
//! | local index `by_open` | `open_since`, which only open files have |
//! | local index `by_batch` | `open_batch`, which only open files of a batch have |
//! | local index `by_received` | `received_ts` |
//!
//! An item contains the file, its history and its position in the queue, so every step is one conditional write. A
//! *local* index supports strongly consistent reads, so the open files of a feed are found without reading those that
//! ended. Local indexes limit each partition key to 10 GB (DynamoDB developer guide, "Item collections"), which with
//! four shards is about 40 million files per feed.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    operation::put_item::PutItemError,
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure, Select},
};
use futures::future::try_join_all;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use shiftwork_ports::{AdvancedFile, FileRegister, Result};
use shiftwork_protocol::{
    Failure, FailureKind,
    file::{Deletion, Entry, FileRecord, FileStep, KeyHistory, UNCLAIMED, key_hash},
};

use crate::failures::Call;

/// Attribute that puts a file into the index of open files.
const OPEN_SINCE: &str = "open_since";
/// Attribute that puts an open file into the index of the files of a batch.
const OPEN_BATCH: &str = "open_batch";
/// Number of shards of a feed, each with its own partition key.
const SHARDS: u32 = 4;
/// Maximum number of tries to write a file that other callers change concurrently. One of the callers succeeds on each
/// try.
const TRIES: u32 = 10;

type Item = HashMap<String, AttributeValue>;

/// [`FileRegister`] over DynamoDB.
#[derive(Debug, Clone)]
pub struct DynamoRegister {
    client: Client,
    table: String,
}

impl DynamoRegister {
    /// Makes the register over the table with this name, which must exist.
    pub fn new(config: &SdkConfig, table: impl Into<String>) -> Self {
        Self { client: Client::new(config), table: table.into() }
    }

    fn call(&self, operation: &'static str) -> Call<'_> {
        Call::new(operation, &self.table)
    }

    /// Writes an item if the condition is met; otherwise returns the current item.
    async fn put_if(
        &self,
        item: Item,
        condition: &str,
        revision: Option<u32>,
    ) -> Result<std::result::Result<(), Item>> {
        let mut put =
            self.client.put_item().table_name(&self.table).set_item(Some(item)).condition_expression(condition);
        if let Some(revision) = revision {
            put = put.expression_attribute_values(":seen", AttributeValue::N(revision.to_string()));
        }
        let put = put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = put.send().await else { return Ok(Ok(())) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(there)) => {
                Ok(Err(there.item().cloned().unwrap_or_default()))
            }
            Some(_) | None => Err(self.call("DynamoDB PutItem").failed(error)),
        }
    }

    fn item(&self, record: &impl Serialize, shard: String, entry: String) -> Result<Item> {
        let mut item: Item = serde_dynamo::to_item(record)
            .map_err(|error| self.call("DynamoDB PutItem").failure(FailureKind::Refused, error))?;
        item.insert("feed_shard".into(), AttributeValue::S(shard));
        item.insert("entry".into(), AttributeValue::S(entry));
        Ok(item)
    }

    fn file_item(&self, file: &FileRecord) -> Result<Item> {
        let id = file.id();
        let mut item = self.item(file, shard(&id.feed, &id.key_hash), format!("{}#{}", id.key_hash, id.version))?;
        if file.file_status.is_open() && file.feed != UNCLAIMED {
            let since = format!("{}#{}", shiftwork_protocol::timestamp(file.received_ts), id.key_hash);
            item.insert(OPEN_SINCE.into(), AttributeValue::S(since));
            if let Some(batch) = &file.batch {
                item.insert(OPEN_BATCH.into(), AttributeValue::S(batch.clone()));
            }
        }
        Ok(item)
    }

    fn read<T: DeserializeOwned>(&self, item: Item) -> Result<T> {
        let entry = item.get("entry").and_then(|entry| entry.as_s().ok()).cloned().unwrap_or_default();
        serde_dynamo::from_item(item).map_err(|error| {
            let message =
                format!("{} has an item ({entry}) that is not in the format of shiftwork: {error}", self.table);
            Failure::corrupt(message)
        })
    }

    /// Reads the items of one shard, with all pages, up to the maximum of the query.
    async fn query(&self, query: Query<'_>) -> Result<Vec<Item>> {
        let (mut items, mut next) = self.page(&query, None).await?;
        while next.is_some() && query.most.is_none_or(|most| items.len() < most) {
            let (more, after) = self.page(&query, next).await?;
            items.extend(more);
            next = after;
        }
        Ok(items)
    }

    /// Reads one page of a query, and the key after which the next page begins.
    async fn page(&self, query: &Query<'_>, after: Option<Item>) -> Result<(Vec<Item>, Option<Item>)> {
        let mut request = self
            .client
            .query()
            .table_name(&self.table)
            .set_index_name(query.index.map(Into::into))
            // DynamoDB returns only the attributes in the index unless all attributes are requested.
            .select(Select::AllAttributes)
            .key_condition_expression(query.condition)
            .expression_attribute_values(":shard", AttributeValue::S(query.shard.clone()))
            .scan_index_forward(!query.newest_first)
            .set_exclusive_start_key(after)
            .consistent_read(true);
        if let Some(value) = &query.value {
            request = request.expression_attribute_values(":value", AttributeValue::S(value.clone()));
        }
        if let Some(most) = query.most {
            request = request.limit(i32::try_from(most).unwrap_or(i32::MAX));
        }
        let page = request.send().await.map_err(|error| self.call("DynamoDB Query").failed(error))?;
        Ok((page.items.unwrap_or_default(), page.last_evaluated_key))
    }
}

struct Query<'a> {
    index: Option<&'a str>,
    condition: &'a str,
    shard: String,
    value: Option<String>,
    newest_first: bool,
    most: Option<usize>,
}

impl Query<'_> {
    /// The open files of a shard, from the oldest on, in pages of at most `most` files.
    const fn of_open(shard: String, most: Option<usize>) -> Self {
        Self { index: Some("by_open"), condition: "feed_shard = :shard", shard, value: None, newest_first: false, most }
    }
}

/// A shard whose open files have not all been read.
struct Unread {
    shard: String,
    /// The key after which the next page begins; `None` before the first page.
    after: Option<Item>,
    /// When the last file of the pages so far was received.
    until: Timestamp,
}

fn shard(feed: &str, key_hash: &str) -> String {
    let digit = key_hash.chars().next().and_then(|digit| digit.to_digit(16)).unwrap_or_default();
    format!("{feed}#{}", digit % SHARDS)
}

/// Partition key of the notifications that were sent for a feed. No shard has this key.
fn notices_shard(feed: &str) -> String {
    format!("{feed}#said")
}

fn shards(feed: &str) -> impl Iterator<Item = String> {
    (0..SHARDS).map(move |n| format!("{feed}#{n}"))
}

#[async_trait]
impl FileRegister for DynamoRegister {
    async fn put(&self, entry: &Entry) -> Result<bool> {
        const ABSENT: &str = "attribute_not_exists(entry)";
        match entry {
            Entry::File(file) => match self.put_if(self.file_item(file)?, ABSENT, None).await? {
                Ok(()) => Ok(true),
                Err(there) => {
                    let there: FileRecord = self.read(there)?;
                    let again = FileStep::SentAgain(file.put());
                    if there.after(&again, file.registered_ts).is_some() {
                        self.step(&there, &again, file.registered_ts).await?;
                    }
                    Ok(false)
                }
            },
            Entry::Deletion(deletion) => {
                let hash = key_hash(&deletion.bucket, &deletion.key);
                let entry = format!("{hash}#{}", deletion.version());
                let item = self.item(deletion, shard(&deletion.feed, &hash), entry)?;
                Ok(self.put_if(item, ABSENT, None).await?.is_ok())
            }
        }
    }

    async fn open(&self, feed: &str) -> Result<Vec<FileRecord>> {
        let shards = shards(feed).map(|shard| self.query(Query::of_open(shard, None)));
        let items = try_join_all(shards).await?;
        items.into_iter().flatten().map(|item| self.read(item)).collect()
    }

    async fn oldest(&self, feed: &str, most: usize, now: Timestamp) -> Result<Vec<FileRecord>> {
        let mut files: Vec<FileRecord> = Vec::new();
        let mut shards: Vec<_> =
            shards(feed).map(|shard| Unread { shard, after: None, until: Timestamp::MIN }).collect();
        loop {
            let pages = shards.into_iter().map(|shard| async move {
                let query = Query::of_open(shard.shard.clone(), Some(most.max(1)));
                let page = self.page(&query, shard.after.clone()).await?;
                Result::Ok((shard, page))
            });
            let mut unread = Vec::new();
            for (mut shard, (items, after)) in try_join_all(pages).await? {
                for item in items {
                    let file: FileRecord = self.read(item)?;
                    shard.until = file.received_ts;
                    files.push(file);
                }
                if after.is_some() {
                    unread.push(Unread { after, ..shard });
                }
            }
            // The files of a shard are read in the order in which they were received, so all files from before this instant
            // have been read.
            let Some(known) = unread.iter().map(|shard| shard.until).min() else { return Ok(files) };
            if files.iter().filter(|file| file.received_ts < known && file.is_claimable(now)).count() >= most {
                files.retain(|file| file.received_ts < known);
                return Ok(files);
            }
            shards = unread;
        }
    }

    async fn of_batch(&self, feed: &str, batch: &str) -> Result<Vec<FileRecord>> {
        let shards = shards(feed).map(|shard| {
            self.query(Query {
                index: Some("by_batch"),
                condition: "feed_shard = :shard AND open_batch = :value",
                shard,
                value: Some(batch.into()),
                newest_first: false,
                most: None,
            })
        });
        let items = try_join_all(shards).await?;
        items.into_iter().flatten().map(|item| self.read(item)).collect()
    }

    async fn of_key(&self, feed: &str, bucket: &str, key: &str) -> Result<KeyHistory> {
        let hash = key_hash(bucket, key);
        let items = self
            .query(Query {
                index: None,
                condition: "feed_shard = :shard AND begins_with(entry, :value)",
                shard: shard(feed, &hash),
                value: Some(format!("{hash}#")),
                newest_first: false,
                most: None,
            })
            .await?;
        let mut history = KeyHistory::default();
        for item in items {
            if item.contains_key("deleted_ts") {
                history.deletions.push(self.read::<Deletion>(item)?);
            } else {
                history.files.push(self.read(item)?);
            }
        }
        Ok(history)
    }

    async fn step(&self, seen: &FileRecord, step: &FileStep, now: Timestamp) -> Result<AdvancedFile> {
        let mut seen = seen.clone();
        for _ in 0..TRIES {
            let Some(next) = seen.after(step, now) else {
                // The caller's record may be outdated, so read the current one.
                let id = seen.id();
                let history = self.of_key(&seen.feed, &seen.bucket, &seen.key).await?;
                let there = history.files.into_iter().find(|file| file.id() == id);
                let there = there
                    .ok_or_else(|| Failure::corrupt(format!("{} does not exist in {}", seen.url(), self.table)))?;
                if there.revision == seen.revision {
                    return Ok(AdvancedFile { fresh: false, file: there });
                }
                seen = there;
                continue;
            };
            match self.put_if(self.file_item(&next)?, "revision = :seen", Some(seen.revision)).await? {
                Ok(()) => return Ok(AdvancedFile { fresh: true, file: next }),
                Err(there) if there.is_empty() => {
                    return Err(Failure::corrupt(format!("{} does not exist in {}", seen.url(), self.table)));
                }
                Err(there) => {
                    let there: FileRecord = self.read(there)?;
                    if there.after(step, now).is_none() {
                        return Ok(AdvancedFile { fresh: false, file: there });
                    }
                    seen = there;
                }
            }
        }
        let message = format_args!("other callers changed {} {TRIES} times in a row: trying again", seen.url());
        Err(self.call("DynamoDB PutItem").failure(FailureKind::Throttled, message))
    }

    async fn since(&self, feed: &str, from: Timestamp, most: usize) -> Result<Vec<FileRecord>> {
        let shards = shards(feed).map(|shard| {
            self.query(Query {
                index: Some("by_received"),
                condition: "feed_shard = :shard AND received_ts >= :value",
                shard,
                value: Some(shiftwork_protocol::timestamp(from)),
                newest_first: true,
                most: Some(most),
            })
        });
        let items = try_join_all(shards).await?.into_iter().flatten();
        let mut files: Vec<FileRecord> = items.map(|item| self.read(item)).collect::<Result<_>>()?;
        files.sort_by_key(|file| std::cmp::Reverse(file.received_ts));
        files.truncate(most);
        Ok(files)
    }

    async fn was_notified(&self, feed: &str, what: &str) -> Result<bool> {
        let items = self
            .query(Query {
                index: None,
                condition: "feed_shard = :shard AND entry = :value",
                shard: notices_shard(feed),
                value: Some(what.into()),
                newest_first: false,
                most: Some(1),
            })
            .await?;
        Ok(!items.is_empty())
    }

    async fn record_notice(&self, feed: &str, what: &str, now: Timestamp) -> Result<()> {
        let record = BTreeMap::from([("said_ts", shiftwork_protocol::timestamp(now))]);
        let item = self.item(&record, notices_shard(feed), what.into())?;
        // If the item exists, another caller recorded the same notification.
        self.put_if(item, "attribute_not_exists(entry)", None).await.map(drop)
    }
}
