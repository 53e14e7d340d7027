//! Where nodes and lines of a graph are.
//!
//! Jobs stand in ranks: the columns of the layers, from left to right. A line that crosses a rank has a lane there, a slot of
//! its own between the jobs. So a line is drawn in lanes and in the gaps between ranks, and never through a node that is not
//! its end. Lines with the same start share their lanes, and so do lines with the same end.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    ops::Range,
};

use shiftwork_protocol::JobRecord;

use super::{Area, Dependencies, End, Line};
use crate::board::is_real;

/// Maximum number of jobs in a rank, unless a layer would have more than [`COLUMNS`] ranks.
const ROWS: usize = 14;
const COLUMNS: usize = 8;
/// Number of passes that order the slots of the ranks.
const PASSES: usize = 8;

// Lengths in pixels.
const MARGIN: f64 = 14.0;
/// Width of the gap between two layers, and between two ranks of one layer.
const LAYER_GAP: f64 = 56.0;
const RANK_GAP: f64 = 34.0;
/// Space between the nodes of a layer with several ranks and the border of its background.
const PADDING: f64 = 8.0;
/// Size of a barrier.
const BARRIER: (f64, f64) = (5.0, 22.0);
/// Height of a lane.
const LANE: f64 = 7.0;

/// A slot of a rank: a job, or the lane of lines that cross the rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Job(usize),
    Lane(Lane),
}

/// What the lines of a lane have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    From(End),
    To(End),
}

/// The positions of nodes and lanes.
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    /// Areas of the jobs.
    pub(super) areas: Vec<Area>,
    /// Backgrounds of the layers with several ranks.
    pub(super) groups: BTreeMap<usize, Area>,
    ranks: Ranks,
    /// Left and right border of each rank.
    borders: Vec<(f64, f64)>,
    /// Height of each lane in each rank that it crosses.
    lanes: BTreeMap<(usize, Lane), f64>,
    /// Lane of each line that crosses a rank.
    lane_of: BTreeMap<Line, Lane>,
}

/// The ranks of the jobs and of the layers.
struct Ranks {
    of_job: Vec<usize>,
    of_layer: Vec<Range<usize>>,
}

/// True if a layer is drawn in several ranks.
pub(super) fn is_group(dependencies: &Dependencies, layer: usize) -> bool {
    columns(dependencies.layers[layer].len()) > 1
}

const fn columns(jobs: usize) -> usize {
    let (needed, most) = (jobs.div_ceil(ROWS), COLUMNS);
    if needed < most { needed } else { most }
}

impl Ranks {
    fn new(dependencies: &Dependencies) -> Self {
        let mut ranks = Self { of_job: vec![0; dependencies.layer_of.len()], of_layer: Vec::new() };
        let mut next = 0;
        for jobs in &dependencies.layers {
            let columns = columns(jobs.len()).max(1);
            let rows = jobs.len().div_ceil(columns).max(1);
            for (at, job) in jobs.iter().enumerate() {
                ranks.of_job[*job] = next + at / rows;
            }
            let used = jobs.len().div_ceil(rows).max(1);
            ranks.of_layer.push(next..next + used);
            next += used;
        }
        ranks
    }

    /// The ranks that a line crosses.
    fn crossed(&self, line: &Line) -> Range<usize> {
        let from = match line.from {
            End::Job(job) => self.of_job[job] + 1,
            End::Layer(layer) => self.of_layer[layer].end,
        };
        let to = match line.to {
            End::Job(job) => self.of_job[job],
            End::Layer(layer) => self.of_layer[layer].start,
        };
        from..to
    }
}

impl Layout {
    pub(super) fn new(
        jobs: &[JobRecord],
        dependencies: &Dependencies,
        lines: impl Iterator<Item = Line> + Clone,
        small: bool,
    ) -> Self {
        let ranks = Ranks::new(dependencies);
        let lane_of = lane_of(&ranks, lines.clone());
        let slots = slots(&ranks, lines, &lane_of);
        let mut layout = Self {
            width: MARGIN,
            height: 0.0,
            areas: vec![Area::default(); jobs.len()],
            groups: BTreeMap::new(),
            ranks,
            borders: Vec::new(),
            lanes: BTreeMap::new(),
            lane_of,
        };
        layout.place(jobs, &slots, small);
        layout
    }

