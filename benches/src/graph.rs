//! Graphs of jobs with known durations, so that the minimum makespan is known.

use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

/// Seed of durations and edges, so that every run of a benchmark has the same graphs.
const SEED: u64 = 20_200;

/// A job whose statement has a fixed duration in the local Data API.
#[derive(Debug, Clone)]
pub struct Job {
    /// `job_name`.
    pub name: String,
    /// Duration of the statement.
    pub length: Duration,
    /// Positions of the jobs that must end before this job.
    pub upstreams: Vec<usize>,
}

/// A workflow whose jobs have known durations. The jobs are in topological order.
#[derive(Debug, Clone)]
pub struct Graph {
    /// `workflow_id`.
    pub id: &'static str,
    /// Title in tables.
    pub title: &'static str,
    /// The jobs of the graph.
    pub jobs: Vec<Job>,
    stages: Vec<Stage>,
}

/// The jobs of a stage by position, and whether they run sequentially.
#[derive(Debug, Clone)]
struct Stage {
    sequential: bool,
    jobs: std::ops::Range<usize>,
}

/// The longest path through a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CriticalPath {
    /// Duration of the path.
    pub length: Duration,
    /// Its jobs in order.
    pub jobs: Vec<usize>,
}

impl Graph {
    /// Six jobs in three stages: two sequential, two parallel, two parallel.
    pub fn six() -> Self {
        let edges = [vec![], vec![0], vec![1], vec![1], vec![2, 3], vec![2, 3]];
        let stages = vec![
            Stage { sequential: true, jobs: 0..2 },
            Stage { sequential: false, jobs: 2..4 },
            Stage { sequential: false, jobs: 4..6 },
        ];
        Self::draw("bench_six", "6 jobs, 3 stages", &edges, stages, 2_000..5_000)
    }

    /// 100 jobs without dependencies.
    pub fn parallel() -> Self {
        let stages = vec![Stage { sequential: false, jobs: 0..100 }];
        Self::draw("bench_parallel", "100 parallel", &vec![vec![]; 100], stages, 5_000..30_000)
    }

    /// 50 jobs; each depends on the previous one.
    pub fn chain() -> Self {
        let edges: Vec<Vec<usize>> = (0..50_usize).map(|job| job.checked_sub(1).into_iter().collect()).collect();
        let stages = vec![Stage { sequential: true, jobs: 0..50 }];
        Self::draw("bench_chain", "50-long chain", &edges, stages, 1_000..3_000)
    }

    /// 200 jobs; each except the first depends on one to three of the previous 40.
    pub fn random() -> Self {
        let mut draw = Rng::with_seed(SEED);
        let edges: Vec<Vec<usize>> = (0..200_usize)
            .map(|job| {
                let some = draw.usize(1..=3);
                let mut upstreams = draw.choose_multiple(job.saturating_sub(40)..job, some);
                upstreams.sort_unstable();
                upstreams
            })
            .collect();
        let stages = vec![Stage { sequential: false, jobs: 0..200 }];
        Self::draw("bench_random", "random, 200 jobs", &edges, stages, 1_000..4_000)
    }

    fn draw(
        id: &'static str,
        title: &'static str,
        edges: &[Vec<usize>],
        stages: Vec<Stage>,
        milliseconds: std::ops::Range<u64>,
    ) -> Self {
        let mut draw = Rng::with_seed(SEED);
        let jobs = edges.iter().enumerate().map(|(position, upstreams)| Job {
            name: format!("job_{position:03}"),
            length: Duration::from_millis(draw.u64(milliseconds.clone())),
            upstreams: upstreams.clone(),
        });
        Self { id, title, jobs: jobs.collect(), stages }
    }

    /// The same graph with the same duration for all jobs.
    #[must_use]
    pub fn with_length(mut self, length: Duration) -> Self {
        for job in &mut self.jobs {
            job.length = length;
        }
        self
    }

    /// The configured durations of the jobs.
    pub fn lengths(&self) -> Vec<Duration> {
        self.jobs.iter().map(|job| job.length).collect()
    }

    /// The earliest end of each job, with the durations in `lengths`.
    fn earliest_ends(&self, lengths: &[Duration]) -> Vec<Duration> {
        let mut ends: Vec<Duration> = Vec::with_capacity(self.jobs.len());
        for (job, length) in self.jobs.iter().zip(lengths) {
            let start = job.upstreams.iter().map(|upstream| ends[*upstream]).max().unwrap_or_default();
            ends.push(start + *length);
        }
        ends
    }

