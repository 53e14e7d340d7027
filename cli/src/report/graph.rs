//! The graph of a run: which lines are drawn, and what each node shows.
//!
//! The layer of a job is the length of the longest path to it. A layer with many jobs is drawn in several columns with a
//! background; lines between the whole layer and the same job are drawn as one. [`layout`] says where everything is.

mod layout;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use shiftwork_protocol::{JobRecord, SkipReason, Status};

use self::layout::Layout;
use super::view::css;
use crate::{board::is_real, words};

/// A graph with more jobs than this is drawn with small nodes.
const SMALL: usize = 48;

/// The laid-out graph.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Graph {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) small: bool,
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<Edge>,
    pub(super) groups: Vec<Area>,
}

/// A job or a barrier.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Node {
    #[serde(flatten)]
    area: Area,
    barrier: bool,
    critical: bool,
    reused: bool,
    position: u32,
    css: &'static str,
    glyph: &'static str,
    label: String,
    note: String,
    title: String,
}

/// A rectangle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Area {
    x: f64,
    y: f64,
    w: f64,
    h: f64,
}

/// A line between two nodes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Edge {
    path: String,
    critical: bool,
    /// The upstream job did not succeed.
    broken: bool,
}

/// An end of a line: a job, or all jobs of a layer that is drawn in several columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Job(usize),
    Layer(usize),
}

/// A line, by its ends. A critical line is drawn between two jobs, and last, so that it lies on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    critical: bool,
    from: End,
    to: End,
}

/// Lays out the graph. `note` returns the secondary text of a job, such as the time for which it ran.
pub(super) fn graph(jobs: &[JobRecord], critical: &[String], note: impl Fn(&JobRecord) -> String) -> Graph {
    let dependencies = Dependencies::new(jobs);
    let lines = dependencies.lines(jobs, critical);
    let small = jobs.iter().filter(|job| is_real(job)).count() > SMALL;
    let layout = Layout::new(jobs, &dependencies, lines.keys().copied(), small);
    let nodes =
        jobs.iter().zip(&layout.areas).map(|(job, area)| node(job, *area, critical, small, note(job))).collect();
    let edges =
        lines.iter().map(|(line, broken)| Edge { path: layout.path(line), critical: line.critical, broken: *broken });
    Graph {
        width: layout.width,
        height: layout.height,
        small,
        nodes,
        edges: edges.collect(),
        groups: layout.groups.values().copied().collect(),
    }
}

fn node(job: &JobRecord, area: Area, critical: &[String], small: bool, note: String) -> Node {
    let name = &job.plan.job_name;
    let status = job.execution_status;
    let reused = job.reused_from.is_some();
    // A character takes about 7.2 units at font size 12, and 5.5 at 10. The status glyph precedes the label, the note
    // follows it.
    let room = if small { (area.w - 24.0) / 5.5 } else { (area.w - 40.0) / 7.2 };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number of letters")]
    let label = words::brief(name, room.max(3.0) as usize);
    let title = if is_real(job) {
        let stage = job.plan.stage;
        let reused = job.reused_from.as_ref().map(|run| format!(", reused from {run}")).unwrap_or_default();
        let time = if note.is_empty() { String::new() } else { format!(", {note}") };
        format!("{name}: {status}{time}{reused}, stage {stage}")
    } else {
        format!("{name}: a barrier; all jobs before it have to end")
    };
    Node {
        area,
        barrier: !is_real(job),
        critical: critical.contains(name),
        reused,
        position: job.plan.position,
        css: css(status),
        glyph: words::glyph(status),
        label,
        note,
        title,
    }
}

/// Which jobs wait on which, by index.
struct Dependencies {
    upstreams: Vec<BTreeSet<usize>>,
    /// The jobs of each layer, in the order of their positions.
    layers: Vec<Vec<usize>>,
    layer_of: Vec<usize>,
}

impl Dependencies {
    fn new(jobs: &[JobRecord]) -> Self {
        let index: BTreeMap<&str, usize> =
            jobs.iter().enumerate().map(|(i, job)| (job.plan.job_name.as_str(), i)).collect();
        // Jobs are ordered by position, so every upstream precedes its dependents.
        let upstreams: Vec<BTreeSet<usize>> = jobs
            .iter()
            .enumerate()
            .map(|(i, job)| {
                job.plan
                    .upstreams
                    .iter()
                    .filter_map(|name| index.get(name.as_str()).copied())
                    .filter(|up| *up < i)
                    .collect()
            })
            .collect();
        let mut layer_of: Vec<usize> = Vec::with_capacity(jobs.len());
        let mut layers: Vec<Vec<usize>> = Vec::new();
        for (job, upstreams) in upstreams.iter().enumerate() {
            let layer = upstreams.iter().map(|upstream| layer_of[*upstream] + 1).max().unwrap_or(0);
            layer_of.push(layer);
            if layers.len() <= layer {
                layers.resize(layer + 1, Vec::new());
            }
            layers[layer].push(job);
        }
        Self { upstreams, layers, layer_of }
    }

    /// The lines to draw, each with whether it is broken: no upstream job of the line succeeded.
    fn lines(&self, jobs: &[JobRecord], critical: &[String]) -> BTreeMap<Line, bool> {
        let steps: BTreeSet<(&str, &str)> =
            critical.windows(2).map(|pair| (pair[1].as_str(), pair[0].as_str())).collect();
        let name = |job: usize| jobs[job].plan.job_name.as_str();
        // True if the job waits on every job of the layer.
        let waits_on_all =
            |job: usize, layer: usize| self.layers[layer].iter().all(|member| self.upstreams[job].contains(member));
        let mut lines: BTreeMap<Line, bool> = BTreeMap::new();
        for (to, upstreams) in self.upstreams.iter().enumerate() {
            for &from in upstreams {
                let is_broken = is_broken(&jobs[from]);
                if steps.contains(&(name(from), name(to))) {
                    let line = Line { critical: true, from: End::Job(from), to: End::Job(to) };
                    lines.insert(line, is_broken);
                }
                let (before, after) = (self.layer_of[from], self.layer_of[to]);
                let from_all = layout::is_group(self, before) && waits_on_all(to, before);
                let to_all = layout::is_group(self, after)
                    && self.layers[after].iter().all(|member| self.upstreams[*member].contains(&from));
                let (from, to) =
                    if from_all && to_all && self.layers[after].iter().all(|member| waits_on_all(*member, before)) {
                        (End::Layer(before), End::Layer(after))
                    } else if from_all {
                        (End::Layer(before), End::Job(to))
                    } else if to_all {
                        (End::Job(from), End::Layer(after))
                    } else {
                        (End::Job(from), End::Job(to))
                    };
                let on_top = Line { critical: true, from, to };
                if !lines.contains_key(&on_top) {
                    *lines.entry(Line { critical: false, from, to }).or_insert(true) &= is_broken;
                }
            }
        }
        lines
    }
}

/// Returns true for a job that blocks the jobs after it. A job that was not needed blocks none.
fn is_broken(job: &JobRecord) -> bool {
    match job.execution_status {
        Status::Failed | Status::TimedOut | Status::Aborted => true,
        Status::Skipped => job.skip_reason != Some(SkipReason::ConditionNotMet),
        Status::Planning | Status::Queued | Status::Pending | Status::Running | Status::Succeeded => false,
    }
}

#[cfg(test)]
mod tests;
