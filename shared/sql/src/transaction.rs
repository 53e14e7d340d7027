//! Statements that begin or end a transaction, and statements that Redshift does not run inside one.

use std::collections::BTreeSet;

use crate::{Lexer, Statement, TokenKind, shape::Parts};

/// A statement that begins or ends a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionControl {
    /// `BEGIN` or `START TRANSACTION`.
    Begin {
        /// Whether the transaction is one that the Data API would begin as well. Redshift accepts isolation levels and `READ WRITE`
        /// without an effect; `READ ONLY` has one.
        is_default: bool,
    },
    /// `COMMIT` or `END`.
    Commit,
    /// `ROLLBACK` or `ABORT`.
    Rollback,
    /// A form of one of these that Redshift does not document, such as `COMMIT AND CHAIN`.
    Unknown,
}

/// Removes the first statement if it is a `BEGIN` and the last one if it is its `COMMIT`, for a script that is submitted as one
/// transaction anyway. Other scripts are returned unchanged, including scripts that begin or end a transaction in the middle.
pub fn without_outer_transaction(mut statements: Vec<Statement>) -> Vec<Statement> {
    let controls: Vec<_> = statements
        .iter()
        .enumerate()
        .filter_map(|(at, statement)| Some((at, statement.transaction_control()?)))
        .collect();
    if let [(0, TransactionControl::Begin { is_default: true }), (last, TransactionControl::Commit)] = controls[..]
        && last + 1 == statements.len()
    {
        statements.remove(last);
        statements.remove(0);
    }
    statements
}

impl Statement {
    /// Returns how the statement begins or ends a transaction; `None` for other statements.
    pub fn transaction_control(&self) -> Option<TransactionControl> {
        let mut parts = self.shape.parts();
        if parts.eat(&["START", "TRANSACTION"]) {
            return Some(begin(parts));
        }
        if parts.eat(&["BEGIN"]) {
            parts.eat_one_of(&["WORK", "TRANSACTION"]);
            return Some(begin(parts));
        }
        let control = if parts.eat_one_of(&["COMMIT", "END"]) {
            TransactionControl::Commit
        } else if parts.eat_one_of(&["ROLLBACK", "ABORT"]) {
            TransactionControl::Rollback
        } else {
            return None;
        };
        parts.eat_one_of(&["WORK", "TRANSACTION"]);
        Some(if parts.is_empty() { control } else { TransactionControl::Unknown })
    }

