//! The events that runs publish, as far as they are known before a run: those of shiftwork, and those of AWS services about the
//! statements, files and executions of a run.

use serde_json::{Value, json};
use shiftwork_config::{JsonPath, Located, Problem, list, nearest};
use shiftwork_protocol::{Kind, Status, Workflow, event, limits, workflow::EventTrigger};

use crate::{
    draft,
    pattern::{self, Field, Pattern, Test, possible::Possible},
};

/// An event that a run can publish.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    /// `detail-type` of the event.
    pub(crate) detail_type: &'static str,
    pub(crate) event: Possible,
}

impl Published {
    /// Names of the fields of `detail`.
    fn fields(&self) -> impl Iterator<Item = &'static str> + '_ {
        let detail = self.event.members().iter().find(|(name, _)| *name == "detail");
        detail.into_iter().flat_map(|(_, detail)| detail.members().iter().map(|(name, _)| *name))
    }
}

/// `detail-type` of an ended statement of the Data API.
const STATEMENT_ENDED: &str = "Redshift Data Statement Status Change";
/// `detail-type` of an execution of Step Functions.
const EXECUTION_CHANGED: &str = "Step Functions Execution Status Change";
/// `detail-type` of a new object in S3.
const OBJECT_CREATED: &str = "Object Created";

/// Values of the events of one workflow, or of any workflow.
struct Publisher {
    workflow: Possible,
    jobs: Possible,
    feeds: Possible,
}

impl Publisher {
    fn any() -> Self {
        Self { workflow: Possible::text(), jobs: Possible::text(), feeds: Possible::text() }
    }

    fn of(workflow: &Workflow) -> Self {
        let feeds = crate::feed_names(workflow);
        let jobs = draft::job_names(workflow);
        Self {
            workflow: Possible::exactly(&workflow.workflow_id),
            jobs: Possible::one_of(jobs.iter().map(String::as_str)),
            feeds: Possible::one_of(feeds.iter().map(String::as_str)),
        }
    }

    /// The events of shiftwork about a run. The members are the fields of the types in [`event`].
    fn runs(&self) -> [Published; 4] {
        let statuses = || Possible::one_of(ENDS.map(Status::as_str));
        let run = |more: Vec<(&'static str, Possible)>| {
            let mut members = vec![
                ("idempotency_key", Possible::text()),
                ("workflow_id", self.workflow.clone()),
                ("workflow_execution_id", Possible::text()),
                ("caused_by", Possible::Any.or_absent()),
                ("logical_date", Possible::text().or_absent()),
                ("time_zone", Possible::text().or_absent()),
            ];
            members.extend(more);
            members
        };
        let error = || Possible::text().or_absent();
        [
            ours(
                event::JOB_ENDED,
                run(vec![
                    ("job_name", self.jobs.clone()),
                    ("execution_status", statuses()),
                    ("skip_reason", Possible::text().or_absent()),
                    ("execution_start_ts", Possible::text().or_absent()),
                    ("execution_end_ts", Possible::text().or_absent()),
                    ("engine_created_ts", Possible::text().or_absent()),
                    ("engine_started_ts", Possible::text().or_absent()),
                    ("engine_ended_ts", Possible::text().or_absent()),
                    ("queued_us", Possible::Any.or_absent()),
                    ("ran_us", Possible::Any.or_absent()),
                    ("noticed_us", Possible::Any.or_absent()),
                    ("unreported", Possible::Any.or_absent()),
                    ("error_message", error()),
                    ("rows", Possible::Any.or_absent()),
                    ("dropped_rows", Possible::Any.or_absent()),
                ]),
            ),
            ours(event::RUN_ENDED, run(vec![("execution_status", statuses()), ("error_message", error())])),
            ours(event::REFRESHED, run(Vec::new())),
            ours(
                event::TABLE_REFRESHED,
                run(vec![
                    ("job_name", self.jobs.clone()),
                    ("feed", self.feeds.clone()),
                    ("table", Possible::text()),
                    ("file_count", Possible::Any),
                    ("files", Possible::text()),
                    ("manifest", Possible::text()),
                    ("rows", Possible::Any.or_absent()),
                ]),
            ),
        ]
    }
}

/// The statuses with which jobs and runs end.
const ENDS: [Status; 5] = [Status::Succeeded, Status::Failed, Status::TimedOut, Status::Aborted, Status::Skipped];

