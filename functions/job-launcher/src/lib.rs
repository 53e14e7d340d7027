//! job-launcher: submits a job exactly once, so that the task waits for its end.
//!
//! The intent is recorded before the submission ([`Ledger::claim`](shiftwork_ports::Ledger::claim)). A launcher that
//! finds the intent of an earlier invocation first asks the engine for the attempt. If the engine knows it, the
//! launcher adopts it.
//!
//! A script with `transaction: per_statement` is one submission for each statement. The launcher waits for short
//! statements and goes on itself while its time allows. The event of the end of a longer statement returns the job to
//! the Launch state (docs/decisions/0013-statement-by-statement.md).

pub mod kind;
mod wiring;

use jiff::{SignedDuration, Timestamp};
use shiftwork_aws::environment;
use shiftwork_ports::{AttemptState, Progress, Result, Session, Submission, log::Subject};
use shiftwork_protocol::{
    Failure, FailureKind, JobRecord, SharedSession, SkipReason, Work, keys,
    payload::{JobEnd, Launch},
    secret::{self, Secrets},
};
use shiftwork_settlement::{JobSettlement, LAUNCHER_WAITS, skip_of};
use shiftwork_wiring::JobsEnvironment;

use kind::{Kinds, Prepared};

environment! {
    /// Environment variables of the function.
    pub struct Environment {
        pub jobs: JobsEnvironment,
        pub request_queue_url: String,
        pub scripts_bucket: String,
    }
}

/// The function job-launcher.
pub struct Launcher {
    /// Settles jobs that are not run, and attempts that were submitted before.
    pub jobs: JobSettlement,
    /// Preparation of each kind of job.
    pub kinds: Kinds,
}

/// Time after which a launcher submits no further part, so that it ends within its Lambda timeout of 60 s.
const SUBMITS_FOR: SignedDuration = SignedDuration::from_secs(30);

/// What the launcher does about a job that it claimed.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    /// Complete the task, because the job has ended.
    CompleteTask,
    /// Fail, because the job still waits for upstreams.
    Refuse,
    /// Request the slots again, because an earlier invocation found that one was not free.
    RequestSlots,
    /// Skip the job, because its `run_if` is not met.
    Skip(SkipReason),
    /// Ask the engine for the attempt, because an earlier invocation recorded the intent to submit it.
    Adopt,
    /// Submit the attempt.
    Submit,
}

fn decide(job: &JobRecord, now: Timestamp) -> Action {
    if job.execution_status.is_terminal() {
        return Action::CompleteTask;
    }
    if job.waits_for_slot() {
        return Action::RequestSlots;
    }
    if !job.waiting_on.is_empty() {
        return Action::Refuse;
    }
    if let Some(reason) = skip_of(job) {
        return Action::Skip(reason);
    }
    if job.submitted_ts == Some(now) { Action::Submit } else { Action::Adopt }
}

/// What the launcher does about the part that it submitted or adopted.
#[derive(Debug, PartialEq, Eq)]
enum AfterPart {
    /// Take the step to the next part and submit it.
    GoOn,
    /// Settle the part, which returns the job to the Launch state or ends it.
    Settle,
    /// Leave the part to the event of its end.
    Leave,
}

/// Decides what follows a part. `spent`: time since the launcher began.
fn after_part(job: &JobRecord, state: &AttemptState, spent: SignedDuration) -> AfterPart {
    match &state.progress {
        Progress::Active => AfterPart::Leave,
        Progress::Finished if !state.attempt.is_last_part() && spent < submits_for(job) => AfterPart::GoOn,
        Progress::Finished | Progress::Failed { .. } | Progress::Aborted { .. } => AfterPart::Settle,
    }
}

/// Time for which the launcher submits parts of this job. The timeout of the Launch state began with the first of them,
/// so it is at most a tenth of the timeout: every part has nine tenths.
fn submits_for(job: &JobRecord) -> SignedDuration {
    SUBMITS_FOR.min(SignedDuration::from_secs(job.plan.timeout_seconds.into()) / 10)
}

/// The session that the parts of a job share.
const fn shared_session(work: &Work) -> Option<SharedSession> {
    match work {
        Work::Sql { session, .. } => *session,
        Work::Procedure { .. } | Work::Unload { .. } | Work::Cdc { .. } | Work::Copy { .. } | Work::Barrier {} => None,
    }
}

impl Launcher {
    /// Submits the job, adopts the attempt of an earlier invocation, or settles a job that is not run.
    pub async fn handle(&self, launch: Launch) -> Result<()> {
        let Launch { workflow_execution_id: run, job_name: name, task_token: token } = &launch;
        Subject::of_job(run, name).scope(self.launch(run, name, token)).await
    }

