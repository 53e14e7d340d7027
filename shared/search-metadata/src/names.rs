//! Names and limits of Kendra and Bedrock, each with its source in the documentation of AWS.

use crate::config::{AttributeType, Target};

/// The predefined attributes of Kendra (Kendra Developer Guide, "Amazon Kendra reserved or common document fields").
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

/// The attribute for Bedrock that holds Kendra's `ContentType`.
pub(crate) const CONTENT_TYPE: &str = "_content_type";
/// The attribute for Bedrock that holds Kendra's `DocumentId`.
pub(crate) const DOCUMENT_ID: &str = "_document_id";
/// The attribute for Bedrock that holds Kendra's `Title`.
pub(crate) const TITLE: &str = "_document_title";

/// Maximum number of characters in the name of an attribute (Kendra API Reference, `DocumentAttribute.Key`; Bedrock's `MetadataAttribute.key`).
pub(crate) const NAME_CHARS: usize = 200;
/// Maximum number of characters in a string (Kendra API Reference, `DocumentAttributeValue.StringValue`; Bedrock's `MetadataAttributeValue`).
pub(crate) const TEXT_CHARS: usize = 2048;
/// Maximum number of characters in the id of a document (Kendra API Reference, `Document.Id`).
pub(crate) const ID_CHARS: usize = 2048;
/// Maximum number of characters in the name of a principal (Kendra API Reference, `Principal.Name`).
pub(crate) const PRINCIPAL_CHARS: usize = 200;
/// Maximum number of characters in the name of a principal for Bedrock (Bedrock API Reference, `DocumentAccessControlEntry.name`).
pub(crate) const BEDROCK_PRINCIPAL_CHARS: usize = 256;
/// Maximum size of a metadata file for Bedrock, in bytes (Bedrock User Guide, "Connect to Amazon S3 for your knowledge base").
pub(crate) const BEDROCK_BYTES: usize = 10 * 1024;
/// Maximum length of a key in S3, in bytes (S3 User Guide, "Naming Amazon S3 objects").
pub(crate) const KEY_BYTES: usize = 1024;
/// Prefix of the attributes that Bedrock sets itself (Bedrock User Guide, "Configure and customize queries": "reserved by the
/// service").
pub(crate) const BEDROCK_PREFIX: &str = "x-amz-bedrock";

/// The values of `ContentType` (Kendra API Reference, `Document.ContentType`).
pub(crate) const CONTENT_TYPES: [&str; 12] =
    ["PDF", "HTML", "MS_WORD", "PLAIN_TEXT", "PPT", "RTF", "XML", "XSLT", "MS_EXCEL", "CSV", "JSON", "MD"];

/// MIME types that repositories use, with the corresponding `ContentType`.
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

/// The type of an attribute in [`RESERVED`].
pub(crate) fn reserved(name: &str) -> Option<AttributeType> {
    RESERVED.iter().find(|(reserved, _)| *reserved == name).map(|(_, of)| *of)
}

/// The type of an attribute that does not need to be declared for an index.
pub(crate) fn known(name: &str, target: Target) -> Option<AttributeType> {
    reserved(name).or(match target {
        Target::Kendra => None,
        Target::Bedrock if name == CONTENT_TYPE => Some(AttributeType::String),
        Target::Bedrock => crate::access::is_list_attribute(name).then_some(AttributeType::StringList),
    })
}

/// The reason why a name is not a valid name for an attribute of the index; `None` if it is valid.
pub(crate) fn problem(name: &str, target: Target) -> Option<String> {
    let chars = name.chars().count();
    if chars > NAME_CHARS {
        return Some(format!("the name has {chars} characters: at most {NAME_CHARS} are allowed"));
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
                    "`{name}` is not a valid name of an attribute: use ASCII letters, digits, `_` and `-`, and do not start with `-`"
                ));
            }
            let near = shiftwork_config::nearest(name, RESERVED.map(|(reserved, _)| reserved));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            name.starts_with('_')
                .then(|| format!("`{name}` is not a predefined attribute of Kendra, and only those start with `_`{near}"))
        }
        Target::Bedrock if name.trim().is_empty() => Some("the name of an attribute is empty".into()),
        Target::Bedrock => {
            name.starts_with(BEDROCK_PREFIX).then(|| format!("`{name}` is not a valid name of an attribute: names that start with `{BEDROCK_PREFIX}` are reserved for Bedrock"))
        }
    }
}
