//! Token trees: tokens nested by parentheses and brackets, and a cursor over them.

use crate::lexer::{Kind, Token};
use crate::refusal::Refusal;

/// Maximum nesting of parentheses; it limits the depth of recursion and so prevents a stack overflow.
const MAX_DEPTH: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Token(Token),
    Group(Group),
}

/// `( … )` or `[ … ]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) open: Token,
    pub(crate) body: Vec<Node>,
    pub(crate) close: Token,
}

impl Node {
    pub(crate) fn at(&self) -> usize {
        match self {
            Node::Token(t) => t.at,
            Node::Group(g) => g.open.at,
        }
    }

    pub(crate) fn token(&self) -> Option<&Token> {
        match self {
            Node::Token(t) => Some(t),
            Node::Group(_) => None,
        }
    }

    fn kind_is(&self, kind: Kind) -> bool {
        self.token().is_some_and(|t| t.kind == kind)
    }

    /// True if the node is the unquoted word `word`, which must be in lower case.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.token().is_some_and(|t| t.kind == Kind::Word && t.text.eq_ignore_ascii_case(word))
    }

    pub(crate) fn is_any_word(&self, words: &[&str]) -> bool {
        words.iter().any(|w| self.is_word(w))
    }

    /// The unquoted word, in lower case.
    pub(crate) fn word(&self) -> Option<String> {
        self.token().filter(|t| t.kind == Kind::Word).map(|t| t.text.to_lowercase())
    }

    pub(crate) fn is_op(&self, op: &str) -> bool {
        self.token().is_some_and(|t| t.kind == Kind::Op && t.text == op)
    }

    pub(crate) fn is_name(&self) -> bool {
        self.kind_is(Kind::Word) || self.kind_is(Kind::Quoted)
    }

    /// The name as Redshift stores it: in lower case, whether it is quoted or not.
    pub(crate) fn name(&self) -> Option<String> {
        let token = self.token()?;
        match token.kind {
            Kind::Word => Some(token.text.to_lowercase()),
            Kind::Quoted => Some(token.text[1..token.text.len() - 1].replace("\"\"", "\"").to_lowercase()),
            Kind::Str
            | Kind::Dollar
            | Kind::Number
            | Kind::Param
            | Kind::Positional
            | Kind::Op
            | Kind::Open
            | Kind::Close => None,
        }
    }

    pub(crate) fn is_string(&self) -> bool {
        self.kind_is(Kind::Str)
    }

    pub(crate) fn is_number(&self) -> bool {
        self.kind_is(Kind::Number)
    }

    pub(crate) fn parens(&self) -> Option<&Group> {
        match self {
            Node::Group(g) if g.open.text == "(" => Some(g),
            Node::Group(_) | Node::Token(_) => None,
        }
    }

    pub(crate) fn brackets(&self) -> Option<&Group> {
        match self {
            Node::Group(g) if g.open.text == "[" => Some(g),
            Node::Group(_) | Node::Token(_) => None,
        }
    }

    /// The source text of the node, for messages.
    pub(crate) fn shown(&self) -> String {
        let text = print(std::slice::from_ref(self));
        let text = text.trim();
        if text.chars().count() > 60 {
            format!("{}…", text.chars().take(60).collect::<String>())
        } else {
            text.to_owned()
        }
    }

    pub(crate) fn lead_mut(&mut self) -> &mut String {
        match self {
            Node::Token(t) => &mut t.lead,
            Node::Group(g) => &mut g.open.lead,
        }
    }
}

/// Nests tokens by parentheses and brackets.
pub(crate) fn nest(tokens: Vec<Token>) -> Result<Vec<Node>, Refusal> {
    let mut stack: Vec<(Token, Vec<Node>)> = Vec::new();
    let mut level: Vec<Node> = Vec::new();
    for token in tokens {
        match token.kind {
            Kind::Open => {
                if stack.len() >= MAX_DEPTH {
                    return Err(Refusal::not_translated(
                        token.at,
                        "(",
                        format!("parentheses nested deeper than {MAX_DEPTH}"),
                    ));
                }
                stack.push((token, std::mem::take(&mut level)));
            }
            Kind::Close => {
                let Some((open, outer)) = stack.pop() else {
                    return Err(Refusal::malformed(
                        token.at,
                        format!("\"{}\"", token.text),
                        "there is no matching opening parenthesis",
                    ));
                };
                if (open.text == "(") != (token.text == ")") {
                    return Err(Refusal::malformed(
                        token.at,
                        format!("\"{}\"", token.text),
                        format!("it does not match \"{}\"", open.text),
                    ));
                }
                let body = std::mem::replace(&mut level, outer);
                level.push(Node::Group(Group { open, body, close: token }));
            }
            Kind::Word
            | Kind::Quoted
            | Kind::Str
            | Kind::Dollar
            | Kind::Number
            | Kind::Param
            | Kind::Positional
            | Kind::Op => {
                level.push(Node::Token(token));
            }
        }
    }
    match stack.pop() {
        Some((open, _)) => Err(Refusal::malformed(open.at, format!("\"{}\"", open.text), "it is not closed")),
        None => Ok(level),
    }
}

/// The text of the nodes, including white space and comments.
pub(crate) fn print(nodes: &[Node]) -> String {
    let mut out = String::new();
    print_into(nodes, &mut out);
    out
}

