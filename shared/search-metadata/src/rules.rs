//! Validates a configuration, and determines the role of a key.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use jiff::tz::TimeZone;
use schemars::schema_for;
use serde_json::Value;
use shiftwork_config::{JsonPath, Located, Problem, in_order, read_item};
use shiftwork_protocol::{Failure, name::sha256};

use crate::{
    access::{People, is_email},
    config::{AttributeType, Configuration, DatesAs, Repository, Target},
    dates::{self, Dates},
    names,
    pattern::{Pattern, Subject, split, stem},
};

/// Suffix of a target key, the same for Kendra and Bedrock.
pub(crate) const SUFFIX: &str = ".metadata.json";
/// The pattern of metadata files that are next to their documents with the suffix of a target key. It is an additional source
/// of a repository whose index reads metadata under another prefix.
const NEXT_TO_DOCUMENT: &str = "{document}.metadata.json";
/// Suffix of a reason file, added to the key of the quarantined file.
const REASON: &str = ".reason.json";

/// A validated configuration.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Sorted by length of the prefix, longest first, so that the prefix of one repository can contain another repository.
    repositories: Vec<RepositoryRules>,
    quarantine: String,
    originals: String,
    access_file: Option<String>,
    people: Arc<People>,
}

/// A validated repository.
#[derive(Debug, Clone)]
pub(crate) struct RepositoryRules {
    pub(crate) config: Repository,
    pub(crate) dates: Dates,
    pub(crate) people: Arc<People>,
    /// Sorted by number of literal bytes, largest first.
    patterns: Vec<Pattern>,
}

/// The role of a key.
#[derive(Debug, Clone)]
pub(crate) enum Role<'a> {
    /// The target key of a metadata file; `document` is the key of its document.
    Target { repo: &'a RepositoryRules, document: String },
    /// The source key of a metadata file.
    Source { repo: &'a RepositoryRules, pattern: &'a Pattern, subject: Subject },
    /// The key of a document.
    Document { repo: &'a RepositoryRules, document: String },
    /// The key of the global ACL file.
    AccessFile,
    /// A key under the prefixes for quarantine and originals.
    Archived,
    /// A key outside all repositories, or the key of a folder.
    Foreign,
}

/// JSON Schema (2020-12) of `metadata.yaml`.
pub fn schema() -> Value {
    schema_for!(Configuration).to_value()
}

/// Reads and validates a configuration.
///
/// # Errors
/// All problems, in the order of their lines.
pub fn read(doc: &Located) -> Result<(Configuration, Rules), Vec<Problem>> {
    let config: Configuration = shiftwork_config::read(doc, &schema())?;
    let found = problems(&config);
    if found.is_empty() {
        let rules = Rules::of(&config);
        return Ok((config, rules));
    }
    Err(in_order(found.into_iter().map(|(path, message)| doc.problem(&path, message)).collect()))
}

impl Rules {
    /// Reads the configuration that `shiftwork metadata push` wrote to the scripts bucket.
    ///
    /// # Errors
    /// [`shiftwork_protocol::FailureKind::Corrupt`] if the configuration is not valid.
    pub fn pushed(text: &str) -> Result<Self, Failure> {
        let fix = "push it again with `shiftwork metadata push`";
        let value = serde_json::from_str(text)
            .map_err(|error| Failure::corrupt(format!("the configuration of repositories: {error}; {fix}")))?;
        read(&read_item(value)).map(|(_, rules)| rules).map_err(|problems| {
            let message: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Failure::corrupt(format!("the configuration of repositories: {}; {fix}", message.join("; ")))
        })
    }

    fn of(config: &Configuration) -> Self {
        let people = Arc::new(People { users: config.users.clone(), groups: config.groups.clone() });
        let repositories = config.repositories.values().map(|repository| RepositoryRules::of(repository, &people));
        let mut repositories: Vec<_> = repositories.collect();
        repositories.sort_by_key(|repo| std::cmp::Reverse(repo.config.prefix.len()));
        Self {
            repositories,
            quarantine: config.quarantine.clone(),
            originals: config.originals.clone(),
            access_file: config.access_file.clone(),
            people,
        }
    }

    /// The key of the global ACL file.
    pub(crate) fn access_file(&self) -> Option<&str> {
        self.access_file.as_deref()
    }

    /// The users of Bedrock that the users and groups of Kendra are.
    pub(crate) fn people(&self) -> &People {
        &self.people
    }

    /// The role of a key.
    pub(crate) fn role(&self, key: &str) -> Role<'_> {
        if key.starts_with(&self.quarantine) || key.starts_with(&self.originals) {
            return Role::Archived;
        }
        if self.access_file() == Some(key) {
            return Role::AccessFile;
        }
        if let Some((repo, document)) = self.repositories.iter().find_map(|repo| Some((repo, repo.document_of(key)?))) {
            return Role::Target { repo, document };
        }
        let Some((repo, below)) =
            self.repositories.iter().find_map(|repo| Some((repo, key.strip_prefix(&repo.config.prefix)?)))
        else {
            return Role::Foreign;
        };
        // The S3 console creates a folder as an empty object whose key ends with `/`.
        if below.is_empty() || below.ends_with('/') {
            return Role::Foreign;
        }
        let source = repo.patterns.iter().find_map(|pattern| Some((pattern, pattern.subject(below)?)));
        match source {
            Some((pattern, subject)) => Role::Source { repo, pattern, subject },
            None => Role::Document { repo, document: key.into() },
        }
    }

    /// The key in quarantine of a metadata file. It contains the source key and a digest of the content, so that a second
    /// attempt uses the same key, and another content uses another key.
    pub(crate) fn quarantine_key(&self, key: &str, bytes: &[u8]) -> String {
        archive_key(&self.quarantine, key, bytes)
    }

    /// The key of the reason file of a quarantined file.
    pub(crate) fn reason_key(quarantined: &str) -> String {
        format!("{quarantined}{REASON}")
    }

    /// The key of the original content of a metadata file that is fixed at its target key.
    pub(crate) fn original_key(&self, key: &str, bytes: &[u8]) -> String {
        archive_key(&self.originals, key, bytes)
    }
}

