//! The body of a procedure: PL/pgSQL with SQL statements that are translated like all others.
//!
//! The body is split at `;` into pieces. Leading PL/pgSQL keywords of a piece (`BEGIN`, `ELSE`, `LOOP`, `IF … THEN`)
//! are consumed one by one; the remainder is a PL/pgSQL statement, whose expressions are rewritten, or a SQL statement.

use crate::Step;
use crate::expression::rewrite;
use crate::lexer::Kind;
use crate::procedure::body_nodes;
use crate::refusal::Refusal;
use crate::scope::Scope;
use crate::translator::Translator;
use crate::tree::{Cursor, Node, literal, made, print, quoted};
use crate::types::{self, Use};

/// Translates a procedure body to PostgreSQL's PL/pgSQL; the offsets of refusals refer to `text`.
pub(crate) fn body(text: &str, arguments: Vec<String>) -> Result<String, Refusal> {
    let (nodes, tail) = body_nodes(text)?;
    let mut body = Body { variables: arguments, out: String::new(), declaring: false };
    body.loops(&nodes);
    let pieces: Vec<&[Node]> = nodes.split(|n| n.is_op(";")).collect();
    for (i, piece) in pieces.iter().enumerate() {
        body.piece(piece)?;
        if i + 1 < pieces.len() {
            body.out.push(';');
        }
    }
    body.out.push_str(&tail);
    Ok(body.out)
}

struct Body {
    variables: Vec<String>,
    out: String,
    declaring: bool,
}

