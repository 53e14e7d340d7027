//! The logical date of a requested run.

use jiff::Timestamp;
use serde_json::Value;
use shiftwork_planner::{LogicalDate, RequestedDate, pattern};
use shiftwork_protocol::{RunRecord, Workflow, event, payload::RunRequest, workflow::EventTrigger};

/// A logical date that an event gives to the runs that it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DateOfEvent {
    /// The text, which may not be a logical date.
    pub(crate) text: String,
    /// The place that the text comes from.
    pub(crate) place: String,
}

/// Returns the logical date that an event gives to the runs of a trigger: the value at the trigger's path, or the logical
/// date of the run that an event of shiftwork is about.
pub(crate) fn of_event(trigger: &EventTrigger, position: usize, event: &Value) -> Option<DateOfEvent> {
    if let Some(path) = &trigger.logical_date {
        let text = match pattern::pick(event, path) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        };
        return Some(DateOfEvent { text, place: format!("`{path}` of the event (triggers[{position}].logical_date)") });
    }
    let detail = &event["detail"];
    if event["source"] != event::SOURCE || detail["logical_date"].is_null() {
        return None;
    }
    let date = detail["logical_date"].as_str().map_or_else(|| detail["logical_date"].to_string(), str::to_owned);
    let text = match detail["time_zone"].as_str() {
        Some(zone) => format!("{date}[{zone}]"),
        None => date,
    };
    Some(DateOfEvent { text, place: "`$.detail.logical_date` of the event".into() })
}

/// Returns the logical date of a run. The time zone of a scheduled run is that of the schedule; of other runs, that of
/// the workflow, or else the one that the request names. A restart of a run that was planned keeps its time zone.
///
/// # Errors
/// Returns the reason why the request's date is not a logical date.
pub(crate) fn of_run(
    workflow: &Workflow,
    request: &RunRequest,
    earlier: Option<&RunRecord>,
    now: Timestamp,
) -> Result<LogicalDate, String> {
    let (kept_zone, default) = match earlier {
        None => (None, now),
        Some(run) if run.request.is_some() => (None, run.logical_date),
        // Runs were planned in UTC before items had a time zone.
        Some(run) => (Some(run.time_zone.as_deref().unwrap_or("UTC")), run.logical_date),
    };
    let requested = request.logical_date.as_deref().map(RequestedDate::read).transpose()?;
    let configured = match request.scheduled_time {
        Some(_) => workflow.schedule_time_zone(),
        None => workflow.request_time_zone(),
    };
    let named = requested.as_ref().and_then(RequestedDate::time_zone);
    let zone = kept_zone.or(configured).or(named);
    match &requested {
        Some(date) => date.in_zone(zone),
        None => LogicalDate::new(request.scheduled_time.unwrap_or(default), zone),
    }
}