fn archive_key(prefix: &str, key: &str, bytes: &[u8]) -> String {
    let digest = &sha256(bytes)[..12];
    let whole = format!("{prefix}{key}.{digest}");
    // If the key is too long, its digest replaces it; the reason file contains the whole key.
    if whole.len() + REASON.len() <= names::KEY_BYTES { whole } else { format!("{prefix}{}.{digest}", sha256(key)) }
}

impl RepositoryRules {
    fn of(config: &Repository, people: &Arc<People>) -> Self {
        let mut patterns: Vec<_> = config.sources.iter().filter_map(|text| Pattern::read(text).ok()).collect();
        if config.index_prefix.is_some() && !config.sources.iter().any(|text| text == NEXT_TO_DOCUMENT) {
            patterns.extend(Pattern::read(NEXT_TO_DOCUMENT));
        }
        patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.literal_bytes()));
        let says = |word: &str| config.dates.iter().any(|format| format == word);
        let dates = Dates {
            zone: TimeZone::get(&config.time_zone).unwrap_or(TimeZone::UTC),
            formats: config.dates.iter().filter(|format| format.contains('%')).cloned().collect(),
            // Fixed files with dates in seconds are read again.
            seconds: says(dates::SECONDS)
                || config.dates_as == DatesAs::EpochSeconds && config.target == Target::Bedrock,
            millis: says(dates::MILLIS),
        };
        Self { config: config.clone(), dates, people: Arc::clone(people), patterns }
    }

    /// The target key: the key at which the index reads the metadata of a document.
    pub(crate) fn target_key(&self, document: &str) -> String {
        format!("{}{document}{SUFFIX}", self.config.index_prefix.as_deref().unwrap_or_default())
    }

    /// The document whose metadata has this target key.
    fn document_of(&self, key: &str) -> Option<String> {
        let document =
            key.strip_prefix(self.config.index_prefix.as_deref().unwrap_or_default())?.strip_suffix(SUFFIX)?;
        let (_, name) = split(document.strip_prefix(&self.config.prefix)?);
        (!name.is_empty()).then(|| document.to_owned())
    }

    /// The complete key for a key that is relative to the prefix.
    pub(crate) fn key(&self, below: &str) -> String {
        format!("{}{below}", self.config.prefix)
    }

    /// The source key of a document's metadata for a pattern.
    pub(crate) fn source_key(&self, pattern: &Pattern, document: &str) -> Option<String> {
        Some(self.key(&pattern.key(document.strip_prefix(&self.config.prefix)?)?))
    }

    /// Finds a pattern by its text.
    pub(crate) fn pattern(&self, text: &str) -> Option<&Pattern> {
        self.patterns.iter().find(|pattern| pattern.text() == text)
    }

    /// The source keys at which metadata of a document can wait for the document, with their patterns.
    pub(crate) fn waiting_sources(&self, document: &str) -> Vec<(&Pattern, String)> {
        let waiting = self.patterns.iter().filter(|pattern| pattern.is_stem() || pattern.is_plain_json());
        waiting.filter_map(|pattern| Some((pattern, self.source_key(pattern, document)?))).collect()
    }

    /// All source keys of a document.
    pub(crate) fn source_keys(&self, document: &str) -> impl Iterator<Item = String> {
        self.patterns.iter().filter_map(|pattern| self.source_key(pattern, document))
    }
}

