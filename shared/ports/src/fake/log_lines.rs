//! The log of a test.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex},
};

use serde::{
    Deserialize,
    de::{Deserializer, Error as _, MapAccess, Visitor},
};
use serde_json::Value;

/// A writer that keeps the lines of a log in memory. Clones share the lines.
#[derive(Debug, Clone, Default)]
pub struct LogLines(Arc<Mutex<Vec<u8>>>);

impl LogLines {
    /// Parses every line. Panics at a line that is not a JSON object or that has a key twice.
    pub fn parsed(&self) -> Vec<BTreeMap<String, Value>> {
        let text = String::from_utf8_lossy(&super::lock(&self.0)).into_owned();
        let strict = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        text.lines().map(|line| -> Strict { strict(line) }).map(|line| line.0).collect()
    }
}

impl io::Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        super::lock(&self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An object in which no key occurs twice.
struct Strict(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Strict;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object in which no key occurs twice")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
                let mut all = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if all.insert(key.clone(), value).is_some() {
                        return Err(A::Error::custom(format!("the key `{key}` occurs twice")));
                    }
                }
                Ok(Strict(all))
            }
        }
        from.deserialize_map(Keys)
    }
}

#[cfg(test)]
mod tests {
    use io::Write as _;

    use super::*;

    #[test]
    fn lines_are_parsed() {
        let log = LogLines::default();
        log.clone().write_all(b"{\"a\":1,\"b\":2}\n{}\n").unwrap();
        let [first, second] = log.parsed().try_into().unwrap();
        assert_eq!((first["a"].as_u64(), first.len(), second.len()), (Some(1), 2, 0));
    }

    #[test]
    #[should_panic(expected = "the key `a` occurs twice")]
    fn a_repeated_key_is_refused() {
        let log = LogLines::default();
        log.clone().write_all(br#"{"a":1,"a":2}"#).unwrap();
        log.parsed();
    }
}