    async fn launch(&self, run: &str, name: &str, token: &str) -> Result<()> {
        // The ledger stores milliseconds, and `decide` compares the stored instant with this one.
        let now = to_millis(self.jobs.clock.now());
        let job = self.jobs.ledger.claim(run, name, token, now).await?;
        let action = async {
            match decide(&job, now) {
                Action::CompleteTask => self.complete_task(&job, token).await,
                Action::Refuse => {
                    let upstreams = job.waiting_on.iter().cloned().collect::<Vec<_>>().join(", ");
                    let message = format!("job {name} of run {run} was launched while it waits for {upstreams}");
                    Err(Failure::corrupt(message))
                }
                Action::RequestSlots => {
                    self.jobs.admit(&job).await?;
                    self.jobs.tokens.wait(token).await
                }
                Action::Skip(reason) => self.jobs.skip(&job, reason).await.map(drop),
                Action::Adopt => {
                    let found = self.jobs.engine(&job)?.find(&job.current_attempt()).await?;
                    if let Some(AttemptState { id, attempt, .. }) = &found {
                        tracing::info!(statement = %attempt, id, "adopted the attempt of an earlier launcher");
                    }
                    self.drive(job.clone(), found, token).await
                }
                Action::Submit => self.drive(job.clone(), None, token).await,
            }
        };
        Subject::from(&job).scope(action).await
    }

    /// Completes the task of a job that has ended. The function that settled the job did not have this token, and may
    /// have crashed before it freed the dependents.
    async fn complete_task(&self, job: &JobRecord, token: &str) -> Result<()> {
        self.jobs.follow(job).await?;
        let end = JobEnd { job_name: job.plan.job_name.clone(), execution_status: job.execution_status };
        self.jobs.tokens.end(token, &end).await
    }

