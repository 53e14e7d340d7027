//! For every workflow, the graph is in topological order and has all dependencies of the configuration.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use shiftwork_protocol::workflow::{ExecutionType, RunIf};

use super::{Graph, GraphJob, order};

/// Jobs in stages, some of which are empty, whose `depends_on` names earlier jobs only.
fn workflows() -> impl Strategy<Value = (Vec<GraphJob>, Vec<ExecutionType>)> {
    let execution = prop_oneof![Just(ExecutionType::Sequential), Just(ExecutionType::Parallel)];
    let stages = prop::collection::vec((execution, 0_usize..9), 1..6);
    (stages, prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..12)).prop_map(
        |(stages, extra)| {
            let types = stages.iter().map(|(execution, _)| *execution).collect();
            let sizes = stages.iter().enumerate().flat_map(|(stage, (_, jobs))| std::iter::repeat_n(stage, *jobs));
            let mut graph_jobs: Vec<GraphJob> = sizes
                .enumerate()
                .map(|(i, stage)| GraphJob {
                    name: format!("j{i}"),
                    stage,
                    after: Vec::new(),
                    run_if: RunIf::AllSuccess,
                })
                .collect();
            if !graph_jobs.is_empty() {
                for (a, b) in extra {
                    let (a, b) = (a.index(graph_jobs.len()), b.index(graph_jobs.len()));
                    if a != b {
                        graph_jobs[a.max(b)].after.push(a.min(b));
                    }
                }
            }
            (graph_jobs, types)
        },
    )
}

/// The dependencies of the configuration as edges between jobs, without barriers.
fn expected_edges(graph_jobs: &[GraphJob], types: &[ExecutionType]) -> BTreeSet<(usize, usize)> {
    let mut edges = BTreeSet::new();
    let mut last: Vec<usize> = Vec::new();
    for (stage, execution) in types.iter().enumerate() {
        let jobs: Vec<usize> = (0..graph_jobs.len()).filter(|i| graph_jobs[*i].stage == stage).collect();
        let (first, end) = match execution {
            ExecutionType::Parallel => (jobs.clone(), jobs.clone()),
            ExecutionType::Sequential => {
                edges.extend(jobs.windows(2).map(|pair| (pair[0], pair[1])));
                (jobs.iter().take(1).copied().collect(), jobs.iter().rev().take(1).copied().collect())
            }
        };
        if !jobs.is_empty() {
            edges.extend(last.iter().flat_map(|l| first.iter().map(move |f| (*l, *f))));
            last = end;
        }
    }
    for (i, job) in graph_jobs.iter().enumerate() {
        edges.extend(job.after.iter().map(|upstream| (*upstream, i)));
    }
    edges
}

/// The transitive upstreams of each job.
fn reach_by_edges(count: usize, edges: &BTreeSet<(usize, usize)>) -> BTreeMap<usize, BTreeSet<usize>> {
    let mut reach: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for job in 0..count {
        let mut all = BTreeSet::new();
        let mut todo = vec![job];
        while let Some(at) = todo.pop() {
            for (from, _) in edges.iter().filter(|(_, to)| *to == at) {
                if all.insert(*from) {
                    todo.push(*from);
                }
            }
        }
        reach.insert(job, all);
    }
    reach
}

fn reach_by_graph(graph: &Graph) -> BTreeMap<usize, BTreeSet<usize>> {
    let mut by_name: BTreeMap<&str, (Option<usize>, BTreeSet<usize>)> = BTreeMap::new();
    for node in &graph.nodes {
        let mut all = BTreeSet::new();
        for upstream in &node.upstreams {
            let (job, before) = &by_name[upstream.as_str()];
            all.extend(*job);
            all.extend(before);
        }
        by_name.insert(&node.name, (node.job, all));
    }
    by_name.into_values().filter_map(|(job, all)| Some((job?, all))).collect()
}

proptest! {
    #[test]
    fn every_node_follows_its_upstreams((graph_jobs, types) in workflows()) {
        let graph = order(&graph_jobs, &types).expect("jobs that depend on earlier jobs only have no cycle");
        let mut seen = BTreeSet::new();
        for node in &graph.nodes {
            prop_assert!(node.upstreams.is_subset(&seen), "{} waits for a later node", node.name);
            prop_assert!(seen.insert(node.name.clone()), "{} is a duplicate", node.name);
        }
        let jobs: BTreeSet<usize> = graph.nodes.iter().filter_map(|node| node.job).collect();
        prop_assert_eq!(jobs, (0..graph_jobs.len()).collect::<BTreeSet<_>>());
    }

    #[test]
    fn barriers_change_no_order((graph_jobs, types) in workflows()) {
        let graph = order(&graph_jobs, &types).expect("jobs that depend on earlier jobs only have no cycle");
        prop_assert_eq!(reach_by_graph(&graph), reach_by_edges(graph_jobs.len(), &expected_edges(&graph_jobs, &types)));
    }

    #[test]
    fn dependents_are_the_inverse_of_upstreams((graph_jobs, types) in workflows()) {
        let graph = order(&graph_jobs, &types).expect("jobs that depend on earlier jobs only have no cycle");
        let down: BTreeSet<(&str, &str)> = graph.nodes.iter()
            .flat_map(|node| node.dependents.iter().map(|d| (node.name.as_str(), d.as_str()))).collect();
        let up: BTreeSet<(&str, &str)> = graph.nodes.iter()
            .flat_map(|node| node.upstreams.iter().map(|u| (u.as_str(), node.name.as_str()))).collect();
        prop_assert_eq!(down, up);
    }

    #[test]
    fn barriers_save_edges((mut graph_jobs, types) in workflows()) {
        // A `depends_on` that repeats the order of the stages is an edge in addition to those of the barrier.
        for job in &mut graph_jobs {
            job.after.clear();
        }
        let graph = order(&graph_jobs, &types).expect("jobs that depend on earlier jobs only have no cycle");
        let edges: usize = graph.nodes.iter().map(|node| node.upstreams.len()).sum();
        prop_assert!(edges <= expected_edges(&graph_jobs, &types).len());
    }

    #[test]
    fn a_cycle_consists_of_dependencies_of_the_configuration((mut graph_jobs, types) in workflows(), a in any::<prop::sample::Index>()) {
        prop_assume!(graph_jobs.len() >= 2);
        // Job 0 and a later job name each other in `depends_on`.
        let later = 1 + a.index(graph_jobs.len() - 1);
        graph_jobs[later].after.push(0);
        graph_jobs[0].after.push(later);
        let cycle = order(&graph_jobs, &types).expect_err("0 and a later job wait for each other");
        prop_assert!(cycle.len() >= 3 && cycle.first() == cycle.last());
        // A step across a barrier is a dependency between stages, which the expected edges contain.
        let edges = expected_edges(&graph_jobs, &types);
        for step in cycle.windows(2) {
            prop_assert!(edges.contains(&(step[1], step[0])), "{:?} is not a dependency", step);
        }
    }
}

