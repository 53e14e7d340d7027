//! Parameters in places where the Data API does not bind them.

use crate::{Lexer, Position, Statement, Token, TokenKind, placeholders, shape::Parts};

/// What looks like a parameter and is not bound as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unbound {
    /// Position in the script.
    pub position: Position,
    /// The text as written, such as `:day`, `$1` or `{day}`.
    pub written: String,
    /// The name without its marks.
    pub name: String,
    /// The reason why it is not bound.
    pub cause: Unboundable,
}

/// The reason why the Data API does not bind a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unboundable {
    /// A placeholder in a statement that takes no parameters; the field is the first words of the statement.
    Command(String),
    /// A placeholder in place of the name of an object. A parameter is a value.
    ObjectName,
    /// A placeholder after a type, such as `DATE :day`. Only a literal can follow.
    TypedLiteral(String),
    /// The name of a parameter in a string, a dollar quote or a quoted identifier, which is text: [`marked`].
    Quoted,
    /// A placeholder in the query of `UNLOAD`, which is a string.
    UnloadQuery,
    /// A `:name` directly after a word, which is not a placeholder.
    InsideWord,
    /// A parameter in the form of another client: `$1`, `?`, `@name`, `{name}`, `$name`, `&name`, `%(name)s`, `:'name'`.
    OtherForm,
}

/// Returns the parameters of a statement that are not bound. `is_parameter` tells whether the run has a parameter of a name: text in quotes
/// is reported for such names only.
pub fn unbound(statement: &Statement, is_parameter: &dyn Fn(&str) -> bool) -> Vec<Unbound> {
    let tokens = Lexer::as_redshift(&statement.text).map_while(Result::ok);
    let tokens = tokens.filter(|token| !matches!(token.kind, TokenKind::Space | TokenKind::Comment)).collect();
    let mut search = Search { statement, tokens, queries: Vec::new(), is_parameter, found: Vec::new() };
    search.run();
    search.found
}

struct Search<'a> {
    statement: &'a Statement,
    /// The tokens without whitespace and comments.
    tokens: Vec<Token>,
    /// For each open parenthesis, whether it begins a query.
    queries: Vec<bool>,
    is_parameter: &'a dyn Fn(&str) -> bool,
    found: Vec<Unbound>,
}

impl<'a> Search<'a> {
    fn run(&mut self) {
        let command = command_without_parameters(self.statement.shape.parts());
        let is_unload = self.statement.shape.parts().begins(&["UNLOAD", "("]);
        for at in 0..self.tokens.len() {
            let token = self.tokens[at];
            match token.kind {
                TokenKind::Open => {
                    let next = self.word(at + 1);
                    self.queries.push(matches!(next.as_deref(), Some("SELECT" | "WITH")));
                }
                TokenKind::Close => {
                    self.queries.pop();
                }
                TokenKind::Placeholder => {
                    let written = self.text(at);
                    if let Some(cause) = command.clone().map(Unboundable::Command).or_else(|| self.misplaced(at)) {
                        self.add(token.start, written, &written[1..], cause);
                    }
                }
                TokenKind::Literal if is_unload && at == 2 => self.unload_query(token),
                TokenKind::Literal | TokenKind::QuotedIdentifier => self.quoted(token),
                TokenKind::Other => self.other_form(at),
                TokenKind::Space
                | TokenKind::Comment
                | TokenKind::Word
                | TokenKind::Number
                | TokenKind::Semicolon
                | TokenKind::Dot => {}
            }
        }
    }

    fn add(&mut self, at: usize, written: &str, name: &str, cause: Unboundable) {
        let position = self.statement.position(at);
        self.found.push(Unbound { position, written: written.to_owned(), name: name.to_owned(), cause });
    }

