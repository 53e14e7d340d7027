//! Converts a value of a source file to the type of its attribute.

use crate::{
    config::{AttributeType, DatesAs},
    dates::Unreadable,
    fix::FixKind,
    json::Json,
    metadata::Value,
    names::TEXT_CHARS,
    rules::RepositoryRules,
};

/// A value of the type of its attribute, with the kind of its fix if it was changed; `None` if the source value is empty.
/// The error says what was expected and what was found.
pub(crate) type Converted = Result<Option<(Value, Option<FixKind>)>, String>;

/// Converts a value to a type.
pub(crate) fn convert(value: &Json, of: AttributeType, repo: &RepositoryRules) -> Converted {
    if is_empty(value) {
        return Ok(None);
    }
    let fitted = match of {
        AttributeType::String => text(value, repo).map(|(text, kind)| (Value::Text(text), kind)),
        AttributeType::StringList => list(value, repo).map(|(list, kind)| (Value::List(list), kind)),
        AttributeType::Long => long(value).map(|(digits, kind)| (Value::Number(digits), kind)),
        AttributeType::Date => date(value, repo).map(|(iso, kind)| (Value::Instant(iso), kind)),
        AttributeType::Number => number(value).map(|(digits, kind)| (Value::Number(digits), kind)),
        AttributeType::Boolean => flag(value).map(|(flag, kind)| (Value::Flag(flag), kind)),
    };
    fitted.map(Some)
}

/// The type of an attribute that is not declared, inferred from its value.
pub(crate) fn inferred_type(value: &Json, kendra: bool) -> AttributeType {
    match value {
        Json::List(_) => AttributeType::StringList,
        Json::Number(digits) if kendra && digits.parse::<i64>().is_ok() => AttributeType::Long,
        Json::Number(_) if !kendra => AttributeType::Number,
        Json::Flag(_) if !kendra => AttributeType::Boolean,
        Json::Null | Json::Flag(_) | Json::Number(_) | Json::Text(_) | Json::Object(_) => AttributeType::String,
    }
}

/// True for null, a blank string, a list of empty values, and an empty object: no index accepts them.
fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Text(text) => text.trim().is_empty(),
        Json::List(items) => items.iter().all(is_empty),
        Json::Object(members) => members.is_empty(),
        Json::Flag(_) | Json::Number(_) => false,
    }
}

/// A scalar as a string; `None` for other values.
fn scalar(value: &Json) -> Option<(String, Option<FixKind>)> {
    match value {
        Json::Text(text) => Some((text.clone(), None)),
        Json::Number(digits) => Some((digits.clone(), Some(FixKind::Text))),
        Json::Flag(flag) => Some((flag.to_string(), Some(FixKind::Text))),
        Json::Null | Json::List(_) | Json::Object(_) => None,
    }
}

fn text(value: &Json, repo: &RepositoryRules) -> Result<(String, Option<FixKind>), String> {
    let scalar = match value {
        // A list with one item is converted to that item.
        Json::List(items) if items.len() == 1 => scalar(&items[0]).map(|(text, _)| (text, Some(FixKind::Text))),
        other => scalar(other),
    };
    let (text, kind) = scalar.ok_or_else(|| format!("expected a text, found {}", value.describe()))?;
    let (text, cut) = limited(text, repo)?;
    Ok((text, cut.or(kind)))
}

fn limited(text: String, repo: &RepositoryRules) -> Result<(String, Option<FixKind>), String> {
    let chars = text.chars().count();
    if chars <= TEXT_CHARS {
        Ok((text, None))
    } else if repo.config.cut_long_text {
        Ok((text.chars().take(TEXT_CHARS).collect(), Some(FixKind::Cut)))
    } else {
        Err(format!(
            "the text has {chars} characters: at most {TEXT_CHARS} are allowed; `cut_long_text: true` truncates longer texts"
        ))
    }
}

