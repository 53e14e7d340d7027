//! The layout of a run's graph. The layer of a job is the length of the longest path to it; the order in each layer
//! reduces edge crossings; edges between a whole layer and the same job are drawn as one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use serde::Serialize;
use shiftwork_protocol::{JobRecord, SkipReason, Status};

use super::view::css;
use crate::{board::is_real, words};

/// Maximum number of jobs in a column; a layer with more jobs has several columns.
const ROWS: usize = 14;
/// A graph with more jobs than this is drawn with small nodes.
const SMALL: usize = 48;
/// A graph that would need more waypoints than this is drawn without waypoints.
const WAYPOINTS: usize = 1500;
const MARGIN: f64 = 14.0;
const BARRIER: f64 = 12.0;
/// Width of the space for edges between two layers, and between two columns of one layer.
const GAP: f64 = 56.0;
const COLUMN_GAP: f64 = 12.0;

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
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
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

/// An element of a layer: a job, or the waypoint of an edge that crosses the layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Job(usize),
    Waypoint(usize),
}

/// Lays out the graph. `note` returns the secondary text of a job, such as the time for which it ran.
pub(super) fn graph(jobs: &[JobRecord], critical: &[String], note: impl Fn(&JobRecord) -> String) -> Graph {
    let index: BTreeMap<&str, usize> =
        jobs.iter().enumerate().map(|(i, job)| (job.plan.job_name.as_str(), i)).collect();
    let upstreams: Vec<Vec<usize>> = jobs
        .iter()
        .map(|job| job.plan.upstreams.iter().filter_map(|name| index.get(name.as_str()).copied()).collect())
        .collect();
    let mut layer_of = vec![0; jobs.len()];
    for job in 0..jobs.len() {
        layer_of[job] = upstreams[job].iter().map(|upstream| layer_of[*upstream] + 1).max().unwrap_or(0);
    }
    let mut sketch = Sketch::new(jobs, &upstreams, &layer_of);
    sketch.untangle();
    let small = jobs.iter().filter(|job| is_real(job)).count() > SMALL;
    let placed = sketch.place(jobs, small);

    let nodes =
        jobs.iter().zip(&placed.areas).map(|(job, area)| node(job, *area, critical, small, note(job))).collect();
    let edges = placed.edges(jobs, &upstreams, &layer_of, &sketch, critical);
    Graph {
        width: placed.width,
        height: placed.height,
        small,
        nodes,
        edges,
        groups: placed.groups.values().copied().collect(),
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

/// The slots of each layer, in order.
struct Sketch {
    layers: Vec<Vec<Slot>>,
    /// For every edge over several layers: its waypoints, from left to right.
    ways: BTreeMap<(usize, usize), Vec<usize>>,
    /// Neighbours in the adjacent layers, to the left and to the right.
    before: BTreeMap<SlotKey, Vec<SlotKey>>,
    after: BTreeMap<SlotKey, Vec<SlotKey>>,
}

/// A slot as a sort key: jobs precede waypoints.
type SlotKey = (bool, usize);

const fn key(slot: Slot) -> SlotKey {
    match slot {
        Slot::Job(job) => (false, job),
        Slot::Waypoint(point) => (true, point),
    }
}

impl Sketch {
    fn new(jobs: &[JobRecord], upstreams: &[Vec<usize>], layer_of: &[usize]) -> Self {
        let depth = layer_of.iter().max().map_or(0, |deepest| deepest + 1);
        let mut sketch = Self {
            layers: vec![Vec::new(); depth],
            ways: BTreeMap::new(),
            before: BTreeMap::new(),
            after: BTreeMap::new(),
        };
        for (job, layer) in layer_of.iter().enumerate() {
            sketch.layers[*layer].push(Slot::Job(job));
        }
        let points: usize = (0..jobs.len())
            .flat_map(|to| upstreams[to].iter().map(move |from| layer_of[to] - layer_of[*from] - 1))
            .sum();
        let with_waypoints = points <= WAYPOINTS;
        let mut next = 0;
        for to in 0..jobs.len() {
            for from in &upstreams[to] {
                let mut last = Slot::Job(*from);
                let between = layer_of[*from] + 1..if with_waypoints { layer_of[to] } else { 0 };
                for layer in between {
                    let point = Slot::Waypoint(next);
                    next += 1;
                    sketch.layers[layer].push(point);
                    sketch.ways.entry((*from, to)).or_default().push(next - 1);
                    sketch.join(last, point);
                    last = point;
                }
                sketch.join(last, Slot::Job(to));
            }
        }
        sketch
    }

    fn join(&mut self, from: Slot, to: Slot) {
        self.after.entry(key(from)).or_default().push(key(to));
        self.before.entry(key(to)).or_default().push(key(from));
    }

    /// Moves every slot towards the centre of its neighbours, alternating direction; a few sweeps remove most
    /// crossings.
    fn untangle(&mut self) {
        for sweep in 0..8 {
            let rank: BTreeMap<SlotKey, f64> = self
                .layers
                .iter()
                .flat_map(|layer| layer.iter().enumerate().map(|(at, slot)| (key(*slot), middle(at, layer.len()))))
                .collect();
            let neighbours = if sweep % 2 == 0 { &self.before } else { &self.after };
            for layer in &mut self.layers {
                layer.sort_by(|a, b| {
                    let centre = |slot: &Slot| {
                        let near = neighbours.get(&key(*slot)).map(Vec::as_slice).unwrap_or_default();
                        let ranks: Vec<f64> = near.iter().filter_map(|slot| rank.get(slot).copied()).collect();
                        if ranks.is_empty() {
                            rank[&key(*slot)]
                        } else {
                            ranks.iter().sum::<f64>() / float(ranks.len())
                        }
                    };
                    centre(a).total_cmp(&centre(b))
                });
            }
        }
    }

    fn place(&self, jobs: &[JobRecord], small: bool) -> Placed {
        let longest =
            jobs.iter().filter(|job| is_real(job)).map(|job| job.plan.job_name.chars().count()).max().unwrap_or(0);
        let (node_w, node_h, row) = if small {
            ((float(longest) * 5.5 + 26.0).clamp(60.0, 130.0), 20.0, 25.0)
        } else {
            ((float(longest) * 7.3 + 42.0).clamp(110.0, 230.0), 42.0, 54.0)
        };
        let mut placed = Placed {
            areas: vec![Area { x: 0.0, y: 0.0, w: 0.0, h: 0.0 }; jobs.len()],
            points: BTreeMap::new(),
            groups: BTreeMap::new(),
            width: MARGIN,
            height: 0.0,
        };
        let rows_of = |layer: &[Slot]| layer.len().min(ROWS.max(layer.len().div_ceil(8)));
        let tallest = self.layers.iter().map(|layer| rows_of(layer)).max().unwrap_or(0);
        placed.height = float(tallest) * row + 2.0 * MARGIN;
        for (number, layer) in self.layers.iter().enumerate() {
            if layer.is_empty() {
                continue;
            }
            let rows = rows_of(layer);
            let columns = layer.len().div_ceil(rows);
            // Distributes the jobs evenly over the columns.
            let rows = layer.len().div_ceil(columns);
            let only_barriers = layer.iter().all(|slot| {
                matches!(slot, Slot::Job(job) if !is_real(&jobs[*job])) || matches!(slot, Slot::Waypoint(_))
            });
            let column_w = if only_barriers { BARRIER } else { node_w };
            let top = (placed.height - float(rows) * row) / 2.0;
            for (at, slot) in layer.iter().enumerate() {
                let x = placed.width + float(at / rows) * (column_w + COLUMN_GAP);
                let y = top + (float(at % rows) + 0.5) * row;
                match slot {
                    Slot::Waypoint(point) => {
                        placed.points.insert(*point, (x, x + column_w, y));
                    }
                    Slot::Job(job) => {
                        let (w, h) = if is_real(&jobs[*job]) { (node_w, node_h) } else { (BARRIER, BARRIER) };
                        placed.areas[*job] = Area { x: x + (column_w - w) / 2.0, y: y - h / 2.0, w, h };
                    }
                }
            }
            let layer_w = float(columns) * (column_w + COLUMN_GAP) - COLUMN_GAP;
            if columns > 1 {
                let group =
                    Area { x: placed.width - 8.0, y: top - 6.0, w: layer_w + 16.0, h: float(rows) * row + 12.0 };
                placed.groups.insert(number, group);
                placed.height = placed.height.max(group.y + group.h + MARGIN);
            }
            placed.width += layer_w + GAP;
        }
        placed.width += MARGIN - GAP;
        placed
    }
}

/// The positions of all elements.
struct Placed {
    areas: Vec<Area>,
    /// Waypoints: from x, to x, y.
    points: BTreeMap<usize, (f64, f64, f64)>,
    /// Background rectangles of layers with several columns.
    groups: BTreeMap<usize, Area>,
    width: f64,
    height: f64,
}

/// An end of an edge: a job, or a whole layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Job(usize),
    Layer(usize),
}

impl Placed {
    fn edges(
        &self,
        jobs: &[JobRecord],
        upstreams: &[Vec<usize>],
        layer_of: &[usize],
        sketch: &Sketch,
        critical: &[String],
    ) -> Vec<Edge> {
        let shared = self.shared(upstreams, layer_of);
        let steps: BTreeSet<(&str, &str)> =
            critical.windows(2).map(|pair| (pair[1].as_str(), pair[0].as_str())).collect();
        let name = |job: usize| jobs[job].plan.job_name.as_str();
        // Edges to or from the same layer are merged; the merged edge is critical if one of its edges is.
        let mut lines: BTreeMap<(End, End), (bool, bool, Vec<usize>)> = BTreeMap::new();
        for (to, before) in upstreams.iter().enumerate() {
            for from in before {
                let whole = |job: usize, other: usize, to: bool| {
                    let layer = layer_of[job];
                    if shared.contains(&(layer, other, to)) { End::Layer(layer) } else { End::Job(job) }
                };
                let ends = (whole(*from, to, false), whole(to, *from, true));
                let way = sketch.ways.get(&(*from, to)).cloned().unwrap_or_default();
                let line = lines.entry(ends).or_insert((false, true, way));
                line.0 |= steps.contains(&(name(*from), name(to)));
                line.1 &= is_broken(&jobs[*from]);
            }
        }
        let mut edges: Vec<Edge> = lines
            .into_iter()
            .map(|((from, to), (critical, broken, way))| Edge { path: self.path(from, to, &way), critical, broken })
            .collect();
        // Critical edges are drawn last, on top.
        edges.sort_by_key(|edge| edge.critical);
        edges
    }

    /// `(layer, job, true)`: every job in this layer waits on that job. `(layer, job, false)`: that job waits on every
    /// job in this layer.
    fn shared(&self, upstreams: &[Vec<usize>], layer_of: &[usize]) -> BTreeSet<(usize, usize, bool)> {
        let mut shared = BTreeSet::new();
        for layer in self.groups.keys() {
            let members: Vec<usize> = (0..layer_of.len()).filter(|job| layer_of[*job] == *layer).collect();
            for other in 0..layer_of.len() {
                if members.iter().all(|member| upstreams[*member].contains(&other)) {
                    shared.insert((*layer, other, true));
                }
                if members.iter().all(|member| upstreams[other].contains(member)) {
                    shared.insert((*layer, other, false));
                }
            }
        }
        shared
    }

    fn area(&self, end: End) -> Area {
        match end {
            End::Job(job) => self.areas[job],
            End::Layer(layer) => self.groups[&layer],
        }
    }

    /// A smooth line from the right side of `from` to the left side of `to`, through the waypoints.
    fn path(&self, from: End, to: End, way: &[usize]) -> String {
        let (from, to) = (self.area(from), self.area(to));
        let (mut x, mut y) = (from.x + from.w, from.y + from.h / 2.0);
        let mut path = format!("M{x:.1} {y:.1}");
        let mut curve = |to_x: f64, to_y: f64, path: &mut String| {
            let bend = ((to_x - x) / 2.0).max(12.0);
            let _ = write!(path, " C{:.1} {y:.1} {:.1} {to_y:.1} {to_x:.1} {to_y:.1}", x + bend, to_x - bend);
            (x, y) = (to_x, to_y);
        };
        for (left, right, height) in way.iter().filter_map(|point| self.points.get(point)) {
            curve(*left, *height, &mut path);
            curve(*right, *height, &mut path);
        }
        curve(to.x, to.y + to.h / 2.0, &mut path);
        path
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

/// The centre of a position in a layer, from 0 to 1.
fn middle(at: usize, of: usize) -> f64 {
    (float(at) + 0.5) / float(of)
}

#[allow(clippy::cast_precision_loss, reason = "counts of jobs")]
const fn float(number: usize) -> f64 {
    number as f64
}