    /// The text of a token; empty after the last one.
    fn text(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| &self.statement.text[token.start..token.end])
    }

    /// The token in upper case if it is a word.
    fn word(&self, at: usize) -> Option<String> {
        let token = self.tokens.get(at).filter(|token| token.kind == TokenKind::Word)?;
        Some(self.statement.text[token.start..token.end].to_ascii_uppercase())
    }

    /// Returns true if a token and the next one stand next to each other.
    fn touches_next(&self, at: usize) -> bool {
        self.tokens.get(at).zip(self.tokens.get(at + 1)).is_some_and(|(token, next)| token.end == next.start)
    }

    /// Returns why the placeholder at this token is not bound because of the tokens around it.
    fn misplaced(&self, at: usize) -> Option<Unboundable> {
        let before = at.checked_sub(1)?;
        if self.text(before) == "." || self.text(at + 1) == "." {
            return Some(Unboundable::ObjectName);
        }
        let in_query = self.queries.last().copied().unwrap_or(true);
        let word = self.word(before)?;
        match word.as_str() {
            "DATE" | "TIME" | "TIMETZ" | "TIMESTAMP" | "TIMESTAMPTZ" | "INTERVAL" => {
                Some(Unboundable::TypedLiteral(word))
            }
            // In a function, `FROM` is followed by a value: `EXTRACT(year FROM :day)`.
            "FROM" if in_query && before.checked_sub(1).and_then(|at| self.word(at)).as_deref() != Some("DISTINCT") => {
                Some(Unboundable::ObjectName)
            }
            "INTO" | "JOIN" | "UPDATE" | "TABLE" | "CALL" => Some(Unboundable::ObjectName),
            _ => None,
        }
    }

    /// Reports names of parameters in a token that is text.
    fn quoted(&mut self, token: Token) {
        let text = &self.statement.text[token.start..token.end];
        // In the body of a procedure, `&` is an operator.
        let is_body = text.starts_with('$');
        for Marked { at, written, name } in marked(text, self.is_parameter) {
            if !(is_body && written.starts_with('&')) {
                self.add(token.start + at, written, name, Unboundable::Quoted);
            }
        }
    }

    /// Reports the placeholders of the query of an `UNLOAD`, whose other text is checked as text in quotes.
    fn unload_query(&mut self, token: Token) {
        let text = &self.statement.text[token.start..token.end];
        let query = match text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
            Some(query) => query.replace("''", "'").replace("\\'", "'"),
            None => text.trim_start_matches(['e', 'E']).trim_matches(['\'', '$']).to_owned(),
        };
        let names = placeholders(&query);
        for name in &names {
            let written = format!(":{name}");
            let at = token.start + text.find(&written).unwrap_or(0);
            self.add(at, &written, name, Unboundable::UnloadQuery);
        }
        let before = self.found.len();
        self.quoted(token);
        let mut at = 0;
        self.found.retain(|unbound| {
            at += 1;
            at <= before || !names.contains(&unbound.name.as_str())
        });
    }

    /// Returns true if the token at `at` follows a value or a name, so that it can be an operator. A word that is not in the list can be a
    /// name.
    fn follows_operand(&self, at: usize) -> bool {
        const BEFORE_A_VALUE: [&str; 24] = [
            "ALL", "AND", "BETWEEN", "BY", "CASE", "DISTINCT", "ELSE", "FROM", "HAVING", "ILIKE", "IN", "INTO", "JOIN",
            "LIKE", "LIMIT", "NOT", "OFFSET", "ON", "OR", "SELECT", "SET", "THEN", "WHEN", "WHERE",
        ];
        let Some(before) = at.checked_sub(1) else { return false };
        match self.tokens[before].kind {
            TokenKind::Word => self.word(before).is_some_and(|word| !BEFORE_A_VALUE.contains(&word.as_str())),
            TokenKind::Number
            | TokenKind::QuotedIdentifier
            | TokenKind::Literal
            | TokenKind::Placeholder
            | TokenKind::Close => true,
            TokenKind::Other => self.text(before) == "]",
            TokenKind::Space | TokenKind::Comment | TokenKind::Semicolon | TokenKind::Open | TokenKind::Dot => false,
        }
    }

    /// Reports parameters in the form of other clients, and a `:name` inside a word. The token at `at` is neither a word nor a number.
    fn other_form(&mut self, at: usize) {
        let token = self.tokens[at];
        let follows_operator = at
            .checked_sub(1)
            .is_some_and(|before| self.tokens[before].kind == TokenKind::Other && self.touches_next(before));
        let (next, touches) = (self.text(at + 1), self.touches_next(at));
        let next_is_word = self.word(at + 1).is_some();
        let names_parameter = touches && next_is_word && (self.is_parameter)(next);
        match self.text(at) {
            ":" if names_parameter => {
                let before = at.checked_sub(1).filter(|before| self.touches_next(*before));
                let start = before.map_or(token.start, |before| self.tokens[before].start);
                let written = &self.statement.text[start..self.tokens[at + 1].end];
                self.add(start, written, next, Unboundable::InsideWord);
            }
            // The forms of psql and RSQL.
            ":" if touches && matches!(next.as_bytes().first(), Some(b'\'' | b'"')) => {
                let name = next.trim_matches(['\'', '"']);
                if (self.is_parameter)(name) {
                    self.add(token.start, &format!(":{next}"), name, Unboundable::OtherForm);
                }
            }
            // The parameters of a prepared statement are `$1`, `$2` ….
            "$" if touches
                && next.bytes().all(|b| b.is_ascii_digit())
                && self.word(0).as_deref() != Some("PREPARE") =>
            {
                self.add(token.start, &format!("${next}"), next, Unboundable::OtherForm);
            }
            mark @ ("$" | "&") if names_parameter && (mark == "$" || !self.follows_operand(at)) => {
                self.add(token.start, &format!("{mark}{next}"), next, Unboundable::OtherForm);
            }
            "%" if touches && next == "(" && self.text(at + 3) == ")" && !self.follows_operand(at) => {
                let (name, is_typed) = (self.text(at + 2), self.touches_next(at + 3) && self.word(at + 4).is_some());
                if is_typed && (self.is_parameter)(name) {
                    let written = &self.statement.text[token.start..self.tokens[at + 4].end];
                    self.add(token.start, written, name, Unboundable::OtherForm);
                }
            }
            "@" if touches && next_is_word && !follows_operator => {
                self.add(token.start, &format!("@{next}"), next, Unboundable::OtherForm);
            }
            "?" if !follows_operator => self.add(token.start, "?", "", Unboundable::OtherForm),
            "{" if next_is_word && self.text(at + 2).starts_with('}') => {
                let opens = at.checked_sub(1).is_some_and(|before| matches!(self.text(before), "{" | "$"));
                let start = if opens { self.tokens[at - 1].start } else { token.start };
                let closes_twice = self.text(at + 3) == "}";
                let end = self.tokens[if closes_twice { at + 3 } else { at + 2 }].end;
                let written = &self.statement.text[start..end];
                self.add(start, written, next, Unboundable::OtherForm);
            }
            _ => {}
        }
    }
}

