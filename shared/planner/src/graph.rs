//! Builds one graph from the stages and from `depends_on`.
//!
//! The jobs of a sequential stage form a chain; the jobs of a parallel stage do not depend on each other. The first jobs of a stage wait
//! for the last jobs of the stage before it. A job that runs only after a failure says nothing about the jobs before it: what follows it in
//! the order of the stages waits for it and for what it waited for. A barrier between n last jobs and m first jobs reduces n × m edges to n + m; it is added if
//! that is fewer.

use std::collections::{BTreeSet, VecDeque};

use shiftwork_protocol::workflow::{ExecutionType, RunIf};

/// A job of a workflow with its stage and its `depends_on`.
#[derive(Debug, Clone)]
pub(crate) struct GraphJob {
    pub(crate) name: String,
    /// Index of the stage in the workflow, from 0.
    pub(crate) stage: usize,
    /// Indexes of the jobs in `depends_on`.
    pub(crate) after: Vec<usize>,
    pub(crate) run_if: RunIf,
}

/// The jobs and barriers of a run in order.
#[derive(Debug, Clone)]
pub(crate) struct Graph {
    /// The nodes in topological order: each node follows its upstreams.
    pub(crate) nodes: Vec<Node>,
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Index of the job; `None` for a barrier.
    pub(crate) job: Option<usize>,
    /// Stage, from 0.
    pub(crate) stage: usize,
    pub(crate) upstreams: BTreeSet<String>,
    pub(crate) dependents: BTreeSet<String>,
}

/// The name of the barrier before the stage with this index (from 0). The name of a job cannot contain `@`, so the name is unique.
pub(crate) fn barrier_name(stage: usize) -> String {
    format!("@stage-{}", stage + 1)
}

/// A node before the topological sort. `upstreams` has indexes of nodes.
struct UnsortedNode {
    job: Option<usize>,
    stage: usize,
    upstreams: BTreeSet<usize>,
}

/// Sorts jobs topologically. `graph_jobs` is in the order of the workflow, and `types` has the execution type of each stage. A stage without
/// jobs is skipped: the stage after it waits for the stage before it.
///
/// # Errors
/// Returns a cycle as indexes of jobs. Each job waits for the next one; the last index is the same as the first.
pub(crate) fn order(graph_jobs: &[GraphJob], types: &[ExecutionType]) -> Result<Graph, Vec<usize>> {
    let unsorted = connect(graph_jobs, types);
    let sorted = sort(&unsorted).map_err(|stuck| shortest_cycle(&unsorted, &stuck))?;
    let name = |i: usize| match unsorted[i].job {
        Some(job) => graph_jobs[job].name.clone(),
        None => barrier_name(unsorted[i].stage),
    };
    let mut dependents = vec![BTreeSet::new(); unsorted.len()];
    for (i, node) in unsorted.iter().enumerate() {
        for upstream in &node.upstreams {
            dependents[*upstream].insert(name(i));
        }
    }
    let nodes = sorted.into_iter().map(|i| Node {
        name: name(i),
        job: unsorted[i].job,
        stage: unsorted[i].stage,
        upstreams: unsorted[i].upstreams.iter().map(|upstream| name(*upstream)).collect(),
        dependents: std::mem::take(&mut dependents[i]),
    });
    Ok(Graph { nodes: nodes.collect() })
}

fn connect(graph_jobs: &[GraphJob], types: &[ExecutionType]) -> Vec<UnsortedNode> {
    let mut unsorted: Vec<UnsortedNode> = Vec::new();
    let mut node_of = vec![0; graph_jobs.len()];
    // The nodes that the next stage waits for.
    let mut last: BTreeSet<usize> = BTreeSet::new();
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
            unsorted.push(UnsortedNode { job: None, stage, upstreams: last });
            last = BTreeSet::from([unsorted.len() - 1]);
        }
        match execution {
            ExecutionType::Sequential => {
                for job in jobs {
                    let node = unsorted.len();
                    node_of[job] = node;
                    unsorted.push(UnsortedNode { job: Some(job), stage, upstreams: last.clone() });
                    if graph_jobs[job].run_if != RunIf::OneFailed {
                        last.clear();
                    }
                    last.insert(node);
                }
            }
            ExecutionType::Parallel => {
                let only_after_failures = jobs.iter().all(|job| graph_jobs[*job].run_if == RunIf::OneFailed);
                let mut nodes = if only_after_failures { last.clone() } else { BTreeSet::new() };
                for job in jobs {
                    node_of[job] = unsorted.len();
                    nodes.insert(unsorted.len());
                    unsorted.push(UnsortedNode { job: Some(job), stage, upstreams: last.clone() });
                }
                last = nodes;
            }
        }
    }
    for (i, job) in graph_jobs.iter().enumerate() {
        unsorted[node_of[i]].upstreams.extend(job.after.iter().map(|upstream| node_of[*upstream]));
    }
    unsorted
}

/// Sorts nodes by Kahn's algorithm; among the nodes whose upstreams are all sorted, the one with the lowest index is next. The error has the
/// nodes that cannot be sorted, because they are part of a cycle or follow one.
fn sort(nodes: &[UnsortedNode]) -> Result<Vec<usize>, BTreeSet<usize>> {
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

/// Returns the shortest cycle among the nodes in `stuck` as indexes of jobs, without barriers.
fn shortest_cycle(nodes: &[UnsortedNode], stuck: &BTreeSet<usize>) -> Vec<usize> {
    let cycles = stuck.iter().filter_map(|start| shortest_path_back(nodes, stuck, *start));
    let as_jobs = |cycle: Vec<usize>| cycle.into_iter().filter_map(|i| nodes[i].job).collect::<Vec<_>>();
    let mut cycle = cycles.map(as_jobs).min_by_key(Vec::len).unwrap_or_default();
    cycle.extend(cycle.first().copied());
    cycle
}

/// Returns the shortest path along upstreams from a node back to itself, found by breadth-first search.
fn shortest_path_back(nodes: &[UnsortedNode], stuck: &BTreeSet<usize>, start: usize) -> Option<Vec<usize>> {
    let mut came_from = vec![None; nodes.len()];
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for upstream in nodes[at].upstreams.intersection(stuck).copied() {
            if upstream == start {
                let mut path = vec![at];
                while let Some(before) = came_from[path[path.len() - 1]] {
                    path.push(before);
                }
                path.reverse();
                return Some(path);
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
