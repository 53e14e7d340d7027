//! Dispatches a statement by its first words to the module that translates it.

use crate::lexer::tokens;
use crate::refusal::Refusal;
use crate::tree::{Cursor, Node, nest, print};
use crate::{InTransaction, Step, Translated};

/// The state of one translation.
#[derive(Debug)]
pub(crate) struct Translator<'a> {
    /// Names of the parameters in the request; `None` where parameters are not allowed (utility statements, procedure bodies).
    known: Option<&'a [&'a str]>,
    /// The parameters that were found, in the order of their numbers.
    pub(crate) used: Vec<String>,
    /// True in the body of a SQL function, where `$1` is an argument.
    pub(crate) positional: bool,
    /// Variables of the surrounding procedure; `record.field` is then not a path into a SUPER value.
    pub(crate) variables: Vec<String>,
}

impl<'a> Translator<'a> {
    pub(crate) fn new(known: Option<&'a [&'a str]>) -> Self {
        Self { known, used: Vec::new(), positional: false, variables: Vec::new() }
    }

    /// The `$n` of a parameter.
    pub(crate) fn parameter(&mut self, name: &str, at: usize) -> Result<String, Refusal> {
        let Some(known) = self.known else {
            return Err(Refusal::not_redshift(at, format!(":{name}"), "parameters are not allowed in this statement"));
        };
        if !known.contains(&name) {
            return Err(Refusal::syntax(at, format!(":{name}"), "the request has no parameter of this name"));
        }
        let index = self.used.iter().position(|u| u == name).unwrap_or_else(|| {
            self.used.push(name.to_owned());
            self.used.len() - 1
        });
        Ok(format!("${}", index + 1))
    }
}

/// Parses a single statement; returns its nodes without the trailing `;`.
pub(crate) fn parse(sql: &str) -> Result<Vec<Node>, Refusal> {
    let (tokens, _) = tokens(sql)?;
    let mut nodes = nest(tokens)?;
    while nodes.last().is_some_and(|n| n.is_op(";")) {
        nodes.pop();
    }
    if let Some(semicolon) = nodes.iter().find(|n| n.is_op(";")) {
        return Err(Refusal::syntax(semicolon.at(), "\";\"", "only one statement is allowed"));
    }
    Ok(nodes)
}

pub(crate) fn statement(sql: &str, params: &[&str]) -> Result<Translated, Refusal> {
    let nodes = parse(sql)?;
    if nodes.is_empty() {
        return Err(Refusal::syntax(sql.len(), "end of input", "expected a statement"));
    }
    dispatch(&nodes, Some(params))
}

/// Translates parsed nodes; `params` is `None` inside procedures and quoted queries.
pub(crate) fn dispatch(nodes: &[Node], params: Option<&[&str]>) -> Result<Translated, Refusal> {
    let mut translator = Translator::new(params);
    let mut translated = run(nodes, &mut translator)?;
    translated.params = translator.used;
    Ok(translated)
}

/// Like [`dispatch`], with the state of the surrounding translation.
pub(crate) fn run(nodes: &[Node], t: &mut Translator<'_>) -> Result<Translated, Refusal> {
    let mut c = Cursor::new(nodes);
    let first = c.peek().and_then(Node::word).unwrap_or_default();
    match first.as_str() {
        "select" | "with" => crate::query::select(nodes, t),
        "insert" => crate::dml::insert(nodes, t),
        "update" => crate::dml::update(nodes, t),
        "delete" => crate::dml::delete(nodes, t),
        "merge" => crate::merge::merge(nodes, t),
        "call" => crate::dml::call(nodes, t),
        "explain" => crate::dml::explain(nodes, t),
        "create" => create(c, nodes, t),
        "alter" => crate::table_alter::alter(c, t),
        "drop" => crate::view::drop(c),
        "refresh" => crate::view::refresh(c),
        "truncate" => crate::maintenance::truncate(c),
        "analyze" | "analyse" => crate::maintenance::analyze(c),
        "vacuum" => crate::maintenance::vacuum(c),
        "lock" => crate::maintenance::lock(c),
        "comment" => crate::maintenance::comment(c, nodes),
        "copy" => crate::copy::copy(c),
        "unload" => crate::unload::unload(c),
        "grant" | "revoke" => crate::access::grant(c),
        "set" | "reset" => crate::session::set(c),
        "show" => crate::session::show(c),
        "begin" | "start" | "commit" | "end" | "rollback" | "abort" => crate::session::transaction(c),
        "" if c.peek().is_some_and(|n| n.parens().is_some()) => crate::query::select(nodes, t),
        "do" | "listen" | "notify" | "reindex" | "cluster" | "checkpoint" | "load" | "discard" | "savepoint"
        | "release" | "security" | "import" | "reassign" | "values" | "table" => {
            Err(Refusal::not_redshift(c.at(), first.to_uppercase(), format!("syntax error at or near \"{first}\"")))
        }
        "prepare" | "execute" | "deallocate" | "declare" | "fetch" | "close" | "cancel" | "use" | "desc"
        | "describe" | "attach" | "detach" => {
            Err(Refusal::not_translated(c.at(), first.to_uppercase(), "this statement is not supported"))
        }
        "" => Err(c.unexpected("a statement")),
        _ => {
            c.bump();
            Err(Refusal::malformed(nodes[0].at(), format!("\"{}\"", nodes[0].shown()), "unknown statement"))
        }
    }
}

