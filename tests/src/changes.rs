use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use shiftwork_protocol::change::Refused;
use tokio::time::{Instant, sleep};

use crate::{Ended, Flow, InvokeError, Stack};

/// Maximum time until a record is staged, in seconds.
const STAGING_SECONDS: u64 = 30;
/// Maximum time until a dead letter is received, in seconds; other tests may hide it temporarily.
const DEAD_LETTER_SECONDS: u64 = 60;

/// A table of orders in a source database, its contract, and the workflow that loads it. The id of the workflow is also
/// the name of the contract, of the source table and of the schema in Redshift.
#[derive(Clone)]
pub struct Changes {
    /// The workflow, with one job `load` of kind `cdc`.
    pub flow: Flow,
}

impl Stack {
    /// Pushes a contract and its workflow. `more` is additional YAML of the contract.
    pub async fn changes(self: &Arc<Self>, label: &str, more: &str) -> Changes {
        let flow = Flow { stack: Arc::clone(self), id: Self::unique(label) };
        flow.push(json!({ "on_overlap": "queue", "workflow_stages": [{ "execution_type": "sequential", "scripts": [
            { "job_name": "load", "kind": "cdc", "contract": flow.id } ] }] }))
            .await;
        let changes = Changes { flow };
        changes.contract(more).await;
        changes
    }
}

impl Changes {
    /// Pushes the contract or a new version of it.
    pub async fn contract(&self, more: &str) {
        self.contract_of("debezium", &format!("public.{}", self.flow.id), more).await;
    }

    /// Pushes a contract for another source.
    pub async fn contract_of(&self, format: &str, table: &str, more: &str) {
        let id = &self.flow.id;
        let text = format!(
            "contract: {id}\nsource: {{ format: {format}, table: {table} }}\ntarget: {{ schema: {id}, table: orders }}\nkey: [id]\n\
             columns:\n  - {{ name: id, type: varchar(16) }}\n  - {{ name: status, type: varchar(16) }}\n{more}\n"
        );
        let put = self.flow.stack.s3.put_object().bucket(self.flow.stack.output("ScriptsBucket"));
        let put = put.key(shiftwork_protocol::keys::contract_key(id)).body(text.into_bytes().into());
        put.send().await.expect("the contract can be put into the scripts bucket");
    }

    /// A Debezium event: the order has `status` at the log position `lsn`; `None` for a delete.
    pub fn order(&self, id: u64, status: Option<&str>, lsn: u64) -> Value {
        let row = |status: &str| json!({ "id": id.to_string(), "status": status });
        let (before, after, op) = match status {
            Some(status) => (Value::Null, row(status), "u"),
            None => (row("gone"), Value::Null, "d"),
        };
        json!({
            "before": before, "after": after, "op": op, "ts_ms": lsn,
            "source": { "connector": "postgresql", "name": "shop", "db": "shop", "schema": "public", "table": self.flow.id,
                        "ts_ms": 1_795_255_200_000_u64 + lsn, "lsn": lsn, "txId": lsn, "snapshot": "false" },
        })
    }

    /// A batch of a Kafka partition, as Lambda receives it.
    pub fn batch(&self, partition: u32, from: usize, values: &[impl ToString]) -> Value {
        let topic = &self.flow.id;
        let record = |(value, offset): (&_, usize)| {
            let value = BASE64.encode(ToString::to_string(value));
            json!({ "topic": topic, "partition": partition, "offset": offset, "timestamp": 0, "timestampType": "CREATE_TIME",
                    "key": null, "value": value, "headers": [] })
        };
        let records: Vec<_> = values.iter().zip(from..).map(record).collect();
        json!({ "eventSource": "aws:kafka", "records": { format!("{topic}-{partition}"): records } })
    }

    /// Delivers a batch once.
    pub async fn try_deliver(&self, batch: &Value) -> Result<Value, InvokeError> {
        self.flow.stack.invoke("CdcLoaderFunction", batch).await
    }

    /// Delivers a batch until the loader accepts it, as an event source mapping does.
    pub async fn deliver(&self, batch: &Value) {
        for _ in 0..10 {
            match self.try_deliver(batch).await {
                Ok(_) => return,
                Err(error) => assert!(error.name.starts_with("Runtime."), "{error:?}"),
            }
        }
        panic!("the loader did not accept a batch of {}", self.flow.id);
    }

    /// Loads the staged files.
    pub async fn load(&self) -> Ended {
        self.flow.start().await.end().await
    }

    /// The rows of the table as `id status`, ordered by id.
    pub async fn orders(&self) -> Vec<String> {
        let rows = self.flow.sql("select id, status from {s}.orders order by id").await;
        rows.iter().map(|row| row.join(" ")).collect()
    }

    /// Keys of the staged files of the contract.
    pub async fn staged(&self) -> Vec<String> {
        self.objects(&shiftwork_protocol::keys::staged_prefix(&self.flow.id)).await
    }

    /// Keys in the staging bucket with this prefix.
    pub async fn objects(&self, prefix: &str) -> Vec<String> {
        let stack = &self.flow.stack;
        let list = stack.s3.list_objects_v2().bucket(stack.output("StagingBucket")).prefix(prefix).send().await;
        let list = list.expect("the staging bucket can be listed");
        list.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect()
    }

    /// Waits until this number of files is staged.
    pub async fn until_staged(&self, files: usize) {
        let begun = Instant::now();
        while self.staged().await.len() < files {
            assert!(
                begun.elapsed().as_secs() < STAGING_SECONDS,
                "{} of {files} files: {:?}",
                self.flow.id,
                self.staged().await
            );
            sleep(Duration::from_millis(150)).await;
        }
    }

    /// Waits for this number of dead letters of the contract's partitions, ordered by offset. The dead letters stay in
    /// the queue; concurrent tests receive them too, which hides them temporarily.
    pub async fn dead_letters(&self, wanted: usize) -> Vec<Refused> {
        let stack = &self.flow.stack;
        let of_topic = format!("kafka/{}/", self.flow.id);
        let begun = Instant::now();
        let mut dead_letters = BTreeMap::new();
        while dead_letters.len() < wanted {
            assert!(
                begun.elapsed().as_secs() < DEAD_LETTER_SECONDS,
                "{} of {wanted} dead letters: {dead_letters:?}",
                dead_letters.len()
            );
            let receive = stack.sqs.receive_message().queue_url(stack.output("ChangeDeadLetterQueue"));
            let received = receive.max_number_of_messages(10).visibility_timeout(1).send().await;
            let received = received.expect("messages can be received from the dead-letter queue");
            for message in received.messages() {
                let dead_letter: Option<Refused> = serde_json::from_str(message.body().unwrap_or_default()).ok();
                if let Some(dead_letter) =
                    dead_letter.filter(|dead_letter| dead_letter.refused.partition.starts_with(&of_topic))
                {
                    dead_letters.insert(dead_letter.refused.offset.clone(), dead_letter);
                }
            }
            if received.messages().is_empty() {
                sleep(Duration::from_millis(150)).await;
            }
        }
        dead_letters.into_values().collect()
    }

    /// Sends a message to the change queue.
    pub async fn send(&self, body: &Value) {
        let stack = &self.flow.stack;
        let send = stack.sqs.send_message().queue_url(stack.output("ChangeQueue")).message_body(body.to_string());
        send.send().await.expect("the message can be sent to the change queue");
    }
}