    fn place(&mut self, jobs: &[JobRecord], slots: &[Vec<Slot>], small: bool) {
        let longest =
            jobs.iter().filter(|job| is_real(job)).map(|job| job.plan.job_name.chars().count()).max().unwrap_or(0);
        let (node, row) = if small {
            (((float(longest) * 5.5 + 26.0).clamp(60.0, 130.0), 20.0), 25.0)
        } else {
            (((float(longest) * 7.3 + 42.0).clamp(110.0, 230.0), 42.0), 54.0)
        };
        let height_of = |slot: &Slot| match slot {
            Slot::Job(_) => row,
            Slot::Lane(_) => LANE,
        };
        let heights: Vec<f64> = slots.iter().map(|slots| slots.iter().map(height_of).sum()).collect();
        self.height = heights.iter().copied().fold(0.0, f64::max) + 2.0 * (MARGIN + PADDING);
        for (layer, ranks) in self.ranks.of_layer.clone().into_iter().enumerate() {
            let left = self.width;
            for rank in ranks.clone() {
                let has_job = |slot: &Slot| matches!(slot, Slot::Job(job) if is_real(&jobs[*job]));
                let width = if slots[rank].iter().any(has_job) { node.0 } else { BARRIER.0 };
                let (x, mut y) = (self.width, (self.height - heights[rank]) / 2.0);
                for slot in &slots[rank] {
                    let middle = y + height_of(slot) / 2.0;
                    match slot {
                        Slot::Lane(lane) => {
                            self.lanes.insert((rank, *lane), middle);
                        }
                        Slot::Job(job) => {
                            let (w, h) = if is_real(&jobs[*job]) { node } else { BARRIER };
                            self.areas[*job] = Area { x: x + (width - w) / 2.0, y: middle - h / 2.0, w, h };
                        }
                    }
                    y += height_of(slot);
                }
                self.borders.push((x, x + width));
                self.width += width + RANK_GAP;
            }
            let right = self.width - RANK_GAP;
            if ranks.len() > 1 {
                let tallest = ranks.map(|rank| heights[rank]).fold(0.0, f64::max);
                let (x, y) = (left - PADDING, (self.height - tallest) / 2.0 - PADDING);
                let area = Area { x, y, w: right - left + 2.0 * PADDING, h: tallest + 2.0 * PADDING };
                self.groups.insert(layer, area);
            }
            self.width = right + LAYER_GAP;
        }
        self.width += MARGIN - LAYER_GAP;
    }

    /// A line from the right side of its start to the left side of its end: straight within ranks, curved in the gaps.
    pub(super) fn path(&self, line: &Line) -> String {
        let mut pen = match line.from {
            End::Job(job) => {
                let mut pen = Pen::start(self.areas[job].x + self.areas[job].w, centre(self.areas[job]));
                pen.straight(self.borders[self.ranks.of_job[job]].1);
                pen
            }
            End::Layer(layer) => Pen::start(self.groups[&layer].x + self.groups[&layer].w, centre(self.groups[&layer])),
        };
        for rank in self.ranks.crossed(line) {
            pen.curve(self.borders[rank].0, self.lanes[&(rank, self.lane_of[line])]);
            pen.straight(self.borders[rank].1);
        }
        match line.to {
            End::Job(job) => {
                pen.curve(self.borders[self.ranks.of_job[job]].0, centre(self.areas[job]));
                pen.straight(self.areas[job].x);
            }
            End::Layer(layer) => pen.curve(self.groups[&layer].x, centre(self.groups[&layer])),
        }
        pen.path
    }
}

fn centre(area: Area) -> f64 {
    area.y + area.h / 2.0
}

/// The lane of each line that crosses a rank: lines share it by their start, unless more of them have the same end.
fn lane_of(ranks: &Ranks, lines: impl Iterator<Item = Line>) -> BTreeMap<Line, Lane> {
    let long: Vec<Line> = lines.filter(|line| !ranks.crossed(line).is_empty()).collect();
    let mut count: BTreeMap<Lane, usize> = BTreeMap::new();
    for line in &long {
        *count.entry(Lane::From(line.from)).or_default() += 1;
        *count.entry(Lane::To(line.to)).or_default() += 1;
    }
    let lane = |line: &Line| {
        let (from, to) = (Lane::From(line.from), Lane::To(line.to));
        if count[&from] >= count[&to] { from } else { to }
    };
    long.iter().map(|line| (*line, lane(line))).collect()
}