fn list(value: &Json, repo: &RepositoryRules) -> Result<(Vec<String>, Option<FixKind>), String> {
    let (items, mut kind): (Vec<Json>, _) = match (value, &repo.config.list_separator) {
        (Json::List(items), _) => (items.clone(), None),
        (Json::Text(text), Some(separator)) => {
            (text.split(separator.as_str()).map(|part| Json::Text(part.trim().into())).collect(), Some(FixKind::List))
        }
        (other, _) => (vec![other.clone()], Some(FixKind::List)),
    };
    let mut texts = Vec::new();
    for item in &items {
        if is_empty(item) {
            kind = kind.or(Some(FixKind::List));
            continue;
        }
        let (text, converted) =
            scalar(item).ok_or_else(|| format!("expected a list of texts, found {} in the list", item.describe()))?;
        let (text, cut) = limited(text, repo)?;
        kind = cut.or(kind).or(converted);
        texts.push(text);
    }
    let max_length = repo.config.list_length;
    if texts.len() > usize::try_from(max_length).unwrap_or(usize::MAX) {
        return Err(format!("the list has {} texts: at most {max_length} are allowed; see `list_length`", texts.len()));
    }
    Ok((texts, kind))
}

fn long(value: &Json) -> Result<(String, Option<FixKind>), String> {
    let refused = || format!("expected a whole number, found {}", value.describe());
    let (digits, kind) = match value {
        Json::Number(digits) => (digits.as_str(), None),
        Json::Text(text) => (text.trim(), Some(FixKind::Number)),
        Json::Null | Json::Flag(_) | Json::List(_) | Json::Object(_) => return Err(refused()),
    };
    let whole = match digits.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        Some(_) => return Err(refused()),
        None => digits,
    };
    let number: i64 = whole.parse().map_err(|_| refused())?;
    let written = number.to_string();
    let kind = kind.or((written != digits).then_some(FixKind::Number));
    Ok((written, kind))
}

fn number(value: &Json) -> Result<(String, Option<FixKind>), String> {
    let refused = || format!("expected a number, found {}", value.describe());
    let (digits, kind) = match value {
        Json::Number(digits) => (digits.as_str(), None),
        Json::Text(text) => (text.trim(), Some(FixKind::Number)),
        Json::Null | Json::Flag(_) | Json::List(_) | Json::Object(_) => return Err(refused()),
    };
    // The grammar of JSON, in the range of a 64-bit floating-point number.
    let is_number = matches!(Json::parse(digits), Ok(Json::Number(_)));
    let finite = digits.parse::<f64>().is_ok_and(f64::is_finite);
    if is_number && finite { Ok((digits.to_owned(), kind)) } else { Err(refused()) }
}

fn flag(value: &Json) -> Result<(bool, Option<FixKind>), String> {
    match value {
        Json::Flag(flag) => Ok((*flag, None)),
        Json::Text(text) if text.trim().eq_ignore_ascii_case("true") => Ok((true, Some(FixKind::Flag))),
        Json::Text(text) if text.trim().eq_ignore_ascii_case("false") => Ok((false, Some(FixKind::Flag))),
        Json::Null | Json::Number(_) | Json::Text(_) | Json::List(_) | Json::Object(_) => {
            Err(format!("expected true or false, found {}", value.describe()))
        }
    }
}

fn date(value: &Json, repo: &RepositoryRules) -> Result<(String, Option<FixKind>), String> {
    let read = match value {
        Json::Text(text) => repo.dates.parse_text(text),
        Json::Number(digits) => repo.dates.parse_number(digits),
        Json::Null | Json::Flag(_) | Json::List(_) | Json::Object(_) => Err(Unreadable::NoFormat),
    };
    let iso = read.map_err(|unreadable| match unreadable {
        Unreadable::NoFormat => {
            let formats = &repo.config.dates;
            let declared = if formats.is_empty() { String::new() } else { format!(", {}", formats.join(", ")) };
            format!("expected a date in one of the formats of `dates` (ISO 8601{declared}), found {}", value.describe())
        }
        Unreadable::Ambiguous(readings) => format!("{} is not a clear date: {readings}", value.describe()),
    })?;
    if repo.config.dates_as == DatesAs::EpochSeconds && !repo.dates.can_be_seconds(&iso) {
        return Err(format!(
            "`dates_as` is `epoch_seconds`, and the seconds of this date would be read as another one; found {}",
            value.describe()
        ));
    }
    let same = Value::Instant(iso.clone()).json(repo.config.dates_as) == *value;
    Ok((iso, (!same).then_some(FixKind::Date)))
}
