//! Whatever the workflow, its graph is in topological order and keeps every wait that was wished for.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use shiftwork_protocol::workflow::ExecutionType;

use super::{Graph, RequestedJob, order};

/// Stages of jobs, some of them empty (left out), and wishes that point backwards.
fn workflows() -> impl Strategy<Value = (Vec<RequestedJob>, Vec<ExecutionType>)> {
    let execution = prop_oneof![Just(ExecutionType::Sequential), Just(ExecutionType::Parallel)];
    let stages = prop::collection::vec((execution, 0_usize..9), 1..6);
    (stages, prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..12)).prop_map(
        |(stages, extra)| {
            let types = stages.iter().map(|(execution, _)| *execution).collect();
            let sizes = stages.iter().enumerate().flat_map(|(stage, (_, jobs))| std::iter::repeat_n(stage, *jobs));
            let mut wishes: Vec<RequestedJob> = sizes
                .enumerate()
                .map(|(i, stage)| RequestedJob { name: format!("j{i}"), stage, after: Vec::new() })
                .collect();
            if !wishes.is_empty() {
                for (a, b) in extra {
                    let (a, b) = (a.index(wishes.len()), b.index(wishes.len()));
                    if a != b {
                        wishes[a.max(b)].after.push(a.min(b));
                    }
                }
            }
            (wishes, types)
        },
    )
}

/// What each job must wait for by the words of the configuration, written down without barriers.
fn wished(wishes: &[RequestedJob], types: &[ExecutionType]) -> BTreeSet<(usize, usize)> {
    let mut edges = BTreeSet::new();
    let mut last: Vec<usize> = Vec::new();
    for (stage, execution) in types.iter().enumerate() {
        let jobs: Vec<usize> = (0..wishes.len()).filter(|i| wishes[*i].stage == stage).collect();
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
    for (i, wish) in wishes.iter().enumerate() {
        edges.extend(wish.after.iter().map(|upstream| (*upstream, i)));
    }
    edges
}

/// Jobs that end before a job may start, directly or through others.
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
    fn no_node_stands_before_one_that_it_waits_on((wishes, types) in workflows()) {
        let graph = order(&wishes, &types).expect("wishes that point backwards make no cycle");
        let mut seen = BTreeSet::new();
        for node in &graph.nodes {
            prop_assert!(node.upstreams.is_subset(&seen), "{} waits on a later node", node.name);
            prop_assert!(seen.insert(node.name.clone()), "{} stands twice", node.name);
        }
        let jobs: BTreeSet<usize> = graph.nodes.iter().filter_map(|node| node.job).collect();
        prop_assert_eq!(jobs, (0..wishes.len()).collect::<BTreeSet<_>>());
    }

    #[test]
    fn barriers_change_no_order((wishes, types) in workflows()) {
        let graph = order(&wishes, &types).expect("wishes that point backwards make no cycle");
        prop_assert_eq!(reach_by_graph(&graph), reach_by_edges(wishes.len(), &wished(&wishes, &types)));
    }

    #[test]
    fn dependents_are_the_inverse_of_upstreams((wishes, types) in workflows()) {
        let graph = order(&wishes, &types).expect("wishes that point backwards make no cycle");
        let down: BTreeSet<(&str, &str)> = graph.nodes.iter()
            .flat_map(|node| node.dependents.iter().map(|d| (node.name.as_str(), d.as_str()))).collect();
        let up: BTreeSet<(&str, &str)> = graph.nodes.iter()
            .flat_map(|node| node.upstreams.iter().map(|u| (u.as_str(), node.name.as_str()))).collect();
        prop_assert_eq!(down, up);
    }

    #[test]
    fn barriers_save_edges((mut wishes, types) in workflows()) {
        // A wish that says what the stages say already is an edge of its own beside a barrier.
        for wish in &mut wishes {
            wish.after.clear();
        }
        let graph = order(&wishes, &types).expect("wishes that point backwards make no cycle");
        let edges: usize = graph.nodes.iter().map(|node| node.upstreams.len()).sum();
        prop_assert!(edges <= wished(&wishes, &types).len());
    }

    #[test]
    fn a_cycle_is_a_walk_along_real_waits((mut wishes, types) in workflows(), a in any::<prop::sample::Index>()) {
        prop_assume!(wishes.len() >= 2);
        // The first job waits on some later one that waits on it through its stage or by wish: maybe a cycle.
        let later = 1 + a.index(wishes.len() - 1);
        wishes[later].after.push(0);
        wishes[0].after.push(later);
        let cycle = order(&wishes, &types).expect_err("0 and a later job wait for each other");
        prop_assert!(cycle.len() >= 3 && cycle.first() == cycle.last());
        // Steps along barriers are steps between stages: the wished edges have them too.
        let edges = wished(&wishes, &types);
        for step in cycle.windows(2) {
            prop_assert!(edges.contains(&(step[1], step[0])), "{:?} is no wait", step);
        }
    }
}

#[test]
fn six_times_six_jobs_meet_at_a_barrier() {
    let wish = |i: usize| RequestedJob { name: format!("j{i}"), stage: i / 6, after: Vec::new() };
    let wishes: Vec<RequestedJob> = (0..12).map(wish).collect();
    let graph = order(&wishes, &[ExecutionType::Parallel; 2]).unwrap();
    assert_eq!(graph.nodes.len(), 13);
    assert_eq!(graph.nodes[6].name, "@stage-2");
    assert_eq!(graph.nodes[6].upstreams.len(), 6);
    assert!(graph.nodes[7..].iter().all(|node| node.upstreams == BTreeSet::from(["@stage-2".to_owned()])));
}

#[test]
fn two_times_two_jobs_need_no_barrier() {
    let wish = |i: usize| RequestedJob { name: format!("j{i}"), stage: i / 2, after: Vec::new() };
    let wishes: Vec<RequestedJob> = (0..4).map(wish).collect();
    assert_eq!(order(&wishes, &[ExecutionType::Parallel; 2]).unwrap().nodes.len(), 4);
}
