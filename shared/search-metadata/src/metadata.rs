//! Metadata of one document, independent of its source and of the index that reads it.

use std::collections::BTreeMap;

use crate::{
    access::Principal,
    config::{DatesAs, Target},
    dates,
    json::Json,
    rules::RepositoryRules,
};

/// Members of Kendra's format besides `Attributes` and `AccessControlList`. `fields` can map to them.
pub(crate) const KENDRA_MEMBERS: [&str; 3] = ["DocumentId", "Title", "ContentType"];

/// True for one of [`KENDRA_MEMBERS`].
pub(crate) fn is_kendra_member(name: &str) -> bool {
    KENDRA_MEMBERS.contains(&name)
}

/// Metadata of a document. For Bedrock only `attributes`, `access` and `structure` are used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) document_id: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) attributes: BTreeMap<String, Attribute>,
    pub(crate) access: Vec<Principal>,
    /// `documentStructureConfiguration`: how Bedrock splits a CSV file. Kendra does not support it.
    pub(crate) structure: Option<Json>,
}

/// A value, and Bedrock's `includeForEmbedding` if the source has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) value: Value,
    pub(crate) embed: Option<bool>,
}

/// A value of the type of its attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    List(Vec<String>),
    /// The digits of the number as written in the source.
    Number(String),
    Flag(bool),
    /// ISO 8601 with a UTC offset.
    Instant(String),
}

impl Metadata {
    /// True if no member is set.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The metadata in the format of the repository's index.
    pub(crate) fn json(&self, repo: &RepositoryRules) -> Json {
        match repo.config.target {
            Target::Kendra => self.kendra(),
            Target::Bedrock => self.bedrock(repo),
        }
    }

    fn kendra(&self) -> Json {
        let text = |text: &Option<String>| text.clone().map(Json::Text);
        let attributes =
            self.attributes.iter().map(|(name, attribute)| (name.clone(), attribute.value.json(DatesAs::Text)));
        let attributes: Vec<_> = attributes.collect();
        let access: Vec<_> = self.access.iter().map(Principal::json).collect();
        let members = [
            ("DocumentId", text(&self.document_id)),
            ("Title", text(&self.title)),
            ("ContentType", text(&self.content_type)),
            ("Attributes", (!attributes.is_empty()).then_some(Json::Object(attributes))),
            ("AccessControlList", (!access.is_empty()).then_some(Json::List(access))),
        ];
        Json::Object(members.into_iter().filter_map(|(name, value)| Some((name.into(), value?))).collect())
    }

    fn bedrock(&self, repo: &RepositoryRules) -> Json {
        let attributes = self.attributes.iter().map(|(name, attribute)| {
            let embed = if repo.config.embed.contains(name) { Some(true) } else { attribute.embed };
            let value = attribute.value.json(repo.config.dates_as);
            let value = if embed.is_some() || repo.config.typed { typed(value, embed.unwrap_or(false)) } else { value };
            (name.clone(), value)
        });
        let mut members = vec![("metadataAttributes".into(), Json::Object(attributes.collect()))];
        if !self.access.is_empty() {
            members.push((BEDROCK_ACCESS.into(), Json::List(self.access.iter().map(Principal::json).collect())));
        }
        members.extend(self.structure.clone().map(|structure| (STRUCTURE.into(), structure)));
        Json::Object(members)
    }
}

/// The member of Bedrock's format that holds the access control list (Bedrock User Guide, "Document-level access controls").
pub(crate) const BEDROCK_ACCESS: &str = "accessControlList";
/// The member of Bedrock's format that says how a CSV file is split.
pub(crate) const STRUCTURE: &str = "documentStructureConfiguration";

/// A value with its type, in Bedrock's format.
fn typed(value: Json, embed: bool) -> Json {
    let (of, member) = match value {
        Json::Number(_) => ("NUMBER", "numberValue"),
        Json::Flag(_) => ("BOOLEAN", "booleanValue"),
        Json::List(_) => ("STRING_LIST", "stringListValue"),
        Json::Text(_) | Json::Null | Json::Object(_) => ("STRING", "stringValue"),
    };
    Json::Object(vec![
        ("value".into(), Json::Object(vec![("type".into(), Json::Text(of.into())), (member.into(), value)])),
        ("includeForEmbedding".into(), Json::Flag(embed)),
    ])
}

/// The value and `includeForEmbedding` of a typed value in Bedrock's format; `None` if the value is not typed.
pub(crate) fn untyped(value: &Json) -> Option<Result<(Json, Option<bool>), String>> {
    let Json::Object(members) = value else { return None };
    let member = |wanted: &str| members.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let Json::Object(inner) = member("value")? else { return None };
    let unknown = members.iter().find(|(name, _)| name != "value" && name != "includeForEmbedding");
    if let Some((name, _)) = unknown {
        return Some(Err(format!("unknown member `{name}`: expected `value` and `includeForEmbedding`")));
    }
    let embed = match member("includeForEmbedding") {
        None | Some(Json::Null) => None,
        Some(Json::Flag(embed)) => Some(*embed),
        Some(Json::Text(text)) if text.eq_ignore_ascii_case("true") => Some(true),
        Some(Json::Text(text)) if text.eq_ignore_ascii_case("false") => Some(false),
        Some(other) => {
            return Some(Err(format!("`includeForEmbedding` must be true or false, found {}", other.describe())));
        }
    };
    let values: Vec<_> = inner.iter().filter(|(name, _)| name != "type").collect();
    // The declared type is ignored, because it can be wrong: the type is written again from the value.
    let known = ["stringValue", "numberValue", "booleanValue", "stringListValue"];
    Some(match values.as_slice() {
        [(name, value)] if known.contains(&name.as_str()) => Ok((value.clone(), embed)),
        _ => Err(format!("a typed value must have a `type` and one of {}", shiftwork_config::list(known))),
    })
}

impl Value {
    pub(crate) fn json(&self, dates_as: DatesAs) -> Json {
        let text = |text: &String| Json::Text(text.clone());
        match self {
            Self::Text(value) => text(value),
            Self::List(values) => Json::List(values.iter().map(text).collect()),
            Self::Number(digits) => Json::Number(digits.clone()),
            Self::Flag(flag) => Json::Flag(*flag),
            Self::Instant(iso) => match dates_as {
                DatesAs::Text => text(iso),
                DatesAs::EpochSeconds => {
                    dates::epoch_seconds(iso).map_or_else(|| text(iso), |at| Json::Number(at.to_string()))
                }
            },
        }
    }
}
