//! Names and limits of Kendra and Bedrock, each with where AWS states it.

use crate::config::{AttributeType, Target};

/// The attributes that Kendra knows by itself (Kendra Developer Guide, "Amazon Kendra reserved or common document fields").
pub(crate) const RESERVED: [(&str, AttributeType); 15] = [
    ("_authors", AttributeType::StringList),
    ("_category", AttributeType::String),
    ("_created_at", AttributeType::Date),
    ("_data_source_id", AttributeType::String),
    ("_document_body", AttributeType::String),
    ("_document_id", AttributeType::String),
    ("_document_title", AttributeType::String),
    ("_excerpt_page_number", AttributeType::Long),
    ("_faq_id", AttributeType::String),
    ("_file_type", AttributeType::String),
    ("_language_code", AttributeType::String),
    ("_last_updated_at", AttributeType::Date),
    ("_source_uri", AttributeType::String),
    ("_version", AttributeType::String),
    ("_view_count", AttributeType::Long),
];

/// What Bedrock's metadata calls the parts of Kendra's that are no attributes there, so that nothing is lost on the way, nor
/// on the way back.
pub(crate) const CONTENT_TYPE: &str = "_content_type";
/// Kendra's `DocumentId`.
pub(crate) const DOCUMENT_ID: &str = "_document_id";
/// Kendra's `Title`.
pub(crate) const TITLE: &str = "_document_title";

/// Characters of an attribute's name (Kendra API Reference, `DocumentAttribute.Key`; Bedrock's `MetadataAttribute.key`).
pub(crate) const NAME_CHARS: usize = 200;
/// Characters of a text (Kendra API Reference, `DocumentAttributeValue.StringValue`; Bedrock's `MetadataAttributeValue`).
pub(crate) const TEXT_CHARS: usize = 2048;
/// Characters of a document's id (Kendra API Reference, `Document.Id`).
pub(crate) const ID_CHARS: usize = 2048;
/// Characters of a principal's name (Kendra API Reference, `Principal.Name`).
pub(crate) const PRINCIPAL_CHARS: usize = 200;
/// Bytes of one metadata file (Bedrock User Guide, "Connect to Amazon S3 for your knowledge base").
pub(crate) const BEDROCK_BYTES: usize = 10 * 1024;
/// Bytes of an S3 key.
pub(crate) const KEY_BYTES: usize = 1024;
/// Bedrock's own attributes begin so.
pub(crate) const BEDROCK_OWN: &str = "x-amz-bedrock-";

/// `ContentType` (Kendra API Reference, `Document.ContentType`).
pub(crate) const CONTENT_TYPES: [&str; 12] =
    ["PDF", "HTML", "MS_WORD", "PLAIN_TEXT", "PPT", "RTF", "XML", "XSLT", "MS_EXCEL", "CSV", "JSON", "MD"];

/// MIME types that repositories write instead.
pub(crate) const MIME_TYPES: [(&str, &str); 13] = [
    ("application/pdf", "PDF"),
    ("text/html", "HTML"),
    ("application/msword", "MS_WORD"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "MS_WORD"),
    ("text/plain", "PLAIN_TEXT"),
    ("application/vnd.ms-powerpoint", "PPT"),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", "PPT"),
    ("application/rtf", "RTF"),
    ("application/xml", "XML"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "MS_EXCEL"),
    ("text/csv", "CSV"),
    ("application/json", "JSON"),
    ("text/markdown", "MD"),
];

/// The type of a reserved attribute.
pub(crate) fn reserved(name: &str) -> Option<AttributeType> {
    RESERVED.iter().find(|(reserved, _)| *reserved == name).map(|(_, of)| *of)
}

/// The types of the attributes that an index knows without being told.
pub(crate) fn known(name: &str, target: Target) -> Option<AttributeType> {
    reserved(name).or(match target {
        Target::Kendra => None,
        Target::Bedrock if name == CONTENT_TYPE => Some(AttributeType::String),
        Target::Bedrock => crate::access::is_list(name).then_some(AttributeType::StringList),
    })
}

/// Why a name is none for an attribute of the index, if it is none.
pub(crate) fn problem(name: &str, target: Target) -> Option<String> {
    let chars = name.chars().count();
    if chars > NAME_CHARS {
        return Some(format!("a name has {NAME_CHARS} characters at most, and this one {chars}"));
    }
    if known(name, target).is_some() {
        return None;
    }
    match target {
        Target::Kendra => {
            let mut bytes = name.bytes();
            let pattern = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
                && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            if !pattern {
                return Some(format!(
                    "`{name}` cannot name an attribute: ASCII letters, digits, `_` and `-` can, with no `-` in front"
                ));
            }
            let near = shiftwork_config::nearest(name, RESERVED.map(|(reserved, _)| reserved));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            name.starts_with('_')
                .then(|| format!("names with `_` in front are Kendra's own, and `{name}` is none of them{near}"))
        }
        Target::Bedrock if name.trim().is_empty() => Some("an attribute needs a name".into()),
        Target::Bedrock => {
            name.starts_with(BEDROCK_OWN).then(|| format!("names with `{BEDROCK_OWN}` in front are Bedrock's own"))
        }
    }
}
