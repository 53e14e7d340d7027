//! Work that is one statement already: a procedure call, an unload.

use std::collections::BTreeMap;

use shiftwork_ports::Submission;
use shiftwork_protocol::{JobRecord, Transaction};

pub(crate) fn submission(job: &JobRecord, sql: &str, parameters: &BTreeMap<String, String>) -> Submission {
    Submission {
        name: job.current_attempt(),
        connection: job.plan.connection.clone(),
        sqls: vec![sql.into()],
        transaction: Transaction::Single,
        parameters: parameters.clone(),
    }
}
