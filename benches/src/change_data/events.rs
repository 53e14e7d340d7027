//! Change events of a table in the format of Debezium's PostgreSQL connector, in batches as an MSK event source mapping
//! delivers them.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use fastrand::Rng;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Name of the contract; the prefix of all staged objects.
pub(crate) const CONTRACT: &str = "bench_change_data";
/// Number of partitions of the topic. All changes of a key are in the same partition.
pub(crate) const PARTITIONS: usize = 4;

/// The shortest interval between loads that a contract allows, in seconds.
pub(crate) const LOAD_EVERY: u32 = 10;

/// The text of the contract.
pub(crate) fn contract() -> String {
    format!(
        "contract: {CONTRACT}
source: {{ format: debezium, table: public.parcels, server: bench }}
target: {{ schema: bench, table: parcels, staging_schema: bench_staging }}
key: [id]
columns:
  - {{ name: id, type: bigint }}
  - {{ name: change, type: bigint }}
  - {{ name: sent_at, type: bigint }}
  - {{ name: customer_id, type: integer }}
  - {{ name: status, type: varchar(16) }}
  - {{ name: weight, type: double precision }}
  - {{ name: gift, type: boolean }}
  - {{ name: address, type: varchar(256) }}
  - {{ name: note, type: varchar(1024) }}
promote: {{ kind: type1, deletes: hard }}
workflow: {CONTRACT}
load_every: {LOAD_EVERY}s
"
    )
}

/// The workflow that loads the contract, as an item of the configuration table.
pub(crate) fn workflow() -> Value {
    json!({
        "workflow_id": CONTRACT,
        "workflow_description": "change data of a benchmark",
        "on_overlap": "queue",
        "workflow_stages": [{
            "execution_type": "parallel",
            "stage_description": "load and promote",
            "scripts": [{ "job_name": "parcels", "kind": "cdc", "contract": CONTRACT, "retries": 2 }],
        }],
    })
}

/// The content of the source table.
pub(crate) struct Parcels {
    rng: Rng,
    /// The newest change of each row, by partition.
    rows: [Vec<i64>; PARTITIONS],
    changes: i64,
    offsets: [u64; PARTITIONS],
}

impl Parcels {
    /// An empty table.
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), rows: Default::default(), changes: 0, offsets: [0; PARTITIONS] }
    }

    /// The expected number of rows, and the sum of their newest changes. The sum is correct only if every row is from
    /// its last event.
    pub(crate) fn expected(&self) -> (i64, i64) {
        let rows: usize = self.rows.iter().map(Vec::len).sum();
        (i64::try_from(rows).unwrap_or(i64::MAX), self.rows.iter().flatten().sum())
    }

    /// `changes` changes of one partition, half of them inserts, with the current time. Returns the Lambda event and
    /// its time in microseconds.
    pub(crate) fn batch(&mut self, partition: usize, changes: usize) -> (Value, i64) {
        let now = Timestamp::now().as_microsecond();
        let records: Vec<Value> = (0..changes).map(|_| self.record(partition, now)).collect();
        let event = json!({
            "eventSource": "aws:kafka",
            "eventSourceArn": "arn:aws:kafka:us-east-1:000000000000:cluster/bench/751d2973-a626-431c-9d4e-d7975eb44dd7-2",
            "bootstrapServers": "b-1.bench.kafka.us-east-1.amazonaws.com:9098",
            "records": { format!("bench.public.parcels-{partition}"): records },
        });
        (event, now)
    }

    fn record(&mut self, partition: usize, now: i64) -> Value {
        self.changes += 1;
        let rows = &mut self.rows[partition];
        let (at, before) = if rows.is_empty() || self.rng.bool() {
            rows.push(self.changes);
            (rows.len() - 1, None)
        } else {
            let at = self.rng.usize(0..rows.len());
            (at, Some(std::mem::replace(&mut rows[at], self.changes)))
        };
        let id = at * PARTITIONS + partition + 1;
        let op = if before.is_some() { "u" } else { "c" };
        let before = before.map(|change| image(id, change, now));
        let value = json!({
            "before": before,
            "after": image(id, self.changes, now),
            "source": {
                "version": "3.0.0.Final", "connector": "postgresql", "name": "bench", "ts_ms": now / 1000, "snapshot": "false",
                "db": "bench", "sequence": format!("[\"{0}\",\"{0}\"]", self.changes), "ts_us": now, "ts_ns": now * 1000,
                "schema": "public", "table": "parcels", "txId": self.changes, "lsn": self.changes, "xmin": null
            },
            "transaction": null,
            "op": op,
            "ts_ms": now / 1000,
        });
        let offset = self.offsets[partition];
        self.offsets[partition] += 1;
        json!({
            "topic": "bench.public.parcels", "partition": partition, "offset": offset, "timestamp": now / 1000,
            "timestampType": "CREATE_TIME", "headers": [],
            "key": BASE64.encode(json!({ "id": id }).to_string()), "value": BASE64.encode(value.to_string()),
        })
    }
}

fn image(id: usize, change: i64, sent: i64) -> Value {
    json!({
        "id": id, "change": change, "sent_at": sent, "customer_id": id % 40_000, "status": "shipped", "weight": 12.5, "gift": id.is_multiple_of(10),
        "address": format!("{} Elm Avenue, {:05} Torino", id % 200, id % 99_999),
        "note": "ring twice, the dog is friendly; second floor on the left, behind the green gate",
    })
}
