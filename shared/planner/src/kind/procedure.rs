//! Kind `procedure`: calls a stored procedure.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use shiftwork_config::is_identifier;
use shiftwork_protocol::{Kind, Work, limits};
use shiftwork_sql::{Lexer, TokenKind, split};

use super::{Context, JobKind, unbound};
use crate::parameters;

/// Calls a stored procedure.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Procedure {
    /// The call, such as `load.orders(:run_date)`.
    call: String,
    /// Values of placeholders in the call, by name, in addition to the parameters of the run. They are sent as bound parameters.
    #[serde(default)]
    arguments: BTreeMap<String, Value>,
    /// Whether the call can be repeated although it may have committed. Without it, a call that failed is not retried,
    /// because a procedure can commit inside.
    #[serde(default)]
    repeatable: bool,
}

impl JobKind for Procedure {
    const KIND: Kind = Kind::Procedure;

    fn work(self, context: &mut Context) -> Option<Work> {
        let connection = context.connection();
        let placeholders = match read_call(&self.call) {
            Ok(placeholders) => placeholders,
            Err((message, hint)) => {
                let problem = context.field("call", message).hint(hint);
                context.problems.push(problem);
                return None;
            }
        };
        let before = context.problems.len();
        let arguments = self.arguments(&placeholders, context);
        let place = context.doc.place(&context.path.key("call"));
        // A problem with the value of an argument is reported already.
        let named =
            placeholders.iter().filter(|name| !self.arguments.contains_key(*name) || arguments.contains_key(*name));
        let parameters = context.bind(named, &arguments, &place);
        let sql = format!("CALL {}", self.call.trim());
        let mut warnings = {
            let mut known = context.parameters();
            known.extend(self.arguments.keys().map(String::as_str));
            unbound::in_statements(&split(&sql).unwrap_or_default(), &known, &|_| place.clone())
        };
        for (name, value) in &self.arguments {
            let place = context.doc.place(&context.path.key("arguments").key(name));
            let text = value.as_str().unwrap_or_default();
            warnings.extend(unbound::in_argument(text, &context.parameters(), &place));
        }
        context.warnings.extend(warnings);
        if sql.len() > limits::STATEMENT_BYTES {
            let message =
                format!("the call has {} bytes; the limit of the Data API is {}", sql.len(), limits::STATEMENT_BYTES);
            let problem = context.field("call", message);
            context.problems.push(problem);
        }
        (context.problems.len() == before).then_some(Work::Procedure {
            connection: connection?,
            sql,
            parameters,
            repeatable: self.repeatable,
        })
    }
}

impl Procedure {
    fn arguments(&self, placeholders: &BTreeSet<String>, context: &mut Context) -> BTreeMap<String, String> {
        let mut bound = BTreeMap::new();
        let path = context.path.key("arguments");
        for (name, value) in &self.arguments {
            let path = path.key(name);
            let problem = if !is_identifier(name) {
                Some((format!("`{name}` is not a valid name of an argument"), Some("use letters, digits and `_`")))
            } else if context.bindings.contains_key(name) {
                Some((format!("`{name}` is a parameter of the run"), Some("give the argument another name")))
            } else if placeholders.contains(name) {
                match parameters::literal(value) {
                    Ok(text) => {
                        bound.insert(name.clone(), text);
                        None
                    }
                    Err(message) => Some((message, None)),
                }
            } else {
                Some((
                    format!("the call does not use `:{name}`"),
                    Some("remove the argument: the Data API refuses a parameter that the statement does not use"),
                ))
            };
            if let Some((message, hint)) = problem {
                let problem = context.doc.problem(&path, message);
                context.problems.push(match hint {
                    Some(hint) => problem.hint(hint),
                    None => problem,
                });
            }
        }
        bound
    }
}

/// Checks that a call has the form `name(arguments)`. Returns its placeholders, or a message and a hint.
fn read_call(call: &str) -> Result<BTreeSet<String>, (String, String)> {
    const SHAPE: &str = "write `schema.procedure(:argument, …)`";
    let wrong = |message: String| (message, SHAPE.to_owned());
    let mut placeholders = BTreeSet::new();
    // The tokens before the first parenthesis, the number of open parentheses, and whether the last one was closed.
    let (mut name, mut depth, mut closed) = (Vec::new(), 0_usize, false);
    for token in Lexer::new(call.trim()) {
        let token = token.map_err(|problem| (problem.message, problem.hint.unwrap_or_else(|| SHAPE.to_owned())))?;
        let written = &call.trim()[token.start..token.end];
        if closed && token.kind == TokenKind::Semicolon {
            return Err(("there is a `;` after the call".into(), "remove it: a job makes one call".into()));
        }
        if closed && token.kind != TokenKind::Space {
            return Err(wrong(format!("there is `{written}` after the call")));
        }
        match token.kind {
            TokenKind::Space if depth == 0 && !closed => {
                return Err(wrong("the name of the procedure contains whitespace".into()));
            }
            TokenKind::Space => {}
            TokenKind::Open if depth == 0 && !is_name(&name) => {
                return Err(wrong(format!("`{}` is not a valid name of a procedure", &call.trim()[..token.start])));
            }
            TokenKind::Open => depth += 1,
            TokenKind::Close if depth == 0 => return Err(wrong("a `)` has no opening `(`".into())),
            TokenKind::Close => {
                depth -= 1;
                closed = depth == 0;
            }
            TokenKind::Semicolon => return Err(wrong("the call contains a `;`".into())),
            TokenKind::Comment => return Err(wrong("the call contains a comment".into())),
            TokenKind::Placeholder if depth > 0 => {
                placeholders.insert(written[1..].to_owned());
            }
            TokenKind::Word | TokenKind::QuotedIdentifier | TokenKind::Dot if depth == 0 => name.push(token.kind),
            TokenKind::Word
            | TokenKind::Number
            | TokenKind::QuotedIdentifier
            | TokenKind::Dot
            | TokenKind::Literal
            | TokenKind::Placeholder
            | TokenKind::Other => {
                if depth == 0 {
                    return Err(wrong(format!("the name of the procedure contains `{written}`")));
                }
            }
        }
    }
    if closed {
        Ok(placeholders)
    } else {
        Err(wrong("the call has no complete list of arguments in parentheses".into()))
    }
}

/// Returns true for the tokens of `a`, `a.b` or `a.b.c`.
fn is_name(tokens: &[TokenKind]) -> bool {
    matches!(tokens.len(), 1 | 3 | 5)
        && tokens.iter().enumerate().all(|(i, kind)| (*kind == TokenKind::Dot) == (i % 2 == 1))
}
