//! Circles of workflows that start each other, as problems of the files.

use std::collections::BTreeSet;

use shiftwork_config::JsonPath;
use shiftwork_feeds::Feed;
use shiftwork_planner::{Circle, Link, Place, Problem, circles};
use shiftwork_protocol::Workflow;

use crate::check::Checked;

/// What a deployment has. A workflow or a feed that the files define replaces the deployed one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Deployed {
    /// The workflows that can be read.
    pub workflows: Vec<Workflow>,
    /// The feeds that can be read.
    pub feeds: Vec<Feed>,
}

/// The circles that contain a workflow of the files.
pub fn problems(checked: &Checked, deployed: &Deployed) -> Vec<Problem> {
    let of_files: BTreeSet<&str> = checked.workflows.iter().map(|valid| valid.workflow.workflow_id.as_str()).collect();
    let replaces = |workflow: &&Workflow| !of_files.contains(workflow.workflow_id.as_str());
    let workflows = checked.workflows.iter().map(|valid| &valid.workflow);
    let workflows = workflows.chain(deployed.workflows.iter().filter(replaces));
    let feeds = checked.feeds.values().map(|valid| &valid.feed);
    let feeds = feeds.chain(deployed.feeds.iter().filter(|feed| !checked.feeds.contains_key(&feed.feed)));
    let circles = circles(workflows, feeds);
    circles.iter().filter_map(|circle| problem(checked, circle)).collect()
}

/// The problem of a circle, at the first trigger or workflow of it that is in the files.
fn problem(checked: &Checked, circle: &Circle) -> Option<Problem> {
    let file_of = |id: &str| checked.workflows.iter().find(|valid| valid.workflow.workflow_id == id);
    let (file, path) = circle.links().find_map(|(step, next)| match &step.link {
        Link::Event { trigger, .. } => {
            Some((&file_of(next)?.file, JsonPath::root().key("triggers").index(*trigger).key("pattern")))
        }
        Link::Feed(_) => Some((&file_of(&step.workflow_id)?.file, JsonPath::root().key("workflow_stages"))),
    })?;
    let message = match &circle.steps[..] {
        [own] => match &own.link {
            Link::Event { detail_type, .. } => format!(
                "workflow `{}` starts itself without end: this trigger matches the event `{detail_type}` of its own runs",
                own.workflow_id
            ),
            Link::Feed(feed) => format!(
                "workflow `{}` starts itself without end: it writes files of the feed `{feed}`, which starts it",
                own.workflow_id
            ),
        },
        _ => format!("workflows start each other without end: {}", circle.path()),
    };
    let links: Vec<String> =
        circle.links().map(|(step, next)| in_words(step.workflow_id.as_str(), &step.link, next)).collect();
    let deployed: Vec<&str> =
        circle.steps.iter().map(|step| step.workflow_id.as_str()).filter(|id| file_of(id).is_none()).collect();
    let mut hint = links.join("; ");
    if !deployed.is_empty() {
        hint = format!("{hint}; {} of the deployment, without a file here", shiftwork_planner::list(deployed));
    }
    hint.push_str(". Remove one of the triggers, or make its pattern narrower");
    if let [own] = &circle.steps[..] {
        hint = format!(
            "{hint}: `detail: {{ workflow_id: [{{ anything-but: {} }}] }}` leaves out its own runs",
            own.workflow_id
        );
    }
    let text = checked.texts.get(file)?;
    let place = match shiftwork_planner::read_file(file, text) {
        Ok(doc) => doc.place(&path),
        Err(_) => Place { file: Some(file.clone()), path: Some(path.to_string()), ..Place::default() },
    };
    Some(Problem::new(place, message).hint(hint))
}

fn in_words(workflow: &str, link: &Link, next: &str) -> String {
    match link {
        Link::Event { detail_type, .. } => format!("the event `{detail_type}` of `{workflow}` starts `{next}`"),
        Link::Feed(feed) => format!("`{workflow}` writes files of the feed `{feed}`, which starts `{next}`"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::{
        check::check,
        files::{File, Files},
    };

    use super::*;

    fn after(id: &str, upstream: &str) -> String {
        format!(
            "workflow_id: {id}\ntriggers:\n  - pattern:\n      source: [shiftwork]\n      detail-type: [Shiftwork Workflow Refreshed]\n      \
             detail: {{ workflow_id: [{upstream}] }}\nworkflow_stages:\n  - {{ execution_type: sequential, scripts: [a.sql] }}\n"
        )
    }

    fn checked(texts: &[(&str, &str)]) -> Checked {
        let workflows = texts.iter().map(|(path, text)| File { path: path.into(), text: (*text).into() }).collect();
        check(&Files { workflows, ..Files::default() }, &|_: &Path| Ok(Some("select 1".into())))
    }

    #[test]
    fn a_circle_among_files_is_a_problem_with_its_place_and_its_links() {
        let (a, b) = (after("a", "b"), after("b", "a"));
        let checked = checked(&[("workflows/a.yaml", &a), ("workflows/b.yaml", &b)]);
        let shown: Vec<_> = checked.problems.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 1, "{shown:#?}");
        for part in ["workflows/b.yaml:3:5", "a → b → a", "the event `Shiftwork Workflow Refreshed` of `a` starts `b`"]
        {
            assert!(shown[0].contains(part), "{part} is not in {}", shown[0]);
        }
    }

    #[test]
    fn a_workflow_that_starts_itself_is_told_how_to_leave_itself_out() {
        let alerts = "workflow_id: alerts\ntriggers:\n  - pattern:\n      source: [shiftwork]\n      detail-type: [Shiftwork Run Ended]\n      \
                      detail: { execution_status: [FAILED] }\nworkflow_stages:\n  - { execution_type: sequential, scripts: [a.sql] }\n";
        let problems = checked(&[("workflows/alerts.yaml", alerts)]).problems;
        let shown = problems[0].to_string();
        assert!(shown.contains("starts itself without end") && shown.contains("anything-but: alerts"), "{shown}");
        let without = alerts.replace("[FAILED] }", "[FAILED], workflow_id: [{ anything-but: alerts }] }");
        assert_eq!(checked(&[("workflows/alerts.yaml", &without)]).problems, []);
    }

    #[test]
    fn a_circle_through_the_deployment_is_found_unless_a_file_replaces_its_workflow() {
        let workflow = |text: &str| {
            shiftwork_planner::workflow(&shiftwork_planner::read_file("deployed.yaml", text).unwrap()).unwrap()
        };
        let deployed = Deployed {
            workflows: vec![workflow(&after("b", "a")), workflow(&after("x", "y")), workflow(&after("y", "x"))],
            feeds: Vec::new(),
        };
        let (a, b) = (after("a", "b"), after("b", "c"));
        let found = problems(&checked(&[("workflows/a.yaml", &a)]), &deployed);
        assert_eq!(found.len(), 1, "a circle of other workflows is not a problem of these files: {found:?}");
        let shown = found[0].to_string();
        assert!(shown.contains("workflows/a.yaml") && shown.contains("`b` of the deployment"), "{shown}");
        let files = checked(&[("workflows/a.yaml", &a), ("workflows/b.yaml", &b)]);
        assert_eq!(problems(&files, &deployed), []);
    }
}