    /// Returns the construct because of which Redshift refuses the statement inside a transaction of several statements, if its
    /// documentation says so for the statement as it is written.
    ///
    /// Source: the pages of the SQL reference of Redshift, which say that the statement "can't run inside a transaction block".
    pub fn refused_in_transaction(&self) -> Option<&'static str> {
        let mut parts = self.shape.parts();
        let whole = parts;
        match parts.first()? {
            "VACUUM" => Some("VACUUM"),
            "GRANT" => whole.contains(&["ON", "EXTERNAL"]).then_some("GRANT … ON EXTERNAL"),
            "REVOKE" => whole.contains(&["ON", "EXTERNAL"]).then_some("REVOKE … ON EXTERNAL"),
            "CREATE" => {
                parts.eat(&["CREATE"]);
                parts.eat(&["OR", "REPLACE"]);
                if parts.begins(&["EXTERNAL", "SCHEMA"]) {
                    return parts
                        .contains(&["CREATE", "EXTERNAL", "DATABASE"])
                        .then_some("CREATE EXTERNAL SCHEMA … CREATE EXTERNAL DATABASE");
                }
                object(parts, ["CREATE DATABASE", "CREATE EXTERNAL TABLE", "CREATE LIBRARY"])
            }
            "DROP" => {
                parts.eat(&["DROP"]);
                object(parts, ["DROP DATABASE", "DROP EXTERNAL TABLE", "DROP LIBRARY"])
            }
            "ALTER" => altered(parts),
            _ => None,
        }
    }

    /// Returns the construct and the schemas of the objects that a statement changes which Redshift refuses inside a transaction if one of
    /// the objects is external: `ALTER TABLE`, `DROP TABLE`, `DROP SCHEMA … DROP EXTERNAL DATABASE`, `INSERT`, and `GRANT` and `REVOKE` on
    /// schemas and tables. Schemas are in upper case.
    ///
    /// Source: the pages of the SQL reference of Redshift, such as "INSERT (external table)" and "GRANT".
    pub fn refused_for_external_tables(&self) -> Option<(&'static str, Vec<String>)> {
        let mut parts = self.shape.parts();
        let mut names_schemas = false;
        let construct = if parts.eat(&["ALTER", "TABLE"]) {
            let mut rest = parts;
            rest.eat_name()?;
            if rest.eat(&["RENAME"]) { "ALTER TABLE … RENAME" } else { "ALTER TABLE" }
        } else if parts.eat(&["DROP", "TABLE"]) {
            "DROP TABLE"
        } else if parts.eat(&["DROP", "SCHEMA"]) && parts.contains(&["DROP", "EXTERNAL", "DATABASE"]) {
            names_schemas = true;
            "DROP SCHEMA … DROP EXTERNAL DATABASE"
        } else if parts.eat(&["INSERT", "INTO"]) {
            "INSERT"
        } else if let Some(construct) = eat_until_granted(&mut parts) {
            names_schemas = parts.eat(&["ALL", "TABLES", "IN", "SCHEMA"]) || parts.eat(&["SCHEMA"]);
            if !names_schemas && !parts.eat(&["TABLE"]) && begins_other_object(parts) {
                return None;
            }
            construct
        } else {
            return None;
        };
        parts.eat(&["IF", "EXISTS"]);
        let mut schemas = Vec::new();
        while let Some(mut name) = parts.eat_name() {
            if !names_schemas {
                name.pop();
            }
            schemas.extend(name.pop());
            if !parts.eat(&[","]) {
                break;
            }
        }
        Some((construct, schemas))
    }

    /// Returns the name of the procedure that the statement creates, in upper case and without its schema, and how it ends the transaction
    /// in which it is called; `None` if the statement creates no procedure, or one that does not end its transaction.
    pub fn committing_procedure(&self) -> Option<(String, &'static str)> {
        let mut parts = self.shape.parts();
        if !(parts.eat(&["CREATE", "PROCEDURE"]) || parts.eat(&["CREATE", "OR", "REPLACE", "PROCEDURE"])) {
            return None;
        }
        let name = parts.eat_name()?.pop()?;
        if parts.contains(&["NONATOMIC"]) {
            return Some((name, "NONATOMIC"));
        }
        let literals = words_of_literals(&self.text);
        let ends = ["COMMIT", "ROLLBACK", "TRUNCATE"].into_iter().find(|word| literals.contains(*word))?;
        Some((name, ends))
    }

    /// Returns the name of the procedure that the statement calls, in upper case and without its schema.
    pub fn called_procedure(&self) -> Option<String> {
        let mut parts = self.shape.parts();
        parts.eat(&["CALL"]).then(|| parts.eat_name()?.pop())?
    }

    /// Returns the schema, in upper case, that a `CREATE EXTERNAL SCHEMA` or `CREATE EXTERNAL TABLE` shows to be external.
    pub fn external_schema(&self) -> Option<String> {
        let mut parts = self.shape.parts();
        if parts.eat(&["CREATE", "EXTERNAL", "SCHEMA"]) {
            parts.eat(&["IF", "NOT", "EXISTS"]);
            return parts.eat_name()?.pop();
        }
        if parts.eat(&["CREATE", "EXTERNAL", "TABLE"]) {
            parts.eat(&["IF", "NOT", "EXISTS"]);
            let mut name = parts.eat_name()?;
            name.pop();
            return name.pop();
        }
        None
    }
}

/// Skips a `GRANT` or `REVOKE` up to its objects; `None` for other statements, and for roles, which have no `ON`.
fn eat_until_granted(parts: &mut Parts) -> Option<&'static str> {
    let construct = if parts.eat(&["GRANT"]) {
        "GRANT"
    } else if parts.eat(&["REVOKE"]) {
        "REVOKE"
    } else {
        return None;
    };
    parts.eat_past("ON").then_some(construct)
}

