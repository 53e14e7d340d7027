//! One step for each of many jobs.

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use shiftwork_ports::{Result, log::Subject};
use shiftwork_protocol::{Failure, JobRecord};

/// Number of jobs whose steps are taken concurrently.
const CONCURRENT_JOBS: usize = 16;
/// Maximum number of failures whose messages are reported.
const REPORTED_FAILURES: usize = 5;

/// Takes a step for each job, and returns the results in any order. A step that fails does not prevent the steps of the other
/// jobs. The log lines of a step have the ids of its job.
///
/// # Errors
/// If steps failed: the kind of the first failure, and a message with the jobs and messages of up to [`REPORTED_FAILURES`]
/// failures.
pub(crate) fn for_each_job<'a, T: Send + 'a>(
    jobs: impl IntoIterator<Item = &'a JobRecord>,
    step: impl Fn(&'a JobRecord) -> BoxFuture<'a, Result<T>>,
) -> BoxFuture<'a, Result<Vec<T>>> {
    let steps: Vec<_> = jobs.into_iter().map(|job| scoped(job, step(job))).collect();
    all(steps).boxed()
}

/// The step of a job, whose failure names the job.
type Scoped<'a, T> = BoxFuture<'a, std::result::Result<T, (&'a JobRecord, Failure)>>;

fn scoped<'a, T: Send + 'a>(job: &'a JobRecord, step: BoxFuture<'a, Result<T>>) -> Scoped<'a, T> {
    Subject::from(job).scope(step).map(move |result| result.map_err(|failure| (job, failure))).boxed()
}

async fn all<T: Send>(steps: Vec<Scoped<'_, T>>) -> Result<Vec<T>> {
    let total = steps.len();
    let taken: Vec<_> = stream::iter(steps).buffer_unordered(CONCURRENT_JOBS).collect().await;
    let (mut results, mut failures) = (Vec::new(), Vec::new());
    for result in taken {
        match result {
            Ok(value) => results.push(value),
            Err(failure) => failures.push(failure),
        }
    }
    match failures.first() {
        None => Ok(results),
        Some((_, first)) => {
            let reported = failures.iter().take(REPORTED_FAILURES);
            let mut messages: Vec<_> =
                reported.map(|(job, failure)| format!("{}: {failure}", job.plan.job_name)).collect();
            if failures.len() > REPORTED_FAILURES {
                messages.push(format!("{} more", failures.len() - REPORTED_FAILURES));
            }
            let message = format!("the step failed for {} of {total} jobs: {}", failures.len(), messages.join("; "));
            Err(Failure::new(first.kind, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use shiftwork_ports::fake::a_job;
    use shiftwork_protocol::FailureKind;

    use super::*;

    #[test]
    fn a_failed_step_is_reported_after_all_steps_are_taken() {
        let jobs: Vec<_> = (0..40).map(|n| a_job(&format!("job_{n}"), &[])).collect();
        let taken = Mutex::new(0);
        let step = |job: &JobRecord| {
            *taken.lock().unwrap() += 1;
            let result = match job.plan.job_name.as_str() {
                "job_3" | "job_30" => Err(Failure::new(FailureKind::Corrupt, "no such job")),
                _ => Ok(()),
            };
            async { result }.boxed()
        };
        let failure = for_each_job(&jobs, step).now_or_never().unwrap().unwrap_err();
        assert_eq!(*taken.lock().unwrap(), 40);
        assert_eq!(failure.kind, FailureKind::Corrupt);
        assert_eq!(failure.message, "the step failed for 2 of 40 jobs: job_3: no such job; job_30: no such job");
    }

    #[test]
    fn results_of_all_jobs_are_returned() {
        let jobs = [a_job("a", &[]), a_job("b", &[])];
        let names = for_each_job(&jobs, |job| async { Ok(job.plan.job_name.clone()) }.boxed()).now_or_never().unwrap();
        assert_eq!(names, Ok(vec!["a".into(), "b".into()]));
    }
}
