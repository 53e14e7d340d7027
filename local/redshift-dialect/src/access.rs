//! Users, groups, roles and privileges. PostgreSQL represents groups and roles alike, as roles.

use crate::Translated;
use crate::names::printed as name_sql;
use crate::refusal::Refusal;
use crate::tree::{Cursor, Node, quoted, split_commas};

/// The name of a user, group or role, or `CURRENT_USER`.
pub(crate) fn grantee(c: &mut Cursor<'_>) -> Result<String, Refusal> {
    for word in ["current_user", "session_user"] {
        if c.eat(&[word]) {
            return Ok(word.to_uppercase());
        }
    }
    Ok(quoted(&c.name("a user, group or role")?))
}

/// A list of `user`, `GROUP name`, `ROLE name` and `PUBLIC`.
fn grantees(c: &mut Cursor<'_>) -> Result<String, Refusal> {
    let mut out = Vec::new();
    loop {
        if c.eat(&["public"]) {
            out.push("PUBLIC".to_owned());
        } else {
            if !c.eat(&["group"]) {
                c.eat(&["role"]);
            }
            out.push(grantee(c)?);
        }
        if !c.eat_op(",") {
            return Ok(out.join(", "));
        }
    }
}

pub(crate) fn create(mut c: Cursor<'_>) -> Result<Translated, Refusal> {
    let kind = c.peek().and_then(Node::word).unwrap_or_default();
    c.bump();
    let name = quoted(&c.name("a name")?);
    match kind.as_str() {
        "role" => {
            if let Some(node) = c.peek() {
                return Err(Refusal::not_translated(
                    node.at(),
                    format!("CREATE ROLE … {}", node.shown().to_uppercase()),
                    "it is not supported",
                ));
            }
            Ok(Translated::sql("CREATE ROLE", format!("CREATE ROLE {name} NOLOGIN")))
        }
        "group" => {
            let mut sql = format!("CREATE ROLE {name} NOLOGIN");
            if c.eat(&["with", "user"]) || c.eat(&["user"]) {
                let mut users = vec![grantee(&mut c)?];
                while c.eat_op(",") {
                    users.push(grantee(&mut c)?);
                }
                sql = format!("{sql} ROLE {}", users.join(", "));
            }
            c.expect_done()?;
            Ok(Translated::sql("CREATE GROUP", sql))
        }
        _ => user(c, &name),
    }
}

/// Passwords are dropped: connections to the local server need none.
fn user(mut c: Cursor<'_>, name: &str) -> Result<Translated, Refusal> {
    c.eat(&["with"]);
    let mut sql = format!("CREATE ROLE {name} LOGIN");
    while let Some(node) = c.peek() {
        if c.eat(&["password"]) {
            c.bump();
        } else if c.eat(&["createdb"]) {
            sql.push_str(" CREATEDB");
        } else if c.eat(&["nocreatedb"]) || c.eat(&["nocreateuser"]) || c.eat(&["syslog", "access", "restricted"]) {
        } else if c.eat(&["in", "group"]) {
            sql.push_str(" IN ROLE ");
            sql.push_str(&grantees(&mut c)?);
        } else {
            return Err(Refusal::not_translated(
                node.at(),
                format!("CREATE USER … {}", node.shown().to_uppercase()),
                "it is not supported",
            ));
        }
    }
    Ok(Translated::sql("CREATE USER", sql))
}

pub(crate) fn alter(mut c: Cursor<'_>) -> Result<Translated, Refusal> {
    let at = c.at();
    let kind = c.peek().and_then(Node::word).unwrap_or_default();
    c.bump();
    let name = quoted(&c.name("a name")?);
    if kind == "group" && (c.sees(&["add", "user"]) || c.sees(&["drop", "user"])) {
        let verb = if c.sees(&["add"]) { ("GRANT", "TO") } else { ("REVOKE", "FROM") };
        c.skip(2);
        let users = grantees(&mut c)?;
        c.expect_done()?;
        return Ok(Translated::sql("ALTER GROUP", format!("{} {name} {} {users}", verb.0, verb.1)));
    }
    if c.eat(&["rename", "to"]) {
        let sql = format!("ALTER ROLE {name} RENAME TO {}", quoted(&c.name("a name")?));
        c.expect_done()?;
        return Ok(Translated::sql("ALTER USER", sql));
    }
    Err(Refusal::not_translated(
        at,
        format!("ALTER {}", kind.to_uppercase()),
        "only RENAME TO, and ADD | DROP USER of a group, are supported",
    ))
}

pub(crate) fn drop(mut c: Cursor<'_>, kind: &str) -> Result<Translated, Refusal> {
    let exists = if c.eat(&["if", "exists"]) { "IF EXISTS " } else { "" };
    let mut names = vec![quoted(&c.name("a name")?)];
    while c.eat_op(",") {
        names.push(quoted(&c.name("a name")?));
    }
    if c.sees(&["force"]) {
        return Err(Refusal::not_translated(c.at(), "DROP ROLE FORCE", "PostgreSQL has no FORCE")
            .instead("REVOKE, then DROP ROLE"));
    }
    c.expect_done()?;
    let command = match kind {
        "user" => "DROP USER",
        "group" => "DROP GROUP",
        _ => "DROP ROLE",
    };
    Ok(Translated::sql(command, format!("DROP ROLE {exists}{}", names.join(", "))))
}

