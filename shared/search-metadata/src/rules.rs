//! A configuration that holds together, and what it says about a key.

use std::{collections::BTreeSet, fmt::Write as _};

use jiff::tz::TimeZone;
use schemars::schema_for;
use serde_json::Value;
use shiftwork_config::{JsonPath, Located, Problem, in_order, read_item};
use shiftwork_protocol::{Failure, name::sha256};

use crate::{
    config::{AttributeType, Configuration, DatesAs, Repository, Target},
    dates::{self, Dates},
    names,
    pattern::{Pattern, Subject, split, stem},
};

/// Suffix of metadata in its place, for Kendra and Bedrock alike.
pub(crate) const SUFFIX: &str = ".metadata.json";
/// Where metadata lies that is in its place, where the index looks beside the documents.
const BESIDE: &str = "{document}.metadata.json";
/// Suffix of the file that says why something is in quarantine.
const REASON: &str = ".reason.json";

/// A configuration, compiled.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The longest prefix first: the repository within a repository has its own rules.
    repositories: Vec<Repo>,
    quarantine: String,
    originals: String,
}

/// One repository, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Repo {
    pub(crate) config: Repository,
    pub(crate) dates: Dates,
    /// The most particular first.
    patterns: Vec<Pattern>,
}

/// What a key is.
#[derive(Debug, Clone)]
pub(crate) enum Role<'a> {
    /// Metadata in its place.
    Target { repo: &'a Repo, document: String },
    /// Metadata as the repository keeps it.
    Source { repo: &'a Repo, pattern: &'a Pattern, subject: Subject },
    /// A document.
    Document { repo: &'a Repo, document: String },
    /// What metadata-fixer put aside itself.
    Aside,
    /// In no repository.
    Foreign,
}

/// JSON Schema (2020-12) of `metadata.yaml`.
pub fn schema() -> Value {
    schema_for!(Configuration).to_value()
}

/// Reads a configuration and checks all of it.
///
/// # Errors
/// Every problem, in the order of its lines.
pub fn read(doc: &Located) -> Result<(Configuration, Rules), Vec<Problem>> {
    let config: Configuration = shiftwork_config::read(doc, &schema())?;
    let found = problems(&config);
    if found.is_empty() {
        let rules = Rules::of(&config);
        return Ok((config, rules));
    }
    Err(in_order(found.into_iter().map(|(path, words)| doc.problem(&path, words)).collect()))
}

impl Rules {
    /// Reads what a push put in the scripts bucket.
    ///
    /// # Errors
    /// [`shiftwork_protocol::FailureKind::Corrupt`]: somebody else put it there.
    pub fn pushed(text: &str) -> Result<Self, Failure> {
        let mend = "push it again with `shiftwork metadata push`";
        let value = serde_json::from_str(text)
            .map_err(|error| Failure::corrupt(format!("the configuration of repositories: {error}; {mend}")))?;
        read(&read_item(value)).map(|(_, rules)| rules).map_err(|problems| {
            let words: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Failure::corrupt(format!("the configuration of repositories: {}; {mend}", words.join("; ")))
        })
    }

    fn of(config: &Configuration) -> Self {
        let mut repositories: Vec<_> = config.repositories.values().map(Repo::of).collect();
        repositories.sort_by_key(|repo| std::cmp::Reverse(repo.config.prefix.len()));
        Self { repositories, quarantine: config.quarantine.clone(), originals: config.originals.clone() }
    }

    /// What a key is.
    pub(crate) fn role(&self, key: &str) -> Role<'_> {
        if key.starts_with(&self.quarantine) || key.starts_with(&self.originals) {
            return Role::Aside;
        }
        if let Some((repo, document)) = self.repositories.iter().find_map(|repo| Some((repo, repo.document_of(key)?))) {
            return Role::Target { repo, document };
        }
        let Some((repo, below)) =
            self.repositories.iter().find_map(|repo| Some((repo, key.strip_prefix(&repo.config.prefix)?)))
        else {
            return Role::Foreign;
        };
        // An empty object whose key ends so is how consoles draw a folder.
        if below.is_empty() || below.ends_with('/') {
            return Role::Foreign;
        }
        let source = repo.patterns.iter().find_map(|pattern| Some((pattern, pattern.subject(below)?)));
        match source {
            Some((pattern, subject)) => Role::Source { repo, pattern, subject },
            None => Role::Document { repo, document: key.into() },
        }
    }

    /// Where metadata goes that cannot be mended: under its own key and a digest of what it says, so that a second try puts it
    /// in the same place, and another version beside it.
    pub(crate) fn quarantine_key(&self, key: &str, bytes: &[u8]) -> String {
        aside(&self.quarantine, key, bytes)
    }

    /// Where the reason of that is.
    pub(crate) fn reason_key(quarantined: &str) -> String {
        format!("{quarantined}{REASON}")
    }

    /// Where metadata is kept as it was before it was mended in its place.
    pub(crate) fn original_key(&self, key: &str, bytes: &[u8]) -> String {
        aside(&self.originals, key, bytes)
    }
}

