//! The forms and words of Redshift that the parser does not know.

use sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Word},
};

use super::{begins, is, is_word, word};

/// Returns true for a statement with a form of Redshift that the parser does not read, or with a placeholder of another client, which
/// the planner reports.
pub(super) fn is_unread(tokens: &[TokenWithSpan]) -> bool {
    tokens.iter().enumerate().any(|(at, token)| match &token.token {
        Token::Placeholder(_) | Token::LBrace | Token::RBrace | Token::Backslash => true,
        // `OBJECT_TRANSFORM(document KEEP path SET path, value)`, and `a OPERATOR(pg_catalog.+) b` and `ARRAY(SELECT …)` of the leader node.
        _ if is(tokens.get(at + 1), &Token::LParen) => match word(token).as_deref() {
            Some("OBJECT_TRANSFORM" | "OPERATOR") => true,
            Some("ARRAY") => is_word(tokens.get(at + 2), "SELECT"),
            Some(_) | None => false,
        },
        _ => false,
    })
}

/// The keywords of the statements that are checked, and the words that begin a type of several words, a literal with a type, or a function
/// whose arguments are not only expressions, separated by spaces.
const KEYWORDS: [&str; 4] = [
    // Statements and clauses.
    "SELECT ALL DISTINCT TOP INTO TEMP TEMPORARY TABLE FROM WHERE GROUP BY HAVING QUALIFY ORDER LIMIT OFFSET UNION INTERSECT \
     EXCEPT MINUS WITH RECURSIVE AS VALUES DEFAULT INSERT UPDATE SET DELETE USING MERGE WHEN MATCHED THEN ON JOIN INNER CROSS \
     FULL LEFT RIGHT OUTER NATURAL PIVOT UNPIVOT FOR INCLUDE EXCLUDE START CONNECT PRIOR ROLLUP CUBE ASC DESC NULLS FIRST \
     LAST",
    // Expressions.
    "AND OR NOT IN IS NULL TRUE FALSE UNKNOWN BETWEEN LIKE ILIKE SIMILAR TO ESCAPE EXISTS ANY SOME CASE ELSE END COLLATE AT \
     TIME ZONE OVER PARTITION ROWS RANGE UNBOUNDED PRECEDING FOLLOWING CURRENT ROW WITHIN IGNORE RESPECT",
    // Functions.
    "CAST TRY_CAST CONVERT EXTRACT SUBSTRING TRIM BOTH LEADING TRAILING POSITION OVERLAY PLACING",
    // Types and literals.
    "INTERVAL YEAR YEARS MONTH MONTHS WEEK WEEKS DAY DAYS HOUR HOURS MINUTE MINUTES SECOND SECONDS DATE TIMESTAMP TIMESTAMPTZ \
     TIMETZ WITHOUT DOUBLE PRECISION CHARACTER CHAR VARYING VARCHAR MAX NUMERIC DECIMAL FLOAT INT INTEGER BIGINT SMALLINT \
     REAL BOOLEAN BOOL TEXT",
];

/// Words that are keywords only before another word, and names elsewhere.
const PAIRS: [(&str, &str); 2] = [("START", "WITH"), ("WITHIN", "GROUP")];

/// Returns true if a word is a keyword between these tokens.
fn is_keyword(word: &str, before: Option<&TokenWithSpan>, after: Option<&TokenWithSpan>) -> bool {
    match PAIRS.iter().find(|(first, _)| *first == word) {
        Some((_, second)) => is_word(after, second),
        None if word == "EXCLUDE" => is(before, &Token::Mul),
        None => KEYWORDS.iter().any(|words| words.split(' ').any(|keyword| keyword == word)),
    }
}

/// Makes every word a name that is not a keyword of Redshift.
pub(super) fn with_keywords(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let keywords: Vec<bool> = (0..tokens.len())
        .map(|at| {
            let before = at.checked_sub(1).and_then(|at| tokens.get(at));
            word(&tokens[at]).is_some_and(|word| is_keyword(&word, before, tokens.get(at + 1)))
        })
        .collect();
    let mut tokens = tokens;
    for (token, is_keyword) in tokens.iter_mut().zip(keywords) {
        if let Token::Word(word) = &mut token.token
            && !is_keyword
        {
            word.keyword = Keyword::NoKeyword;
        }
    }
    tokens
}

