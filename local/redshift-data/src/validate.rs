//! The constraints of the service model and the documented limits, with AWS's error messages.

use std::collections::BTreeSet;

use regex::Regex;
use shiftwork_sql::placeholders;

use crate::error::ApiError;
use crate::requests::{Catalog, Execute, SqlParameter};

/// Maximum size of a statement in bytes. Source: considerations of the Data API, "maximum query statement size is 100
/// KB".
pub const MAX_STATEMENT_BYTES: usize = 100 * 1024;
/// Maximum number of statements in a batch. Source: service model, `SqlList`.
pub const MAX_BATCH_STATEMENTS: usize = 40;

const WORKGROUP: &str = r"([a-z0-9-]{3,63}|arn:(aws(-[a-z]+)*):redshift-serverless:([a-z]{2}(-gov|(-iso[a-z]?))?|eusc-[a-z]+)-[a-z]+-\d{1}:\d{12}:workgroup/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[a-z0-9-]{1,63}/[a-z0-9-]{1,63}))";
const CLUSTER: &str = "[a-z][a-z0-9]*(-[a-z0-9]+)*";
const ID: &str = r"[a-z0-9]{8}(-[a-z0-9]{4}){3}-[a-z0-9]{12}(:\d{0,2})?";
const PARAMETER_NAME: &str = "[0-9a-zA-Z_]+";

/// Violated constraints of a request, which are reported together, as AWS does.
#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<String>);

impl Violations {
    fn add(&mut self, value: &str, member: &str, constraint: &str) {
        self.0.push(format!("Value {value} at '{member}' failed to satisfy constraint: {constraint}"));
    }

    pub(crate) fn required<T>(&mut self, member: &str, value: Option<&T>) {
        if value.is_none() {
            self.add("null", member, "Member must not be null");
        }
    }

    pub(crate) fn length(&mut self, member: &str, value: Option<&String>, min: usize, max: usize) {
        let Some(value) = value else { return };
        let length = value.chars().count();
        if length < min {
            let constraint = format!("Member must have length greater than or equal to {min}");
            self.add(&format!("'{value}'"), member, &constraint);
        } else if length > max {
            let constraint = format!("Member must have length less than or equal to {max}");
            self.add(&format!("'{value}'"), member, &constraint);
        }
    }

    pub(crate) fn range(&mut self, member: &str, value: Option<i64>, min: i64, max: i64) {
        let Some(value) = value else { return };
        if value < min {
            let constraint = format!("Member must have value greater than or equal to {min}");
            self.add(&format!("'{value}'"), member, &constraint);
        } else if value > max {
            let constraint = format!("Member must have value less than or equal to {max}");
            self.add(&format!("'{value}'"), member, &constraint);
        }
    }

    pub(crate) fn pattern(&mut self, member: &str, value: Option<&String>, pattern: &str) {
        let Some(value) = value else { return };
        let whole = Regex::new(&format!("^(?:{pattern})$")).expect("the patterns of the model compile");
        if !whole.is_match(value) {
            let constraint = format!("Member must satisfy regular expression pattern: {pattern}");
            self.add(&format!("'{value}'"), member, &constraint);
        }
    }

    pub(crate) fn one_of(&mut self, member: &str, value: Option<&String>, allowed: &[&str]) {
        let Some(value) = value else { return };
        if !allowed.contains(&value.as_str()) {
            let constraint = format!("Member must satisfy enum value set: [{}]", allowed.join(", "));
            self.add(&format!("'{value}'"), member, &constraint);
        }
    }

    pub(crate) fn id(&mut self, member: &str, value: Option<&String>) {
        self.pattern(member, value, ID);
    }

    pub(crate) fn wait_time(&mut self, value: Option<i64>) {
        self.range("waitTimeSeconds", value, 1, 30);
    }

    pub(crate) fn target(&mut self, cluster: Option<&String>, workgroup: Option<&String>) {
        self.length("clusterIdentifier", cluster, 1, 63);
        self.pattern("clusterIdentifier", cluster, CLUSTER);
        self.length("workgroupName", workgroup, 3, 128);
        self.pattern("workgroupName", workgroup, WORKGROUP);
    }