fn aside(prefix: &str, key: &str, bytes: &[u8]) -> String {
    let digest = &sha256(bytes)[..12];
    let whole = format!("{prefix}{key}.{digest}");
    // A key that is too long for a prefix is found by what the reason says.
    if whole.len() + REASON.len() <= names::KEY_BYTES { whole } else { format!("{prefix}{}.{digest}", sha256(key)) }
}

impl Repo {
    fn of(config: &Repository) -> Self {
        let mut patterns: Vec<_> = config.sources.iter().filter_map(|text| Pattern::read(text).ok()).collect();
        if config.index_prefix.is_some() && !config.sources.iter().any(|text| text == BESIDE) {
            patterns.extend(Pattern::read(BESIDE));
        }
        patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.literal()));
        let says = |word: &str| config.dates.iter().any(|format| format == word);
        let dates = Dates {
            zone: TimeZone::get(&config.time_zone).unwrap_or(TimeZone::UTC),
            formats: config.dates.iter().filter(|format| format.contains('%')).cloned().collect(),
            // Seconds that were written so have to be read, too.
            seconds: says(dates::SECONDS)
                || config.dates_as == DatesAs::EpochSeconds && config.target == Target::Bedrock,
            millis: says(dates::MILLIS),
        };
        Self { config: config.clone(), dates, patterns }
    }

    /// Where the index looks for the metadata of a document.
    pub(crate) fn target_key(&self, document: &str) -> String {
        format!("{}{document}{SUFFIX}", self.config.index_prefix.as_deref().unwrap_or_default())
    }

    /// The document whose metadata has this key, where the index looks.
    fn document_of(&self, key: &str) -> Option<String> {
        let document =
            key.strip_prefix(self.config.index_prefix.as_deref().unwrap_or_default())?.strip_suffix(SUFFIX)?;
        let (_, name) = split(document.strip_prefix(&self.config.prefix)?);
        (!name.is_empty()).then(|| document.to_owned())
    }

    /// The whole key of something below the prefix.
    pub(crate) fn key(&self, below: &str) -> String {
        format!("{}{below}", self.config.prefix)
    }

    /// Where a pattern has the metadata of a document.
    pub(crate) fn source_key(&self, pattern: &Pattern, document: &str) -> Option<String> {
        Some(self.key(&pattern.key(document.strip_prefix(&self.config.prefix)?)?))
    }

    /// A pattern, by its text.
    pub(crate) fn pattern(&self, text: &str) -> Option<&Pattern> {
        self.patterns.iter().find(|pattern| pattern.text() == text)
    }

    /// Where metadata may wait that says of its document the stem alone.
    pub(crate) fn waiting(&self, document: &str) -> Vec<(&Pattern, String)> {
        let stems = self.patterns.iter().filter(|pattern| pattern.is_stem());
        stems.filter_map(|pattern| Some((pattern, self.source_key(pattern, document)?))).collect()
    }
}

impl Rules {
    /// Of some keys, the documents that a stem may mean.
    pub(crate) fn documents_of<'k>(&self, stem_key: &str, keys: impl Iterator<Item = &'k str>) -> Vec<String> {
        let means = |key: &&str| {
            let (folder, name) = split(key);
            let (wanted_folder, wanted) = split(stem_key);
            folder == wanted_folder && stem(name) == Some(wanted) && matches!(self.role(key), Role::Document { .. })
        };
        keys.filter(means).map(Into::into).collect()
    }
}

type Found = Vec<(JsonPath, String)>;

