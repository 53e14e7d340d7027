//! Random sequences of calls: the same calls to a model and to a subject return the same results and leave the same
//! records.

use std::collections::BTreeSet;

use shiftwork_protocol::{FailedAttempt, FailureKind, SLOT, SkipReason, SlotHolder, SlotPool, Status};

use super::{a_job, a_run, failure, fresh, kind, minute, success, take, totals};
use crate::{LeaseRequest, Ledger, Opening, Step};

/// Number of calls of one sequence.
const CALLS: u32 = 60;

/// A small random number generator (SplitMix64). The same seed gives the same sequence.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % limit as u64).unwrap()
    }

    fn pick<T: Clone>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())].clone()
    }
}

/// Makes the calls of a seed on both ledgers: a workflow, three runs of a diamond of four jobs, and calls in random
/// order. Panics if the results differ.
#[allow(clippy::too_many_lines, reason = "one arm for each call of the port")]
pub async fn agree(model: &dyn Ledger, subject: &dyn Ledger, seed: u64) {
    let mut random = Random(seed);
    let workflow = fresh("workflow");
    let pool = SlotPool { name: format!("@{}", fresh("pool")), limit: 2 };
    let openings: Vec<Opening> = (0..3).map(|_| diamond(&workflow)).collect();
    for call in 0..CALLS {
        let now = minute(i64::from(call));
        let until = minute(i64::from(call) + 15);
        let opening = &openings[random.below(3)];
        let position = random.below(4);
        let at = opening.at(position, random.pick(&[1, 1, 1, 2]), random.pick(&[1, 1, 2]));
        let (run, job) = (opening.id(), opening.job(position));
        let place = format!("seed {seed}, call {call}");
        // One arm for each method. Failures are compared by their kind.
        macro_rules! same {
            ($what:literal, $ledger:ident => $ask:expr) => {{
                let (expected, found) = (
                    {
                        let $ledger = model;
                        $ask.await
                    },
                    {
                        let $ledger = subject;
                        $ask.await
                    },
                );
                match (expected, found) {
                    (Ok(expected), Ok(found)) => assert_eq!(found, expected, "{}: {}", place, $what),
                    (expected, found) => assert_eq!(kind(found), kind(expected), "{}: {}", place, $what),
                }
            }};
        }
        match random.below(11) {
            9 => {
                let holder = SlotHolder { run: run.into(), job: job.into() };
                same!("request_slot", ledger => ledger.request_slot(&pool, &holder, now));
            }
            10 => {
                let holder = SlotHolder { run: run.into(), job: job.into() };
                same!("return_slot", ledger => ledger.return_slot(&pool, &holder));
            }
            0 | 1 => {
                let mut opening = opening.clone();
                opening.lease = random.pick(&[take(until), take(until), LeaseRequest::Queue, LeaseRequest::Leave]);
                if opening.lease == LeaseRequest::Queue {
                    opening.run.execution_status = Status::Queued;
                }
                same!("open", ledger => ledger.open(&opening));
            }
            2 => same!("begin", ledger => ledger.begin(&workflow, run, now, until)),
            3 => same!("claim", ledger => ledger.claim(run, job, &place, now)),
            4 | 5 => {
                let step = match random.below(6) {
                    0 => Step::End(success()),
                    1 => Step::End(failure()),
                    2 => Step::Skip { reason: SkipReason::UpstreamFailed, message: place.clone() },
                    3 => Step::NextPart {
                        statement_id: Some(place.clone()),
                        session_id: (random.below(2) == 0).then(|| place.clone()),
                        submitting: random.below(2) == 0,
                        totals: totals(i64::from(call)),
                    },
                    4 => Step::Hold,
                    _ => Step::NextAttempt(FailedAttempt {
                        attempt: at.attempt,
                        part: at.part,
                        submitted_ts: None,
                        ended_ts: now,
                        error_name: FailureKind::ConnectionLost.name().into(),
                        error_message: place.clone(),
                        statement_id: None,
                        retry_ts: Some(until),
                        times: totals(0).times,
                    }),
                };
                same!("advance", ledger => ledger.advance(&at, &step, now));
            }
            6 => {
                let upstream = random.below(5);
                let upstream = if upstream == 4 { SLOT } else { opening.job(upstream) };
                let failed = match upstream {
                    SLOT => BTreeSet::new(),
                    job => random.pick(&[BTreeSet::new(), BTreeSet::from([job.to_owned(), "root".into()])]),
                };
                same!("free", ledger => ledger.free(run, job, upstream, &failed));
            }
            7 => {
                let status = random.pick(&[Status::Succeeded, Status::Failed, Status::Aborted]);
                let error = random.pick(&[None, Some("error")]);
                same!("finish", ledger => ledger.finish(run, status, error, now));
            }
            _ => same!("release", ledger => ledger.release(&workflow, run, until)),
        }
        same!("run", ledger => ledger.run(run));
        same!("job", ledger => ledger.job(run, job));
        same!("lease", ledger => ledger.lease(&workflow));
        same!("slots", ledger => ledger.slots(&pool.name));
    }
    for opening in &openings {
        assert_eq!(subject.jobs(opening.id()).await, model.jobs(opening.id()).await, "seed {seed}");
    }
}

/// One job, two jobs that wait for it, and one that waits for these two.
fn diamond(workflow: &str) -> Opening {
    let run = a_run(workflow, Status::Pending, 4);
    let edges: [(&str, &[&str]); 4] =
        [("top", &[]), ("left", &["top"]), ("right", &["top"]), ("bottom", &["left", "right"])];
    let jobs = edges.iter().enumerate().map(|(position, (name, upstreams))| a_job(&run, position, name, upstreams));
    Opening { jobs: jobs.collect(), run, lease: LeaseRequest::Leave }
}