/// The slots of each rank, in an order with few crossings.
fn slots(ranks: &Ranks, lines: impl Iterator<Item = Line>, lane_of: &BTreeMap<Line, Lane>) -> Vec<Vec<Slot>> {
    let mut slots: Vec<Vec<Slot>> = vec![Vec::new(); ranks.of_layer.last().map_or(0, |last| last.end)];
    for (job, rank) in ranks.of_job.iter().enumerate() {
        slots[*rank].push(Slot::Job(job));
    }
    let mut crossings: BTreeSet<(usize, Lane)> = BTreeSet::new();
    // Neighbours in the adjacent ranks, to the left and to the right.
    let mut before: BTreeMap<(usize, Slot), Vec<(usize, Slot)>> = BTreeMap::new();
    let mut after = before.clone();
    for line in lines {
        let job = |end| match end {
            End::Job(job) => Some((ranks.of_job[job], Slot::Job(job))),
            // The middle of a background has no rank.
            End::Layer(_) => None,
        };
        let crossed = ranks.crossed(&line).map(|rank| (rank, lane_of[&line]));
        let crossed: Vec<_> =
            crossed.inspect(|lane| _ = crossings.insert(*lane)).map(|(rank, lane)| (rank, Slot::Lane(lane))).collect();
        let way: Vec<_> = job(line.from).into_iter().chain(crossed).chain(job(line.to)).collect();
        for pair in way.windows(2) {
            after.entry(pair[0]).or_default().push(pair[1]);
            before.entry(pair[1]).or_default().push(pair[0]);
        }
    }
    for (rank, lane) in crossings {
        slots[rank].push(Slot::Lane(lane));
    }
    for pass in 0..PASSES {
        order(&mut slots, if pass % 2 == 0 { &before } else { &after });
    }
    slots
}

/// Moves every slot towards the centre of its neighbours.
fn order(slots: &mut [Vec<Slot>], neighbours: &BTreeMap<(usize, Slot), Vec<(usize, Slot)>>) {
    let all = slots.iter().enumerate();
    let places: BTreeMap<(usize, Slot), f64> = all
        .flat_map(|(rank, slots)| {
            slots.iter().enumerate().map(move |(at, slot)| ((rank, *slot), (float(at) + 0.5) / float(slots.len())))
        })
        .collect();
    for (rank, slots) in slots.iter_mut().enumerate() {
        slots.sort_by_cached_key(|slot| {
            let near = neighbours.get(&(rank, *slot)).map(Vec::as_slice).unwrap_or_default();
            let near: Vec<f64> = near.iter().filter_map(|slot| places.get(slot).copied()).collect();
            let centre =
                if near.is_empty() { places[&(rank, *slot)] } else { near.iter().sum::<f64>() / float(near.len()) };
            Centre(centre)
        });
    }
}

/// A number with a total order.
#[derive(PartialEq)]
struct Centre(f64);

impl Eq for Centre {}

impl PartialOrd for Centre {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Centre {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Draws a path from left to right.
struct Pen {
    x: f64,
    y: f64,
    path: String,
}

impl Pen {
    fn start(x: f64, y: f64) -> Self {
        Self { x, y, path: format!("M{x:.1} {y:.1}") }
    }

    fn straight(&mut self, x: f64) {
        if x > self.x {
            let _ = write!(self.path, " L{x:.1} {:.1}", self.y);
            self.x = x;
        }
    }

    /// A curve whose x never leaves the gap between the two points.
    fn curve(&mut self, x: f64, y: f64) {
        let bend = f64::midpoint(self.x, x);
        let _ = write!(self.path, " C{bend:.1} {:.1} {bend:.1} {y:.1} {x:.1} {y:.1}", self.y);
        (self.x, self.y) = (x, y);
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of jobs")]
const fn float(number: usize) -> f64 {
    number as f64
}
