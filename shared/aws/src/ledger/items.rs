//! Conversion between records and items.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Serialize, de::DeserializeOwned};
use shiftwork_ports::Result;
use shiftwork_protocol::{Failure, FailureKind, JobRecord};

use super::Item;

/// Attributes of a job that are string sets, so that `ADD` and `DELETE` change a single member.
const SETS: [&str; 2] = ["waiting_on", "failed_upstreams"];

/// Converts a record to an item of `table`.
pub(super) fn write(record: &impl Serialize, table: &str) -> Result<Item> {
    serde_dynamo::to_item(record).map_err(|error| {
        Failure::new(FailureKind::Refused, format!("a record of {table} cannot be converted to an item: {error}"))
    })
}

/// Converts a job to an item with string sets. DynamoDB does not store empty sets, and `JobRecord` serializes none.
pub(super) fn write_job(job: &JobRecord, table: &str) -> Result<Item> {
    let mut item: Item = write(job, table)?;
    for name in SETS {
        if let Some(attribute) = item.get_mut(name)
            && let AttributeValue::L(members) = attribute
        {
            let members = members.iter().filter_map(|member| member.as_s().ok().cloned()).collect();
            *attribute = AttributeValue::Ss(members);
        }
    }
    Ok(item)
}

/// Converts an item of `table` to a record.
pub(super) fn read<T: DeserializeOwned>(item: Item, table: &str) -> Result<T> {
    let key = key(&item);
    serde_dynamo::from_item(item).map_err(|error| {
        Failure::corrupt(format!("{table} has an item ({key}) that is not in the format of shiftwork: {error}"))
    })
}

/// Formats the key attributes of an item for a message.
fn key(item: &Item) -> String {
    ["workflow_execution_id", "job_name", "workflow_id"]
        .iter()
        .filter_map(|name| Some(format!("{name} {}", item.get(*name)?.as_s().ok()?)))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use aws_sdk_dynamodb::types::AttributeValue;
    use shiftwork_protocol::{
        CommitCause, Connection, FailedAttempt, FailureKind, InnerCommit, JobRecord, ScriptPin, SharedSession, Status,
        Times, Transaction, Work,
        audit::{PlannedJob, Resumed},
        workflow::RunIf,
    };

    fn connection() -> Connection {
        Connection { workgroup: Some("wg".into()), database: "dev".into(), ..Default::default() }
    }

    fn job() -> JobRecord {
        let plan = PlannedJob {
            job_name: "load/insert_1.sql".into(),
            position: 3,
            stage: 2,
            stage_description: Some("insert".into()),
            upstreams: BTreeSet::from(["a".into(), "b".into()]),
            dependents: BTreeSet::new(),
            run_if: RunIf::AllDone,
            timeout_seconds: 600,
            retries: 1,
            retry_delay_seconds: 30,
            slots: Vec::new(),
            work: Work::Sql {
                connection: connection(),
                script: ScriptPin { key: "k".into(), version_id: "v".into(), sha256: "0".repeat(64), statements: 2 },
                transaction: Transaction::PerStatement,
                parameters: BTreeMap::from([("day".into(), "2026-03-01".into())]),
                inner_commits: vec![InnerCommit { statement: 2, line: 4, cause: CommitCause::Call }],
                session: Some(SharedSession { state_from: Some(1) }),
                repeatable: true,
            },
        };
        JobRecord::pending("w", "r", plan)
    }

    #[test]
    fn a_job_round_trips_with_its_sets_and_its_work() {
        let mut full = job();
        full.execution_status = Status::Failed;
        full.execution_start_ts = Some("2026-03-01T02:00:00.123Z".parse().unwrap());
        full.rows = Some(i64::MAX);
        full.failed_upstreams = BTreeSet::from(["a".into()]);
        full.failed_attempts = vec![FailedAttempt {
            attempt: 1,
            part: 2,
            submitted_ts: None,
            ended_ts: "2026-03-01T02:00:00.000Z".parse().unwrap(),
            error_name: FailureKind::ConnectionLost.name().into(),
            error_message: "gone".into(),
            statement_id: Some("id".into()),
            retry_ts: Some("2026-03-01T02:01:00.000Z".parse().unwrap()),
            times: Times { ran_us: Some(u64::MAX), ..Times::default() },
        }];
        full.session_id = Some("session".into());
        full.resumed = Some(Resumed { from: "before".into(), part: 2 });
        for work in
            [full.plan.work.clone(), Work::Unload { connection: connection(), sql: "UNLOAD".into() }, Work::Barrier {}]
        {
            full.plan.work = work;
            let item = super::write_job(&full, "jobs").unwrap();
            assert!(matches!(item["waiting_on"], AttributeValue::Ss(_)));
            assert!(matches!(item["failed_upstreams"], AttributeValue::Ss(_)));
            assert_eq!(super::read::<JobRecord>(item, "jobs").unwrap(), full);
        }
    }

    #[test]
    fn a_job_without_upstreams_has_no_set() {
        let mut free = job();
        free.waiting_on.clear();
        let item = super::write_job(&free, "jobs").unwrap();
        assert!(!item.contains_key("waiting_on"));
        assert_eq!(super::read::<JobRecord>(item, "jobs").unwrap(), free);
    }

    #[test]
    fn the_failure_of_an_unreadable_item_has_its_key() {
        let mut item = super::write_job(&job(), "jobs").unwrap();
        item.remove("attempt");
        let failure = super::read::<JobRecord>(item, "jobs").unwrap_err();
        assert_eq!(failure.kind, FailureKind::Corrupt);
        assert!(failure.message.contains("load/insert_1.sql") && failure.message.contains("attempt"), "{failure}");
    }
}
