//! Problems in configuration: their place, their message and a hint about how to fix them.

use std::fmt;

use serde_json::Value;

/// A position in a configuration file, in a script, or in an item of the configuration table.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Path of the file; `None` for an item of the configuration table.
    pub file: Option<String>,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
    /// JSON path such as `$.workflow_stages[1].scripts[0]`. For a position in a script, the path of the job that runs the script.
    pub path: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            f.write_str(file)?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        match (&self.file, &self.path) {
            (Some(_), Some(path)) => write!(f, " ({path})"),
            (None, Some(path)) => f.write_str(path),
            (Some(_), None) => Ok(()),
            (None, None) => f.write_str("$"),
        }
    }
}

/// An error in configuration or in a script that must be fixed before a run can start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Position of the error.
    pub place: Place,
    /// Description of the error.
    pub message: String,
    /// Instruction to fix the error.
    pub hint: Option<String>,
}

impl Problem {
    /// Creates a problem without a hint.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), hint: None }
    }

    /// Sets the hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Suggests the known name that is most similar to `name`, if one is similar enough ([`nearest`]).
    #[must_use]
    pub fn did_you_mean<'a>(self, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(name, known) {
            Some(near) => self.hint(format!("did you mean `{near}`?")),
            None => self,
        }
    }

    /// Suggests the known name that is most similar to `name`, or lists the known names, at most [`LISTED`] of them.
    #[must_use]
    pub fn one_of<'a>(self, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        // Sorted, so that the message does not depend on the order of `known`.
        let known: std::collections::BTreeSet<&str> = known.into_iter().collect();
        match (nearest(name, known.iter().copied()), known.len().checked_sub(LISTED)) {
            (Some(near), _) => self.hint(format!("did you mean `{near}`?")),
            (None, _) if known.is_empty() => self,
            (None, None | Some(0)) => self.hint(format!("known: {}", list(known))),
            (None, Some(more)) => self.hint(format!("known: {} and {more} more", list(known.into_iter().take(LISTED)))),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

/// Maximum number of known names in a hint.
const LISTED: usize = 12;

/// Formats names for a message: `` `a`, `b`, `c` ``.
pub fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Returns the known name that is most similar to `name`: at most a third of its characters may differ, and at least one may; or one of the
/// two contains the other. Case does not count.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance takes quadratic time, and no misspelt name is this long.
    if name.len() > 200 {
        return None;
    }
    let name = name.to_lowercase();
    let rank = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let distance = strsim::damerau_levenshtein(&name, &candidate);
        if is_near(distance, &candidate) {
            return Some((0, distance));
        }
        let shorter = name.chars().count().min(candidate.chars().count());
        let is_part = shorter >= CONTAINED && (candidate.contains(&name) || name.contains(&candidate));
        is_part.then_some((1, distance))
    };
    known.into_iter().filter_map(|candidate| Some((rank(candidate)?, candidate))).min().map(|(_, candidate)| candidate)
}

/// Returns true if `name` is a misspelling of `candidate` and not a name of its own: at most 2 characters differ.
pub(crate) fn is_misspelling(name: &str, candidate: &str) -> bool {
    let distance = strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase());
    distance <= 2 && is_near(distance, candidate)
}

fn is_near(distance: usize, candidate: &str) -> bool {
    distance <= (candidate.chars().count() / 3).max(1)
}

/// Minimum length in characters of a name that [`nearest`] searches for inside another one.
const CONTAINED: usize = 3;

/// A JSON path, such as `$.workflow_stages[1]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct JsonPath(String);

impl JsonPath {
    /// The path of the whole document, `$`.
    pub fn root() -> Self {
        Self("$".into())
    }

    /// Appends a member: `.name`, or `["detail-type"]` if the name is not an identifier.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        if is_identifier(key) {
            Self(format!("{}.{key}", self.0))
        } else {
            Self(format!("{}[{}]", self.0, Value::from(key)))
        }
    }

    /// Appends an element: `[3]`.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns true for ASCII letters, digits and `_` that do not begin with a digit. A parameter's name must be an identifier to be used as
/// `:name` in SQL.
pub fn is_identifier(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Sorts problems by file, line and column, and removes duplicates.
pub fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|a, b| {
        let key = |p: &Problem| (p.place.file.clone(), p.place.line, p.place.column);
        key(a).cmp(&key(b))
    });
    let mut once: Vec<Problem> = Vec::with_capacity(problems.len());
    for problem in problems {
        if !once.contains(&problem) {
            once.push(problem);
        }
    }
    once
}

#[cfg(test)]
mod tests {
    use super::{Place, Problem, nearest};

    #[test]
    fn the_nearest_name_is_misspelt_or_a_part() {
        let known = ["load_orders", "orders_daily", "sql", "procedure"];
        for (name, expected) in [
            ("load_ordrs", Some("load_orders")),
            ("Load-Orders", Some("load_orders")),
            ("orders", Some("load_orders")),
            ("daily", Some("orders_daily")),
            ("proc", Some("procedure")),
            ("redshift-sql", Some("sql")),
            ("or", None),
            ("unload", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
    }

    #[test]
    fn a_long_list_of_known_names_is_shortened() {
        let known: Vec<String> = (10..40).map(|n| format!("job_number_{n}")).collect();
        let hint = |name| Problem::new(Place::default(), "x").one_of(name, known.iter().map(String::as_str)).hint;
        assert_eq!(hint("job_nmber_10").as_deref(), Some("did you mean `job_number_10`?"));
        assert!(hint("x").is_some_and(|hint| hint.ends_with("`job_number_21` and 18 more")), "{:?}", hint("x"));
    }
}