/// The name of a parameter with the marks of a placeholder, in text that is not SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marked<'a> {
    /// Byte offset of the first mark.
    pub at: usize,
    /// The name with its marks.
    pub written: &'a str,
    /// The name without its marks.
    pub name: &'a str,
}

/// Returns the names of parameters in a text that have the marks of a placeholder of shiftwork or of another client: `:name`, `{name}`,
/// `${name}`, `{{ name }}`, `$name`, `&name`, `%(name)s`.
pub fn marked<'a>(text: &'a str, is_parameter: &dyn Fn(&str) -> bool) -> Vec<Marked<'a>> {
    let marks = text.match_indices([':', '{', '$', '&', '%']);
    let found = marks.filter_map(|(at, _)| {
        let before = text[..at].chars().next_back();
        let (name, after) = after_mark(before, &text[at..])?;
        is_parameter(name).then(|| Marked { at, written: &text[at..text.len() - after.len()], name })
    });
    found.collect()
}

/// Reads a mark and the name of a parameter from the beginning of `text`. Returns the name and the text after it.
fn after_mark(before: Option<char>, text: &str) -> Option<(&str, &str)> {
    let follows_name = before.is_some_and(is_name);
    if let Some(rest) = text.strip_prefix("{{") {
        let (name, rest) = name_and_rest(rest.trim_start())?;
        return Some((name, rest.trim_start().strip_prefix("}}")?));
    }
    if let Some(rest) = text.strip_prefix("${").or_else(|| text.strip_prefix('{')) {
        // The mark before has the name already.
        if text.starts_with('{') && matches!(before, Some('{' | '$')) {
            return None;
        }
        let (name, rest) = name_and_rest(rest)?;
        return Some((name, rest.strip_prefix('}')?));
    }
    if let Some(rest) = text.strip_prefix("%(") {
        let (name, rest) = name_and_rest(rest)?;
        return Some((name, rest.strip_prefix(')')?.strip_prefix(|c: char| c.is_ascii_alphabetic())?));
    }
    let (name, rest) = name_and_rest(text.get(1..)?)?;
    let is_marked = match text.chars().next()? {
        ':' => !follows_name && before != Some(':'),
        // `$name$` begins or ends a dollar quote.
        '$' => before != Some('$') && !rest.starts_with('$'),
        // `&name=` is a part of a URL, and `&name;` is a character of HTML.
        '&' => !follows_name && !rest.starts_with(['=', ';']),
        _ => false,
    };
    is_marked.then_some((name, rest))
}

/// Divides a text after the name at its beginning; `None` if it does not begin with a name.
fn name_and_rest(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !is_name(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

const fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The first words of a statement that takes no parameters; `None` for other statements. PostgreSQL's protocol, which Redshift uses, has
/// parameters in `SELECT`, `INSERT`, `UPDATE`, `DELETE`, `MERGE`, `CALL` and `CREATE TABLE … AS`.
fn command_without_parameters(parts: Parts) -> Option<String> {
    const COMMANDS: [&str; 23] = [
        "ALTER", "ANALYSE", "ANALYZE", "ATTACH", "COMMENT", "COPY", "CREATE", "DESC", "DESCRIBE", "DETACH", "DROP",
        "GRANT", "LOCK", "REFRESH", "RESET", "REVOKE", "SET", "SHOW", "TRUNCATE", "UNLOAD", "USE", "VACUUM", "CANCEL",
    ];
    let first = parts.first()?;
    let mut rest = parts;
    let is_table_of_a_query = rest.eat(&["CREATE"]) && {
        rest.eat(&["LOCAL"]);
        rest.eat_one_of(&["TEMP", "TEMPORARY"]);
        rest.eat(&["TABLE"]) && (rest.contains(&["AS"]))
    };
    let has_one_word =
        ["COPY", "UNLOAD", "SET", "RESET", "SHOW", "USE", "GRANT", "REVOKE", "VACUUM", "LOCK"].contains(&first);
    (COMMANDS.contains(&first) && !is_table_of_a_query).then(|| parts.words(if has_one_word { 1 } else { 2 }))
}
