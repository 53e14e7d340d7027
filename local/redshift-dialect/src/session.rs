//! SET, RESET, SHOW and transaction statements.

use crate::Translated;
use crate::refusal::Refusal;
use crate::tree::{Cursor, Node, literal, print, quoted, split_commas};

/// Settings that affect queues, caches or plans of Redshift, but not the result of a statement.
const WITHOUT_EFFECT: [&str; 12] = [
    "query_group",
    "wlm_query_slot_count",
    "enable_result_cache_for_session",
    "analyze_threshold_percent",
    "auto_analyze",
    "describe_field_name_in_uppercase",
    "error_on_nondeterministic_update",
    "mv_enable_aqmv_for_session",
    "max_concurrency_scaling_clusters",
    "use_fips_ssl",
    "stored_proc_log_min_messages",
    "enable_vacuum_boost",
];

/// Settings with the same name and meaning in PostgreSQL.
const SAME: [&str; 6] =
    ["search_path", "statement_timeout", "timezone", "extra_float_digits", "application_name", "datestyle"];

/// What a change of a setting does in PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    /// The same as in Redshift.
    Same,
    /// Nothing, because the setting does not affect the result of a statement.
    WithoutEffect,
}

/// Returns what a change of the setting does; `None` if the setting is not one of these. The name is in lower case.
pub(crate) fn setting(name: &str) -> Option<Setting> {
    if WITHOUT_EFFECT.contains(&name) {
        return Some(Setting::WithoutEffect);
    }
    SAME.contains(&name).then_some(Setting::Same)
}

pub(crate) fn set(mut c: Cursor<'_>) -> Result<Translated, Refusal> {
    let reset = c.sees(&["reset"]);
    c.bump();
    let at = c.at();
    c.eat(&["session"]);
    let local = c.eat(&["local"]);
    if c.sees(&["authorization"]) || c.sees(&["role"]) || c.sees(&["transaction"]) {
        return Err(Refusal::not_translated(
            c.at(),
            format!("SET {}", c.peek().map_or_else(String::new, Node::shown).to_uppercase()),
            "it is not supported",
        ));
    }
    if c.eat(&["time", "zone"]) {
        let value = value(c.rest())?;
        return Ok(Translated::sql("SET", format!("SET TIME ZONE {value}")));
    }
    if reset && c.eat(&["all"]) {
        c.expect_done()?;
        return Ok(Translated::sql("RESET", "RESET ALL"));
    }
    let name = c.name("a setting")?;
    let keyword = if local { "SET LOCAL" } else { "SET" };
    if reset {
        c.expect_done()?;
    } else if !c.eat(&["to"]) && !c.eat_op("=") {
        return Err(c.unexpected("TO or \"=\""));
    }
    let command = if reset { "RESET" } else { "SET" };
    match setting(&name) {
        Some(Setting::WithoutEffect) => return Ok(Translated::nothing(command)),
        Some(Setting::Same) => {
            let sql = if reset { format!("RESET {name}") } else { format!("{keyword} {name} TO {}", value(c.rest())?) };
            return Ok(Translated::sql(command, sql));
        }
        None => {}
    }
    let given = print(c.rest()).trim().trim_matches('\'').to_lowercase();
    // The translation implements only the default of these settings.
    let default = match name.as_str() {
        "enable_case_sensitive_identifier" | "enable_case_sensitive_super_attribute" | "cast_super_null_on_error_" => {
            Some(["false", "off"])
        }
        "cast_super_null_on_error" | "navigate_super_null_on_error" => Some(["true", "on"]),
        _ => None,
    };
    match default {
        Some(values) if reset || values.contains(&given.as_str()) || given == "default" => {
            Ok(Translated::nothing("SET"))
        }
        Some(_) => Err(Refusal::not_translated(at, format!("SET {name} TO {given}"), "only its default is supported")),
        None => Err(Refusal::not_translated(at, format!("SET {name}"), "this setting is not supported")),
    }
}

fn value(nodes: &[Node]) -> Result<String, Refusal> {
    let mut out = Vec::new();
    for part in split_commas(nodes) {
        let [node] = part else {
            return Err(Refusal::syntax(
                part.first().map_or(0, Node::at),
                print(part).trim().to_owned(),
                "expected a value",
            ));
        };
        out.push(if node.is_word("default") {
            "DEFAULT".to_owned()
        } else if let Some(text) = crate::copy::text_of(node) {
            literal(&text)
        } else if let Some(name) = node.name() {
            quoted(&name)
        } else {
            print(part).trim().to_owned()
        });
    }
    if out.is_empty() { Err(Refusal::syntax(0, "end of input", "expected a value")) } else { Ok(out.join(", ")) }
}

/// Words after SHOW that are not settings.
const OBJECTS: [&str; 13] = [
    "all",
    "column",
    "columns",
    "constraints",
    "databases",
    "datashares",
    "external",
    "grants",
    "model",
    "parameters",
    "schemas",
    "table",
    "tables",
];

pub(crate) fn show(mut c: Cursor<'_>) -> Result<Translated, Refusal> {
    c.bump();
    let at = c.at();
    if let Some(node) = c.peek().filter(|n| n.is_any_word(&OBJECTS)) {
        return Err(Refusal::not_translated(
            at,
            format!("SHOW {}", node.shown().to_uppercase()),
            "it is not supported",
        ));
    }
    let name = c.name("a setting")?;
    if c.done() && SAME.contains(&name.as_str()) {
        return Ok(Translated::sql("SHOW", format!("SHOW {name}")).rows());
    }
    Err(Refusal::not_translated(at, format!("SHOW {}", name.to_uppercase()), "it is not supported"))
}

pub(crate) fn transaction(mut c: Cursor<'_>) -> Result<Translated, Refusal> {
    let word = c.peek().and_then(Node::word).unwrap_or_default();
    c.bump();
    let (command, sql) = match word.as_str() {
        "begin" | "start" => ("BEGIN", "BEGIN ISOLATION LEVEL SERIALIZABLE"),
        "commit" | "end" => ("COMMIT", "COMMIT"),
        _ => ("ROLLBACK", "ROLLBACK"),
    };
    if !c.eat(&["work"]) {
        c.eat(&["transaction"]);
    }
    if let Some(node) = c.peek().filter(|n| n.is_any_word(&["to", "and", "prepared"])) {
        return Err(Refusal::not_redshift(node.at(), "savepoints and chained transactions", "they are not supported"));
    }
    if command == "BEGIN" {
        c.eat(&["isolation", "level"]);
        for level in [
            &["serializable"][..],
            &["read", "committed"],
            &["read", "uncommitted"],
            &["repeatable", "read"],
            &["snapshot"],
        ] {
            if c.eat(level) {
                break;
            }
        }
        if c.eat(&["read", "only"]) {
            c.expect_done()?;
            return Ok(Translated::sql("BEGIN", format!("{sql} READ ONLY")));
        }
        c.eat(&["read", "write"]);
    }
    c.expect_done()?;
    Ok(Translated::sql(command, sql))
}
