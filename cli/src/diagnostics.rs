//! Formats problems as a compiler does: the line, the position in it, and how to fix it.

use std::{collections::BTreeMap, fmt::Write as _};

use console::style;
use serde::Serialize;
use shiftwork_planner::Problem;

/// Maximum length of a source line in characters; longer lines are truncated, because a minified file would fill the
/// screen.
const WIDTH: usize = 160;

/// Severity of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Nothing can be pushed before it is fixed.
    Error,
    /// It is probably wrong.
    Warning,
}

impl Severity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// All problems as errors, each followed by a blank line. `texts` contains the files that the problems refer to, by file name.
pub(crate) fn render(problems: &[Problem], texts: &BTreeMap<String, String>, colours: bool) -> String {
    problems.iter().map(|problem| one(Severity::Error, problem, texts, colours) + "\n").collect()
}

/// All problems as warnings, in the form of [`render`].
pub(crate) fn render_warnings(problems: &[Problem], texts: &BTreeMap<String, String>, colours: bool) -> String {
    problems.iter().map(|problem| one(Severity::Warning, problem, texts, colours) + "\n").collect()
}

fn one(severity: Severity, problem: &Problem, texts: &BTreeMap<String, String>, colours: bool) -> String {
    let marked = |text: &str| {
        let text = style(text.to_owned()).bold().force_styling(colours);
        match severity {
            Severity::Error => text.red(),
            Severity::Warning => text.yellow(),
        }
    };
    let blue = |text: &str| style(text.to_owned()).blue().bold().force_styling(colours);
    let bold = |text: &str| style(text.to_owned()).bold().force_styling(colours);
    let place = &problem.place;
    let number = place.line.map(|line| line.to_string()).unwrap_or_default();
    let margin = " ".repeat(number.len().max(1));

    let mut out = format!("{}{}\n", marked(severity.as_str()), bold(&format!(": {}", problem.message)));
    let mut at = place.file.clone().unwrap_or_else(|| "configuration table".into());
    for position in [place.line, place.column].into_iter().flatten() {
        let _ = write!(at, ":{position}");
    }
    let _ = writeln!(out, "{margin}{} {at}", blue("-->"));

    let text = place.file.as_ref().and_then(|file| texts.get(file));
    let line = text.zip(place.line).and_then(|(text, line)| text.lines().nth((line as usize).checked_sub(1)?));
    if let Some(line) = line {
        let shown: String = line.chars().take(WIDTH).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let _ = writeln!(out, "{margin} {}", blue("|"));
        let _ = writeln!(out, "{} {} {shown}", blue(&number), blue("|"));
        let (indent, carets) = underline(&shown, place.column);
        let _ = writeln!(out, "{margin} {} {indent}{}", blue("|"), marked(&carets));
    }
    if let Some(path) = place.path.as_ref().filter(|path| *path != "$") {
        let _ = writeln!(out, "{margin} {} {} {path}", blue("="), bold("in:"));
    }
    if let Some(hint) = &problem.hint {
        let _ = writeln!(out, "{margin} {} {} {hint}", blue("="), bold("help:"));
    }
    out
}

/// Indentation and carets under the word at `column`, or under the whole line if `column` is unknown.
fn underline(line: &str, column: Option<u32>) -> (String, String) {
    let chars: Vec<char> = line.chars().collect();
    let indent = chars.iter().take_while(|c| c.is_whitespace()).count();
    let start = column.map_or(indent, |column| (column as usize).saturating_sub(1)).min(chars.len());
    let rest = chars[start..].iter();
    let length = match column {
        Some(_) => {
            let word: String = rest.take_while(|c| c.is_alphanumeric() || "_-./$:@".contains(**c)).collect();
            // The `:` after a key of YAML is not a part of the key.
            word.trim_end_matches(':').chars().count()
        }
        None => line.trim_end().chars().count().saturating_sub(start),
    };
    (" ".repeat(start), "^".repeat(length.max(1)))
}
