//! EventBridge events of ended statements.

use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use crate::config::Config;
use crate::faults::StatementFault;
use crate::http_client::HttpClient;
use crate::statements::{Statement, Target};

/// Maximum number of delivery attempts per event. EventBridge delivers these events on a best-effort basis.
const ATTEMPTS: u32 = 8;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// Sends events to the configured URL, each in a separate task.
pub(crate) struct Events {
    url: Option<String>,
    region: String,
    account: String,
    http: HttpClient,
}

impl Events {
    pub(crate) fn new(config: &Config, http: HttpClient) -> Self {
        Self { url: config.events_url.clone(), region: config.region.clone(), account: config.account.clone(), http }
    }

    /// Sends the event of an ended statement that requested one. Faults may drop, duplicate or delay it.
    pub(crate) fn statement_ended(&self, statement: &Statement) {
        let Some(url) = &self.url else { return };
        if !statement.with_event {
            return;
        }
        let (mut copies, mut delay) = (1, Duration::ZERO);
        for fault in &statement.faults {
            match fault {
                StatementFault::DropEvent => copies = 0,
                StatementFault::DoubleEvent => copies *= 2,
                StatementFault::DelayEvent(by) => delay += *by,
                StatementFault::Fail(_) | StatementFault::Delay(_) => {}
            }
        }
        let entry = self.entry(statement).to_string();
        for _ in 0..copies {
            tokio::spawn(deliver(self.http.clone(), url.clone(), entry.clone(), delay));
        }
    }

    /// One entry of `PutEvents`. Source of the detail: "Monitoring events for the Amazon Redshift Data API".
    fn entry(&self, statement: &Statement) -> Value {
        let progress = statement.progress();
        let rows = progress.parts.last().map_or(-1, |part| part.rows);
        let expire_at = statement.created_at.checked_add(24.hours()).unwrap_or(Timestamp::MAX).as_second();
        let query_id = match statement.batch {
            Some(_) => -1,
            None => progress.parts.first().map_or(-1, |part| part.query_id),
        };
        let detail = json!({
            "principal": statement.owner.arn,
            "statementName": statement.name.as_deref().unwrap_or_default(),
            "statementId": statement.id,
            "redshiftQueryId": query_id,
            "state": progress.status,
            "rows": rows,
            "expireAt": expire_at,
        });
        json!({
            "Source": "aws.redshift-data",
            "DetailType": "Redshift Data Statement Status Change",
            "Detail": detail.to_string(),
            "Resources": [self.resource(&statement.target)],
            "Time": format!("{:.0}", progress.updated_at),
        })
    }

    fn resource(&self, target: &Target) -> String {
        let Self { region, account, .. } = self;
        match (&target.workgroup, &target.cluster) {
            (Some(arn), _) if arn.starts_with("arn:") => arn.clone(),
            (Some(workgroup), _) => format!("arn:aws:redshift-serverless:{region}:{account}:workgroup/{workgroup}"),
            (None, cluster) => {
                format!("arn:aws:redshift:{region}:{account}:cluster:{}", cluster.as_deref().unwrap_or_default())
            }
        }
    }
}

async fn deliver(http: HttpClient, url: String, entry: String, delay: Duration) {
    tokio::time::sleep(delay).await;
    let mut backoff = FIRST_BACKOFF;
    for attempt in 1..=ATTEMPTS {
        match http.send("POST", &url, entry.clone()).await {
            Ok((status, _)) if (200..300).contains(&status) => return,
            Ok((status, _)) => tracing::warn!(attempt, status, url, "the event was not accepted"),
            Err(error) => tracing::warn!(attempt, %error, url, "the event could not be sent"),
        }
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
    }
    tracing::error!(
        url,
        entry,
        "the event is not delivered after all attempts; use DescribeStatement to get the status of the statement"
    );
}