/// All events that a run of the workflow can publish or cause.
pub(crate) fn by_runs(workflow: &Workflow) -> Vec<Published> {
    let mut published = Vec::from(Publisher::of(workflow).runs());
    published.push(of_service(
        "aws.redshift-data",
        STATEMENT_ENDED,
        vec![
            ("principal", Possible::Opaque),
            ("statementName", Possible::Begins("shiftwork:".into())),
            ("statementId", Possible::Opaque),
            ("redshiftQueryId", Possible::Any),
            ("state", Possible::one_of(["FINISHED", "FAILED", "ABORTED"])),
            ("rows", Possible::Any),
            ("expireAt", Possible::Any),
        ],
    ));
    published.push(of_service(
        "aws.states",
        EXECUTION_CHANGED,
        vec![
            ("executionArn", Possible::Opaque),
            ("stateMachineArn", Possible::Opaque),
            ("name", Possible::Opaque),
            ("status", Possible::one_of(["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"])),
        ],
    ));
    published.extend(unloaded(workflow).map(|(bucket, prefix)| {
        of_service(
            "aws.s3",
            OBJECT_CREATED,
            vec![
                ("version", Possible::exactly("0")),
                ("bucket", Possible::Members(vec![("name", Possible::exactly(&bucket))])),
                (
                    "object",
                    Possible::Members(vec![
                        ("key", Possible::Begins(prefix)),
                        ("size", Possible::Any),
                        ("etag", Possible::Opaque),
                        ("version-id", Possible::Opaque.or_absent()),
                        ("sequencer", Possible::Opaque),
                    ]),
                ),
                ("request-id", Possible::Opaque),
                ("requester", Possible::Opaque),
                ("source-ip-address", Possible::Opaque),
                ("reason", Possible::one_of(["PutObject", "CompleteMultipartUpload"])),
            ],
        )
    }));
    published
}

/// Bucket and beginning of the keys of the files that the jobs of kind `unload` write. The beginning ends before the first value of
/// the run, such as `{run_date}`.
pub(crate) fn unloaded(workflow: &Workflow) -> impl Iterator<Item = (String, String)> {
    draft::running_jobs(workflow).filter_map(|(_, _, job)| {
        let job = draft::in_full(job);
        let to = job.work.get("to").filter(|_| job.kind.as_deref() == Some(Kind::Unload.as_str()))?.as_str()?;
        let (bucket, keys) = to.strip_prefix("s3://")?.split_once('/')?;
        let known = keys.split('{').next().unwrap_or_default();
        Some((bucket.to_owned(), known.to_owned()))
    })
}

/// The events of shiftwork that are not about a run.
fn of_data() -> [Published; 2] {
    [
        ours(
            event::FILES_LATE,
            vec![
                ("idempotency_key", Possible::text()),
                ("feed", Possible::text()),
                ("day", Possible::text()),
                ("due_ts", Possible::text()),
                ("expected", Possible::Any),
                ("received", Possible::Any),
            ],
        ),
        ours(
            event::DRIFT_FOUND,
            vec![
                ("idempotency_key", Possible::text()),
                ("contract", Possible::text()),
                ("table", Possible::text()),
                ("unknown", Possible::one_of(["capture", "evolve", "freeze"])),
                ("findings", Possible::Any),
                ("more", Possible::Any),
            ],
        ),
    ]
}

fn ours(detail_type: &'static str, detail: Vec<(&'static str, Possible)>) -> Published {
    // `PutEvents` without resources gives an empty list.
    published(event::SOURCE, detail_type, Possible::OneOf(vec![json!([])]), detail)
}

fn of_service(source: &str, detail_type: &'static str, detail: Vec<(&'static str, Possible)>) -> Published {
    published(source, detail_type, Possible::Opaque, detail)
}