/// Returns true if the objects of a `GRANT` or `REVOKE` are neither tables nor schemas.
fn begins_other_object(parts: Parts) -> bool {
    const OBJECTS: [&[&str]; 9] = [
        &["ALL"],
        &["COPY", "JOB"],
        &["DATABASE"],
        &["DATASHARE"],
        &["FUNCTION"],
        &["LANGUAGE"],
        &["MODEL"],
        &["PROCEDURE"],
        &["TEMPLATE"],
    ];
    // A table can have such a name: `GRANT SELECT ON model TO bob`.
    OBJECTS.iter().any(|words| {
        let mut rest = parts;
        rest.eat(words) && !rest.begins(&["."]) && !rest.begins(&["TO"]) && !rest.begins(&["FROM"])
    })
}

/// The words, in upper case, inside the literals of a statement: for a procedure, the words of its body.
fn words_of_literals(text: &str) -> BTreeSet<String> {
    let literals = Lexer::as_redshift(text).map_while(Result::ok).filter(|token| token.kind == TokenKind::Literal);
    let bodies = literals.map(|token| text[token.start..token.end].trim_matches(|c| c == '$' || c == '\''));
    let words = bodies.flat_map(|body| {
        let tokens = Lexer::as_redshift(body).map_while(Result::ok).filter(|token| token.kind == TokenKind::Word);
        tokens.map(|token| body[token.start..token.end].to_ascii_uppercase())
    });
    words.collect()
}

/// Reads the options after `BEGIN`.
fn begin(mut parts: Parts) -> TransactionControl {
    let mut is_default = true;
    while !parts.is_empty() {
        if parts.eat(&["READ", "ONLY"]) {
            is_default = false;
        } else if !(parts.eat(&["READ", "WRITE"]) || parts.eat(&[","]) || eat_isolation_level(&mut parts)) {
            return TransactionControl::Unknown;
        }
    }
    TransactionControl::Begin { is_default }
}

fn eat_isolation_level(parts: &mut Parts) -> bool {
    const LEVELS: [&[&str]; 5] =
        [&["SERIALIZABLE"], &["SNAPSHOT"], &["READ", "COMMITTED"], &["READ", "UNCOMMITTED"], &["REPEATABLE", "READ"]];
    parts.eat(&["ISOLATION", "LEVEL"]) && LEVELS.iter().any(|level| parts.eat(level))
}

/// The construct of a statement that creates or drops a database, an external table or a library.
fn object(parts: Parts, [database, table, library]: [&'static str; 3]) -> Option<&'static str> {
    let objects = [(&["DATABASE"][..], database), (&["EXTERNAL", "TABLE"], table), (&["LIBRARY"], library)];
    objects.into_iter().find_map(|(words, construct)| parts.begins(words).then_some(construct))
}

fn altered(mut parts: Parts) -> Option<&'static str> {
    if parts.begins(&["ALTER", "EXTERNAL", "TABLE"]) {
        return Some("ALTER EXTERNAL TABLE");
    }
    if !parts.eat(&["ALTER", "TABLE"]) {
        return None;
    }
    parts.eat_name()?;
    if parts.begins(&["APPEND", "FROM"]) {
        return Some("ALTER TABLE … APPEND");
    }
    if parts.eat(&["ALTER"]) {
        parts.eat(&["COLUMN"]);
        return parts.eat_name().and_then(|_| parts.begins(&["TYPE"]).then_some("ALTER TABLE … ALTER COLUMN … TYPE"));
    }
    if parts.eat(&["ADD"]) {
        parts.eat(&["IF", "NOT", "EXISTS"]);
        return parts.begins(&["PARTITION", "("]).then_some("ALTER TABLE … ADD PARTITION");
    }
    let external: [(&[&str], &str); 5] = [
        (&["DROP", "PARTITION", "("], "ALTER TABLE … DROP PARTITION"),
        (&["PARTITION", "("], "ALTER TABLE … PARTITION … SET LOCATION"),
        (&["SET", "LOCATION"], "ALTER TABLE … SET LOCATION"),
        (&["SET", "FILE", "FORMAT"], "ALTER TABLE … SET FILE FORMAT"),
        (&["SET", "TABLE", "PROPERTIES"], "ALTER TABLE … SET TABLE PROPERTIES"),
    ];
    external.into_iter().find_map(|(words, construct)| parts.begins(words).then_some(construct))
}
