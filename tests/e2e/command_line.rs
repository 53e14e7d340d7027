//! The command line as a person has it: the real binary, against the stack.

use std::{
    path::{Path, PathBuf},
    process::Output,
    sync::Arc,
};

use aws_sdk_scheduler::operation::get_schedule::GetScheduleError;
use shiftwork_e2e::Stack;

/// A directory of workflows, gone with the test.
pub(crate) struct Desk {
    directory: PathBuf,
    pub(crate) id: String,
}

impl Desk {
    pub(crate) fn new(label: &str) -> Self {
        let id = Stack::unique(label);
        let directory = std::env::temp_dir().join(&id);
        std::fs::create_dir_all(directory.join("workflows").join(&id)).expect("a directory can be made");
        Self { directory, id }
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.directory.join("workflows").join(path.replace("{id}", &self.id));
        std::fs::create_dir_all(path.parent().expect("a file lies in a directory")).expect("a directory can be made");
        std::fs::write(path, text.replace("{id}", &self.id)).expect("a file can be written");
    }

    /// Runs `shiftwork` there.
    fn shiftwork(&self, arguments: &[&str]) -> Output {
        // The tests lie in target/<profile>/deps, the command beside that.
        let tests = std::env::current_exe().expect("a test knows where it lies");
        let binary = tests.parent().and_then(Path::parent).expect("tests lie in deps").join("shiftwork");
        let mut command = std::process::Command::new(&binary);
        command.args(arguments).current_dir(&self.directory);
        command.output().unwrap_or_else(|error| panic!("{} does not run: {error}", binary.display()))
    }

    /// What it says; it must end with this code.
    pub(crate) fn says(&self, arguments: &[&str], code: i32) -> String {
        let output = self.shiftwork(arguments);
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8")).concat();
        assert_eq!(output.status.code(), Some(code), "shiftwork {}\n{said}", arguments.join(" "));
        said
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The state of a workflow's schedule, where it has one.
async fn scheduled(stack: &Stack, workflow: &str) -> Option<String> {
    let schedule = stack.scheduler.get_schedule().group_name(stack.output("WorkflowScheduleGroup")).name(workflow);
    match schedule.send().await {
        Ok(schedule) => schedule.state.map(|state| state.as_str().to_owned()),
        Err(error) if error.as_service_error().is_some_and(GetScheduleError::is_resource_not_found_exception) => None,
        Err(error) => panic!("the schedule of {workflow} cannot be read: {error:?}"),
    }
}

const WORKFLOW: &str = "workflow_id: {id}
schedule: { expression: rate(1 day), enabled: false }
parameters: { region: { type: string, default: emea } }
workflow_stages:
  - execution_type: sequential
    scripts: [make.sql, load.sql]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_pushed_run_mended_and_restarted_by_hand() {
    let stack = Stack::shared().await;
    let desk = Desk::new("byhand");
    desk.write("{id}.yaml", WORKFLOW);
    desk.write("{id}/make.sql", "create schema {id}; create table {id}.t (region varchar(20));");
    desk.write("{id}/load.sql", "insert into {id}.t select :region from {id}.nowhere;");

    desk.says(&["validate"], 0);
    let said = desk.says(&["push", "--dry-run"], 0);
    assert!(said.contains(&desk.id), "{said}");
    assert!(scheduled(&stack, &desk.id).await.is_none(), "a dry run changes nothing");
    desk.says(&["push"], 0);
    assert_eq!(scheduled(&stack, &desk.id).await.as_deref(), Some("DISABLED"));
    let again = desk.says(&["push"], 0);
    assert!(again.contains("agrees with the files"), "a second push finds nothing to do: {again}");

    let (first, second) = (format!("{}-1", desk.id), format!("{}-2", desk.id));
    let said = desk.says(&["run", &desk.id, "--id", &first, "--param", "region=apac", "--wait"], 1);
    assert!(said.contains("nowhere") && said.contains(&format!("shiftwork restart {first}")), "{said}");
    let said = desk.says(&["status", &first], 0);
    assert!(said.contains("make.sql") && said.contains("load.sql") && said.contains("FAILED"), "{said}");

    desk.write("{id}/load.sql", "insert into {id}.t values (:region);");
    desk.says(&["push"], 0);
    let said = desk.says(&["restart", &first, "--id", &second, "--wait"], 0);
    assert!(said.contains("SUCCEEDED"), "{said}");
    let rows = stack.sql(&format!("select region from {}.t", desk.id)).await;
    assert_eq!(rows, [["apac"]], "the restart keeps the first run's parameters, and ran what had failed once");

    desk.says(&["report", &second, "--output", "report.html"], 0);
    let report = std::fs::read_to_string(desk.directory.join("report.html")).expect("the report is there");
    assert!(report.contains(&second) && report.contains("load.sql"));
    let said = desk.says(&["status", &desk.id], 0);
    assert!(said.contains(&first) && said.contains(&second), "{said}");

    desk.write("{id}.yaml", &WORKFLOW.replace("schedule: { expression: rate(1 day), enabled: false }\n", ""));
    desk.says(&["push"], 0);
    assert!(scheduled(&stack, &desk.id).await.is_none(), "a schedule goes with its configuration");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_cancelled_by_hand_and_its_statement_with_it() {
    let stack = Stack::shared().await;
    let desk = Desk::new("cancel");
    desk.write(
        "{id}.yaml",
        "workflow_id: {id}\nworkflow_stages:\n  - execution_type: sequential\n    scripts: [slow.sql]\n",
    );
    desk.write("{id}/slow.sql", "select 1;");
    desk.says(&["push"], 0);
    let run = format!("{}-1", desk.id);
    let prefix = format!("shiftwork:{run}:");
    let hold = serde_json::json!({ "statement_name_prefix": prefix, "effect": { "delay_statement": { "milliseconds": 60_000 } } });
    stack.redshift_fault(hold).await;
    desk.says(&["run", &desk.id, "--id", &run], 0);
    let flow = shiftwork_e2e::Flow { stack: Arc::clone(&stack), id: desk.id.clone() };
    let submitted = async |run: &shiftwork_e2e::Run| !run.statements().await.is_empty();
    flow.run(&run).until("submitted", submitted).await;
    desk.says(&["cancel", &run, "--reason", "not tonight"], 0);
    let ended = flow.run(&run).end().await;
    assert_eq!(ended.run.execution_status, shiftwork_protocol::Status::Aborted);
    assert!(ended.run.error_message.as_deref().is_some_and(|why| why.contains("not tonight")), "{:?}", ended.run);
    assert_eq!(ended.statements[0].status, "ABORTED");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said_with_a_code_of_its_own() {
    let _stack = Stack::shared().await;
    let desk = Desk::new("wrong");
    let said = desk.says(&["run", "no_such_workflow"], 2);
    assert!(said.contains("no_such_workflow"), "{said}");
    desk.write("{id}.yaml", "workflow_id: {id}\nworkflow_stages:\n  - execution_type: paralel\n    scripts: [a.sql]\n");
    let said = desk.says(&["validate"], 1);
    assert!(said.contains("workflows/") && said.contains(":3:") && said.contains("did you mean `parallel`?"), "{said}");
    let said = desk.says(&["push"], 1);
    assert!(said.contains("did you mean `parallel`?"), "a push checks before it changes anything: {said}");
    let said = desk.says(&["--stack", "elsewhere", "status"], 1);
    assert!(said.contains("elsewhere"), "{said}");
}
