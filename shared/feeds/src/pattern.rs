//! Patterns of object keys with named parts: `orders/{region}/{date:%Y-%m-%d}/*.csv.gz`.

use std::collections::BTreeMap;

use jiff::civil::Date;
use regex_lite::Regex;
use shiftwork_config::is_identifier;

/// The syntax of a pattern, as a hint for messages.
pub(crate) const SYNTAX: &str = "`*` matches any characters except `/`, `**` any characters, `{name}` a part of a name, and \
    `{name:%Y-%m-%d}` a date";

/// A pattern of object keys with named parts.
///
/// ```
/// use shiftwork_feeds::KeyPattern;
/// let pattern = KeyPattern::read("orders/{region}/{day:%Y%m%d}/*.csv").unwrap();
/// let parts = pattern.parts("orders/eu/20260301/a 1.csv").unwrap();
/// assert_eq!((parts["region"].as_str(), parts["day"].as_str()), ("eu", "2026-03-01"));
/// assert!(pattern.parts("orders/eu/20261301/a.csv").is_none(), "month 13 is not a valid month");
/// ```
#[derive(Debug, Clone)]
pub struct KeyPattern {
    regex: Regex,
    /// The named parts in order, each with its date format.
    parts: Vec<(String, Option<String>)>,
    /// Number of literal characters.
    literal: usize,
}

impl KeyPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// Returns a message if the pattern is not valid.
    pub fn read(pattern: &str) -> Result<Self, String> {
        if pattern.is_empty() {
            return Err("the pattern is empty".into());
        }
        let mut regex = String::from("(?s)^");
        let mut parts: Vec<(String, Option<String>)> = Vec::new();
        let (mut literal, mut rest) = (0, pattern);
        while let Some(first) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("**") {
                regex.push_str(".*");
                rest = after;
            } else if let Some(after) = rest.strip_prefix('*') {
                regex.push_str("[^/]*");
                rest = after;
            } else if let Some(after) = rest.strip_prefix('{') {
                let (part, after) = after.split_once('}').ok_or("a `{` has no closing `}`")?;
                let (name, format) = part.split_once(':').map_or((part, None), |(name, format)| (name, Some(format)));
                if !is_identifier(name) {
                    return Err(format!(
                        "`{name}` is not a valid name of a part: use letters, digits and `_`, and do not begin with a digit"
                    ));
                }
                if parts.iter().any(|(earlier, _)| earlier == name) {
                    return Err(format!("two parts are named `{name}`"));
                }
                regex.push_str(&match format {
                    None => "([^/]+)".to_owned(),
                    Some(format) => date_regex(format)?,
                });
                parts.push((name.to_owned(), format.map(Into::into)));
                rest = after;
            } else if first == '}' {
                return Err("a `}` has no opening `{`".into());
            } else {
                regex.push_str(&regex_lite::escape(first.encode_utf8(&mut [0; 4])));
                literal += 1;
                rest = &rest[first.len_utf8()..];
            }
        }
        regex.push('$');
        // regex-lite matches in time that is linear in the length of the key.
        let regex = Regex::new(&regex).map_err(|error| format!("the pattern is too large: {error}"))?;
        Ok(Self { regex, parts, literal })
    }

    /// Returns the named parts of a key, or `None` if the key does not match. Dates are returned as `YYYY-MM-DD`.
    pub fn parts(&self, key: &str) -> Option<BTreeMap<String, String>> {
        let found = self.regex.captures(key)?;
        let texts = found.iter().skip(1);
        self.parts
            .iter()
            .zip(texts)
            .map(|((name, format), text)| {
                let text = text?.as_str();
                let value = match format {
                    None => text.to_owned(),
                    Some(format) => Date::strptime(format, text).ok()?.to_string(),
                };
                Some((name.clone(), value))
            })
            .collect()
    }

    /// The number of literal characters. If two patterns match a key, the one with more literal characters is used.
    pub const fn literal(&self) -> usize {
        self.literal
    }
}

/// The regular expression of a date format. It does not check that the date exists; [`KeyPattern::parts`] does.
fn date_regex(format: &str) -> Result<String, String> {
    let mut regex = String::from("(");
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            regex.push_str(&regex_lite::escape(c.encode_utf8(&mut [0; 4])));
            continue;
        }
        regex.push_str(match chars.next() {
            Some('Y') => "[0-9]{4}",
            Some('m' | 'd') => "[0-9]{2}",
            Some('j') => "[0-9]{3}",
            other => {
                let other = other.map_or(String::new(), |other| other.to_string());
                return Err(format!("`%{other}` is not supported in a date: use `%Y`, `%m`, `%d` or `%j`"));
            }
        });
    }
    let has = |directive: &str| format.contains(directive);
    if has("%Y") && ((has("%m") && has("%d")) || has("%j")) {
        Ok(regex + ")")
    } else {
        Err(format!("`{format}` is not a complete date: write year, month and day, such as `%Y-%m-%d`"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::KeyPattern;

    fn matches(pattern: &str, key: &str) -> bool {
        KeyPattern::read(pattern).unwrap().parts(key).is_some()
    }

    #[test]
    fn one_star_matches_within_a_folder_and_two_match_across_folders() {
        assert!(matches("in/*.csv", "in/a.csv") && matches("in/*.csv", "in/.csv"));
        assert!(!matches("in/*.csv", "in/b/a.csv") && !matches("in/*.csv", "in/a.csv.gz"));
        assert!(matches("in/**/x.csv", "in/a/b/x.csv") && matches("**", "any/thing at\nall"));
    }

    #[test]
    fn special_characters_of_regular_expressions_are_literal() {
        for key in ["a+b(1).csv", "[x]^$|?.csv", "ü\\.csv"] {
            assert!(matches(key, key), "{key}");
            assert!(!matches(key, "a"), "{key}");
        }
    }

    #[test]
    fn a_day_of_the_year_is_a_date_too() {
        let pattern = KeyPattern::read("{day:%Y.%j}.csv").unwrap();
        assert_eq!(pattern.parts("2024.366.csv").unwrap()["day"], "2024-12-31");
        assert!(pattern.parts("2026.366.csv").is_none());
    }

    #[test]
    fn an_invalid_pattern_is_refused_with_the_reason() {
        for (pattern, reason) in [
            ("", "empty"),
            ("a{b", "no closing"),
            ("a}b", "no opening"),
            ("{a b}", "not a valid name"),
            ("{a}/{a}", "two parts"),
            ("{a:%Y-%m}", "not a complete date"),
            ("{a:%H}", "not supported in a date"),
        ] {
            let message = KeyPattern::read(pattern).unwrap_err();
            assert!(message.contains(reason), "{pattern}: {message}");
        }
    }

    proptest! {
            #[test]
            fn named_parts_are_extracted(region in "[a-z0-9 ü+.-]{1,12}", file in "[a-zA-Z0-9 ._-]{0,12}") {
                let pattern = KeyPattern::read("in/{region}/{file}.csv").unwrap();
                let parts = pattern.parts(&format!("in/{region}/x{file}.csv"));
                prop_assert_eq!(&parts.unwrap()["region"], &region);
            }

            #[test]
            fn no_pattern_or_key_causes_a_panic(
    pattern in "\\PC{0,40}", key in "\\PC{0,40}") {
                if let Ok(pattern) = KeyPattern::read(&pattern) {
                    let _ = pattern.parts(&key);
                }
            }
        }
}