fn create(mut c: Cursor<'_>, nodes: &[Node], t: &mut Translator<'_>) -> Result<Translated, Refusal> {
    c.bump();
    let at = c.at();
    let or_replace = c.eat(&["or", "replace"]);
    let word = c.peek().and_then(Node::word).unwrap_or_default();
    match word.as_str() {
        "temp" | "temporary" | "local" | "table" | "global" if !or_replace => crate::table::create(c, t),
        "view" => crate::view::create(c, or_replace, t),
        "materialized" if !or_replace => crate::view::create_materialized(c, t),
        "schema" if !or_replace => crate::view::create_schema(c),
        "procedure" => crate::procedure::create(c, or_replace),
        "function" => crate::procedure::create_function(c, or_replace),
        "user" | "group" | "role" if !or_replace => crate::access::create(c),
        "index" | "unique" | "sequence" | "trigger" | "type" | "domain" | "rule" | "extension" | "operator"
        | "aggregate" | "cast" | "conversion" | "language" | "policy" | "server" | "publication" | "subscription"
        | "statistics" | "tablespace" | "collation" | "event" | "unlogged" | "recursive" | "constraint" | "foreign" => {
            Err(Refusal::not_redshift(
                at,
                format!("CREATE {}", word.to_uppercase()),
                format!("syntax error at or near \"{word}\""),
            ))
        }
        "external" | "database" | "datashare" | "library" | "model" | "masking" | "rls" | "identity" => {
            Err(Refusal::not_translated(at, format!("CREATE {}", word.to_uppercase()), "it has no local counterpart"))
        }
        _ => Err(Refusal::syntax(
            at,
            format!("\"{}\"", c.peek().map_or_else(String::new, Node::shown)),
            "expected a kind of object after CREATE",
        )
        .located_after(nodes)),
    }
}

impl Refusal {
    /// Moves a refusal without a position to the end of the statement.
    fn located_after(mut self, nodes: &[Node]) -> Self {
        if self.offset == 0 {
            self.offset = nodes.last().map_or(0, Node::at);
        }
        self
    }
}

impl Translated {
    pub(crate) fn sql(command: &'static str, sql: impl Into<String>) -> Self {
        Self::steps(command, vec![Step::Sql(sql.into())])
    }

    pub(crate) fn steps(command: &'static str, steps: Vec<Step>) -> Self {
        Self {
            steps,
            params: Vec::new(),
            returns_rows: false,
            command,
            commits: false,
            in_transaction: InTransaction::Taken,
        }
    }

    /// A statement without a local effect: it changes only the storage of data in Redshift.
    pub(crate) fn nothing(command: &'static str) -> Self {
        Self::steps(command, Vec::new())
    }

    pub(crate) fn rows(mut self) -> Self {
        self.returns_rows = true;
        self
    }

    pub(crate) fn committing(mut self) -> Self {
        self.commits = true;
        self
    }

    pub(crate) fn inside_a_transaction(mut self) -> Self {
        self.in_transaction = InTransaction::Needed;
        self
    }

    pub(crate) fn outside_transactions(mut self) -> Self {
        self.in_transaction = InTransaction::Refused;
        self
    }
}

/// The text of nodes, without leading white space.
pub(crate) fn printed(nodes: &[Node]) -> String {
    print(nodes).trim_start().to_owned()
}
