//! Which keys belong to a feed, and what their names say: `orders/{region}/{date:%Y-%m-%d}/*.csv.gz`.

use std::collections::BTreeMap;

use jiff::civil::Date;
use regex_lite::Regex;
use shiftwork_config::is_identifier;

/// How a pattern is written; for messages.
pub(crate) const SYNTAX: &str = "`*` stands for anything within a folder, `**` for anything, `{name}` for a part of a name, \
    `{name:%Y-%m-%d}` for a date";

/// A pattern of keys with named parts.
///
/// ```
/// use shiftwork_feeds::KeyPattern;
/// let pattern = KeyPattern::read("orders/{region}/{day:%Y%m%d}/*.csv").unwrap();
/// let parts = pattern.parts("orders/eu/20260301/a 1.csv").unwrap();
/// assert_eq!((parts["region"].as_str(), parts["day"].as_str()), ("eu", "2026-03-01"));
/// assert!(pattern.parts("orders/eu/20261301/a.csv").is_none(), "there is no thirteenth month");
/// ```
#[derive(Debug, Clone)]
pub struct KeyPattern {
    regex: Regex,
    /// Named parts in their order, each with the format of its date.
    parts: Vec<(String, Option<String>)>,
    literal: usize,
}

impl KeyPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, in words.
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
                let (part, after) = after.split_once('}').ok_or("a `{` is never closed")?;
                let (name, format) = part.split_once(':').map_or((part, None), |(name, format)| (name, Some(format)));
                if !is_identifier(name) {
                    return Err(format!("`{{{part}}}` has no name: letters, digits and `_`"));
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
                return Err("a `}` closes nothing".into());
            } else {
                regex.push_str(&regex_lite::escape(first.encode_utf8(&mut [0; 4])));
                literal += 1;
                rest = &rest[first.len_utf8()..];
            }
        }
        regex.push('$');
        // Linear in the length of the key, whatever the pattern.
        let regex = Regex::new(&regex).map_err(|error| format!("the pattern is too large: {error}"))?;
        Ok(Self { regex, parts, literal })
    }

    /// The named parts of a key that belongs to the pattern. Dates come as `YYYY-MM-DD`.
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

    /// How much of a pattern is spelt out: of two patterns that take a key, the one that says more is meant.
    pub const fn literal(&self) -> usize {
        self.literal
    }
}

/// The shape of a date; whether it is one is asked of the calendar.
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
                return Err(format!("`%{other}` is not known in a date: `%Y`, `%m`, `%d`, `%j` are"));
            }
        });
    }
    let has = |directive: &str| format.contains(directive);
    if has("%Y") && ((has("%m") && has("%d")) || has("%j")) {
        Ok(regex + ")")
    } else {
        Err(format!("`{format}` does not make a whole date: year, month and day, as `%Y-%m-%d`"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::KeyPattern;

    fn takes(pattern: &str, key: &str) -> bool {
        KeyPattern::read(pattern).unwrap().parts(key).is_some()
    }

    #[test]
    fn stars_stay_in_their_folder_and_two_of_them_do_not() {
        assert!(takes("in/*.csv", "in/a.csv") && takes("in/*.csv", "in/.csv"));
        assert!(!takes("in/*.csv", "in/b/a.csv") && !takes("in/*.csv", "in/a.csv.gz"));
        assert!(takes("in/**/x.csv", "in/a/b/x.csv") && takes("**", "any/thing at\nall"));
    }

    #[test]
    fn what_means_something_elsewhere_is_taken_literally() {
        for key in ["a+b(1).csv", "[x]^$|?.csv", "ü\\.csv"] {
            assert!(takes(key, key), "{key}");
            assert!(!takes(key, "a"), "{key}");
        }
    }

    #[test]
    fn a_day_of_the_year_is_a_date_too() {
        let pattern = KeyPattern::read("{day:%Y.%j}.csv").unwrap();
        assert_eq!(pattern.parts("2024.366.csv").unwrap()["day"], "2024-12-31");
        assert!(pattern.parts("2026.366.csv").is_none());
    }

    #[test]
    fn a_pattern_that_cannot_be_read_says_why() {
        for (pattern, why) in [
            ("", "empty"),
            ("a{b", "never closed"),
            ("a}b", "closes nothing"),
            ("{a b}", "no name"),
            ("{a}/{a}", "two parts"),
            ("{a:%Y-%m}", "whole date"),
            ("{a:%H}", "not known in a date"),
        ] {
            let said = KeyPattern::read(pattern).unwrap_err();
            assert!(said.contains(why), "{pattern}: {said}");
        }
    }

    proptest! {
        #[test]
        fn named_parts_are_found_again(region in "[a-z0-9 ü+.-]{1,12}", file in "[a-zA-Z0-9 ._-]{0,12}") {
            let pattern = KeyPattern::read("in/{region}/{file}.csv").unwrap();
            let parts = pattern.parts(&format!("in/{region}/x{file}.csv"));
            prop_assert_eq!(&parts.unwrap()["region"], &region);
        }

        #[test]
        fn no_text_makes_a_pattern_panic(pattern in "\\PC{0,40}", key in "\\PC{0,40}") {
            if let Ok(pattern) = KeyPattern::read(&pattern) {
                let _ = pattern.parts(&key);
            }
        }
    }
}
