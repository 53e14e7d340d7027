//! Patterns that map the key of a document to the key of its metadata file, and back.

/// Maximum number of characters in a pattern. Patterns are stored in user metadata of objects, which S3 limits to 2 KB.
const MAX_CHARS: usize = 200;
const FOLDER: &str = "{folder}";
const NAME: &str = "{name}";
const STEM: &str = "{stem}";
const DOCUMENT: &str = "{document}";

/// Keys of metadata files, relative to the prefix of the repository: `{document}.json`, `_meta/{folder}{stem}.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: String,
    before: String,
    folder: bool,
    between: String,
    stem: bool,
    after: String,
}

/// The document that a metadata file describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The key of the document, relative to the prefix of the repository.
    Document(String),
    /// The key of the document without `.` and its extension, relative to the prefix of the repository.
    Stem(String),
}

impl Pattern {
    /// Parses a pattern. The error is a message.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        if !text.bytes().all(|b| b.is_ascii_graphic()) || text.len() > MAX_CHARS {
            return Err(format!("a pattern has at most {MAX_CHARS} characters, all of them ASCII and none a space"));
        }
        let long = text.replace(DOCUMENT, "{folder}{name}");
        let (before, rest, folder) = match long.split_once(FOLDER) {
            Some((before, rest)) => (before, rest, true),
            None => ("", long.as_str(), false),
        };
        let stem = rest.contains(STEM);
        let Some((between, after)) = rest.split_once(if stem { STEM } else { NAME }) else {
            return Err(format!("expected `{DOCUMENT}`, `{NAME}` or `{STEM}`, and `{FOLDER}` only before it"));
        };
        if [before, between, after].iter().any(|literal| literal.contains(['{', '}'])) {
            return Err(format!(
                "expected `{DOCUMENT}` once, or `{FOLDER}` at most once followed by `{NAME}` or `{STEM}` once"
            ));
        }
        if before.is_empty() && between.is_empty() && after.is_empty() || text.starts_with('/') {
            return Err("the metadata file would have the key of its document: add a folder or a suffix".into());
        }
        if stem && after.is_empty() && before.is_empty() && !between.ends_with('/') {
            return Err("add a suffix, such as `.json`".into());
        }
        let (before, between, after) = (before.into(), between.into(), after.into());
        Ok(Self { text: text.into(), before, folder, between, stem, after })
    }

    /// The text of the pattern.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// True if the key of a metadata file can match several documents.
    pub(crate) const fn is_stem(&self) -> bool {
        self.stem
    }

    /// True if a JSON document can have such a key: the key has no literal but the suffix `.json`.
    pub(crate) fn is_plain_json(&self) -> bool {
        self.after == ".json" && self.literal_bytes() == self.after.len()
    }

    /// Number of literal bytes. If several patterns match a key, the one with most literal bytes is used.
    pub(crate) fn literal_bytes(&self) -> usize {
        self.before.len() + self.between.len() + self.after.len()
    }

    /// The key of the metadata file of a document. `None` if the pattern does not apply to the document.
    pub(crate) fn key(&self, document: &str) -> Option<String> {
        let (folder, name) = split(document);
        let name = if self.stem { stem(name)? } else { name };
        let folder = match (self.folder, folder) {
            (true, folder) => folder,
            (false, "") => "",
            (false, _) => return None,
        };
        Some(format!("{}{folder}{}{name}{}", self.before, self.between, self.after))
    }

    /// The document that the metadata file at a key describes. `None` if the key does not match the pattern.
    pub(crate) fn subject(&self, key: &str) -> Option<Subject> {
        let middle = key.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        // Tries positions from the right, so that the folder is as long as possible.
        let starts = middle.char_indices().map(|(at, _)| at).rev();
        let about = starts
            .filter(|at| middle[*at..].starts_with(&self.between))
            .map(|at| (&middle[..at], &middle[at + self.between.len()..]))
            .filter(|(folder, _)| folder.is_empty() || self.folder && folder.ends_with('/'))
            .find(|(_, name)| !name.is_empty() && !name.contains('/'))
            .map(|(folder, name)| format!("{folder}{name}"))?;
        Some(if self.stem { Subject::Stem(about) } else { Subject::Document(about) })
    }
}

/// Splits a key into its folder, including the final `/`, and its name.
pub(crate) fn split(document: &str) -> (&str, &str) {
    document.split_at(document.rfind('/').map_or(0, |slash| slash + 1))
}

/// A name without its extension. `None` if it has no extension, or nothing before it.
pub(crate) fn stem(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(stem, _)| stem).filter(|stem| !stem.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::read(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_pattern_maps_a_document_to_its_metadata_and_back() {
        for (text, key) in [
            ("{document}.metadata.json", "a/b/c.pdf.metadata.json"),
            ("{document}.json", "a/b/c.pdf.json"),
            ("_meta/{document}.json", "_meta/a/b/c.pdf.json"),
            ("{folder}_meta/{name}.json", "a/b/_meta/c.pdf.json"),
            ("{folder}.{name}.json", "a/b/.c.pdf.json"),
            ("meta/{document}", "meta/a/b/c.pdf"),
        ] {
            let pattern = pattern(text);
            assert_eq!(pattern.key("a/b/c.pdf").as_deref(), Some(key), "{text}");
            assert_eq!(pattern.subject(key), Some(Subject::Document("a/b/c.pdf".into())), "{text}");
        }
        assert_eq!(pattern("{folder}{stem}.json").key("a/b.c.pdf").as_deref(), Some("a/b.c.json"));
        assert_eq!(pattern("{folder}{stem}.json").subject("a/b.c.json"), Some(Subject::Stem("a/b.c".into())));
    }

    #[test]
    fn a_key_that_does_not_match_has_no_result() {
        assert_eq!(pattern("{name}.json").key("a/b.pdf"), None);
        assert_eq!(pattern("{name}.json").subject("a/b.pdf.json"), None);
        assert_eq!(pattern("{document}.json").subject(".json"), None);
        assert_eq!(pattern("{document}.json").subject("a/.json"), None);
        assert_eq!(pattern("{folder}{stem}.json").key("a/README"), None);
        assert_eq!(pattern("_meta/{document}.json").subject("a.pdf.json"), None);
    }

    #[test]
    fn an_invalid_pattern_is_refused() {
        for text in [
            "",
            "x.json",
            "{document}",
            "{stem}",
            "{folder}.json",
            "{name}{folder}.json",
            "{document}{name}.json",
            "{folder}{folder}{name}.json",
            "{dokument}.json",
            "{document}.meta data",
            "/x/{name}",
        ] {
            assert!(Pattern::read(text).is_err(), "{text}");
        }
    }
}