fn published(
    source: &str,
    detail_type: &'static str,
    resources: Possible,
    detail: Vec<(&'static str, Possible)>,
) -> Published {
    let event = Possible::Members(vec![
        ("version", Possible::exactly("0")),
        ("id", Possible::text()),
        ("detail-type", Possible::exactly(detail_type)),
        ("source", Possible::exactly(source)),
        // The account and the Region of the deployment are not known here.
        ("account", Possible::text()),
        ("time", Possible::text()),
        ("region", Possible::text()),
        ("resources", resources),
        ("detail", Possible::Members(detail)),
    ]);
    Published { detail_type, event }
}

/// Checks the pattern of a trigger: its syntax, its length, and that an event of shiftwork can match it if it asks for one.
pub(crate) fn check(doc: &Located, trigger: &EventTrigger, path: &JsonPath, problems: &mut Vec<Problem>) {
    let at = path.key("pattern");
    let pattern = match pattern::read(&trigger.pattern) {
        Ok(pattern) => pattern,
        Err(wrong) => {
            problems.extend(wrong.into_iter().map(|wrong| {
                let mut problem = doc.problem(&wrong.under(&at), wrong.message);
                problem.hint = wrong.hint;
                problem
            }));
            return;
        }
    };
    let chars = Value::from(trigger.pattern.clone()).to_string().chars().count();
    if chars > limits::EVENT_PATTERN_CHARS {
        let message =
            format!("the pattern has {chars} characters as JSON; EventBridge allows {}", limits::EVENT_PATTERN_CHARS);
        problems.push(doc.problem(&at, message).hint("split the pattern into several triggers"));
    }
    if let Some((field, message, hint)) = never_published(&pattern) {
        problems.push(doc.problem(&at.key(field), message).hint(hint));
    }
}

/// Why a pattern that asks only for events of shiftwork matches none of them: the field of the pattern, a message and a hint.
fn never_published(pattern: &Pattern) -> Option<(&'static str, String, String)> {
    if texts(pattern, "source")?.iter().any(|source| *source != event::SOURCE) {
        return None;
    }
    let asked = texts(pattern, "detail-type").unwrap_or_default();
    if let Some(unknown) = asked.iter().find(|detail_type| !event::DETAIL_TYPES.contains(detail_type)) {
        let hint = match nearest(unknown, event::DETAIL_TYPES) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", list(event::DETAIL_TYPES)),
        };
        return Some(("detail-type", format!("shiftwork publishes no event `{unknown}`"), hint));
    }
    let events: Vec<_> = Publisher::any().runs().into_iter().chain(of_data()).collect();
    if events.iter().any(|published| pattern.could_match(Some(&published.event))) {
        return None;
    }
    let of_asked = events.iter().filter(|published| asked.contains(&published.detail_type));
    let fields: Vec<_> = of_asked
        .map(|published| format!("the detail of `{}` has {}", published.detail_type, list(published.fields())))
        .collect();
    let hint = if fields.is_empty() { format!("known: {}", list(event::DETAIL_TYPES)) } else { fields.join("; ") };
    Some(("detail", "no event of shiftwork matches this pattern".into(), hint))
}

