//! Metadata of one document, whoever wrote it and whoever reads it.

use std::collections::BTreeMap;

use crate::{
    access::Principal,
    config::{DatesAs, Target},
    dates,
    json::Json,
    rules::Repo,
};

/// Kendra's members beside the attributes; a mapping may name them, too.
pub(crate) const PARTS: [&str; 3] = ["DocumentId", "Title", "ContentType"];

/// True for one of [`PARTS`].
pub(crate) fn is_part(name: &str) -> bool {
    PARTS.contains(&name)
}

/// What is known about a document. For Bedrock all of it is attributes, and how a CSV file is taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) document_id: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) attributes: BTreeMap<String, Attribute>,
    pub(crate) access: Vec<Principal>,
    /// How Bedrock takes a CSV file apart. Nobody else knows it.
    pub(crate) structure: Option<Json>,
}

/// A value, and whether it is embedded with the text, where somebody said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) value: Value,
    pub(crate) embed: Option<bool>,
}

/// A value of its attribute's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    List(Vec<String>),
    /// Its digits.
    Number(String),
    Flag(bool),
    /// ISO 8601 with its zone.
    Instant(String),
}

impl Metadata {
    /// True when there is nothing for an index in it.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As the index of a repository reads it.
    pub(crate) fn json(&self, repo: &Repo) -> Json {
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

    fn bedrock(&self, repo: &Repo) -> Json {
        let attributes = self.attributes.iter().map(|(name, attribute)| {
            let embed = if repo.config.embed.contains(name) { Some(true) } else { attribute.embed };
            let value = attribute.value.json(repo.config.dates_as);
            let value = if embed.is_some() || repo.config.typed { typed(value, embed.unwrap_or(false)) } else { value };
            (name.clone(), value)
        });
        let mut members = vec![("metadataAttributes".into(), Json::Object(attributes.collect()))];
        members.extend(self.structure.clone().map(|structure| (STRUCTURE.into(), structure)));
        Json::Object(members)
    }
}

/// Bedrock's member beside the attributes.
pub(crate) const STRUCTURE: &str = "documentStructureConfiguration";

/// A value as Bedrock writes it with its type.
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

/// The value inside of a typed one, and whether it is embedded. `None` where it is not typed.
pub(crate) fn untyped(value: &Json) -> Option<Result<(Json, Option<bool>), String>> {
    let Json::Object(members) = value else { return None };
    let member = |wanted: &str| members.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let Json::Object(inner) = member("value")? else { return None };
    let strange = members.iter().find(|(name, _)| name != "value" && name != "includeForEmbedding");
    if let Some((name, _)) = strange {
        return Some(Err(format!("`{name}` is none of `value`, `includeForEmbedding`")));
    }
    let embed = match member("includeForEmbedding") {
        None | Some(Json::Null) => None,
        Some(Json::Flag(embed)) => Some(*embed),
        Some(Json::Text(text)) if text.eq_ignore_ascii_case("true") => Some(true),
        Some(Json::Text(text)) if text.eq_ignore_ascii_case("false") => Some(false),
        Some(other) => return Some(Err(format!("`includeForEmbedding` is true or false, not {}", other.found()))),
    };
    let values: Vec<_> = inner.iter().filter(|(name, _)| name != "type").collect();
    // The declared type is not believed but the value looked at: it is written anew from that.
    let known = ["stringValue", "numberValue", "booleanValue", "stringListValue"];
    Some(match values.as_slice() {
        [(name, value)] if known.contains(&name.as_str()) => Ok((value.clone(), embed)),
        _ => Err(format!("a typed value has a `type` and one of {}", shiftwork_config::list(known))),
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