/// What a schema cannot say.
fn problems(config: &Configuration) -> Found {
    let root = JsonPath::root();
    let mut found = Found::new();
    for (field, prefix) in [("quarantine", &config.quarantine), ("originals", &config.originals)] {
        if prefix.is_empty() || !prefix.ends_with('/') || prefix.starts_with('/') {
            found.push((
                root.key(field),
                format!("`{prefix}`: a prefix of its own ends with `/`, and does not begin with it"),
            ));
        }
    }
    if config.quarantine.starts_with(&config.originals) || config.originals.starts_with(&config.quarantine) {
        found.push((root.key("originals"), "originals and quarantine need a prefix each".into()));
    }
    let mut prefixes = BTreeSet::new();
    for (name, repository) in &config.repositories {
        let path = root.key("repositories").key(name);
        let prefix = &repository.prefix;
        if prefix.starts_with('/') || !prefix.is_empty() && !prefix.ends_with('/') {
            found.push((
                path.key("prefix"),
                format!(
                    "`{prefix}`: a prefix ends with `/`, and does not begin with it; leave it out for the whole bucket"
                ),
            ));
        }
        if !prefixes.insert(prefix) {
            found.push((path.key("prefix"), format!("another repository has the prefix `{prefix}` already")));
        }
        for aside in [&config.quarantine, &config.originals] {
            let index = repository.index_prefix.as_deref().unwrap_or(prefix);
            if prefix.starts_with(aside.as_str()) || index.starts_with(aside.as_str()) {
                found.push((path.clone(), format!("`{aside}` is for what was put aside, and no repository")));
            }
        }
        repository_problems(repository, &path, &mut found);
    }
    found
}

fn repository_problems(repository: &Repository, path: &JsonPath, found: &mut Found) {
    let of_bedrock = [
        ("embed", !repository.embed.is_empty()),
        ("typed", repository.typed),
        ("dates_as", repository.dates_as != DatesAs::Text),
    ];
    match (repository.target, &repository.index_prefix) {
        (Target::Bedrock, Some(_)) => {
            let words = "Bedrock looks for metadata beside the document; only Kendra has a prefix for it";
            found.push((path.key("index_prefix"), words.into()));
        }
        (Target::Kendra, Some(prefix)) if prefix.is_empty() || !prefix.ends_with('/') || prefix.starts_with('/') => {
            let words = format!(
                "`{prefix}`: a prefix ends with `/`, and does not begin with it; leave it out where metadata lies beside its document"
            );
            found.push((path.key("index_prefix"), words));
        }
        (Target::Kendra | Target::Bedrock, _) => {}
    }
    if repository.target == Target::Kendra {
        for (field, _) in of_bedrock.iter().filter(|(_, set)| *set) {
            found.push((path.key(field), format!("`{field}` is for Bedrock alone")));
        }
    }
    for (index, text) in repository.sources.iter().enumerate() {
        if let Err(words) = Pattern::read(text) {
            found.push((path.key("sources").index(index), format!("`{text}`: {words}")));
        }
    }
    for (index, format) in repository.dates.iter().enumerate() {
        found.extend(dates::format_problem(format).map(|words| (path.key("dates").index(index), words)));
    }
    if TimeZone::get(&repository.time_zone).is_err() {
        let words = format!("`{}` is no time zone; expected one such as Europe/Berlin", repository.time_zone);
        found.push((path.key("time_zone"), words));
    }
    if repository.list_length == 0 {
        found.push((path.key("list_length"), "a list has room for one text at least".into()));
    }
    if repository.list_separator.as_deref() == Some("") {
        found.push((path.key("list_separator"), "nothing parts no list".into()));
    }
    for (name, of) in &repository.attributes {
        let at = path.key("attributes").key(name);
        if names::known(name, repository.target).is_some() {
            found.push((at, format!("`{name}` has its type already, for every index")));
        } else if let Some(words) = names::problem(name, repository.target) {
            found.push((at, words));
        } else if repository.target == Target::Kendra && matches!(of, AttributeType::Number | AttributeType::Boolean) {
            found.push((at, "Kendra has the types string, string_list, long and date".into()));
        }
    }
    for (field, attribute) in &repository.fields {
        // Kendra's parts have these names in Bedrock's metadata, and are read under them again.
        let parts = [names::DOCUMENT_ID, names::TITLE, names::CONTENT_TYPE];
        let is_part = parts.contains(&field.as_str()) || crate::access::is_list(field);
        if repository.target == Target::Bedrock && is_part {
            let words =
                format!("`{field}` is what a part of Kendra's metadata is called in Bedrock's, and keeps its name");
            found.push((path.key("fields").key(field), words));
        }
        let Some(attribute) = attribute else { continue };
        // What was mapped once would be mapped again when it is read in its place.
        if attribute != field && repository.fields.contains_key(attribute) {
            found.push((
                path.key("fields").key(field),
                format!("`{attribute}` is mapped itself; one step from name to attribute"),
            ));
        }
        if !crate::metadata::is_part(attribute)
            && let Some(mut words) = names::problem(attribute, repository.target)
        {
            let _ = write!(words, "; or it is one of {}", shiftwork_config::list(crate::metadata::PARTS));
            found.push((path.key("fields").key(field), words));
        }
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
