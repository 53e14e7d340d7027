//! Every kind of job with an `iam_role` accepts the same values and reports the same problems.

mod support;

use serde_json::json;
use shiftwork_planner::{PlanInputs, Script, plan};
use shiftwork_protocol::{
    Work,
    keys::{contract_key, feed_key},
};
use support::{inputs, job, lines, read, run_with};

const ONE: &str = "arn:aws:iam::123456789012:role/warehouse";
const OTHER: &str = "arn:aws:iam::210987654321:role/lake/reader";
const FEED: &str = "feed: orders\nbucket: landing\nkeys: \"*.csv\"\nformat: csv\ntable: a.b\n";

fn known() -> PlanInputs {
    let script = |key: String, text: &str| Script { key, version_id: "v1".into(), text: text.to_owned() };
    PlanInputs {
        feeds: [("orders".to_owned(), script(feed_key("orders"), FEED))].into(),
        contracts: [("orders".to_owned(), script(contract_key("orders"), "contract: orders\n"))].into(),
        ..inputs("w", &[])
    }
}

/// The `IAM_ROLE` clause of a job of each kind with this `iam_role`, or the problem.
fn by_kind(iam_role: &str) -> [Result<String, String>; 3] {
    ["kind: cdc, contract: orders", "kind: copy, files: pending(orders)", "kind: unload, select: select 1, to: 's3://bucket/x/'"]
        .map(|fields| {
            let doc = read(&format!(
                "workflow_id: w\nworkflow_stages:\n  - execution_type: sequential\n    scripts:\n      - {{ iam_role: {iam_role}, job_name: j, {fields} }}\n"
            ));
            let plan = plan(&doc, &known(), &run_with(&json!({}))).map_err(|problems| lines(&problems))?;
            Ok(match &job(&plan, "j").work {
                Work::Cdc { iam_role, .. } => iam_role.clause(),
                Work::Copy { options: sql, .. } | Work::Unload { sql, .. } => {
                    let (_, role) = sql.split_once("IAM_ROLE ").expect("the statement names a role");
                    format!("IAM_ROLE {}", role.split_whitespace().next().unwrap_or_default())
                }
                Work::Sql { .. } | Work::Procedure { .. } | Work::Barrier {} => panic!("{:?}", plan.jobs),
            })
        })
}

#[test]
fn every_kind_accepts_the_same_roles() {
    for (iam_role, clause) in [
        ("default", "IAM_ROLE DEFAULT".to_owned()),
        ("DEFAULT", "IAM_ROLE DEFAULT".to_owned()),
        (&format!("'{ONE}'"), format!("IAM_ROLE '{ONE}'")),
        (&format!("'{ONE}, {OTHER}'"), format!("IAM_ROLE '{ONE},{OTHER}'")),
        (&format!("['{ONE}', '{OTHER}']"), format!("IAM_ROLE '{ONE},{OTHER}'")),
    ] {
        assert_eq!(by_kind(iam_role), [(); 3].map(|()| Ok(clause.clone())), "{iam_role}");
    }
}

#[test]
fn every_kind_refuses_an_invalid_role_with_the_same_message() {
    let hint = "write `default`, the ARN of a role such as `arn:aws:iam::123456789012:role/warehouse`, or the list of ARNs of a role \
                chain, in which each role assumes the next one";
    for (iam_role, problem) in [
        ("warehouse", "`warehouse` is not a valid role"),
        ("'arn:aws:s3:::bucket'", "`arn:aws:s3:::bucket` is not a valid role"),
        ("'arn:aws:iam::123456789012:user/w'", "`arn:aws:iam::123456789012:user/w` is not a valid role"),
        ("\"arn:aws:iam::123456789012:role/w' x '\"", "`arn:aws:iam::123456789012:role/w' x '` is not a valid role"),
        (&format!("['{ONE}', default]"), "`default` is not a valid role"),
        ("[]", "an empty list is not a valid role"),
    ] {
        let place = "workflows/x.yaml:5:11 ($.workflow_stages[0].scripts[0].iam_role)";
        assert_eq!(by_kind(iam_role), [(); 3].map(|()| Err(format!("{place}: {problem}; {hint}"))), "{iam_role}");
    }
}
