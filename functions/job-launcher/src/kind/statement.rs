//! `procedure` and `unload`: work that is a single statement.

use std::collections::BTreeMap;

use shiftwork_ports::{Session, Submission};
use shiftwork_protocol::{Connection, JobRecord};

pub(super) fn submission(
    job: &JobRecord,
    connection: &Connection,
    sql: &str,
    parameters: &BTreeMap<String, String>,
) -> Submission {
    Submission {
        attempt: job.current_attempt(),
        connection: connection.clone(),
        sqls: vec![sql.into()],
        session: Session::Own,
        parameters: parameters.clone(),
    }
}
