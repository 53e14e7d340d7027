//! Function calls: functions that exist in both servers, that the prelude defines, that are rewritten, and that are
//! rejected.

use crate::dateparts;
use crate::expression::{is_query, replaced, rewrite};
use crate::refusal::Refusal;
use crate::scope::Scope;
use crate::session::{self, Setting};
use crate::translator::Translator;
use crate::tree::{Cursor, Group, Node, print, split_commas};
use crate::types::{self, Use};

/// Functions that exist in PostgreSQL 18 with the same name, and the same meaning for the arguments that Redshift
/// supports.
const SAME: &str = " abs acos ascii asin atan atan2 bit_and bit_or bool_and bool_or btrim cbrt ceil ceiling char_length \
    character_length chr coalesce cos cot count cume_dist current_database current_schema \
    current_schemas current_setting degrees dense_rank exp first_value floor greatest grouping \
    has_database_privilege has_schema_privilege has_table_privilege initcap lag last_value lead \
    least left length ln log lower lpad ltrim max md5 min mod nth_value ntile nullif octet_length \
    overlay percent_rank pi position power quote_ident quote_literal radians random rank repeat \
    replace reverse right row_number rpad rtrim sign sin split_part sqrt stddev stddev_pop \
    stddev_samp strpos substr substring sum tan textlen timeofday to_char to_date to_hex to_number \
    to_timestamp translate trim upper var_pop var_samp variance pg_backend_pid pg_cancel_backend \
    pg_terminate_backend version text ";

/// Redshift functions that the prelude defines in the schema `redshift`.
const IN_PRELUDE: &str = " add_months array_concat avg can_json_parse charindex concat convert_timezone crc32 fnv_hash \
    func_sha1 get_array_length getdate is_array is_boolean is_object is_scalar is_valid_json \
    is_valid_json_array is_varchar json_array_length json_extract_array_element_text \
    json_extract_path_text json_parse json_serialize json_size json_typeof last_day len months_between \
    next_day regexp_count regexp_instr regexp_replace regexp_substr replicate round sha sha1 sha2 \
    strtol to_super trunc ";

/// Redshift functions that are not supported.
const UNSUPPORTED: &str = " any_value approximate_percentile array_contains array_distinct array_except array_flatten \
    array_intersection array_position array_positions array_sort array_to_string array_union \
    bit_length bpcharcmp bttext_pattern_cmp checksum collate date_cmp date_part_year datefunc dexp \
    difference dlog1 dlog10 from_varbyte geometrytype get_number_attributes hll hll_cardinality \
    hll_combine hll_create_sketch interval_cmp is_bigint is_char is_decimal is_float is_integer \
    is_smallint isarray json_extract_array_element json_serialize_to_varbyte \
    json_to_array lambda lower_attribute_names mask now numwidth oct_length \
    pg_get_cols pg_get_late_binding_view_cols pg_get_session_roles pg_last_copy_count \
    pg_last_copy_id pg_last_query_id pg_last_unload_count pg_last_unload_id slice_num soundex \
    split_to_array subarray super_size time_slice timeslice timezone to_varbyte \
    upper_attribute_names urldecode urlencode varbyte width_bucket ";

const POSTGRES: &str = include_str!("postgres_functions.txt");

fn listed(list: &str, name: &str) -> bool {
    list.split_ascii_whitespace().any(|w| w == name)
}

/// Rewrites a call `names ( … )`: the name starts at `i` and the parentheses are at `open`. Returns the number of
/// consumed nodes.
pub(crate) fn call(
    names: &[String],
    nodes: &[Node],
    i: usize,
    open: usize,
    t: &mut Translator<'_>,
    scope: &Scope<'_>,
    out: &mut Vec<Node>,
) -> Result<usize, Refusal> {
    let Some(group) = nodes[open].parens() else {
        return Err(Refusal::syntax(nodes[i].at(), "(", "expected arguments"));
    };
    let mut call = Call { nodes, i, open, group, t, scope };
    if let [schema, _] = names
        && schema != "pg_catalog"
    {
        if schema == "redshift" {
            return Err(Refusal::not_redshift(
                nodes[i].at(),
                "the schema redshift",
                "it is reserved for the translation",
            ));
        }
        return call.user(out);
    }
    let name = names.last().map(String::as_str).unwrap_or_default();
    if nodes[i].token().is_some_and(|t| t.text.starts_with('"')) && names.len() == 1 && !listed(SAME, name) {
        return call.user(out);
    }
    call.known(name, out)
}

