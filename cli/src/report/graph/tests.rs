use proptest::prelude::*;
use shiftwork_protocol::Work;

use super::*;
use crate::fixture::{BLOG, planned};

/// Number of points of a curve that are compared with the nodes.
const SAMPLES: u32 = 12;
/// Paths are rounded to a tenth of a pixel.
const TOLERANCE: f64 = 0.2;

/// Jobs with these upstreams, by index.
fn jobs(upstreams: &[Vec<usize>]) -> Vec<JobRecord> {
    let (run, _) = planned(BLOG, |_| "SELECT 1".into());
    let template = run.jobs.iter().find(|job| is_real(job)).unwrap();
    let name = |job: usize| format!("load_table_{job:03}.sql");
    let job = |(at, upstreams): (usize, &Vec<usize>)| {
        let mut job = template.clone();
        if at % 23 == 22 {
            job.plan.work = Work::Barrier {};
        }
        job.plan.job_name = name(at);
        job.plan.position = u32::try_from(at).unwrap();
        job.plan.upstreams = upstreams.iter().map(|upstream| name(*upstream)).collect();
        job
    };
    upstreams.iter().enumerate().map(job).collect()
}

/// A critical path from the last job with upstreams to its start, through the last upstream of each job.
fn critical(upstreams: &[Vec<usize>]) -> Vec<String> {
    let mut chain = Vec::new();
    let mut at = upstreams.iter().rposition(|upstreams| !upstreams.is_empty());
    while let Some(job) = at {
        chain.push(format!("load_table_{job:03}.sql"));
        at = upstreams[job].last().copied();
    }
    chain
}

/// The points of a path: its corners, and [`SAMPLES`] points of each curve.
fn points(path: &str) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    let starts: Vec<usize> = path.match_indices(char::is_alphabetic).map(|(at, _)| at).chain([path.len()]).collect();
    for part in starts.windows(2).map(|pair| &path[pair[0]..pair[1]]) {
        let (command, rest) = part.split_at(1);
        let numbers: Vec<f64> = rest.split_whitespace().map(|number| number.parse().unwrap()).collect();
        match (command, &numbers[..]) {
            ("M" | "L", &[x, y]) => points.push((x, y)),
            ("C", &[x1, y1, x2, y2, x3, y3]) => {
                let (x0, y0) = *points.last().unwrap();
                for step in 1..=SAMPLES {
                    let t = f64::from(step) / f64::from(SAMPLES);
                    let at = |p: [f64; 4]| {
                        let u = 1.0 - t;
                        u * u * u * p[0] + 3.0 * u * u * t * p[1] + 3.0 * u * t * t * p[2] + t * t * t * p[3]
                    };
                    points.push((at([x0, x1, x2, x3]), at([y0, y1, y2, y3])));
                }
            }
            other => panic!("{other:?} in {path}"),
        }
    }
    points
}

/// True if the segment touches the inside of the area.
fn crosses((a, b): ((f64, f64), (f64, f64)), area: &Area) -> bool {
    let (left, right) = (area.x + TOLERANCE, area.x + area.w - TOLERANCE);
    let (top, bottom) = (area.y + TOLERANCE, area.y + area.h - TOLERANCE);
    // Clips the segment to the area (Liang–Barsky).
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
    for (p, q) in [(-dx, a.0 - left), (dx, right - a.0), (-dy, a.1 - top), (dy, bottom - a.1)] {
        if p.abs() < f64::EPSILON {
            if q < 0.0 {
                return false;
            }
        } else if p < 0.0 {
            enter = enter.max(q / p);
        } else {
            leave = leave.min(q / p);
        }
    }
    enter < leave
}

/// The jobs at an end of a path: the job whose side it touches, or all jobs of the background whose side it touches.
fn jobs_at(graph: &Graph, layers: &[Vec<usize>], (x, y): (f64, f64), side: fn(&Area) -> f64) -> BTreeSet<usize> {
    let touches = |area: &Area| (side(area) - x).abs() < TOLERANCE && (area.y + area.h / 2.0 - y).abs() < TOLERANCE;
    if let Some(job) = graph.nodes.iter().position(|node| touches(&node.area)) {
        return [job].into();
    }
    let group = graph.groups.iter().find(|group| touches(group)).unwrap_or_else(|| panic!("nothing at {x} {y}"));
    let is_within = |job: &usize| {
        let area = graph.nodes[*job].area;
        area.x >= group.x
            && area.x + area.w <= group.x + group.w
            && area.y >= group.y
            && area.y + area.h <= group.y + group.h
    };
    layers.iter().flatten().copied().filter(is_within).collect()
}