impl Body {
    fn translator(&self) -> Translator<'static> {
        let mut t = Translator::new(None);
        t.variables.clone_from(&self.variables);
        t.positional = true;
        t
    }

    /// Collects loop variables, which need no declaration.
    fn loops(&mut self, nodes: &[Node]) {
        for pair in nodes.windows(3) {
            if pair[0].is_word("for") && pair[2].is_word("in") {
                self.variables.extend(pair[1].name());
            }
        }
    }

    fn keep(&mut self, nodes: &[Node]) {
        self.out.push_str(&print(nodes));
    }

    fn space(&mut self) {
        if !self.out.ends_with(char::is_whitespace) && !self.out.is_empty() {
            self.out.push(' ');
        }
    }

    fn expression(&mut self, nodes: &[Node]) -> Result<(), Refusal> {
        let mut t = self.translator();
        let scope = Scope::default();
        let text = print(&rewrite(nodes, &mut t, &scope)?);
        self.out.push_str(&text);
        Ok(())
    }

    fn piece(&mut self, mut piece: &[Node]) -> Result<(), Refusal> {
        while let Some(first) = piece.first() {
            let word = first.word().unwrap_or_default();
            let second = piece.get(1).and_then(Node::word).unwrap_or_default();
            if self.declaring && word != "begin" {
                return self.declaration(piece);
            }
            let taken = match word.as_str() {
                "declare" => {
                    self.declaring = true;
                    1
                }
                "begin" => {
                    self.declaring = false;
                    1
                }
                "else" | "loop" => 1,
                "exception" => {
                    // `WHEN OTHERS THEN` is the only supported handler.
                    if !Cursor::new(piece).sees(&["exception", "when", "others", "then"]) {
                        return Err(Refusal::not_redshift(
                            first.at(),
                            "EXCEPTION",
                            "the only condition is WHEN OTHERS",
                        ));
                    }
                    4
                }
                "if" | "elsif" | "elseif" | "while" => {
                    self.until(piece, if word == "while" { "loop" } else { "then" })?
                }
                "when" => self.until(piece, "then")?,
                "case" => self.case(piece)?,
                "for" => self.for_loop(piece)?,
                "end" if matches!(second.as_str(), "if" | "loop" | "case") || piece.len() <= 2 => {
                    self.keep(piece);
                    return Ok(());
                }
                "" if first.is_op("<<") => {
                    let end = piece.iter().position(|n| n.is_op(">>")).map_or(piece.len(), |i| i + 1);
                    self.keep(&piece[..end]);
                    piece = &piece[end..];
                    continue;
                }
                _ => return self.statement(piece),
            };
            if !matches!(word.as_str(), "if" | "elsif" | "elseif" | "while" | "when" | "case" | "for") {
                self.keep(&piece[..taken]);
            }
            piece = &piece[taken..];
        }
        Ok(())
    }

    /// Copies keywords such as `IF … THEN` and rewrites the condition between them. Returns the number of consumed
    /// nodes.
    fn until(&mut self, piece: &[Node], end: &str) -> Result<usize, Refusal> {
        // The THENs of a CASE do not end the condition.
        let mut depth = 0_usize;
        for (i, node) in piece.iter().enumerate().skip(1) {
            if node.is_word("case") {
                depth += 1;
            } else if node.is_word("end") {
                depth = depth.saturating_sub(1);
            } else if depth == 0 && node.is_word(end) {
                self.keep(&piece[..1]);
                self.expression(&piece[1..i])?;
                self.keep(&piece[i..=i]);
                return Ok(i + 1);
            }
        }
        Err(Refusal::syntax(
            piece[0].at(),
            piece[0].shown().to_uppercase(),
            format!("expected {} after it", end.to_uppercase()),
        ))
    }

    fn case(&mut self, piece: &[Node]) -> Result<usize, Refusal> {
        let end = piece.iter().position(|n| n.is_word("when")).unwrap_or(piece.len());
        self.keep(&piece[..1]);
        self.expression(&piece[1..end])?;
        Ok(end)
    }

    /// `FOR i IN 1..10 LOOP`, `FOR r IN SELECT … LOOP`, `FOR r IN EXECUTE … LOOP`.
    fn for_loop(&mut self, piece: &[Node]) -> Result<usize, Refusal> {
        let Some(end) = piece.iter().position(|n| n.is_word("loop")) else {
            return Err(Refusal::syntax(piece[0].at(), "FOR", "expected LOOP after it"));
        };
        let Some(start) = piece.iter().position(|n| n.is_word("in")).filter(|&i| i < end) else {
            return Err(Refusal::syntax(piece[0].at(), "FOR", "expected IN after the variable"));
        };
        self.keep(&piece[..=start]);
        let source = &piece[start + 1..end];
        match source.first() {
            Some(n) if n.is_any_word(&["select", "with"]) || n.parens().is_some() => {
                let mut t = self.translator();
                let text = print(&crate::query::level(source, &mut t, &Scope::default())?);
                self.out.push_str(&text);
            }
            Some(n) if n.is_word("execute") => self.execute(source)?,
            _ => self.expression(source)?,
        }
        self.keep(&piece[end..=end]);
        Ok(end + 1)
    }

    /// `name [CONSTANT] type [NOT NULL] [{DEFAULT | :=} expression]`.
    fn declaration(&mut self, piece: &[Node]) -> Result<(), Refusal> {
        let mut c = Cursor::new(piece);
        let lead = piece[0].token().map(|t| t.lead.clone()).unwrap_or_default();
        let name = c.name("the name of a variable")?;
        self.variables.push(name.clone());
        let mut text = format!("{lead}{}", quoted(&name));
        if c.eat(&["constant"]) {
            text.push_str(" CONSTANT");
        }
        if c.sees(&["alias"]) {
            self.keep(piece);
            return Ok(());
        }
        let rest = c.rest();
        let end = rest
            .iter()
            .position(|n| n.is_op(":=") || n.is_op("=") || n.is_any_word(&["default", "not"]))
            .unwrap_or(rest.len());
        let ty = &rest[..end];
        let mut probe = Cursor::new(ty);
        let cursor = ty.first().is_some_and(|n| n.is_word("cursor"));
        if cursor {
            return self.cursor(&text, rest);
        }
        let copied = ty.iter().any(|n| n.is_op("%"));
        match types::parse(&mut probe, Use::Expression)? {
            Some(found) if probe.done() => text.push_str(&format!(" {}", found.sql)),
            _ if copied => text.push_str(&print(ty)),
            _ => return Err(probe.unexpected("a data type")),
        }
        c.skip(end);
        if c.eat(&["not", "null"]) {
            text.push_str(" NOT NULL");
        }
        self.out.push_str(&text);
        if c.eat_op(":=") || c.eat_op("=") || c.eat(&["default"]) {
            self.out.push_str(" := ");
            let value = c.rest().to_vec();
            self.expression(&value)?;
        } else {
            c.expect_done()?;
        }
        Ok(())
    }

    fn cursor(&mut self, head: &str, rest: &[Node]) -> Result<(), Refusal> {
        let Some(start) = rest.iter().position(|n| n.is_any_word(&["for", "is"])) else {
            return Err(Refusal::syntax(rest[0].at(), "CURSOR", "expected FOR and a query after it"));
        };
        let mut t = self.translator();
        let query = print(&crate::query::embedded(&rest[start + 1..], &mut t, &Scope::default())?);
        self.out.push_str(&format!("{head}{} {}", print(&rest[..=start]), query.trim_start()));
        Ok(())
    }

    fn statement(&mut self, piece: &[Node]) -> Result<(), Refusal> {
        let first = &piece[0];
        let word = first.word().unwrap_or_default();
        match word.as_str() {
            "null" | "exit" | "continue" | "return" | "open" | "fetch" | "close" | "move" | "get" => {
                self.simple(piece, &word)
            }
            "raise" => self.raise(piece),
            "execute" => self.execute(piece),
            "perform" => {
                let mut t = self.translator();
                // PERFORM is SELECT without a result.
                let mut query = piece.to_vec();
                query[0] = made(Kind::Word, "select", first.at());
                let text = print(&crate::query::level(&query, &mut t, &Scope::default())?);
                self.space();
                self.out.push_str(&format!("PERFORM{}", &text.trim_start()["select".len()..]));
                Ok(())
            }
            "commit" | "rollback" => {
                self.keep(piece);
                Ok(())
            }
            "truncate" => self.sql(piece),
            _ if piece.iter().any(|n| n.is_op(":="))
                && !matches!(word.as_str(), "select" | "insert" | "update" | "delete") =>
            {
                self.assignment(piece)
            }
            "select" | "with" if into(piece).is_some() => self.select_into(piece),
            "copy" | "unload" => Err(Refusal::not_translated(
                first.at(),
                format!("{} in a procedure", word.to_uppercase()),
                "it is supported only as a separate statement",
            )),
            _ => self.sql(piece),
        }
    }

    fn simple(&mut self, piece: &[Node], word: &str) -> Result<(), Refusal> {
        if word == "return" && piece.len() > 1 {
            return Err(Refusal::not_redshift(
                piece[1].at(),
                "RETURN with a value",
                "a procedure returns values through its INOUT arguments",
            ));
        }
        if word == "open"
            && let Some(i) = piece.iter().position(|n| n.is_word("for"))
        {
            self.keep(&piece[..=i]);
            let rest = &piece[i + 1..];
            if rest.first().is_some_and(|n| n.is_word("execute")) {
                return self.execute(rest);
            }
            let mut t = self.translator();
            let text = print(&crate::query::embedded(rest, &mut t, &Scope::default())?);
            self.out.push_str(&text);
            return Ok(());
        }
        if word == "get" && !piece.iter().any(|n| n.is_word("row_count")) {
            return Err(Refusal::not_redshift(piece[0].at(), "GET DIAGNOSTICS", "only ROW_COUNT is supported"));
        }
        self.keep(piece);
        Ok(())
    }

    /// `RAISE level 'format', expression, …`.
    fn raise(&mut self, piece: &[Node]) -> Result<(), Refusal> {
        let level = piece.get(1).and_then(Node::word);
        let known = ["notice", "info", "log", "warning", "exception", "debug"];
        let start = if level.as_deref().is_some_and(|l| known.contains(&l)) { 2 } else { 1 };
        if piece.iter().any(|n| n.is_word("using")) || (start == 1 && piece.len() > 1 && !piece[1].is_string()) {
            return Err(Refusal::not_redshift(piece[0].at(), "RAISE", "expected RAISE level 'format', expressions"));
        }
        self.keep(&piece[..start.min(piece.len())]);
        self.expression(&piece[start.min(piece.len())..])
    }

    fn assignment(&mut self, piece: &[Node]) -> Result<(), Refusal> {
        let at = piece.iter().position(|n| n.is_op(":=")).unwrap_or(0);
        self.keep(&piece[..=at]);
        let value = &piece[at + 1..];
        if value.first().is_some_and(|n| n.is_word("select")) {
            return Err(Refusal::not_redshift(
                value[0].at(),
                "a bare SELECT in an assignment",
                "put it in parentheses",
            ));
        }
        self.expression(value)
    }

    /// `SELECT … INTO variables FROM …`: the variables stay in the position that PL/pgSQL expects.
    fn select_into(&mut self, piece: &[Node]) -> Result<(), Refusal> {
        let Some((start, end)) = into(piece) else { return self.sql(piece) };
        let targets: Vec<String> = piece[start + 1..end].iter().filter_map(Node::name).collect();
        if !targets.first().is_some_and(|target| self.variables.contains(target)) {
            return self.sql(piece);
        }
        let mut query = piece[..start].to_vec();
        query.extend_from_slice(&piece[end..]);
        let mut t = self.translator();
        let rewritten = crate::query::level(&query, &mut t, &Scope::default())?;
        self.space();
        self.out.push_str(&print(&rewritten));
        self.out.push_str(" INTO ");
        self.out.push_str(print(&piece[start + 1..end]).trim());
        Ok(())
    }

    /// Translates a SQL statement.
    fn sql(&mut self, piece: &[Node]) -> Result<(), Refusal> {
        let mut t = self.translator();
        let translated = crate::translator::run(piece, &mut t)?;
        if matches!(translated.command, "VACUUM" | "ALTER TABLE APPEND" | "BEGIN" | "CREATE PROCEDURE") {
            return Err(Refusal::not_redshift(
                piece[0].at(),
                format!("{} in a procedure", translated.command),
                "it cannot run inside a procedure",
            ));
        }
        let lead = piece[0].token().map(|t| t.lead.clone()).unwrap_or_default();
        self.out.push_str(&lead);
        for (i, step) in translated.steps.iter().enumerate() {
            if i > 0 {
                self.out.push_str("; ");
            }
            match step {
                // A DO block is not allowed inside PL/pgSQL; its content is already a PERFORM.
                Step::Sql(sql) => {
                    if let Some(perform) =
                        sql.strip_prefix("DO $redshift$ BEGIN ").and_then(|s| s.strip_suffix("; END $redshift$"))
                    {
                        self.out.push_str(perform);
                    } else {
                        self.space();
                        self.out.push_str(sql);
                    }
                }
                Step::Copy(_) | Step::Unload(_) | Step::AppendFrom(_) => {
                    return Err(Refusal::not_translated(
                        piece[0].at(),
                        format!("{} in a procedure", translated.command),
                        "it is not supported",
                    ));
                }
            }
        }
        if translated.steps.is_empty() {
            self.out.push_str("NULL");
        }
        if translated.commits {
            // Redshift commits with TRUNCATE, also in a procedure.
            self.out.push_str("; COMMIT");
        }
        Ok(())
    }

    /// `EXECUTE 'text' || variable || …`: the text is joined with placeholders for the variables, translated, and split
    /// at the placeholders.
    fn execute(&mut self, piece: &[Node]) -> Result<(), Refusal> {
        let at = piece[0].at();
        if let Some(node) = piece.iter().find(|n| n.is_word("using")) {
            return Err(Refusal::not_redshift(node.at(), "EXECUTE … USING", "syntax error at or near \"using\"")
                .instead("QUOTE_LITERAL"));
        }
        let end = piece.iter().position(|n| n.is_word("into")).unwrap_or(piece.len());
        let mut source: Vec<Node> = piece[1..end].to_vec();
        while let [Node::Group(g)] = &source[..] {
            source = g.body.clone();
        }
        let mut template = String::new();
        let mut holes = Vec::new();
        for part in source.split(|n| n.is_op("||")) {
            match part {
                [one] if crate::copy::text_of(one).is_some() => {
                    template.push_str(&crate::copy::text_of(one).unwrap_or_default());
                }
                _ => {
                    let mut t = self.translator();
                    let value = print(&rewrite(part, &mut t, &Scope::default())?).trim().to_owned();
                    template.push_str(&format!("hole_{}_", holes.len()));
                    holes.push(value);
                }
            }
        }
        if holes.len() == 1 && template.trim() == "hole_0_" {
            return Err(Refusal::not_translated(
                at,
                "EXECUTE of a variable",
                "its text is known only at run time, so it cannot be translated",
            )
            .instead("EXECUTE 'text' || QUOTE_IDENT(name) || …"));
        }
        let text = Self::template(&template, at)?;
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        for (i, hole) in holes.iter().enumerate() {
            let mark = format!("hole_{i}_");
            let Some(found) = rest.find(&mark).filter(|_| text.matches(&mark).count() == 1) else {
                return Err(Refusal::not_translated(
                    at,
                    "EXECUTE",
                    format!("the translation does not keep {hole} in its position"),
                ));
            };
            // `"hole_0_"`: the value is already quoted (QUOTE_IDENT) or is a bare name, so the quotes of the
            // translation are removed.
            let (mut before, mut after) = (&rest[..found], &rest[found + mark.len()..]);
            if let (Some(b), Some(a)) = (before.strip_suffix('"'), after.strip_prefix('"')) {
                (before, after) = (b, a);
            }
            parts.push(literal(before));
            parts.push(format!("({hole})"));
            rest = after;
        }
        parts.push(literal(rest));
        self.keep(&piece[..1]);
        self.out.push_str(&format!(" {}", parts.join(" || ")));
        self.keep(&piece[end..]);
        Ok(())
    }

    fn template(template: &str, at: usize) -> Result<String, Refusal> {
        let moved =
            |r: Refusal| Refusal { offset: at, construct: format!("{} in the text of EXECUTE", r.construct), ..r };
        let nodes = crate::translator::parse(template).map_err(moved)?;
        let translated = crate::translator::dispatch(&nodes, None).map_err(moved)?;
        match &translated.steps[..] {
            [Step::Sql(sql)] => Ok(sql.clone()),
            _ => Err(Refusal::not_translated(at, format!("EXECUTE of {}", translated.command), "it is not supported")),
        }
    }
}

/// The position of `INTO targets` in a SELECT, if it precedes the FROM.
fn into(piece: &[Node]) -> Option<(usize, usize)> {
    let start = piece.iter().position(|n| n.is_word("into"))?;
    let mut end = start + 2;
    while piece.get(end).is_some_and(|n| n.is_op(",") || n.is_op(".")) {
        end += 2;
    }
    let end = end.min(piece.len());
    Some((start, end))
}