struct Call<'a, 'p, 't> {
    nodes: &'a [Node],
    i: usize,
    open: usize,
    group: &'a Group,
    t: &'a mut Translator<'t>,
    scope: &'a Scope<'p>,
}

impl<'a> Call<'a, '_, '_> {
    fn at(&self) -> usize {
        self.nodes[self.i].at()
    }

    fn arguments(&self) -> Vec<&'a [Node]> {
        split_commas(&self.group.body)
    }

    fn body(&mut self) -> Result<Vec<Node>, Refusal> {
        if is_query(&self.group.body) {
            crate::query::level(&self.group.body, self.t, self.scope)
        } else {
            rewrite(&self.group.body, self.t, self.scope)
        }
    }

    fn argument(&mut self, nodes: &[Node]) -> Result<String, Refusal> {
        Ok(print(&rewrite(nodes, self.t, self.scope)?).trim().to_owned())
    }

    fn taken(&self, more: usize) -> usize {
        self.open + 1 - self.i + more
    }

    fn after(&self, n: usize) -> Option<&'a Node> {
        self.nodes.get(self.open + 1 + n)
    }

    /// A user-defined function: the name is folded and the arguments are rewritten.
    fn user(&mut self, out: &mut Vec<Node>) -> Result<usize, Refusal> {
        for node in &self.nodes[self.i..self.open] {
            out.push(crate::expression::name_or_self(node)?);
        }
        let body = self.body()?;
        out.push(Node::Group(Group { body, ..self.group.clone() }));
        Ok(self.taken(0))
    }

    /// The same call with another function name.
    fn renamed(&mut self, name: &str, out: &mut Vec<Node>) -> Result<usize, Refusal> {
        out.push(replaced(&self.nodes[self.i], name));
        let body = self.body()?;
        out.push(Node::Group(Group { body, ..self.group.clone() }));
        Ok(self.taken(0))
    }

    fn text(&self, text: &str, out: &mut Vec<Node>, more: usize) -> usize {
        out.push(replaced(&self.nodes[self.i], text));
        self.taken(more)
    }

    fn arity(&self, name: &str, wanted: std::ops::RangeInclusive<usize>) -> Result<(), Refusal> {
        if wanted.contains(&self.arguments().len()) {
            return Ok(());
        }
        Err(Refusal::syntax(
            self.at(),
            name.to_uppercase(),
            format!("expected {} to {} arguments", wanted.start(), wanted.end()),
        ))
    }

    fn known(mut self, name: &str, out: &mut Vec<Node>) -> Result<usize, Refusal> {
        self.window(name)?;
        match name {
            "nvl" | "isnull" => {
                self.arity(name, 1..=if name == "nvl" { usize::MAX } else { 2 })?;
                self.renamed("coalesce", out)
            }
            "nvl2" => self.nvl2(out),
            "decode" => self.decode(out),
            "cast" => self.cast(out),
            "convert" => self.convert(out),
            "trim" | "position" | "overlay" | "substring" => self.renamed(name, out),
            "extract" => self.extract(out),
            "dateadd" | "date_add" | "datediff" | "date_diff" | "date_trunc" | "date_part" | "pgdate_part" => {
                self.date(name, out)
            }
            "listagg" => self.listagg(out),
            "median" => self.median(out),
            "percentile_cont" | "percentile_disc" => self.percentile(name, out),
            "ratio_to_report" => self.ratio(out),
            "pow" | "dpow" => self.renamed("power", out),
            "ucase" => self.renamed("upper", out),
            "lcase" => self.renamed("lower", out),
            "sysdate" => Err(Refusal::not_redshift(self.at(), "SYSDATE()", "it has no parentheses").instead("SYSDATE")),
            "iff" | "if" => {
                Err(Refusal::not_redshift(self.at(), "IFF", "function does not exist").instead("CASE WHEN … END"))
            }
            "date" if self.arguments().len() == 1 => {
                let value = self.argument(&self.group.body)?;
                Ok(self.text(&format!("({value})::date"), out, 0))
            }
            "array" | "object" => self.variadic(name, out),
            "object_transform" => self.object_transform(out),
            "set_config" => self.set_config(out),
            "now" => Err(Refusal::not_translated(self.at(), "NOW()", "in Redshift it runs only on the leader node")
                .instead("GETDATE() or SYSDATE")),
            _ if listed(IN_PRELUDE, name) => self.renamed(&format!("redshift.{name}"), out),
            _ if listed(SAME, name) => self.renamed(name, out),
            _ if listed(UNSUPPORTED, name)
                || name.starts_with("st_")
                || name.starts_with("hll")
                || name.starts_with("h3_") =>
            {
                Err(Refusal::not_translated(
                    self.at(),
                    format!("the function {}", name.to_uppercase()),
                    "it is not supported",
                ))
            }
            _ if listed(POSTGRES, name) => Err(Refusal::not_redshift(
                self.at(),
                format!("the function {name}"),
                format!("function {name}(…) does not exist"),
            )),
            _ => self.user(out),
        }
    }

    /// Sets what `SET` sets. A setting that affects no result is not set; the value of the call is the new value.
    fn set_config(mut self, out: &mut Vec<Node>) -> Result<usize, Refusal> {
        self.arity("set_config", 3..=3)?;
        let arguments = self.arguments();
        let name = match arguments[0] {
            [node] => crate::copy::text_of(node).map(|name| name.to_lowercase()),
            _ => None,
        };
        match name.as_deref().and_then(session::setting) {
            Some(Setting::Same) => self.renamed("set_config", out),
            Some(Setting::WithoutEffect) => {
                let value = self.argument(arguments[1])?;
                Ok(self.text(&format!("({value})::text"), out, 0))
            }
            None => Err(Refusal::not_translated(self.at(), "SET_CONFIG", "this setting is not supported")),
        }
    }

    /// Rejects aggregate window functions with ORDER BY and without a frame, as Redshift does.
    fn window(&self, name: &str) -> Result<(), Refusal> {
        let aggregates = [
            "sum",
            "avg",
            "count",
            "min",
            "max",
            "stddev",
            "stddev_samp",
            "stddev_pop",
            "variance",
            "var_samp",
            "var_pop",
        ];
        if !aggregates.contains(&name) || !self.after(0).is_some_and(|n| n.is_word("over")) {
            return Ok(());
        }
        let Some(window) = self.after(1).and_then(Node::parens) else { return Ok(()) };
        let ordered = window.body.iter().any(|n| n.is_word("order"));
        if ordered && !window.body.iter().any(|n| n.is_any_word(&["rows", "range", "groups"])) {
            return Err(Refusal::not_redshift(
                self.at(),
                format!("{} OVER (… ORDER BY …)", name.to_uppercase()),
                "aggregate window functions with an ORDER BY clause require a frame clause",
            )
            .instead("ROWS UNBOUNDED PRECEDING"));
        }
        Ok(())
    }

    fn nvl2(mut self, out: &mut Vec<Node>) -> Result<usize, Refusal> {
        self.arity("nvl2", 3..=3)?;
        let args = self.rewritten()?;
        Ok(self.text(&format!("(CASE WHEN ({}) IS NOT NULL THEN {} ELSE {} END)", args[0], args[1], args[2]), out, 0))
    }

    fn rewritten(&mut self) -> Result<Vec<String>, Refusal> {
        self.arguments().into_iter().map(|a| self.argument(a)).collect()
    }

    /// In DECODE, NULL equals NULL.
    fn decode(mut self, out: &mut Vec<Node>) -> Result<usize, Refusal> {
        self.arity("decode", 3..=usize::MAX)?;
        let args = self.rewritten()?;
        let mut text = String::from("(CASE");
        let mut rest = &args[1..];
        while let [search, result, more @ ..] = rest {
            let condition = if search.eq_ignore_ascii_case("null") {
                format!("({}) IS NULL", args[0])
            } else {
                format!("({}) IS NOT DISTINCT FROM ({search})", args[0])
            };
            text.push_str(&format!(" WHEN {condition} THEN {result}"));
            rest = more;
        }
        if let [default] = rest {
            text.push_str(&format!(" ELSE {default}"));
        }
        text.push_str(" END)");
        Ok(self.text(&text, out, 0))
    }

    fn typed(&mut self, value: &[Node], ty: &mut Cursor<'_>) -> Result<String, Refusal> {
        let ty = types::expect(ty, Use::Expression)?;
        let text = self.argument(value)?;
        if ty.is_super && value.len() == 1 && value[0].is_string() {
            return Ok(format!("redshift.to_super({text}::text)"));
        }
        Ok(format!("CAST({text} AS {})", ty.sql))
    }

    fn cast(mut self, out: &mut Vec<Node>) -> Result<usize, Refusal> {
        let body = &self.group.body;
        let Some(split) = body.iter().rposition(|n| n.is_word("as")) else {
            return Err(Refusal::syntax(self.at(), "CAST", "expected CAST(expression AS type)"));
        };
        let mut c = Cursor::new(&body[split + 1..]);
        let text = self.typed(&body[..split], &mut c)?;
        c.expect_done()?;
        Ok(self.text(&text, out, 0))
    }

    fn convert(mut self, out: &mut Vec<Node>) -> Result<usize, Refusal> {
        let args = self.arguments();
        let [ty, value] = args[..] else {
            return Err(Refusal::syntax(self.at(), "CONVERT", "expected CONVERT(type, expression)"));
        };
        let mut c = Cursor::new(ty);
        let text = self.typed(value, &mut c)?;
        c.expect_done()?;
        Ok(self.text(&text, out, 0))
    }

    /// The date part as a PostgreSQL literal.
    fn part(&self, nodes: &[Node]) -> Result<&'static str, Refusal> {
        let text = match nodes {
            [n] => n.word().or_else(|| n.name()).or_else(|| crate::copy::text_of(n)),
            _ => None,
        };
        text.and_then(|p| dateparts::canonical(&p)).ok_or_else(|| {
            Refusal::syntax(
                nodes.first().map_or(self.at(), Node::at),
                print(nodes).trim().to_owned(),
                "expected a date part",
            )
        })
    }

    /// PostgreSQL would interpret an untyped literal or parameter as TIMESTAMPTZ; Redshift interprets it as TIMESTAMP.
    fn moment(&mut self, nodes: &[Node]) -> Result<String, Refusal> {
        let text = self.argument(nodes)?;
        let untyped = nodes.len() == 1 && (nodes[0].is_string() || text.starts_with('$'));
        Ok(if untyped { format!("{text}::timestamp") } else { text })
    }

    fn extract(mut self, out: &mut Vec<Node>) -> Result<usize, Refusal> {
        let body = &self.group.body;
        let Some(from) = body.iter().position(|n| n.is_word("from")) else {
            return Err(Refusal::syntax(self.at(), "EXTRACT", "expected EXTRACT(part FROM value)"));
        };
        let part = self.part(&body[..from])?;
        let value = self.moment(&body[from + 1..])?;
        Ok(self.text(&format!("redshift.extract_part('{part}', {value})"), out, 0))
    }

    fn date(mut self, name: &str, out: &mut Vec<Node>) -> Result<usize, Refusal> {
        let name = match name {
            "date_add" => "dateadd",
            "date_diff" => "datediff",
            "pgdate_part" => "date_part",
            other => other,
        };
        let three = matches!(name, "dateadd" | "datediff");
        let wanted = if three { 3 } else { 2 };
        self.arity(name, wanted..=wanted)?;
        let args = self.arguments();
        let part = self.part(args[0])?;
        let mut text = format!("redshift.{name}('{part}'");
        for (n, arg) in args[1..].iter().enumerate() {
            let value = if name == "dateadd" && n == 0 {
                format!("({})::bigint", self.argument(arg)?)
            } else {
                self.moment(arg)?
            };
            text.push_str(&format!(", {value}"));
        }
        text.push(')');
        Ok(self.text(&text, out, 0))
    }

    /// The `WITHIN GROUP (ORDER BY …)` after the parentheses.
    fn within_group(&self) -> Result<Option<&'a Group>, Refusal> {
        if !(self.after(0).is_some_and(|n| n.is_word("within")) && self.after(1).is_some_and(|n| n.is_word("group"))) {
            return Ok(None);
        }
        match self.after(2).and_then(Node::parens) {
            Some(group) if group.body.first().is_some_and(|n| n.is_word("order")) => Ok(Some(group)),
            _ => Err(Refusal::syntax(self.at(), "WITHIN GROUP", "expected (ORDER BY …)")),
        }
    }

    fn listagg(mut self, out: &mut Vec<Node>) -> Result<usize, Refusal> {
        let mut body: &[Node] = &self.group.body;
        let distinct = body.first().is_some_and(|n| n.is_word("distinct"));
        if distinct {
            body = &body[1..];
        }
        let args = split_commas(body);
        let (value, separator) = match args[..] {
            [value] => (self.argument(value)?, "''".to_owned()),
            [value, separator] => (self.argument(value)?, self.argument(separator)?),
            _ => return Err(Refusal::syntax(self.at(), "LISTAGG", "expected LISTAGG(expression, 'separator')")),
        };
        let order = self.within_group()?.map(|g| g.body.clone());
        let mut more = if order.is_some() { 3 } else { 0 };
        let order = match order {
            Some(nodes) => format!(" {}", print(&rewrite(&nodes, self.t, self.scope)?).trim()),
            None => String::new(),
        };
        let value = if value.starts_with('\'') || value.starts_with("E'") { format!("{value}::text") } else { value };
        if !self.after(more).is_some_and(|n| n.is_word("over")) {
            let distinct = if distinct { "DISTINCT " } else { "" };
            return Ok(self.text(
                &format!("redshift.listagg({distinct}{value}, ({separator})::text{order})"),
                out,
                more,
            ));
        }
        if distinct {
            return Err(Refusal::not_translated(
                self.at(),
                "LISTAGG(DISTINCT …) OVER",
                "PostgreSQL has no DISTINCT in window functions",
            ));
        }
        let Some(window) = self.after(more + 1).and_then(Node::parens) else {
            return Err(Refusal::syntax(self.at(), "OVER", "expected ([PARTITION BY …])"));
        };
        let partition = print(&rewrite(&window.body, self.t, self.scope)?).trim().to_owned();
        // An ordered window over the whole partition aggregates the values in that order.
        let frame = if order.is_empty() { "" } else { " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING" };
        more += 2;
        Ok(self.text(
            &format!("redshift.listagg({value}, ({separator})::text) OVER ({partition}{order}{frame})"),
            out,
            more,
        ))
    }

    fn no_window(&self, name: &str, more: usize) -> Result<(), Refusal> {
        if self.after(more).is_some_and(|n| n.is_word("over")) {
            return Err(Refusal::not_translated(
                self.at(),
                format!("{name} … OVER"),
                "in PostgreSQL it is only an aggregate",
            ));
        }
        Ok(())
    }

    fn median(mut self, out: &mut Vec<Node>) -> Result<usize, Refusal> {
        self.no_window("MEDIAN", 0)?;
        let value = self.argument(&self.group.body)?;
        Ok(self.text(&format!("percentile_cont(0.5) WITHIN GROUP (ORDER BY {value})"), out, 0))
    }

    fn percentile(mut self, name: &str, out: &mut Vec<Node>) -> Result<usize, Refusal> {
        if self.within_group()?.is_none() {
            return Err(Refusal::syntax(self.at(), name.to_uppercase(), "expected WITHIN GROUP (ORDER BY …)"));
        }
        self.no_window(&name.to_uppercase(), 3)?;
        self.renamed(name, out)
    }

    fn ratio(mut self, out: &mut Vec<Node>) -> Result<usize, Refusal> {
        let value = self.argument(&self.group.body)?;
        let window = match (self.after(0), self.after(1).and_then(Node::parens)) {
            (Some(over), Some(window)) if over.is_word("over") => window.body.clone(),
            _ => return Err(Refusal::syntax(self.at(), "RATIO_TO_REPORT", "expected OVER ([PARTITION BY …])")),
        };
        let window = print(&rewrite(&window, self.t, self.scope)?).trim().to_owned();
        let text = format!("(({value})::float8 / NULLIF(sum(({value})::float8) OVER ({window}), 0))");
        Ok(self.text(&text, out, 2))
    }

    /// A value of any type as SUPER; a string literal is a string, not JSON.
    fn super_argument(&mut self, arg: &[Node]) -> Result<String, Refusal> {
        let value = self.argument(arg)?;
        let cast = if arg.len() == 1 && (arg[0].is_string() || arg[0].is_word("null")) { "::text" } else { "" };
        Ok(format!("redshift.to_super(({value}){cast})"))
    }

    /// ARRAY and OBJECT accept values of any type; each value is converted to SUPER.
    fn variadic(mut self, name: &str, out: &mut Vec<Node>) -> Result<usize, Refusal> {
        let args = self.arguments().into_iter().map(|arg| self.super_argument(arg)).collect::<Result<Vec<_>, _>>()?;
        if name == "object" && args.len() % 2 == 1 {
            return Err(Refusal::syntax(self.at(), "OBJECT", "expected pairs of key and value"));
        }
        Ok(self.text(&format!("redshift.{name}_of(ARRAY[{}]::super[])", args.join(", ")), out, 0))
    }

    /// `OBJECT_TRANSFORM(object SET path, value, …)`, where a path is `'"a"."b"'`.
    fn object_transform(mut self, out: &mut Vec<Node>) -> Result<usize, Refusal> {
        let body = &self.group.body;
        if let Some(keep) = body.iter().find(|n| n.is_word("keep")) {
            return Err(Refusal::not_translated(keep.at(), "KEEP of OBJECT_TRANSFORM", "only SET is supported"));
        }
        let Some(set) = body.iter().position(|n| n.is_word("set")) else {
            return Err(Refusal::syntax(
                self.at(),
                "OBJECT_TRANSFORM",
                "expected OBJECT_TRANSFORM(object SET path, value)",
            ));
        };
        let mut text = self.argument(&body[..set])?;
        let pairs = split_commas(&body[set + 1..]);
        if pairs.len() % 2 == 1 {
            return Err(Refusal::syntax(body[set].at(), "SET", "expected pairs of path and value"));
        }
        for pair in pairs.chunks(2) {
            let path = match pair[0] {
                [node] => crate::copy::text_of(node).and_then(|path| attributes(&path)),
                _ => None,
            };
            let Some(path) = path else {
                let shown = print(pair[0]).trim().to_owned();
                let reason = "a path is a string of names in double quotes, separated by dots";
                return Err(Refusal::not_redshift(self.at(), shown, reason).instead("'\"a\".\"b\"'"));
            };
            let path = path.iter().map(|name| crate::tree::literal(name)).collect::<Vec<_>>().join(", ");
            let value = self.super_argument(pair[1])?;
            text = format!("redshift.object_set({text}, ARRAY[{path}], {value})");
        }
        Ok(self.text(&text, out, 0))
    }
}

/// The names in a path `"a"."b"`.
fn attributes(path: &str) -> Option<Vec<String>> {
    let inner = path.strip_prefix('"')?.strip_suffix('"')?;
    let names: Vec<String> = inner.split("\".\"").map(str::to_owned).collect();
    names.iter().all(|name| !name.is_empty() && !name.contains('"')).then_some(names)
}