fn print_into(nodes: &[Node], out: &mut String) {
    for node in nodes {
        match node {
            Node::Token(t) => push(out, t),
            Node::Group(g) => {
                push(out, &g.open);
                print_into(&g.body, out);
                push(out, &g.close);
            }
        }
    }
}

/// Appends a token; inserts a space if it would otherwise form one word with the preceding token.
fn push(out: &mut String, token: &Token) {
    let wordy = |c: char| c == '_' || c == '$' || c.is_alphanumeric();
    if token.lead.is_empty()
        && out.chars().next_back().is_some_and(|c| wordy(c) || c == '"' || c == '\'')
        && token.text.chars().next().is_some_and(|c| wordy(c) || c == '"' || c == '\'')
    {
        out.push(' ');
    }
    out.push_str(&token.lead);
    out.push_str(&token.text);
}

/// Splits nodes at the commas of this level; no nodes give no parts.
pub(crate) fn split_commas(nodes: &[Node]) -> Vec<&[Node]> {
    if nodes.is_empty() { Vec::new() } else { nodes.split(|n| n.is_op(",")).collect() }
}

/// A token that the translation inserts.
pub(crate) fn made(kind: Kind, text: impl Into<String>, at: usize) -> Node {
    Node::Token(Token { lead: String::new(), kind, text: text.into(), at })
}

/// A string literal for PostgreSQL with `standard_conforming_strings` on.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A quoted identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A cursor that parses a statement from left to right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    nodes: &'a [Node],
    pos: usize,
    /// The offset of errors at the end of the statement.
    end: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(nodes: &'a [Node]) -> Self {
        Self { nodes, pos: 0, end: nodes.last().map_or(0, Node::at) }
    }

    pub(crate) fn peek(&self) -> Option<&'a Node> {
        self.nodes.get(self.pos)
    }

    pub(crate) fn peek_at(&self, n: usize) -> Option<&'a Node> {
        self.nodes.get(self.pos + n)
    }

    pub(crate) fn bump(&mut self) -> Option<&'a Node> {
        let node = self.peek();
        self.pos += usize::from(node.is_some());
        node
    }

    pub(crate) fn rest(&self) -> &'a [Node] {
        &self.nodes[self.pos..]
    }

    pub(crate) fn skip(&mut self, n: usize) {
        self.pos = (self.pos + n).min(self.nodes.len());
    }

    pub(crate) fn done(&self) -> bool {
        self.pos >= self.nodes.len()
    }

    /// Offset of the next node, or the end offset if there is none.
    pub(crate) fn at(&self) -> usize {
        self.peek().map_or(self.end, Node::at)
    }

    pub(crate) fn sees(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(i, w)| self.peek_at(i).is_some_and(|n| n.is_word(w)))
    }

    /// Consumes the words if all of them come next.
    pub(crate) fn eat(&mut self, words: &[&str]) -> bool {
        let seen = self.sees(words);
        if seen {
            self.pos += words.len();
        }
        seen
    }

    pub(crate) fn eat_op(&mut self, op: &str) -> bool {
        let seen = self.peek().is_some_and(|n| n.is_op(op));
        self.pos += usize::from(seen);
        seen
    }

    pub(crate) fn expect(&mut self, words: &[&str]) -> Result<(), Refusal> {
        if self.eat(words) { Ok(()) } else { Err(self.unexpected(&words.join(" ").to_uppercase())) }
    }

    pub(crate) fn expect_parens(&mut self, what: &str) -> Result<&'a Group, Refusal> {
        let group = self.peek().and_then(Node::parens).ok_or_else(|| self.unexpected(what))?;
        self.pos += 1;
        Ok(group)
    }

    pub(crate) fn expect_done(&self) -> Result<(), Refusal> {
        if self.done() { Ok(()) } else { Err(self.unexpected("the end of the statement")) }
    }

    /// A syntax error "expected …" at the next node.
    pub(crate) fn unexpected(&self, expected: &str) -> Refusal {
        let found = self.peek().map_or_else(|| "end of input".to_owned(), |n| format!("\"{}\"", n.shown()));
        Refusal::syntax(self.at(), found, format!("expected {expected}"))
    }

    /// Parses a name, folded to lower case.
    pub(crate) fn name(&mut self, what: &str) -> Result<String, Refusal> {
        let node = self.peek().filter(|n| n.is_name()).ok_or_else(|| self.unexpected(what))?;
        let name = crate::names::checked(node)?;
        self.pos += 1;
        Ok(name)
    }

    /// Parses a dotted name of one to three parts.
    pub(crate) fn qualified(&mut self, what: &str) -> Result<Vec<String>, Refusal> {
        let at = self.at();
        let mut parts = vec![self.name(what)?];
        while self.eat_op(".") {
            parts.push(self.name(what)?);
        }
        match parts.len() {
            1 | 2 => Ok(parts),
            3 => Err(Refusal::not_translated(
                at,
                format!("the three-part name {}", parts.join(".")),
                "only the current database can be accessed",
            )
            .instead("schema.name")),
            _ => Err(Refusal::syntax(at, parts.join("."), "improper qualified name (too many dotted names)")),
        }
    }
}
