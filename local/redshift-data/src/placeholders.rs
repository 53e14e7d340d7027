//! Finds the `:name` placeholders of a statement.

/// Names of the placeholders in `sql`, in order of appearance and with duplicates. Text in quotes, quoted identifiers,
/// comments, dollar-quoted bodies and `::` casts contain no placeholders.
pub(crate) fn placeholders(sql: &str) -> Vec<&str> {
    let bytes = sql.as_bytes();
    let mut names = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &sql.as_bytes()[at..];
        at = match rest {
            [b'\'', ..] => quoted(bytes, at, b'\''),
            [b'"', ..] => quoted(bytes, at, b'"'),
            [b'-', b'-', ..] => rest.iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n),
            [b'/', b'*', ..] => block_comment(bytes, at),
            [b'$', ..] => dollar_quoted(sql, at),
            [b':', b':', ..] => at + 2,
            [b':', next, ..] if is_name(*next) && !after_name_or_bracket(bytes, at) => {
                let end = at + 1 + rest[1..].iter().take_while(|b| is_name(**b)).count();
                names.push(&sql[at + 1..end]);
                end
            }
            _ => at + 1,
        };
    }
    names
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// True in `a[1:2]`, where the colon separates the bounds of a slice.
fn after_name_or_bracket(bytes: &[u8], at: usize) -> bool {
    at > 0 && (is_name(bytes[at - 1]) || bytes[at - 1] == b']')
}

/// Index after the quoted text that starts at `at`. A doubled quote or a backslash escapes a quote.
fn quoted(bytes: &[u8], at: usize, quote: u8) -> usize {
    let mut end = at + 1;
    while end < bytes.len() {
        match bytes[end] {
            b'\\' if quote == b'\'' => end += 2,
            b if b == quote && bytes.get(end + 1) == Some(&quote) => end += 2,
            b if b == quote => return end + 1,
            _ => end += 1,
        }
    }
    bytes.len()
}

fn block_comment(bytes: &[u8], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut end = at;
    while end < bytes.len() {
        match &bytes[end..] {
            [b'/', b'*', ..] => {
                depth += 1;
                end += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                end += 2;
                if depth == 0 {
                    return end;
                }
            }
            _ => end += 1,
        }
    }
    bytes.len()
}

fn dollar_quoted(sql: &str, at: usize) -> usize {
    let tag_length = sql.as_bytes()[at + 1..].iter().take_while(|b| is_name(**b)).count();
    let open_end = at + 1 + tag_length;
    if sql.as_bytes().get(open_end) != Some(&b'$') {
        return at + 1;
    }
    let tag = &sql[at..=open_end];
    sql[open_end + 1..].find(tag).map_or(sql.len(), |n| open_end + 1 + n + tag.len())
}

#[cfg(test)]
mod tests {
    use super::placeholders;

    #[test]
    fn finds_placeholders_and_skips_quotes_comments_and_casts() {
        let sql =
            "select :a, b::int, ':no', \":no\", it's -- :no\n /* :no /* :no */ :no */ $x$ :no $x$, :b_2 where c=:a";
        assert_eq!(placeholders(&sql.replace("it's", "'it''s :no'")), ["a", "b_2", "a"]);
        assert!(placeholders("select arr[1:2], x := 1, '\\':no'").is_empty());
        assert_eq!(placeholders("values(:1,$1,:x)"), ["1", "x"]);
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_returns_valid_names(sql in "[ :a'\"$/*\\-\\\\\n;é]{0,60}") {
            for name in placeholders(&sql) {
                assert!(!name.is_empty() && name.bytes().all(super::is_name));
            }
        }
    }
}