impl Rules {
    /// The keys of the documents with a stem, out of `keys`.
    pub(crate) fn documents_of<'k>(&self, stem_key: &str, keys: impl Iterator<Item = &'k str>) -> Vec<String> {
        let means = |key: &&str| {
            let (folder, name) = split(key);
            let (wanted_folder, wanted) = split(stem_key);
            folder == wanted_folder && stem(name) == Some(wanted) && matches!(self.role(key), Role::Document { .. })
        };
        keys.filter(means).map(Into::into).collect()
    }
}

/// Paths in the configuration, each with a message.
type Found = Vec<(JsonPath, String)>;

/// Problems that the JSON schema does not detect.
fn problems(config: &Configuration) -> Found {
    let root = JsonPath::root();
    let mut found = Found::new();
    for (field, prefix) in [("quarantine", &config.quarantine), ("originals", &config.originals)] {
        if prefix.is_empty() || !prefix.ends_with('/') || prefix.starts_with('/') {
            found.push((
                root.key(field),
                format!("`{prefix}` is not a valid prefix: it must end with `/`, and not start with `/`"),
            ));
        }
    }
    if config.quarantine.starts_with(&config.originals) || config.originals.starts_with(&config.quarantine) {
        found.push((
            root.key("originals"),
            "the prefixes `originals` and `quarantine` overlap: use two different prefixes".into(),
        ));
    }
    access_problems(config, &mut found);
    let mut prefixes = BTreeSet::new();
    for (name, repository) in &config.repositories {
        let path = root.key("repositories").key(name);
        let prefix = &repository.prefix;
        if prefix.starts_with('/') || !prefix.is_empty() && !prefix.ends_with('/') {
            found.push((
                path.key("prefix"),
                format!(
                    "`{prefix}` is not a valid prefix: it must end with `/`, and not start with `/`; omit it for the whole bucket"
                ),
            ));
        }
        if !prefixes.insert(prefix) {
            found.push((path.key("prefix"), format!("another repository has the same prefix `{prefix}`")));
        }
        for archive in [&config.quarantine, &config.originals] {
            let index = repository.index_prefix.as_deref().unwrap_or(prefix);
            if prefix.starts_with(archive.as_str()) || index.starts_with(archive.as_str()) {
                found.push((path.clone(), format!("the prefix `{archive}` is reserved for `quarantine` or `originals`: use another prefix for the repository")));
            }
        }
        repository_problems(repository, &path, &mut found);
    }
    found
}

fn access_problems(config: &Configuration, found: &mut Found) {
    let root = JsonPath::root();
    let has_lists = config.repositories.values().any(Repository::has_bedrock_lists);
    let of_lists = [
        ("access_file", config.access_file.is_some()),
        ("users", !config.users.is_empty()),
        ("groups", !config.groups.is_empty()),
    ];
    for (field, _) in of_lists.iter().filter(|(_, set)| *set && !has_lists) {
        let message = "no repository has the target `bedrock` with `access_control: list`, which needs it: remove it";
        found.push((root.key(field), message.into()));
    }
    let archives = [&config.quarantine, &config.originals];
    if let Some(key) = &config.access_file
        && (key.is_empty()
            || key.starts_with('/')
            || key.ends_with('/')
            || key.contains("://")
            || archives.iter().any(|archive| key.starts_with(archive.as_str())))
    {
        let message = format!(
            "`{key}` is not a valid key of the global ACL file: expected a key of the bucket, such as acl/global.json"
        );
        found.push((root.key("access_file"), message));
    }
    let problem = |email: &str| format!("`{email}` is not an email address, by which Bedrock identifies a user");
    for (name, email) in config.users.iter().filter(|(_, email)| !is_email(email)) {
        found.push((root.key("users").key(name), problem(email)));
    }
    for (name, members) in &config.groups {
        let path = root.key("groups").key(name);
        if members.is_empty() {
            found.push((path.clone(), "the group has no members: add them, or remove the group".into()));
        }
        for (index, email) in members.iter().enumerate().filter(|(_, email)| !is_email(email)) {
            found.push((path.index(index), problem(email)));
        }
    }
}