    /// Submits the current part, unless it was `found` on its engine, and further parts while there is time. Takes the slots
    /// of the job first: it keeps them over all its parts.
    async fn drive(&self, mut job: JobRecord, mut found: Option<AttemptState>, token: &str) -> Result<()> {
        if found.is_none() && !self.jobs.take_slots(&job).await? {
            return self.jobs.tokens.wait(token).await;
        }
        let began = self.jobs.clock.now();
        loop {
            let at = job.current_attempt();
            let id = match &found {
                Some(state) => state.id.clone(),
                None => match self.submit(&job).await? {
                    Some(id) => id,
                    None => return Ok(()),
                },
            };
            let ended = found.take().filter(|state| state.progress != Progress::Active);
            let state = match ended {
                Some(state) => state,
                None if at.is_last_part() => return Ok(()),
                None => match self.jobs.engine(&job)?.outcome(&id, &at, LAUNCHER_WAITS.unsigned_abs()).await? {
                    Some(state) => state,
                    None => return Ok(()),
                },
            };
            match after_part(&job, &state, self.jobs.clock.now().duration_since(began)) {
                AfterPart::Leave => return Ok(()),
                AfterPart::Settle => return self.jobs.attempt_ended(&state).await,
                AfterPart::GoOn => match self.jobs.go_on(&state).await? {
                    Some(next) => job = next,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Submits the current part and returns its id; `None` if the job was settled instead.
    async fn submit(&self, job: &JobRecord) -> Result<Option<String>> {
        match self.kinds.prepare(job).await? {
            Prepared::Submit(mut submission) => {
                self.fill_secrets(job, &mut submission).await?;
                self.send(job, &submission).await
            }
            Prepared::NothingToDo => self.jobs.nothing_to_do(job).await.map(|_| None),
            Prepared::Lost(why) => self.jobs.submission_failed(job, FailureKind::Unavailable, &why).await.map(|_| None),
        }
    }

    /// Sends a submission. If its session has ended, the job fails if the submission needs what earlier statements left in
    /// the session; otherwise the submission begins a new session.
    async fn send(&self, job: &JobRecord, submission: &Submission) -> Result<Option<String>> {
        let is_needed = shared_session(&job.plan.work).is_some_and(|shared| shared.is_needed_by(job.part));
        let sent = match &submission.session {
            Session::Kept if is_needed => Err(Failure::new(FailureKind::SessionLost, "no session was kept")),
            Session::Own | Session::Kept | Session::Continued(_) => {
                self.jobs.engines.warehouse.submit(submission).await
            }
        };
        let id = match sent {
            Err(failure) if failure.kind == FailureKind::SessionLost && is_needed => {
                let message = session_lost(job, &failure);
                self.jobs.submission_failed(job, FailureKind::SessionLost, &message).await?;
                return Ok(None);
            }
            Err(failure) if failure.kind == FailureKind::SessionLost => {
                let renewed = Submission { session: Session::Kept, ..submission.clone() };
                self.jobs.engines.warehouse.submit(&renewed).await?
            }
            Ok(_) | Err(_) => sent?,
        };
        tracing::info!(statement = %submission.attempt, id, statements = submission.sqls.len(), "submitted");
        Ok(Some(id))
    }
}

/// Message for a job whose session has ended.
fn session_lost(job: &JobRecord, failure: &Failure) -> String {
    let JobRecord { workflow_execution_id: run, plan, part, .. } = job;
    format!(
        "the session of the earlier statements has ended ({failure}), and statement {part} needs the settings or the \
         temporary tables that they left in it: `shiftwork restart {run} --from-statement {}=1` runs the script from its first \
         statement",
        plan.job_name
    )
}

impl Launcher {
    /// Replaces the masks of secret parameters by their values, which only the submission has.
    async fn fill_secrets(&self, job: &JobRecord, submission: &mut Submission) -> Result<()> {
        let names: Vec<String> = secret::names(&submission.parameters).map(str::to_owned).collect();
        if names.is_empty() {
            return Ok(());
        }
        let key = keys::secrets_key(&job.workflow_execution_id);
        let missing = || {
            let message = format!(
                "the secret parameters ({}) of run {} are not stored any more: request a new run with their values",
                names.join(", "),
                job.workflow_execution_id
            );
            Failure::new(FailureKind::InvalidRequest, message)
        };
        let stored = self.jobs.kinds.cdc.staging.get(&key).await?.ok_or_else(missing)?;
        let secrets: Secrets = serde_json::from_slice(&stored)
            .map_err(|_| Failure::corrupt(format!("{key} is not a JSON object of strings")))?;
        for name in &names {
            let value = secrets.get(name).ok_or_else(missing)?;
            submission.parameters.insert(name.clone(), value.clone());
        }
        Ok(())
    }
}

fn to_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use shiftwork_ports::{EngineReport, fake::a_job};
    use shiftwork_protocol::{Attempt, SLOT, Status, workflow::RunIf};

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn released() -> JobRecord {
        JobRecord { execution_status: Status::Running, submitted_ts: Some(NOW), ..a_job("load", &[]) }
    }

    #[test]
    fn a_new_intent_is_submitted_and_an_earlier_one_adopted() {
        assert_eq!(decide(&released(), NOW), Action::Submit);
        let later = NOW + jiff::SignedDuration::from_millis(1);
        assert_eq!(decide(&released(), later), Action::Adopt);
    }

    #[test]
    fn the_launcher_goes_on_while_there_is_time() {
        let mut job = released();
        job.plan.timeout_seconds = 600;
        let state = |part, progress| {
            let attempt = Attempt { part, parts: 3, ..job.current_attempt() };
            AttemptState { id: "id".into(), attempt, progress, session: None, report: EngineReport::default() }
        };
        let finished = || Progress::Finished;
        let failed = || Progress::Failed { kind: FailureKind::StatementFailed, message: "ERROR".into(), reached: 0 };
        for (part, progress, seconds, expected) in [
            (1, finished(), 0, AfterPart::GoOn),
            (2, finished(), 29, AfterPart::GoOn),
            (2, finished(), 30, AfterPart::Settle),
            (3, finished(), 0, AfterPart::Settle),
            (1, Progress::Active, 0, AfterPart::Leave),
            (1, failed(), 0, AfterPart::Settle),
            (1, Progress::Aborted { reached: 0 }, 0, AfterPart::Settle),
        ] {
            let state = state(part, progress);
            assert_eq!(
                after_part(&job, &state, SignedDuration::from_secs(seconds)),
                expected,
                "{state:?}, {seconds} s"
            );
        }
        job.plan.timeout_seconds = 50;
        assert_eq!(submits_for(&job), SignedDuration::from_secs(5));
    }

    #[test]
    fn an_ended_job_completes_its_task_and_a_waiting_job_is_refused() {
        for status in Status::ALL.into_iter().filter(|status| status.is_terminal()) {
            assert_eq!(decide(&JobRecord { execution_status: status, ..released() }, NOW), Action::CompleteTask);
        }
        assert_eq!(decide(&a_job("load", &["stage"]), NOW), Action::Refuse);
        assert_eq!(decide(&a_job("load", &[SLOT]), NOW), Action::RequestSlots);
    }

    #[test]
    fn a_job_whose_condition_is_not_met_is_skipped() {
        for (run_if, failed, expected) in [
            (RunIf::AllSuccess, false, Action::Submit),
            (RunIf::AllSuccess, true, Action::Skip(SkipReason::UpstreamFailed)),
            (RunIf::AllDone, false, Action::Submit),
            (RunIf::AllDone, true, Action::Submit),
            (RunIf::OneFailed, false, Action::Skip(SkipReason::ConditionNotMet)),
            (RunIf::OneFailed, true, Action::Submit),
        ] {
            let mut job = released();
            job.plan.run_if = run_if;
            job.failed_upstreams.extend(failed.then(|| "stage".to_owned()));
            assert_eq!(decide(&job, NOW), expected, "{run_if:?}, failed: {failed}");
        }
    }
}
