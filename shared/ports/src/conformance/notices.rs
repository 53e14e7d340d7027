use std::collections::BTreeSet;

use serde_json::Value;
use shiftwork_protocol::{
    Status,
    event::{DriftFound, Event, FilesLate},
};

use super::{a_run, fresh, minute};
use crate::Notices;

/// Checks [`Notices`]. `events` waits for the given number of events and returns the detail type and the detail of each
/// that has arrived; `messages` does so for the notifications.
pub async fn notices(
    notices: &dyn Notices,
    events: impl AsyncFn(usize) -> Vec<(String, Value)>,
    messages: impl AsyncFn(usize) -> Vec<String>,
) {
    let late = |n: u32| FilesLate {
        idempotency_key: fresh("late"),
        feed: "orders".into(),
        day: "2026-03-01".into(),
        due_ts: minute(0),
        expected: n,
        received: 0,
    };
    assert_eq!(notices.publish(&[]).await, Ok(()), "none");
    // More events than one call can have.
    let published: Vec<_> = (0..12).map(|n| Event::Late(late(n))).collect();
    assert_eq!(notices.publish(&published).await, Ok(()));
    let shown = |(kind, detail): (String, Value)| format!("{kind} {detail}");
    let expected: BTreeSet<_> = published
        .iter()
        .map(|event| {
            let detail = serde_json::from_str(&event.detail().unwrap()).unwrap();
            shown((event.detail_type().into(), detail))
        })
        .collect();
    let arrived: BTreeSet<_> = events(published.len()).await.into_iter().map(shown).collect();
    assert_eq!(arrived, expected, "each event arrives, and may arrive twice");

    let run = a_run("workflow", Status::Failed, 1);
    let drift = DriftFound {
        idempotency_key: fresh("drift"),
        contract: fresh("contract"),
        table: "shop.orders".into(),
        unknown: "capture".into(),
        findings: Vec::new(),
        more: 0,
    };
    let late = FilesLate { feed: fresh("feed"), ..late(1) };
    assert_eq!(notices.alert(&run).await, Ok(()));
    assert_eq!(notices.drift(&drift).await, Ok(()));
    assert_eq!(notices.late(&late).await, Ok(()));
    let sent = messages(3).await;
    for about in [&run.workflow_execution_id, &drift.contract, &late.feed] {
        assert!(sent.iter().any(|message| message.contains(about)), "no message is about {about}: {sent:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::MemoryNotices;

    #[tokio::test]
    async fn the_notices_in_memory_conform() {
        let memory = MemoryNotices::default();
        let events = async |_| {
            let all = memory.events();
            let shown = |event: &Event| {
                let detail = serde_json::from_str(&event.detail().unwrap()).unwrap();
                (event.detail_type().to_owned(), detail)
            };
            all.iter().map(shown).collect()
        };
        let messages = async |_| {
            let alerts = memory.alerts().into_iter().map(|run| run.workflow_execution_id);
            let drifts = memory.drifts().into_iter().map(|drift| drift.contract);
            alerts.chain(drifts).chain(memory.late_files().into_iter().map(|late| late.feed)).collect()
        };
        notices(&memory, events, messages).await;
    }
}