fn repository_problems(repository: &Repository, path: &JsonPath, found: &mut Found) {
    let of_bedrock = [
        ("embed", !repository.embed.is_empty()),
        ("typed", repository.typed),
        ("dates_as", repository.dates_as != DatesAs::Text),
        ("access_control", repository.access_control.is_some()),
        ("acl_enabled", repository.acl_enabled.is_some()),
    ];
    if repository.target == Target::Bedrock && !repository.has_bedrock_lists() && repository.acl_enabled == Some(true) {
        let message =
            "a data source with `aclEnabled` reads lists and not attributes: remove it, or set `access_control: list`";
        found.push((path.key("acl_enabled"), message.into()));
    }
    match (repository.target, &repository.index_prefix) {
        (Target::Bedrock, Some(_)) => {
            let message =
                "Bedrock reads a metadata file next to its document: remove `index_prefix`, which is for Kendra only";
            found.push((path.key("index_prefix"), message.into()));
        }
        (Target::Kendra, Some(prefix)) if prefix.is_empty() || !prefix.ends_with('/') || prefix.starts_with('/') => {
            let message = format!(
                "`{prefix}` is not a valid prefix: it must end with `/`, and not start with `/`; omit it if the index reads a metadata file next to its document"
            );
            found.push((path.key("index_prefix"), message));
        }
        (Target::Kendra | Target::Bedrock, _) => {}
    }
    if repository.target == Target::Kendra {
        for (field, _) in of_bedrock.iter().filter(|(_, set)| *set) {
            found.push((path.key(field), format!("`{field}` is for Bedrock only: remove it")));
        }
    }
    for (index, text) in repository.sources.iter().enumerate() {
        if let Err(message) = Pattern::read(text) {
            found.push((path.key("sources").index(index), format!("`{text}`: {message}")));
        }
    }
    for (index, format) in repository.dates.iter().enumerate() {
        found.extend(dates::format_problem(format).map(|message| (path.key("dates").index(index), message)));
    }
    if TimeZone::get(&repository.time_zone).is_err() {
        let message =
            format!("`{}` is not a known time zone; expected a name such as Europe/Berlin", repository.time_zone);
        found.push((path.key("time_zone"), message));
    }
    if repository.list_length == 0 {
        found.push((path.key("list_length"), "`list_length` must be at least 1".into()));
    }
    if repository.list_separator.as_deref() == Some("") {
        found.push((
            path.key("list_separator"),
            "`list_separator` must not be empty: set it to the separator, or remove it".into(),
        ));
    }
    for (name, of) in &repository.attributes {
        let at = path.key("attributes").key(name);
        if names::known(name, repository.target).is_some() {
            found.push((
                at,
                format!("`{name}` is a predefined attribute with a fixed type: remove it from `attributes`"),
            ));
        } else if let Some(message) = names::problem(name, repository.target) {
            found.push((at, message));
        } else if repository.target == Target::Kendra && matches!(of, AttributeType::Number | AttributeType::Boolean) {
            found.push((
                at,
                "Kendra does not have this type; expected `string`, `string_list`, `long` or `date`".into(),
            ));
        }
    }
    for (field, attribute) in &repository.fields {
        // Members of Kendra's format have these names in the format of Bedrock, and are read by these names again.
        let parts = [names::DOCUMENT_ID, names::TITLE, names::CONTENT_TYPE];
        let is_kendra_member = parts.contains(&field.as_str()) || crate::access::is_list_attribute(field);
        if repository.target == Target::Bedrock && is_kendra_member {
            let message =
                format!("`{field}` holds a member of Kendra's format, and cannot be mapped to another attribute");
            found.push((path.key("fields").key(field), message));
        }
        let Some(attribute) = attribute else { continue };
        // The fixed file is read again, so the attribute would be mapped a second time.
        if attribute != field && repository.fields.contains_key(attribute) {
            found.push((
                path.key("fields").key(field),
                format!("`{attribute}` is mapped to another attribute: map `{field}` directly to that attribute"),
            ));
        }
        if !crate::metadata::is_kendra_member(attribute)
            && let Some(mut message) = names::problem(attribute, repository.target)
        {
            let _ = write!(message, "; or use one of {}", shiftwork_config::list(crate::metadata::KENDRA_MEMBERS));
            found.push((path.key("fields").key(field), message));
        }
    }
}

#[cfg(test)]
mod tests;
