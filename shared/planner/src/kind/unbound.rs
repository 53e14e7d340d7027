//! Parameters in places where they are not replaced by a value.

use std::collections::BTreeSet;

use shiftwork_config::{Place, Problem, nearest};
use shiftwork_sql::{Position, Statement, Unbound, Unboundable, marked, unbound};

use crate::builtin;

const UNLOAD_HINT: &str = "write the rows to a table before, and unload that table";

/// Returns the parameters that the Data API does not bind, each once for all statements. `known` has the names of the parameters.
pub(super) fn in_statements(
    statements: &[Statement],
    known: &BTreeSet<&str>,
    place: &dyn Fn(Position) -> Place,
) -> Vec<Problem> {
    let mut seen = BTreeSet::new();
    let is_parameter = |name: &str| known.contains(name);
    let all = statements.iter().flat_map(|statement| unbound(statement, &is_parameter));
    all.filter_map(|unbound| {
        let (message, hint) = explain(&unbound, known);
        seen.insert(message.clone()).then(|| Problem::new(place(unbound.position), message).hint(hint))
    })
    .collect()
}

fn explain(Unbound { written, name, cause, .. }: &Unbound, known: &BTreeSet<&str>) -> (String, String) {
    match cause {
        Unboundable::Command(command) => (
            format!("`{command}` takes no parameters, and the statement has `{written}`"),
            match command.as_str() {
                "COPY" => "load files with a job of kind `copy`, or write the value into the statement".into(),
                "UNLOAD" => "use a job of kind `unload`, whose `to` can contain `{run_date}`".into(),
                _ => "write the value into the statement, or run it in a procedure that takes the value".into(),
            },
        ),
        Unboundable::ObjectName => (
            format!("`{written}` is in place of a name, but a parameter is a value"),
            "write the name, or build the statement in a procedure with EXECUTE".into(),
        ),
        Unboundable::TypedLiteral(of_type) => (
            format!("`{of_type} {written}` is not valid: only a literal can follow the type"),
            match of_type.as_str() {
                "INTERVAL" => format!("write `{written} * INTERVAL '1 day'` with the unit that you need"),
                _ => format!("write `{written}::{}`", of_type.to_lowercase()),
            },
        ),
        Unboundable::Quoted => (
            format!("`{written}` in quotes is text and is not replaced by the value of the parameter `{name}`"),
            format!("write `:{name}` outside of the quotes, and join it to other text with `||`"),
        ),
        Unboundable::UnloadQuery => (in_unload(written), UNLOAD_HINT.into()),
        Unboundable::InsideWord => (
            format!("`{written}` has no placeholder: a `:` directly after a word does not begin one"),
            format!("write a space before `:{name}`; a parameter cannot be a part of a name"),
        ),
        Unboundable::OtherForm => (
            format!("`{written}` is not a placeholder of the Data API"),
            match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `:{near}`?"),
                None => "write a placeholder as `:name`".into(),
            },
        ),
    }
}

fn in_unload(written: &str) -> String {
    format!("the query of UNLOAD is a string, in which `{written}` is not replaced by a value")
}

/// Returns the parameters in the query of an `UNLOAD`, in which no parameter is bound.
pub(super) fn in_unload_query(query: &[Statement], known: &BTreeSet<&str>, place: &Place) -> Vec<Problem> {
    let is_parameter = |name: &str| known.contains(name);
    let written: BTreeSet<String> =
        query.iter().flat_map(|statement| unbound(statement, &is_parameter)).map(|unbound| unbound.written).collect();
    written.iter().map(|written| Problem::new(place.clone(), in_unload(written)).hint(UNLOAD_HINT)).collect()
}

/// Returns the parameters in the target of an `UNLOAD` in another form than `{name}`, whose names are checked when they are replaced.
pub(super) fn in_target(target: &str, known: &BTreeSet<&str>, place: &Place) -> Vec<Problem> {
    let found =
        marked(target, &|name| known.contains(name)).into_iter().filter(|found| !found.written.starts_with('{'));
    let problems = found.map(|found| {
        let message = format!("`{}` in a target is not replaced by the value of `{}`", found.written, found.name);
        let problem = Problem::new(place.clone(), message);
        match found.name {
            builtin::RUN_DATE | builtin::WORKFLOW_EXECUTION_ID => problem.hint(format!("write `{{{}}}`", found.name)),
            _ => problem.hint("a target can contain `{run_date}` and `{workflow_execution_id}`"),
        }
    });
    problems.collect()
}

/// Returns the parameters in the value of an argument, which is sent as it is written.
pub(super) fn in_argument(value: &str, known: &BTreeSet<&str>, place: &Place) -> Vec<Problem> {
    let found = marked(value, &|name| known.contains(name));
    let problems = found.into_iter().map(|found| {
        let message = format!(
            "`{}` in the value of an argument is text and is not replaced by the value of the parameter `{}`",
            found.written, found.name
        );
        Problem::new(place.clone(), message).hint(format!("write `:{}` in the call", found.name))
    });
    problems.collect()
}