/// Replaces forms that only Redshift has by forms that the parser reads, at the same place.
pub(super) fn rewrite(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let rest = &tokens[at..];
        let (skipped, words): (usize, &[Keyword]) = match &token.token {
            // `a = b (+)`, an outer join.
            Token::LParen if is(rest.get(1), &Token::Plus) && is(rest.get(2), &Token::RParen) => (3, &[]),
            // `@ -5`, `|/ 25`, `||/ 27`: operators before an operand.
            Token::AtSign | Token::PGSquareRoot | Token::PGCubeRoot => {
                out.push(TokenWithSpan { token: Token::Minus, span: token.span });
                (1, &[])
            }
            // `GROUP BY GROUPING SETS ((a), ())`
            Token::LParen if is(rest.get(1), &Token::RParen) && begins_group(out.last()) => {
                out.extend([token.clone(), number(token), rest[1].clone()]);
                (2, &[])
            }
            _ if begins(rest, &["GROUPING", "SETS"]) => {
                out.push(token.clone());
                (2, &[])
            }
            // `EXTRACT(ms FROM a)`, with any part of a date, and `TRIM(LEADING FROM a)`.
            _ if begins(&rest[1..], &["FROM"]) && is_argument(&out, "EXTRACT") => (1, &[Keyword::YEAR]),
            _ if begins(rest, &["FROM"]) && out.split_last().is_some_and(|(_, before)| is_argument(before, "TRIM")) => {
                (1, &[])
            }
            // `a ISNULL`, `a NOTNULL`
            _ if begins(rest, &["ISNULL"]) && !is(rest.get(1), &Token::LParen) => (1, &[Keyword::IS, Keyword::NULL]),
            _ if begins(rest, &["NOTNULL"]) => (1, &[Keyword::IS, Keyword::NOT, Keyword::NULL]),
            // `APPROXIMATE COUNT(DISTINCT a)`
            _ if begins(rest, &["APPROXIMATE"]) && rest.get(1).and_then(word).is_some() => (1, &[]),
            // `FROM t, UNPIVOT t.document AS value AT key`
            _ if begins(rest, &["UNPIVOT"]) && (is(out.last(), &Token::Comma) || is_word(out.last(), "FROM")) => {
                (1, &[])
            }
            _ if begins(rest, &["AT"]) && !begins(rest, &["AT", "TIME"]) && rest.get(1).is_some_and(is_name) => {
                (2, &[])
            }
            // `MERGE … REMOVE DUPLICATES`
            _ if begins(rest, &["REMOVE", "DUPLICATES"]) && rest.len() == 2 => {
                (2, &[Keyword::WHEN, Keyword::MATCHED, Keyword::THEN, Keyword::DELETE])
            }
            // `DELETE t WHERE …`, without `FROM`.
            _ if begins(rest, &["DELETE"]) && is_delete_without_from(&rest[1..]) => {
                (1, &[Keyword::DELETE, Keyword::FROM])
            }
            _ => {
                out.push(token.clone());
                (1, &[])
            }
        };
        out.extend(words.iter().map(|keyword| TokenWithSpan { token: of_keyword(*keyword), span: token.span }));
        at += skipped;
    }
    out
}

/// Returns true if parentheses after this token hold columns of a GROUP BY.
fn begins_group(before: Option<&TokenWithSpan>) -> bool {
    is(before, &Token::LParen) || is(before, &Token::Comma) || is_word(before, "BY")
}

/// Returns true if an argument of this function begins after the tokens.
fn is_argument(before: &[TokenWithSpan], function: &str) -> bool {
    matches!(before, [.., name, open] if is_word(Some(name), function) && open.token == Token::LParen)
}

fn number(at: &TokenWithSpan) -> TokenWithSpan {
    TokenWithSpan { token: Token::Number("1".into(), false), span: at.span }
}

fn is_name(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Word(_))
}

/// Returns true if a table follows, and then `USING`, `WHERE` or the end.
fn is_delete_without_from(mut rest: &[TokenWithSpan]) -> bool {
    if begins(rest, &["FROM"]) || !rest.first().is_some_and(is_name) {
        return false;
    }
    while let [_, dot, name, ..] = rest
        && dot.token == Token::Period
        && is_name(name)
    {
        rest = &rest[2..];
    }
    match rest.get(1) {
        None => true,
        Some(token) => token.token == Token::SemiColon || matches!(word(token).as_deref(), Some("USING" | "WHERE")),
    }
}

fn of_keyword(keyword: Keyword) -> Token {
    Token::Word(Word { value: format!("{keyword:?}"), quote_style: None, keyword })
}