/// The texts that a field of a pattern lists; `None` if the pattern has no such field, or the field has other tests.
fn texts<'a>(pattern: &'a Pattern, name: &str) -> Option<Vec<&'a str>> {
    let (_, field) = pattern.fields.iter().find(|(of, _)| of == name)?;
    match field {
        Field::AnyOf(tests) => tests.iter().map(Test::text).collect(),
        Field::Inside(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use schemars::{JsonSchema, schema_for};
    use shiftwork_protocol::event::{DriftFound, FilesLate, JobEnded, Refreshed, RunEnded, TableRefreshed};

    use super::*;

    fn fields_of<T: JsonSchema>() -> BTreeSet<String> {
        schema_for!(T).to_value()["properties"].as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn the_members_are_the_fields_of_the_events() {
        let types = [
            (event::JOB_ENDED, fields_of::<JobEnded>()),
            (event::RUN_ENDED, fields_of::<RunEnded>()),
            (event::REFRESHED, fields_of::<Refreshed>()),
            (event::TABLE_REFRESHED, fields_of::<TableRefreshed>()),
            (event::FILES_LATE, fields_of::<FilesLate>()),
            (event::DRIFT_FOUND, fields_of::<DriftFound>()),
        ];
        let events: Vec<_> = Publisher::any().runs().into_iter().chain(of_data()).collect();
        assert_eq!(events.len(), event::DETAIL_TYPES.len());
        for published in events {
            let (_, fields) = types.iter().find(|(of, _)| *of == published.detail_type).unwrap();
            assert_eq!(&published.fields().map(str::to_owned).collect::<BTreeSet<_>>(), fields);
        }
    }

    proptest! {
        /// A pattern that matches an event of a workflow could match the events of the workflow.
        #[test]
        fn what_matches_could_match(
            status in prop::sample::select(ENDS.map(Status::as_str).to_vec()),
            run in "[ab]{1,3}",
            error in prop::option::of("[ab]{0,2}"),
            tests in prop::collection::btree_map(
                prop::sample::select(vec!["workflow_id", "workflow_execution_id", "execution_status", "error_message", "job_name", "rows"]),
                prop::collection::vec(any_test(), 1..3),
                0..4,
            ),
        ) {
            let workflow: Workflow = serde_json::from_value(json!({ "workflow_id": "a", "workflow_stages": [] })).unwrap();
            let mut detail = json!({ "idempotency_key": run, "workflow_id": "a", "workflow_execution_id": run,
                "execution_status": status, "logical_date": "2026-03-01T00:00:00.000Z" });
            if let Some(error) = error {
                detail["error_message"] = json!(error);
            }
            let event = json!({ "version": "0", "id": "1", "source": event::SOURCE, "detail-type": event::RUN_ENDED,
                "account": "1", "time": "t", "region": "r", "resources": [], "detail": detail });
            let asked = json!({ "detail-type": [event::RUN_ENDED], "detail": tests });
            prop_assume!(!tests.is_empty());
            let pattern = pattern::read(asked.as_object().unwrap()).unwrap();
            if pattern.matches(&event) {
                prop_assert!(by_runs(&workflow).iter().any(|published| pattern.could_match(Some(&published.event))));
            }
        }
    }

    fn any_test() -> impl Strategy<Value = Value> {
        let text = prop::sample::select(vec!["a", "b", "ab", "FAILED", "SUCCEEDED", "F", "D"]);
        (0..8_u8, text, any::<bool>()).prop_map(|(kind, text, exists)| match kind {
            0 => json!(text),
            1 => json!({ "prefix": text }),
            2 => json!({ "suffix": text }),
            3 => json!({ "anything-but": text }),
            4 => json!({ "anything-but": { "prefix": text } }),
            5 => json!({ "exists": exists }),
            6 => json!({ "wildcard": format!("*{text}*") }),
            _ => json!({ "equals-ignore-case": text }),
        })
    }

    #[test]
    fn a_pattern_that_no_event_of_shiftwork_matches_is_found() {
        let found = |pattern: Value| never_published(&pattern::read(pattern.as_object().unwrap()).unwrap());
        for pattern in [
            json!({ "source": ["shiftwork"] }),
            json!({ "source": ["shiftwork"], "detail-type": ["Shiftwork Run Ended"], "detail": { "execution_status": ["FAILED"] } }),
            json!({ "source": ["shiftwork"], "detail-type": [{ "prefix": "Shiftwork " }], "detail": { "feed": ["orders"] } }),
            json!({ "source": ["shiftwork", "custom"], "detail-type": ["Month Closed"] }),
            json!({ "source": ["custom"], "detail-type": ["Shiftwork Run Finished"] }),
            json!({ "detail-type": ["Month Closed"] }),
        ] {
            assert_eq!(found(pattern.clone()), None, "{pattern}");
        }
        let cases = [
            (
                json!({ "source": ["shiftwork"], "detail-type": ["Shiftwork Run End"] }),
                "detail-type",
                "`Shiftwork Run Ended`",
            ),
            (
                json!({ "source": ["shiftwork"], "detail-type": ["Object Created"] }),
                "detail-type",
                "Shiftwork Job Ended",
            ),
            (
                json!({ "source": ["shiftwork"], "detail-type": ["Shiftwork Run Ended"], "detail": { "workflow": ["a"] } }),
                "detail",
                "workflow_id",
            ),
            (
                json!({ "source": ["shiftwork"], "detail-type": ["Shiftwork Run Ended"], "detail": { "execution_status": ["failed"] } }),
                "detail",
                "execution_status",
            ),
            (
                json!({ "source": ["shiftwork"], "detail": { "object": { "key": ["a"] } } }),
                "detail",
                "Shiftwork Run Ended",
            ),
        ];
        for (pattern, field, in_hint) in cases {
            let (at, _, hint) = found(pattern.clone()).unwrap_or_else(|| panic!("{pattern}"));
            assert_eq!(at, field, "{pattern}");
            assert!(hint.contains(in_hint), "{pattern}: {hint}");
        }
    }
}