    /// All violations as one `ValidationException`.
    pub(crate) fn into_result(self) -> Result<(), ApiError> {
        match self.0.len() {
            0 => Ok(()),
            1 => Err(ApiError::Validation(format!("1 validation error detected: {}", self.0[0]))),
            n => Err(ApiError::Validation(format!("{n} validation errors detected: {}", self.0.join("; ")))),
        }
    }
}

/// Checks `ExecuteStatement` (`batch` is false) or `BatchExecuteStatement` before it is executed.
pub(crate) fn execute(request: &Execute, batch: bool) -> Result<(), ApiError> {
    let foreign = if batch {
        request.sql.as_ref().map(|_| "Sql")
    } else {
        request.sqls.as_ref().map(|_| "Sqls").or(request.execution_mode.as_ref().map(|_| "ExecutionMode"))
    };
    if let Some(member) = foreign {
        return Err(unknown_member(member));
    }
    let mut found = Violations::default();
    if batch {
        found.required("sqls", request.sqls.as_ref());
        if let Some(sqls) = &request.sqls {
            let value = format!("'{}'", preview(sqls));
            if sqls.is_empty() {
                found.add("'[]'", "sqls", "Member must have length greater than or equal to 1");
            } else if sqls.len() > MAX_BATCH_STATEMENTS {
                let constraint = format!("Member must have length less than or equal to {MAX_BATCH_STATEMENTS}");
                found.add(&value, "sqls", &constraint);
            }
        }
    } else {
        found.required("sql", request.sql.as_ref());
    }
    found.target(request.cluster_identifier.as_ref(), request.workgroup_name.as_ref());
    found.length("statementName", request.statement_name.as_ref(), 0, 2048);
    found.length("clientToken", request.client_token.as_ref(), 1, 64);
    found.one_of("resultFormat", request.result_format.as_ref(), &["JSON", "CSV"]);
    found.one_of("executionMode", request.execution_mode.as_ref(), &["TRANSACTION", "AUTO_COMMIT"]);
    found.range("sessionKeepAliveSeconds", request.session_keep_alive_seconds, 0, 86_400);
    found.id("sessionId", request.session_id.as_ref());
    found.wait_time(request.wait_time_seconds);
    if let Some(parameters) = &request.parameters {
        parameter_shapes(&mut found, parameters);
    }
    found.into_result()?;
    for sql in request.sqls.iter().flatten().chain(&request.sql) {
        statement_text(sql)?;
    }
    where_to_run(request)?;
    parameters_match(request)
}

fn parameter_shapes(found: &mut Violations, parameters: &[SqlParameter]) {
    if parameters.is_empty() {
        found.add("'[]'", "parameters", "Member must have length greater than or equal to 1");
    }
    for (index, parameter) in parameters.iter().enumerate() {
        let at = |member: &str| format!("parameters.{}.member.{member}", index + 1);
        found.required(&at("name"), parameter.name.as_ref());
        found.pattern(&at("name"), parameter.name.as_ref(), PARAMETER_NAME);
        found.required(&at("value"), parameter.value.as_ref());
        found.length(&at("value"), parameter.value.as_ref(), 1, usize::MAX);
    }
}

fn statement_text(sql: &str) -> Result<(), ApiError> {
    if sql.len() > MAX_STATEMENT_BYTES {
        return Err(ApiError::Validation(format!(
            "Cannot process query string larger than {}kB",
            MAX_STATEMENT_BYTES / 1024
        )));
    }
    if sql.trim().is_empty() {
        return Err(ApiError::Validation("Sql statement cannot be empty.".into()));
    }
    Ok(())
}

fn where_to_run(request: &Execute) -> Result<(), ApiError> {
    let target = request.cluster_identifier.as_ref().or(request.workgroup_name.as_ref());
    if request.session_id.is_some() {
        let given = [
            ("ClusterIdentifier", request.cluster_identifier.is_some()),
            ("WorkgroupName", request.workgroup_name.is_some()),
            ("Database", request.database.is_some()),
            ("DbUser", request.db_user.is_some()),
            ("SecretArn", request.secret_arn.is_some()),
        ];
        return match given.iter().find(|(_, given)| *given) {
            Some((member, _)) => Err(ApiError::Validation(format!(
                "{member} cannot be specified with SessionId: the session is already connected."
            ))),
            None => Ok(()),
        };
    }
    exactly_one_target(target, request.cluster_identifier.as_ref(), request.workgroup_name.as_ref())?;
    require_database(request.database.as_ref())
}

