//! The command line: the binary against the stack.

use std::{
    path::{Path, PathBuf},
    process::Output,
    sync::Arc,
};

use aws_sdk_scheduler::operation::get_schedule::GetScheduleError;
use shiftwork_e2e::{Flow, Stack};

/// A directory of workflows that is deleted at the end of the test, and the binary.
pub(crate) struct CommandLine {
    directory: PathBuf,
    pub(crate) id: String,
}

impl CommandLine {
    pub(crate) fn new(label: &str) -> Self {
        let id = Stack::unique(label);
        let directory = std::env::temp_dir().join(&id);
        std::fs::create_dir_all(directory.join("workflows").join(&id)).expect("the directory can be created");
        Self { directory, id }
    }

    /// Another checkout of the same files, without the state of this one.
    fn checkout(&self, name: &str) -> Self {
        let directory = self.directory.with_extension(name);
        for file in files_below(&self.directory) {
            let path = directory.join(file.strip_prefix(&self.directory).expect("the file is in the directory"));
            std::fs::create_dir_all(path.parent().expect("a file has a parent directory")).expect("a directory");
            std::fs::copy(&file, path).expect("the file can be copied");
        }
        Self { directory, id: self.id.clone() }
    }

    /// Deletes a file below the directory of workflows.
    fn remove(&self, path: &str) {
        let path = self.directory.join("workflows").join(path.replace("{id}", &self.id));
        std::fs::remove_file(path).expect("the file can be deleted");
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.directory.join("workflows").join(path.replace("{id}", &self.id));
        std::fs::create_dir_all(path.parent().expect("a file has a parent directory"))
            .expect("the directory can be created");
        std::fs::write(path, text.replace("{id}", &self.id)).expect("the file can be written");
    }

    /// Runs `shiftwork` in the directory.
    fn shiftwork(&self, arguments: &[&str]) -> Output {
        // The test binary is in target/<profile>/deps, the command is in the parent directory.
        let tests = std::env::current_exe().expect("the path of the test binary is known");
        let binary = tests.parent().and_then(Path::parent).expect("the test binary is in deps").join("shiftwork");
        let mut command = std::process::Command::new(&binary);
        command.args(arguments).current_dir(&self.directory);
        command.output().unwrap_or_else(|error| panic!("cannot run {}: {error}", binary.display()))
    }

    /// Runs `shiftwork` and returns its output; fails if the exit code is not `code`.
    pub(crate) fn run(&self, arguments: &[&str], code: i32) -> String {
        let output = self.shiftwork(arguments);
        let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8")).concat();
        assert_eq!(output.status.code(), Some(code), "shiftwork {}\n{printed}", arguments.join(" "));
        printed
    }
}

/// The files below a directory, except for the state of a checkout.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(directory).expect("the directory can be listed").map(|entry| entry.expect("an entry").path());
    let visible = entries.filter(|path| path.file_name().is_some_and(|name| name != ".shiftwork"));
    visible.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

