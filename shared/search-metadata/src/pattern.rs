//! Where a repository keeps the metadata of a document: a pattern that goes both ways, from document to metadata and back.

/// Characters of a pattern. It travels in an object's user metadata, of which S3 takes 2 KB.
const CHARS: usize = 200;
const FOLDER: &str = "{folder}";
const NAME: &str = "{name}";
const STEM: &str = "{stem}";
const DOCUMENT: &str = "{document}";

/// A source of metadata, below the repository's prefix: `{document}.json`, `_meta/{folder}{stem}.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: String,
    before: String,
    folder: bool,
    between: String,
    stem: bool,
    after: String,
}

/// What a metadata file is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A document, by its key below the prefix.
    Document(String),
    /// The one document that begins so, and goes on with `.` and a suffix.
    Stem(String),
}

impl Pattern {
    /// Reads a pattern; the error is for a person.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        if !text.bytes().all(|b| b.is_ascii_graphic()) || text.len() > CHARS {
            return Err(format!("a pattern is of at most {CHARS} ASCII characters without spaces"));
        }
        let long = text.replace(DOCUMENT, "{folder}{name}");
        let (before, rest, folder) = match long.split_once(FOLDER) {
            Some((before, rest)) => (before, rest, true),
            None => ("", long.as_str(), false),
        };
        let stem = rest.contains(STEM);
        let Some((between, after)) = rest.split_once(if stem { STEM } else { NAME }) else {
            return Err(format!("expected `{DOCUMENT}`, `{NAME}` or `{STEM}`, behind `{FOLDER}` if that is there"));
        };
        if [before, between, after].iter().any(|literal| literal.contains(['{', '}'])) {
            return Err(format!(
                "`{DOCUMENT}` stands alone; beside it there are `{FOLDER}`, then `{NAME}` or `{STEM}`, each once"
            ));
        }
        if before.is_empty() && between.is_empty() && after.is_empty() || text.starts_with('/') {
            return Err("metadata would have the key of its document: add a folder in front or a suffix behind".into());
        }
        if stem && after.is_empty() && before.is_empty() && !between.ends_with('/') {
            return Err("add a suffix, such as `.json`".into());
        }
        let (before, between, after) = (before.into(), between.into(), after.into());
        Ok(Self { text: text.into(), before, folder, between, stem, after })
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// True when a name may stand for several documents.
    pub(crate) const fn is_stem(&self) -> bool {
        self.stem
    }

    /// How much of a key it knows: the most particular pattern wins.
    pub(crate) fn literal(&self) -> usize {
        self.before.len() + self.between.len() + self.after.len()
    }

    /// Where the metadata of a document lies. `None` for a document that the pattern cannot name.
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

    /// What the metadata under a key is about, if it is metadata by this pattern.
    pub(crate) fn subject(&self, key: &str) -> Option<Subject> {
        let middle = key.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        // From the right, so that the folder is the longest that it can be.
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

/// The folder with its `/`, and the name.
pub(crate) fn split(document: &str) -> (&str, &str) {
    document.split_at(document.rfind('/').map_or(0, |slash| slash + 1))
}

/// A name without its suffix. `None` where there is none.
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
    fn a_pattern_goes_both_ways() {
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
    fn what_it_does_not_name_is_nothing_to_it() {
        assert_eq!(pattern("{name}.json").key("a/b.pdf"), None);
        assert_eq!(pattern("{name}.json").subject("a/b.pdf.json"), None);
        assert_eq!(pattern("{document}.json").subject(".json"), None);
        assert_eq!(pattern("{document}.json").subject("a/.json"), None);
        assert_eq!(pattern("{folder}{stem}.json").key("a/README"), None);
        assert_eq!(pattern("_meta/{document}.json").subject("a.pdf.json"), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
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