/// The logical date to record for a request that cannot become a run, as far as it can be read without the workflow.
pub(crate) fn of_refused(request: &RunRequest, now: Timestamp) -> Timestamp {
    let requested = request.logical_date.as_deref().and_then(|text| {
        let date = RequestedDate::read(text).ok()?;
        Some(date.in_zone(date.time_zone()).ok()?.at())
    });
    requested.or(request.scheduled_time).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shiftwork_ports::fake::a_run;
    use shiftwork_protocol::{Status, workflow::Schedule};

    use super::*;

    const BERLIN: Option<&str> = Some("Europe/Berlin");
    const NEW_YORK: Option<&str> = Some("America/New_York");
    /// 01:30 on the first of July in Berlin.
    const NIGHT: &str = "2026-06-30T23:30:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn workflow(time_zone: Option<&str>, of_schedule: Option<&str>) -> Workflow {
        let mut workflow: Workflow =
            serde_json::from_value(json!({ "workflow_id": "w", "workflow_stages": [] })).unwrap();
        workflow.time_zone = time_zone.map(Into::into);
        workflow.schedule = Some(Schedule {
            expression: "cron(30 1 * * ? *)".into(),
            time_zone: of_schedule.map(Into::into),
            enabled: true,
        });
        workflow
    }

    fn scheduled() -> RunRequest {
        RunRequest { scheduled_time: Some(at(NIGHT)), ..RunRequest::default() }
    }

    fn dated(date: &str) -> RunRequest {
        RunRequest { logical_date: Some(date.into()), ..RunRequest::default() }
    }

    #[test]
    fn the_time_zone_is_that_of_the_schedule_the_workflow_or_the_request() {
        for (zone, of_schedule, request, day, expected) in [
            // The time that EventBridge Scheduler sends is in UTC, in summer and in winter.
            (None, BERLIN, scheduled(), "2026-07-01", "Europe/Berlin"),
            (None, None, scheduled(), "2026-06-30", "UTC"),
            (BERLIN, None, scheduled(), "2026-07-01", "Europe/Berlin"),
            (NEW_YORK, BERLIN, scheduled(), "2026-07-01", "Europe/Berlin"),
            // Requests: now is the night of the first of July in Berlin.
            (None, None, RunRequest::default(), "2026-06-30", "UTC"),
            (BERLIN, None, RunRequest::default(), "2026-07-01", "Europe/Berlin"),
            (None, BERLIN, RunRequest::default(), "2026-07-01", "Europe/Berlin"),
            (NEW_YORK, BERLIN, RunRequest::default(), "2026-06-30", "America/New_York"),
            // A day is that day in every time zone.
            (None, None, dated("2026-07-01"), "2026-07-01", "UTC"),
            (NEW_YORK, None, dated("2026-07-01"), "2026-07-01", "America/New_York"),
            // An event of a run in Berlin.
            (None, None, dated("2026-06-30T23:30:00Z[Europe/Berlin]"), "2026-07-01", "Europe/Berlin"),
            (NEW_YORK, None, dated("2026-06-30T23:30:00Z[Europe/Berlin]"), "2026-06-30", "America/New_York"),
        ] {
            let date = of_run(&workflow(zone, of_schedule), &request, None, at(NIGHT)).unwrap();
            let found = (date.day(), date.time_zone());
            assert_eq!(found, (day.to_owned(), expected), "{zone:?}, {of_schedule:?}, {request:?}");
        }
    }

    #[test]
    fn a_restart_keeps_the_instant_and_the_time_zone() {
        let planned = RunRecord { logical_date: at(NIGHT), time_zone: BERLIN.map(Into::into), ..a_run(Status::Failed) };
        let later = at("2026-07-09T12:00:00Z");
        let date = of_run(&workflow(NEW_YORK, None), &RunRequest::default(), Some(&planned), later).unwrap();
        assert_eq!((date.at(), date.day().as_str(), date.time_zone()), (at(NIGHT), "2026-07-01", "Europe/Berlin"));
        // The request could not be planned: its time zone is decided now, and its time is kept.
        let refused = RunRecord {
            logical_date: at(NIGHT),
            time_zone: None,
            run_date: None,
            request: Some(RunRequest::default()),
            ..a_run(Status::Failed)
        };
        let date = of_run(&workflow(BERLIN, None), &RunRequest::default(), Some(&refused), later).unwrap();
        assert_eq!((date.at(), date.day().as_str()), (at(NIGHT), "2026-07-01"));
    }

    #[test]
    fn an_event_gives_its_logical_date_or_the_value_at_the_path() {
        let trigger = |path: Option<&str>| EventTrigger {
            pattern: serde_json::Map::new(),
            parameters: std::collections::BTreeMap::new(),
            logical_date: path.map(Into::into),
        };
        let event = json!({ "source": "shiftwork", "detail": { "day": "2026-03-01", "n": 7,
            "logical_date": "2026-06-30T23:30:00.000Z", "time_zone": "Europe/Berlin" } });
        let text = |path, event: &Value| of_event(&trigger(path), 0, event).map(|date| date.text);
        assert_eq!(text(None, &event).as_deref(), Some("2026-06-30T23:30:00.000Z[Europe/Berlin]"));
        assert_eq!(text(Some("$.detail.day"), &event).as_deref(), Some("2026-03-01"));
        assert_eq!(text(Some("$.detail.n"), &event).as_deref(), Some("7"));
        assert_eq!(text(Some("$.detail.missing"), &event).as_deref(), Some(""));
        let without_zone = json!({ "source": "shiftwork", "detail": { "logical_date": "2026-03-01T02:00:00.000Z" } });
        assert_eq!(text(None, &without_zone).as_deref(), Some("2026-03-01T02:00:00.000Z"));
        // Events about no run, and events of other sources.
        assert_eq!(text(None, &json!({ "source": "shiftwork", "detail": { "contract": "orders" } })), None);
        assert_eq!(text(None, &json!({ "source": "shop", "detail": { "logical_date": "2026-03-01" } })), None);
        let place = of_event(&trigger(Some("$.detail.day")), 2, &event).unwrap().place;
        assert_eq!(place, "`$.detail.day` of the event (triggers[2].logical_date)");
    }

    #[test]
    fn a_refused_request_is_recorded_with_the_date_that_can_be_read() {
        let now = at("2026-07-09T12:00:00Z");
        assert_eq!(of_refused(&dated("2026-07-01"), now), at("2026-07-01T00:00:00Z"));
        assert_eq!(of_refused(&dated("2026-06-30T23:30:00Z[Europe/Berlin]"), now), at(NIGHT));
        assert_eq!(of_refused(&scheduled(), now), at(NIGHT));
        assert_eq!(of_refused(&dated("soon"), now), now);
        assert_eq!(of_refused(&RunRequest::default(), now), now);
    }
}