fn exactly_one_target(
    target: Option<&String>,
    cluster: Option<&String>,
    workgroup: Option<&String>,
) -> Result<(), ApiError> {
    if target.is_none() {
        return Err(ApiError::Validation("Either ClusterIdentifier or WorkgroupName must be specified.".into()));
    }
    if cluster.is_some() && workgroup.is_some() {
        return Err(ApiError::Validation("ClusterIdentifier and WorkgroupName cannot both be specified.".into()));
    }
    Ok(())
}

fn require_database(database: Option<&String>) -> Result<(), ApiError> {
    match database.map(|database| database.trim()) {
        None | Some("") => Err(ApiError::Validation("Database must be specified.".into())),
        Some(_) => Ok(()),
    }
}

/// Checks that each placeholder has a value, and that each value has a placeholder in at least one statement.
fn parameters_match(request: &Execute) -> Result<(), ApiError> {
    let mut given = BTreeSet::new();
    for name in request.parameters.iter().flatten().filter_map(|parameter| parameter.name.as_deref()) {
        if !given.insert(name) {
            return Err(ApiError::Validation(format!("Parameters list contains duplicate parameter: {name}")));
        }
    }
    let mut used = BTreeSet::new();
    for sql in request.sqls.iter().flatten().chain(&request.sql) {
        for name in placeholders(sql) {
            if !given.contains(name) {
                return Err(ApiError::Validation(format!("Cannot find parameter: {name}")));
            }
            used.insert(name);
        }
    }
    let unused: Vec<&str> = given.difference(&used).copied().collect();
    if unused.is_empty() {
        Ok(())
    } else {
        Err(ApiError::Validation(format!(
            "Parameters list contains unused parameters. Unused parameters: [{}]",
            unused.join(", ")
        )))
    }
}

/// Checks a catalog operation; `takes` are its members in addition to those for the connection and for paging.
pub(crate) fn catalog(request: &Catalog, takes: &[&str]) -> Result<(), ApiError> {
    let optional = [
        ("ConnectedDatabase", request.connected_database.is_some()),
        ("SchemaPattern", request.schema_pattern.is_some()),
        ("TablePattern", request.table_pattern.is_some()),
        ("Schema", request.schema.is_some()),
        ("Table", request.table.is_some()),
    ];
    if let Some((member, _)) = optional.iter().find(|(member, given)| *given && !takes.contains(member)) {
        return Err(unknown_member(member));
    }
    let mut found = Violations::default();
    if takes.contains(&"ConnectedDatabase") {
        found.required("database", request.database.as_ref());
    }
    found.target(request.cluster_identifier.as_ref(), request.workgroup_name.as_ref());
    found.range("maxResults", request.max_results, 0, 1000);
    found.into_result()?;
    let target = request.cluster_identifier.as_ref().or(request.workgroup_name.as_ref());
    exactly_one_target(target, request.cluster_identifier.as_ref(), request.workgroup_name.as_ref())?;
    require_database(request.database.as_ref())?;
    match (&request.connected_database, &request.database) {
        (Some(connected), Some(database)) if connected != database => Err(ApiError::Validation(format!(
            "ConnectedDatabase '{connected}' and Database '{database}' differ: this server cannot access one database \
             through another."
        ))),
        _ => Ok(()),
    }
}

/// The error for a member that the operation does not have.
pub(crate) fn unknown_member(member: &str) -> ApiError {
    ApiError::Validation(format!("Unknown member '{member}' in the request"))
}

fn preview(sqls: &[String]) -> String {
    let mut text: String = format!("[{}]", sqls.join(", ")).chars().take(120).collect();
    if text.len() == 120 {
        text.push('…');
    }
    text
}
