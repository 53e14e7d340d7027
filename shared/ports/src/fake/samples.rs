use std::collections::BTreeMap;

use jiff::Timestamp;
use shiftwork_protocol::{
    Connection, JobRecord, RunRecord, Status, Work,
    audit::{Origin, PlannedJob},
    file::{FileRecord, FileStatus, Format},
    workflow::RunIf,
};

/// A pending job of run `r` of workflow `w`: a procedure call with these upstreams.
pub fn a_job(name: &str, upstreams: &[&str]) -> JobRecord {
    let plan = PlannedJob {
        job_name: name.into(),
        position: 0,
        stage: 1,
        stage_description: None,
        upstreams: upstreams.iter().map(|upstream| (*upstream).to_owned()).collect(),
        dependents: std::collections::BTreeSet::new(),
        run_if: RunIf::AllSuccess,
        timeout_seconds: 600,
        retries: 0,
        retry_delay_seconds: 0,
        slots: Vec::new(),
        work: Work::Procedure {
            connection: Connection { workgroup: Some("shift".into()), database: "dev".into(), ..Connection::default() },
            sql: format!("CALL {name}()"),
            parameters: BTreeMap::new(),
            repeatable: false,
        },
    };
    JobRecord::pending("w", "r", plan)
}

/// Run `r` of workflow `w`, requested manually at the beginning of 2026.
pub fn a_run(status: Status) -> RunRecord {
    let created = Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::UNIX_EPOCH);
    RunRecord {
        workflow_execution_id: "r".into(),
        workflow_id: "w".into(),
        workflow_description: None,
        execution_status: status,
        created_ts: created,
        execution_start_ts: None,
        execution_end_ts: None,
        error_message: None,
        logical_date: created,
        time_zone: Some("UTC".into()),
        run_date: Some("2026-01-01".into()),
        parameters: BTreeMap::new(),
        requested_by: Origin::Manual,
        request_sha256: String::new(),
        workflow_sha256: String::new(),
        restart_of: None,
        caused_by: Vec::new(),
        request: None,
        jobs: 1,
        planner: None,
    }
}

/// A file of the feed `orders` in status RECEIVED.
pub fn a_file(key: &str, sequencer: &str) -> FileRecord {
    FileRecord {
        feed: "orders".into(),
        bucket: "landing".into(),
        key: key.into(),
        version_id: None,
        etag: Some(format!("etag-{sequencer}")),
        size: 100,
        sequencer: Some(sequencer.into()),
        received_ts: Timestamp::UNIX_EPOCH,
        earlier_puts: Vec::new(),
        claimed_put: None,
        registered_ts: Timestamp::UNIX_EPOCH,
        format: Some(Format::Csv),
        parts: BTreeMap::new(),
        checksum: None,
        columns: Vec::new(),
        file_status: FileStatus::Received,
        reason: None,
        batch: None,
        claimed_until: None,
        history: Vec::new(),
        revision: 0,
    }
}