/// Checks the drawing of jobs with these upstreams.
fn check(upstreams: &[Vec<usize>]) {
    let jobs = jobs(upstreams);
    let critical = critical(upstreams);
    let graph = graph(&jobs, &critical, |_| String::new());
    let layers = Dependencies::new(&jobs).layers;
    let wanted: BTreeSet<(usize, usize)> =
        upstreams.iter().enumerate().flat_map(|(to, from)| from.iter().map(move |from| (*from, to))).collect();

    for node in &graph.nodes {
        let Area { x, y, w, h } = node.area;
        assert!(x >= 0.0 && y >= 0.0 && x + w <= graph.width && y + h <= graph.height, "outside: {node:?}");
    }
    let mut drawn = BTreeSet::new();
    let mut drawn_critical = BTreeSet::new();
    for edge in &graph.edges {
        let points = points(&edge.path);
        assert!(
            points.windows(2).all(|pair| pair[0].0 <= pair[1].0 + TOLERANCE),
            "not from left to right: {}",
            edge.path
        );
        let from = jobs_at(&graph, &layers, points[0], |area| area.x + area.w);
        let to = jobs_at(&graph, &layers, points[points.len() - 1], |area| area.x);
        let (left, right) = (points[0].0, points[points.len() - 1].0);
        for (job, node) in
            graph.nodes.iter().enumerate().filter(|(_, node)| node.area.x < right && node.area.x + node.area.w > left)
        {
            let is_end = from.contains(&job) && from.len() == 1 || to.contains(&job) && to.len() == 1;
            let crossing = points.windows(2).any(|pair| crosses((pair[0], pair[1]), &node.area));
            assert!(is_end || !crossing, "{from:?} → {to:?} passes through {job}: {}", edge.path);
        }
        for pair in from.iter().flat_map(|from| to.iter().map(|to| (*from, *to))) {
            assert!(wanted.contains(&pair), "{pair:?} is drawn and does not exist");
            drawn.insert(pair);
            if edge.critical {
                drawn_critical.insert(pair);
            }
        }
    }
    assert_eq!(drawn, wanted, "every dependency is drawn");
    let index = |name: &String| jobs.iter().position(|job| job.plan.job_name == *name).unwrap();
    let steps: BTreeSet<_> = critical.windows(2).map(|pair| (index(&pair[1]), index(&pair[0]))).collect();
    assert_eq!(drawn_critical, steps, "the critical path is drawn between its own jobs");
}

/// Layers of `sizes` jobs, where every job waits on every job of the layer before.
fn complete(sizes: &[usize]) -> Vec<Vec<usize>> {
    let mut upstreams = Vec::new();
    let mut before = 0..0;
    for size in sizes {
        upstreams.extend((0..*size).map(|_| before.clone().collect::<Vec<_>>()));
        before = upstreams.len() - size..upstreams.len();
    }
    upstreams
}

#[test]
fn no_line_passes_through_a_node_at_any_size_of_a_layer() {
    for size in (1..=40).chain([99, 112, 113, 200]) {
        check(&complete(&[1, size, 1]));
    }
    check(&complete(&[20, 30, 20]));
}

#[test]
fn lines_over_several_layers_pass_between_the_nodes() {
    // A chain whose last job also waits on every earlier one, beside wide layers.
    for size in [1, 8, 15, 40] {
        let mut upstreams = complete(&[1, size, size, 1]);
        let last = upstreams.len();
        upstreams.push((0..last).step_by(3).chain([last - 1]).collect::<BTreeSet<_>>().into_iter().collect());
        check(&upstreams);
    }
}

#[test]
fn a_layer_is_not_merged_with_a_layer_that_waits_on_a_part_of_it() {
    // Job 20 waits on all of the first 20 jobs; all of the second layer wait on job 0, and no other job waits on all.
    let mut upstreams: Vec<Vec<usize>> = vec![Vec::new(); 20];
    upstreams.push((0..20).collect());
    upstreams.extend((0..19).map(|_| vec![0]));
    check(&upstreams);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_graph_is_drawn_with_its_own_lines_and_around_its_nodes(
        sizes in prop::collection::vec(1_usize..36, 1..6),
        picks in prop::collection::vec((any::<prop::sample::Index>(), 1_usize..5), 1..200),
        whole in prop::collection::vec(any::<bool>(), 6),
    ) {
        let mut upstreams: Vec<Vec<usize>> = Vec::new();
        let mut picks = picks.into_iter().cycle();
        for (layer, size) in sizes.iter().enumerate() {
            let before = upstreams.len();
            for _ in 0..*size {
                let mut of: BTreeSet<usize> = BTreeSet::new();
                if before > 0 && whole[layer] {
                    of.extend(before - sizes[layer - 1]..before);
                }
                let (index, count) = picks.next().unwrap();
                if before > 0 {
                    of.extend((0..count).map(|more| (index.index(before) + more * 7) % before));
                }
                upstreams.push(of.into_iter().collect());
            }
        }
        check(&upstreams);
    }
}