const PRIVILEGES: [&str; 12] = [
    "select",
    "insert",
    "update",
    "delete",
    "references",
    "create",
    "usage",
    "temporary",
    "temp",
    "execute",
    "all",
    "truncate",
];

/// The first words of privileges that are granted to roles without an object.
const SYSTEM_PRIVILEGES: [&str; 11] =
    ["access", "alter", "analyze", "attach", "cancel", "create", "detach", "drop", "ignore", "truncate", "vacuum"];

/// `GRANT | REVOKE` on tables, schemas, databases, procedures and functions, and of roles.
pub(crate) fn grant(mut c: Cursor<'_>) -> Result<Translated, Refusal> {
    let revoke = c.sees(&["revoke"]);
    let (verb, preposition, command) = if revoke { ("REVOKE", "from", "REVOKE") } else { ("GRANT", "to", "GRANT") };
    c.bump();
    let option = if revoke && c.eat(&["grant", "option", "for"]) { "GRANT OPTION FOR " } else { "" };
    if c.eat(&["role"]) {
        let roles = grantees(&mut c)?;
        c.expect(&[preposition])?;
        let mut sql = format!("{verb} {roles} {} {}", preposition.to_uppercase(), grantees(&mut c)?);
        if !revoke && c.eat(&["with", "admin", "option"]) {
            sql.push_str(" WITH ADMIN OPTION");
        }
        c.expect_done()?;
        return Ok(Translated::sql(command, sql));
    }
    // `GRANT CREATE USER TO ROLE …`, `GRANT SELECT FOR TABLES IN …`
    let begins_privilege = c.peek().is_some_and(|n| n.is_any_word(&SYSTEM_PRIVILEGES));
    let has_object = c.peek_at(1).is_some_and(|n| n.word().is_some() && !n.is_any_word(&["on", "privileges"]));
    if (begins_privilege && has_object) || c.peek_at(1).is_some_and(|n| n.is_word("for")) {
        return Err(Refusal::not_translated(
            c.at(),
            format!("{verb} of this privilege"),
            "PostgreSQL has no such privilege",
        ));
    }
    let mut privileges = Vec::new();
    loop {
        let Some(node) = c.peek().filter(|n| n.is_any_word(&PRIVILEGES)) else {
            return Err(match c.peek() {
                Some(n) if n.is_any_word(&["drop", "alter", "assumerole", "ignore", "explain", "unmask"]) => {
                    Refusal::not_translated(
                        n.at(),
                        format!("{verb} {}", n.shown().to_uppercase()),
                        "PostgreSQL has no such privilege",
                    )
                }
                _ => c.unexpected("a privilege"),
            });
        };
        c.bump();
        let mut text = node.shown().to_uppercase();
        if node.is_word("all") {
            c.eat(&["privileges"]);
            "ALL PRIVILEGES".clone_into(&mut text);
        }
        if let Some(group) = c.peek().and_then(Node::parens) {
            c.bump();
            let names: Vec<String> = split_commas(&group.body)
                .into_iter()
                .map(|p| Cursor::new(p).name("a column name").map(|n| quoted(&n)))
                .collect::<Result<_, _>>()?;
            text = format!("{text} ({})", names.join(", "));
        }
        privileges.push(text);
        if !c.eat_op(",") {
            break;
        }
    }
    c.expect(&["on"])?;
    let target = target(&mut c)?;
    c.expect(&[preposition])?;
    let who = grantees(&mut c)?;
    let mut tail = String::new();
    if !revoke && c.eat(&["with", "grant", "option"]) {
        tail.push_str(" WITH GRANT OPTION");
    } else if revoke && c.eat(&["cascade"]) {
        tail.push_str(" CASCADE");
    } else if revoke {
        c.eat(&["restrict"]);
    }
    c.expect_done()?;
    let sql =
        format!("{verb} {option}{} ON {target} {} {who}{tail}", privileges.join(", "), preposition.to_uppercase());
    Ok(Translated::sql(command, sql))
}

fn target(c: &mut Cursor<'_>) -> Result<String, Refusal> {
    let at = c.at();
    if c.eat(&["all", "tables", "in", "schema"]) {
        return Ok(format!("ALL TABLES IN SCHEMA {}", names(c)?));
    }
    for (words, sql) in [(&["schema"][..], "SCHEMA"), (&["database"], "DATABASE"), (&["table"], "TABLE")] {
        if c.eat(words) {
            return Ok(format!("{sql} {}", names(c)?));
        }
    }
    for (word, sql) in [("procedure", "PROCEDURE"), ("function", "FUNCTION")] {
        if c.eat(&[word]) {
            let name = name_sql(&c.qualified("a name")?);
            let group = c.expect_parens("the types of the arguments")?;
            return Ok(format!("{sql} {name}{}", crate::procedure::signature(group)?));
        }
    }
    if let Some(node) =
        c.peek().filter(|n| n.is_any_word(&["language", "datashare", "all", "model", "column", "external", "tables"]))
    {
        return Err(Refusal::not_translated(
            at,
            format!("privileges ON {}", node.shown().to_uppercase()),
            "they are not supported",
        ));
    }
    names(c)
}

fn names(c: &mut Cursor<'_>) -> Result<String, Refusal> {
    let mut out = vec![name_sql(&c.qualified("a name")?)];
    while c.eat_op(",") {
        out.push(name_sql(&c.qualified("a name")?));
    }
    Ok(out.join(", "))
}