#[test]
fn a_barrier_connects_six_jobs_to_six_jobs() {
    let job = |i: usize| GraphJob { name: format!("j{i}"), stage: i / 6, after: Vec::new(), run_if: RunIf::AllSuccess };
    let graph_jobs: Vec<GraphJob> = (0..12).map(job).collect();
    let graph = order(&graph_jobs, &[ExecutionType::Parallel; 2]).unwrap();
    assert_eq!(graph.nodes.len(), 13);
    assert_eq!(graph.nodes[6].name, "@stage-2");
    assert_eq!(graph.nodes[6].upstreams.len(), 6);
    assert!(graph.nodes[7..].iter().all(|node| node.upstreams == BTreeSet::from(["@stage-2".to_owned()])));
}

#[test]
fn two_jobs_before_two_jobs_have_no_barrier() {
    let job = |i: usize| GraphJob { name: format!("j{i}"), stage: i / 2, after: Vec::new(), run_if: RunIf::AllSuccess };
    let graph_jobs: Vec<GraphJob> = (0..4).map(job).collect();
    assert_eq!(order(&graph_jobs, &[ExecutionType::Parallel; 2]).unwrap().nodes.len(), 4);
}

/// The upstreams of each job of a workflow whose stages are given as names of jobs; a name with `!` runs only after a failure, a name with
/// `*` in every case.
fn upstreams_of(stages: &[(ExecutionType, &[&str])]) -> Vec<String> {
    let mut graph_jobs = Vec::new();
    for (stage, (_, names)) in stages.iter().enumerate() {
        graph_jobs.extend(names.iter().map(|name| {
            let run_if = match name.chars().last() {
                Some('!') => RunIf::OneFailed,
                Some('*') => RunIf::AllDone,
                _ => RunIf::AllSuccess,
            };
            GraphJob { name: (*name).to_owned(), stage, after: Vec::new(), run_if }
        }));
    }
    let types: Vec<_> = stages.iter().map(|(execution, _)| *execution).collect();
    let nodes = order(&graph_jobs, &types).unwrap().nodes;
    nodes
        .iter()
        .map(|node| format!("{}: {}", node.name, node.upstreams.iter().cloned().collect::<Vec<_>>().join(" ")))
        .collect()
}

#[test]
fn what_follows_a_job_that_runs_after_failures_also_waits_for_what_it_waited_for() {
    use ExecutionType::{Parallel, Sequential};
    for (stages, expected) in [
        (
            &[(Sequential, &["load", "alarm!", "totals"][..])][..],
            &["load: ", "alarm!: load", "totals: alarm! load"][..],
        ),
        (
            &[(Sequential, &["load", "alarm!"]), (Sequential, &["totals"])],
            &["load: ", "alarm!: load", "totals: alarm! load"],
        ),
        (
            &[(Sequential, &["load"]), (Parallel, &["alarm!"]), (Sequential, &["totals"])],
            &["load: ", "alarm!: load", "totals: alarm! load"],
        ),
        (
            &[(Sequential, &["load"]), (Sequential, &["a!", "b!"]), (Sequential, &["totals"])],
            &["load: ", "a!: load", "b!: a! load", "totals: a! b! load"],
        ),
        // `totals` passes a failure of `load` on, and `clean*` is meant to go on after one.
        (
            &[(Sequential, &["load"]), (Parallel, &["alarm!", "totals"]), (Sequential, &["publish"])],
            &["load: ", "alarm!: load", "totals: load", "publish: alarm! totals"],
        ),
        (&[(Sequential, &["load", "clean*", "totals"])], &["load: ", "clean*: load", "totals: clean*"]),
    ] {
        assert_eq!(upstreams_of(stages), expected, "{stages:?}");
    }
    // Twenty loads, an alarm, twenty jobs: a barrier, not 420 edges.
    let names: Vec<String> = (0..20).map(|n| format!("load_{n:02}")).collect();
    let next: Vec<String> = (0..20).map(|n| format!("next_{n:02}")).collect();
    let (names, next): (Vec<_>, Vec<_>) =
        (names.iter().map(String::as_str).collect(), next.iter().map(String::as_str).collect());
    let upstreams = upstreams_of(&[(Parallel, &names), (Sequential, &["alarm!"]), (Parallel, &next)]);
    assert_eq!(upstreams[21].split(' ').count(), 22, "{}", upstreams[21]);
    assert!(upstreams[22..].iter().all(|node| node.ends_with(": @stage-3")), "{upstreams:?}");
}