    /// The earliest start of each job.
    pub fn earliest_starts(&self) -> Vec<Duration> {
        let lengths = self.lengths();
        self.earliest_ends(&lengths).iter().zip(&lengths).map(|(end, length)| end.saturating_sub(*length)).collect()
    }

    /// The longest path through the graph, with the durations in `lengths`.
    pub fn critical_path(&self, lengths: &[Duration]) -> CriticalPath {
        let ends = self.earliest_ends(lengths);
        let mut jobs = Vec::new();
        let mut next = (0..ends.len()).max_by_key(|job| ends[*job]);
        while let Some(job) = next {
            jobs.push(job);
            next = self.jobs[job].upstreams.iter().copied().max_by_key(|upstream| ends[*upstream]);
        }
        jobs.reverse();
        CriticalPath { length: ends.into_iter().max().unwrap_or_default(), jobs }
    }

    /// The jobs by depth: a scheduler of waves starts a wave after the previous wave has ended.
    pub fn waves(&self) -> Vec<Vec<usize>> {
        let mut depths: Vec<usize> = Vec::with_capacity(self.jobs.len());
        let mut waves: Vec<Vec<usize>> = Vec::new();
        for (position, job) in self.jobs.iter().enumerate() {
            let depth = job.upstreams.iter().map(|upstream| depths[*upstream] + 1).max().unwrap_or(0);
            depths.push(depth);
            waves.resize_with(waves.len().max(depth + 1), Vec::new);
            waves[depth].push(position);
        }
        waves
    }

    /// S3 key of a job's script.
    pub fn script(&self, job: &Job) -> String {
        format!("workflows/{}/{}", self.id, script_name(job))
    }

    /// The workflow of the graph. Edges that do not follow from the stages are in `depends_on`.
    pub fn workflow(&self) -> Value {
        let by_stages = self.stages.len() > 1 || self.stages.iter().any(|stage| stage.sequential);
        let stages: Vec<Value> = self
            .stages
            .iter()
            .map(|stage| {
                let scripts: Vec<Value> = self.jobs[stage.jobs.clone()]
                    .iter()
                    .map(|job| {
                        let named = |upstream: &usize| self.jobs[*upstream].name.as_str();
                        let depends_on: Vec<&str> =
                            if by_stages { Vec::new() } else { job.upstreams.iter().map(named).collect() };
                        json!({ "job_name": job.name, "script": script_name(job), "depends_on": depends_on })
                    })
                    .collect();
                let order = if stage.sequential { "sequential" } else { "parallel" };
                json!({ "execution_flag": "y", "execution_type": order, "scripts": scripts })
            })
            .collect();
        json!({ "workflow_id": self.id, "workflow_description": self.title, "workflow_stages": stages })
    }
}

fn script_name(job: &Job) -> String {
    format!("{}.sql", job.name)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Graph;

    #[test]
    fn the_critical_path_is_a_path_with_the_duration_of_its_jobs() {
        for graph in [Graph::six(), Graph::parallel(), Graph::chain(), Graph::random()] {
            let lengths = graph.lengths();
            let path = graph.critical_path(&lengths);
            assert_eq!(path.jobs.iter().map(|job| lengths[*job]).sum::<Duration>(), path.length);
            for pair in path.jobs.windows(2) {
                assert!(graph.jobs[pair[1]].upstreams.contains(&pair[0]));
            }
        }
    }

    #[test]
    fn the_upstreams_of_a_wave_are_in_earlier_waves() {
        let graph = Graph::random();
        let waves = graph.waves();
        let wave_of = |job: usize| waves.iter().position(|wave| wave.contains(&job));
        for (position, job) in graph.jobs.iter().enumerate() {
            assert!(job.upstreams.iter().all(|upstream| wave_of(*upstream) < wave_of(position)));
        }
        assert_eq!(waves.iter().map(Vec::len).sum::<usize>(), graph.jobs.len());
    }

    #[test]
    fn the_graphs_have_the_sizes_in_their_titles() {
        assert_eq!(Graph::six().waves().len(), 4);
        assert_eq!(Graph::parallel().waves().len(), 1);
        assert_eq!(Graph::chain().waves().len(), 50);
        assert!(Graph::random().jobs.iter().skip(1).all(|job| !job.upstreams.is_empty()));
    }
}
