//! Stages and `depends_on` become one graph.
//!
//! A sequential stage is a chain, a parallel stage a fan. The first jobs of a stage wait for the last jobs of the stage
//! before it. Where that is many times many, a barrier stands between them, so that n × m edges are n + m.

use std::collections::{BTreeSet, VecDeque};

use shiftwork_protocol::workflow::ExecutionType;

/// A job as its workflow writes it: the stage it is in and the jobs it names in `depends_on`.
#[derive(Debug, Clone)]
pub(crate) struct GraphJob {
    pub(crate) name: String,
    /// Stage, from 0, as written.
    pub(crate) stage: usize,
    /// Jobs that it names in `depends_on`.
    pub(crate) after: Vec<usize>,
}

/// The order of a run.
#[derive(Debug, Clone)]
pub(crate) struct Graph {
    /// In topological order: upstreams stand before their dependents.
    pub(crate) nodes: Vec<Node>,
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// The job among the graph_jobs; none for a barrier.
    pub(crate) job: Option<usize>,
    /// Stage, from 0.
    pub(crate) stage: usize,
    pub(crate) upstreams: BTreeSet<String>,
    pub(crate) dependents: BTreeSet<String>,
}

/// The name of the barrier before a stage (from 0). No job can have it: names of jobs have no `@`.
pub(crate) fn barrier_name(stage: usize) -> String {
    format!("@stage-{}", stage + 1)
}

/// A node before it has its place: who it is, and the nodes that it waits on.
struct Loose {
    job: Option<usize>,
    stage: usize,
    upstreams: BTreeSet<usize>,
}

/// Orders jobs, which come in the order they are written; `types` says how each stage runs. Stages without jobs are left
/// out: the stages around them are neighbours.
///
/// # Errors
/// Jobs that wait for each other, each for the next, the first one again at the end.
pub(crate) fn order(graph_jobs: &[GraphJob], types: &[ExecutionType]) -> Result<Graph, Vec<usize>> {
    let loose = connect(graph_jobs, types);
    let sorted = sort(&loose).map_err(|stuck| shortest_cycle(&loose, &stuck))?;
    let name = |i: usize| match loose[i].job {
        Some(job) => graph_jobs[job].name.clone(),
        None => barrier_name(loose[i].stage),
    };
    let mut dependents = vec![BTreeSet::new(); loose.len()];
    for (i, node) in loose.iter().enumerate() {
        for upstream in &node.upstreams {
            dependents[*upstream].insert(name(i));
        }
    }
    let nodes = sorted.into_iter().map(|i| Node {
        name: name(i),
        job: loose[i].job,
        stage: loose[i].stage,
        upstreams: loose[i].upstreams.iter().map(|upstream| name(*upstream)).collect(),
        dependents: std::mem::take(&mut dependents[i]),
    });
    Ok(Graph { nodes: nodes.collect() })
}

fn connect(graph_jobs: &[GraphJob], types: &[ExecutionType]) -> Vec<Loose> {
    let mut loose: Vec<Loose> = Vec::new();
    let mut node_of = vec![0; graph_jobs.len()];
    // The nodes that the next stage waits for.
    let mut last: Vec<usize> = Vec::new();
    for (stage, execution) in types.iter().enumerate() {
        let jobs: Vec<usize> = (0..graph_jobs.len()).filter(|job| graph_jobs[*job].stage == stage).collect();
        if jobs.is_empty() {
            continue;
        }
        let first = match execution {
            ExecutionType::Sequential => 1,
            ExecutionType::Parallel => jobs.len(),
        };
        if last.len() * first > last.len() + first {
            loose.push(Loose { job: None, stage, upstreams: last.iter().copied().collect() });
            last = vec![loose.len() - 1];
        }
        let mut nodes = Vec::with_capacity(jobs.len());
        for job in jobs {
            let upstreams = match (execution, nodes.last()) {
                (ExecutionType::Sequential, Some(before)) => BTreeSet::from([*before]),
                (ExecutionType::Sequential, None) | (ExecutionType::Parallel, _) => last.iter().copied().collect(),
            };
            node_of[job] = loose.len();
            nodes.push(loose.len());
            loose.push(Loose { job: Some(job), stage, upstreams });
        }
        last = match execution {
            ExecutionType::Sequential => nodes.split_off(nodes.len() - 1),
            ExecutionType::Parallel => nodes,
        };
    }
    for (job, wish) in graph_jobs.iter().enumerate() {
        loose[node_of[job]].upstreams.extend(wish.after.iter().map(|upstream| node_of[*upstream]));
    }
    loose
}

/// Kahn's algorithm; of the nodes that are free, the one written first goes first. Else the nodes that never get free.
fn sort(nodes: &[Loose]) -> Result<Vec<usize>, BTreeSet<usize>> {
    let mut waiting: Vec<usize> = nodes.iter().map(|node| node.upstreams.len()).collect();
    let mut dependents = vec![Vec::new(); nodes.len()];
    for (i, node) in nodes.iter().enumerate() {
        for upstream in &node.upstreams {
            dependents[*upstream].push(i);
        }
    }
    let mut free: BTreeSet<usize> = (0..nodes.len()).filter(|i| waiting[*i] == 0).collect();
    let mut sorted = Vec::with_capacity(nodes.len());
    while let Some(next) = free.pop_first() {
        sorted.push(next);
        for dependent in &dependents[next] {
            waiting[*dependent] -= 1;
            if waiting[*dependent] == 0 {
                free.insert(*dependent);
            }
        }
    }
    if sorted.len() == nodes.len() { Ok(sorted) } else { Err((0..nodes.len()).filter(|i| waiting[*i] > 0).collect()) }
}

/// The shortest cycle among the nodes that never get free, as jobs; barriers are nobody's and left out.
fn shortest_cycle(nodes: &[Loose], stuck: &BTreeSet<usize>) -> Vec<usize> {
    let cycles = stuck.iter().filter_map(|start| way_back(nodes, stuck, *start));
    let as_jobs = |cycle: Vec<usize>| cycle.into_iter().filter_map(|i| nodes[i].job).collect::<Vec<_>>();
    let mut cycle = cycles.map(as_jobs).min_by_key(Vec::len).unwrap_or_default();
    cycle.extend(cycle.first().copied());
    cycle
}

/// The shortest way along upstreams from a node back to it, by breadth first.
fn way_back(nodes: &[Loose], stuck: &BTreeSet<usize>, start: usize) -> Option<Vec<usize>> {
    let mut came_from = vec![None; nodes.len()];
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for upstream in nodes[at].upstreams.intersection(stuck).copied() {
            if upstream == start {
                let mut way = vec![at];
                while let Some(before) = came_from[way[way.len() - 1]] {
                    way.push(before);
                }
                way.reverse();
                return Some(way);
            }
            if came_from[upstream].is_none() {
                came_from[upstream] = Some(at);
                queue.push_back(upstream);
            }
        }
    }
    None
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;