impl Drop for CommandLine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The state of a workflow's schedule; `None` if there is no schedule.
async fn scheduled(stack: &Stack, workflow: &str) -> Option<String> {
    let schedule = stack.scheduler.get_schedule().group_name(stack.output("WorkflowScheduleGroup")).name(workflow);
    match schedule.send().await {
        Ok(schedule) => schedule.state.map(|state| state.as_str().to_owned()),
        Err(error) if error.as_service_error().is_some_and(GetScheduleError::is_resource_not_found_exception) => None,
        Err(error) => panic!("cannot read the schedule of {workflow}: {error:?}"),
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
async fn a_workflow_can_be_pushed_run_fixed_and_restarted() {
    let stack = Stack::shared().await;
    let cli = CommandLine::new("byhand");
    cli.write("{id}.yaml", WORKFLOW);
    cli.write("{id}/make.sql", "create schema {id}; create table {id}.t (region varchar(20));");
    cli.write("{id}/load.sql", "insert into {id}.t select :region from {id}.nowhere;");

    cli.run(&["validate"], 0);
    let printed = cli.run(&["push", "--dry-run"], 0);
    assert!(printed.contains(&cli.id), "{printed}");
    assert!(scheduled(&stack, &cli.id).await.is_none(), "a dry run changes nothing");
    cli.run(&["push"], 0);
    assert_eq!(scheduled(&stack, &cli.id).await.as_deref(), Some("DISABLED"));
    let again = cli.run(&["push"], 0);
    assert!(again.contains("matches the files"), "a second push has no changes: {again}");

    let (first, second) = (format!("{}-1", cli.id), format!("{}-2", cli.id));
    let printed = cli.run(&["run", &cli.id, "--id", &first, "--param", "region=apac", "--wait"], 1);
    assert!(printed.contains("nowhere") && printed.contains(&format!("shiftwork restart {first}")), "{printed}");
    let printed = cli.run(&["status", &first], 0);
    assert!(printed.contains("make.sql") && printed.contains("load.sql") && printed.contains("FAILED"), "{printed}");

    cli.write("{id}/load.sql", "insert into {id}.t values (:region);");
    cli.run(&["push"], 0);
    let printed = cli.run(&["restart", &first, "--id", &second, "--wait"], 0);
    assert!(printed.contains("SUCCEEDED"), "{printed}");
    let rows = stack.sql(&format!("select region from {}.t", cli.id)).await;
    assert_eq!(rows, [["apac"]], "the restart has the parameters of the first run, and runs the failed job once");

    cli.run(&["report", &second, "--output", "report.html"], 0);
    let report = std::fs::read_to_string(cli.directory.join("report.html")).expect("the report exists");
    assert!(report.contains(&second) && report.contains("load.sql"));
    let printed = cli.run(&["status", &cli.id], 0);
    assert!(printed.contains(&first) && printed.contains(&second), "{printed}");

    cli.write("{id}.yaml", &WORKFLOW.replace("schedule: { expression: rate(1 day), enabled: false }\n", ""));
    cli.run(&["push"], 0);
    assert!(scheduled(&stack, &cli.id).await.is_none(), "a schedule is deleted with its configuration");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_is_a_day_in_the_time_zone_and_a_restart_can_correct_parameters() {
    let stack = Stack::shared().await;
    let cli = CommandLine::new("dated");
    cli.write(
        "{id}.yaml",
        "workflow_id: {id}\ntime_zone: America/New_York\nparameters: { table: { type: string } }\nworkflow_stages:\n  \
         - { execution_type: sequential, scripts: [check.sql, load.sql] }\n",
    );
    cli.write("{id}/check.sql", "select 1 / (case when :table = 't' then 1 else 0 end);");
    cli.write("{id}/load.sql", "insert into {id}.t values (:run_date, :logical_date);");
    stack.sql(&format!("create schema {}", cli.id)).await;
    stack.sql(&format!("create table {}.t (day varchar(10), instant varchar(30))", cli.id)).await;
    cli.run(&["push"], 0);
    let (first, second) = (format!("{}-1", cli.id), format!("{}-2", cli.id));
    let asked = ["run", &cli.id, "--id", &first, "--date", "2026-03-01", "--param", "table=x", "--wait"];
    let printed = cli.run(&asked, 1);
    assert!(printed.contains("date 2026-03-01 (America/New_York)"), "{printed}");
    // No job succeeded, so a parameter can be corrected.
    cli.run(&["restart", &first, "--id", &second, "--param", "table=t", "--wait"], 0);
    let rows = stack.sql(&format!("select day, instant from {}.t", cli.id)).await;
    assert_eq!(rows, [["2026-03-01", "2026-03-01T05:00:00.000Z"]]);
    let printed = cli.run(&["run", &cli.id, "--date", "2026-03-01T02:00:00"], 2);
    assert!(printed.contains("instant with an offset"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_cancels_its_statement() {
    let stack = Stack::shared().await;
    let cli = CommandLine::new("cancel");
    cli.write(
        "{id}.yaml",
        "workflow_id: {id}\nworkflow_stages:\n  - execution_type: sequential\n    scripts: [slow.sql]\n",
    );
    cli.write("{id}/slow.sql", "select 1;");
    cli.run(&["push"], 0);
    let run = format!("{}-1", cli.id);
    let prefix = format!("shiftwork:{run}:");
    let hold = serde_json::json!({ "statement_name_prefix": prefix, "effect": { "delay_statement": { "milliseconds": 60_000 } } });
    stack.redshift_fault(hold).await;
    cli.run(&["run", &cli.id, "--id", &run], 0);
    let flow = shiftwork_e2e::Flow { stack: Arc::clone(&stack), id: cli.id.clone() };
    let submitted = async |run: &shiftwork_e2e::Run| !run.statements().await.is_empty();
    flow.run(&run).until("submitted", submitted).await;
    cli.run(&["cancel", &run, "--reason", "not tonight"], 0);
    let ended = flow.run(&run).end().await;
    assert_eq!(ended.run.execution_status, shiftwork_protocol::Status::Aborted);
    assert!(ended.run.error_message.as_deref().is_some_and(|why| why.contains("not tonight")), "{:?}", ended.run);
    assert_eq!(ended.statements[0].status, "ABORTED");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_distinct_exit_codes() {
    let _stack = Stack::shared().await;
    let cli = CommandLine::new("wrong");
    let printed = cli.run(&["run", "no_such_workflow"], 2);
    assert!(printed.contains("no_such_workflow"), "{printed}");
    cli.write("{id}.yaml", "workflow_id: {id}\nworkflow_stages:\n  - execution_type: paralel\n    scripts: [a.sql]\n");
    let printed = cli.run(&["validate"], 1);
    assert!(
        printed.contains("workflows/") && printed.contains(":3:") && printed.contains("did you mean `parallel`?"),
        "{printed}"
    );
    let printed = cli.run(&["push"], 1);
    assert!(printed.contains("did you mean `parallel`?"), "a push checks before it changes anything: {printed}");
    let printed = cli.run(&["--stack", "elsewhere", "status"], 1);
    assert!(printed.contains("elsewhere"), "{printed}");
}

const ONE_SCRIPT: &str =
    "workflow_id: {id}\nworkflow_stages:\n  - execution_type: sequential\n    scripts: [one.sql]\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_push_on_top_of_an_unseen_version_is_refused_with_the_difference() {
    let _stack = Stack::shared().await;
    let anna = CommandLine::new("unseen");
    anna.write("{id}.yaml", ONE_SCRIPT);
    anna.write("{id}/one.sql", "select 1;\n");
    let printed = anna.run(&["push"], 0);
    assert!(printed.contains("account ") && printed.contains("Region ") && printed.contains("stack "), "{printed}");
    let ben = anna.checkout("ben");
    assert!(ben.run(&["push"], 0).contains("matches the files"));

    anna.write("{id}/one.sql", "select 2;\n");
    anna.run(&["push"], 0);
    ben.write("{id}/one.sql", "select 3;\n");
    let refused = ben.run(&["push"], 1);
    for part in ["never had that content", "version 2", "-select 2;", "+select 3;", "nothing was pushed"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    assert!(ben.run(&["push", "--dry-run"], 1).contains("nothing was pushed"));
    ben.run(&["push", "--force"], 0);
    let refused = anna.run(&["push"], 1);
    assert!(refused.contains("-select 3;") && refused.contains("+select 2;"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_pushes_at_the_same_time_one_changes_the_workflow() {
    let stack = Stack::shared().await;
    let first = CommandLine::new("race");
    first.write("{id}.yaml", ONE_SCRIPT);
    first.write("{id}/one.sql", "select 0;");
    first.run(&["push"], 0);
    let checkouts: Vec<_> = ["a", "b", "c", "d"].map(|name| (name, first.checkout(name))).into_iter().collect();
    for (name, checkout) in &checkouts {
        checkout.run(&["push"], 0);
        checkout.write("{id}/one.sql", &format!("select '{name}';"));
    }
    let pushed: Vec<&str> = std::thread::scope(|scope| {
        let pushes: Vec<_> = checkouts
            .iter()
            .map(|(name, checkout)| scope.spawn(move || (*name, checkout.shiftwork(&["push"]))))
            .collect();
        let pushes = pushes.into_iter().map(|push| push.join().expect("the thread ends"));
        pushes.filter(|(_, output)| output.status.success()).map(|(name, _)| name).collect()
    });
    assert_eq!(pushed.len(), 1, "{pushed:?}");
    let key = format!("workflows/{}/one.sql", first.id);
    let script = stack.s3.get_object().bucket(stack.output("ScriptsBucket")).key(key).send().await.expect("the script");
    let script = script.body.collect().await.expect("the content").to_vec();
    assert_eq!(script, format!("select '{}';", pushed[0]).into_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_file_is_listed_and_prune_deletes_only_what_the_project_pushed() {
    let stack = Stack::shared().await;
    let cli = CommandLine::new("prune");
    let other = CommandLine::new("keep");
    other.write("{id}.yaml", ONE_SCRIPT);
    other.write("{id}/one.sql", "select 1;");
    other.run(&["push", "--project", &other.id], 0);

    let scheduled_workflow =
        ONE_SCRIPT.replace("workflow_stages", "schedule: { expression: rate(1 day) }\nworkflow_stages");
    cli.write("../shiftwork.yaml", "project: {id}\n");
    cli.write("{id}.yaml", ONE_SCRIPT);
    cli.write("{id}/one.sql", "select 1;");
    cli.write("sub/{id}_old.yaml", &scheduled_workflow.replace("{id}", "{id}_old"));
    cli.write("sub/{id}_old/one.sql", "select 1;");
    let contract = "contract: {id}\nsource: { format: debezium, table: public.{id} }\ntarget: { schema: s, table: t }\nkey: [id]\n\
                    columns:\n  - { name: id, type: bigint }\n";
    cli.write("../contracts/{id}.yaml", contract);
    let printed = cli.run(&["push"], 0);
    assert!(printed.contains(&format!("contracts/{}.yaml", cli.id)), "{printed}");
    let old = format!("{}_old", cli.id);
    assert_eq!(scheduled(&stack, &old).await.as_deref(), Some("ENABLED"), "sub-directories are read");

    cli.remove("sub/{id}_old.yaml");
    cli.remove("../contracts/{id}.yaml");
    for printed in [cli.run(&["push"], 0), cli.run(&["validate", "--deployed"], 0)] {
        assert!(
            printed.contains(&format!("workflow {old} has no file and still runs: schedule rate(1 day) UTC")),
            "{printed}"
        );
        assert!(printed.contains(&format!("contract {} is deployed and has no file", cli.id)), "{printed}");
        assert!(printed.contains(&format!("deployed by project {}: workflow {}", other.id, other.id)), "{printed}");
    }
    let refused = cli.run(&["push", "--prune"], 1);
    assert!(refused.contains("not a terminal") && refused.contains("--yes"), "{refused}");
    assert!(scheduled(&stack, &old).await.is_some(), "nothing was deleted without a reply");
    let printed = cli.run(&["push", "--prune", "--yes"], 0);
    assert!(printed.contains(&old) && !printed.contains(&format!("- workflow   {}", other.id)), "{printed}");
    assert!(scheduled(&stack, &old).await.is_none());
    let left = cli.run(&["validate", "--deployed"], 0);
    assert!(!left.contains(&old) && left.contains(&other.id), "{left}");
    let without_project = other.run(&["push", "--prune", "--yes"], 1);
    assert!(without_project.contains("shiftwork.yaml"), "{without_project}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_can_be_deleted_with_everything_that_belongs_to_it() {
    let stack = Stack::shared().await;
    let cli = CommandLine::new("delete");
    cli.write(
        "{id}.yaml",
        &ONE_SCRIPT.replace("workflow_stages", "schedule: { expression: rate(1 day) }\nworkflow_stages"),
    );
    cli.write("{id}/one.sql", "select 1;");
    cli.run(&["push"], 0);
    let refused = cli.run(&["delete", &cli.id], 1);
    for part in ["schedule rate(1 day) UTC", "one.sql", "not a terminal"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let run = format!("{}-1", cli.id);
    let hold = serde_json::json!({
        "statement_name_prefix": format!("shiftwork:{run}:"),
        "effect": { "delay_statement": { "milliseconds": 30_000 } },
    });
    stack.redshift_fault(hold).await;
    cli.run(&["run", &cli.id, "--id", &run], 0);
    let refused = cli.run(&["delete", &cli.id, "--yes"], 1);
    assert!(refused.contains(&run) && refused.contains("--force"), "{refused}");
    cli.run(&["delete", &cli.id, "--yes", "--force"], 0);
    assert!(scheduled(&stack, &cli.id).await.is_none());
    assert!(!cli.run(&["validate", "--deployed"], 0).contains(&cli.id), "its scripts and its record are gone too");
    assert!(cli.run(&["delete", &cli.id, "--yes"], 1).contains("is deployed"));
    cli.run(&["cancel", &run], 0);
}

const FOLLOWER: &str = "workflow_id: {id}
triggers:
  - pattern: { source: [custom.e2e], detail: { topic: [{id}] } }
  - pattern: { source: [shiftwork], detail-type: [Shiftwork Run Ended], detail: { workflow_id: [none], execution_status: [FAILED] } }
workflow_stages:
  - execution_type: sequential
    scripts: [make.sql]
";

/// The rules of a workflow's triggers by name, with their patterns.
async fn rules(stack: &Stack, workflow: &str) -> Vec<(String, serde_json::Value)> {
    let rules = stack.rules.list().await.expect("the rules can be listed").into_iter();
    let own = rules.filter(|(_, rule)| rule.workflow_id.as_deref() == Some(workflow));
    own.map(|(key, rule)| (key.name, rule.pattern)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn push_creates_updates_and_deletes_the_rules_of_triggers() {
    let stack = Stack::shared().await;
    let cli = CommandLine::new("rules");
    cli.write("{id}.yaml", FOLLOWER);
    cli.write("{id}/make.sql", "create schema {id}");
    let file = format!("workflows/{}.yaml", cli.id);
    let printed = cli.run(&["push", "--dry-run", &file], 0);
    assert!(printed.contains(&format!(".{}.1", cli.id)) && printed.contains("custom.e2e"), "{printed}");
    assert_eq!(rules(&stack, &cli.id).await, []);
    cli.run(&["push", &file], 0);
    let pushed = rules(&stack, &cli.id).await;
    assert_eq!(pushed.len(), 2, "{pushed:?}");
    assert_eq!(pushed[0].1["source"], serde_json::json!(["custom.e2e"]));
    assert!(cli.run(&["push", &file], 0).contains("the deployment matches the files"));

    let entry = aws_sdk_eventbridge::types::PutEventsRequestEntry::builder().source("custom.e2e").detail_type("Ready");
    let entry = entry.detail(serde_json::json!({ "topic": cli.id }).to_string()).build();
    stack.events.put_events().entries(entry).send().await.expect("the event can be published");
    let begun = std::time::Instant::now();
    let flow = Flow { stack: stack.clone(), id: cli.id.clone() };
    while flow.runs().await.is_empty() {
        assert!(begun.elapsed().as_secs() < 60, "the event did not start {}", cli.id);
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    flow.runs().await[0].end().await.succeeded();

    cli.write("{id}.yaml", &FOLLOWER.replace("custom.e2e", "custom.other"));
    assert!(cli.run(&["push", &file], 0).contains("pattern"));
    assert_eq!(rules(&stack, &cli.id).await[0].1["source"], serde_json::json!(["custom.other"]));
    let (before, after) = FOLLOWER.split_once("triggers:\n").expect("the workflow has triggers");
    let stages = after.find("workflow_stages").expect("the workflow has stages");
    cli.write("{id}.yaml", &format!("{before}{}", &after[stages..]));
    cli.run(&["push", &file], 0);
    assert_eq!(rules(&stack, &cli.id).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_through_the_deployment_is_not_pushed() {
    let stack = Stack::shared().await;
    let cli = CommandLine::new("ring");
    let after = |id: &str| {
        format!(
            "triggers:\n  - pattern: {{ source: [shiftwork], detail-type: [Shiftwork Workflow Refreshed], detail: {{ workflow_id: [{id}] }} }}\n"
        )
    };
    let stages = "workflow_stages:\n  - { execution_type: sequential, scripts: [a.sql] }\n";
    cli.write("{id}/a.sql", "select 1");
    cli.write("{id}_b/a.sql", "select 1");
    cli.write("{id}.yaml", &format!("workflow_id: {{id}}\n{}{stages}", after("{id}_b")));
    cli.write("{id}_b.yaml", &format!("workflow_id: {{id}}_b\n{}{stages}", after("{id}")));
    let (first, second) = (format!("workflows/{}.yaml", cli.id), format!("workflows/{}_b.yaml", cli.id));
    let both = cli.run(&["validate", &first, &second], 1);
    assert!(both.contains("start each other without end"), "{both}");
    cli.run(&["push", &first], 0);
    let printed = cli.run(&["push", &second], 1);
    assert!(printed.contains("start each other without end") && printed.contains("nothing was pushed"), "{printed}");
    assert_eq!(rules(&stack, &format!("{}_b", cli.id)).await, []);
}
