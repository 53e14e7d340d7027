//! A value as it was written becomes one of its attribute's type, or says why it cannot.

use crate::{
    config::{AttributeType, DatesAs},
    dates,
    json::Json,
    mend::FixKind,
    metadata::Value,
    names::TEXT_CHARS,
    rules::Repo,
};

/// A value of the right type, with what was done to it. `None`: there was nothing in it.
pub(crate) type Fitted = Result<Option<(Value, Option<FixKind>)>, String>;

/// Makes a value fit a declared type.
pub(crate) fn fit(value: &Json, of: AttributeType, repo: &Repo) -> Fitted {
    // Nothing is nothing, of whatever type.
    if is_nothing(value) {
        return Ok(None);
    }
    let fitted = match of {
        AttributeType::String => text(value, repo).map(|(text, sort)| (Value::Text(text), sort)),
        AttributeType::StringList => list(value, repo).map(|(list, sort)| (Value::List(list), sort)),
        AttributeType::Long => long(value).map(|(digits, sort)| (Value::Number(digits), sort)),
        AttributeType::Date => date(value, repo).map(|(iso, sort)| (Value::Instant(iso), sort)),
        AttributeType::Number => number(value).map(|(digits, sort)| (Value::Number(digits), sort)),
        AttributeType::Boolean => flag(value).map(|(flag, sort)| (Value::Flag(flag), sort)),
    };
    fitted.map(Some)
}

/// The type of a value that nobody declared.
pub(crate) fn natural(value: &Json, kendra: bool) -> AttributeType {
    match value {
        Json::List(_) => AttributeType::StringList,
        Json::Number(digits) if kendra && digits.parse::<i64>().is_ok() => AttributeType::Long,
        Json::Number(_) if !kendra => AttributeType::Number,
        Json::Flag(_) if !kendra => AttributeType::Boolean,
        Json::Null | Json::Flag(_) | Json::Number(_) | Json::Text(_) | Json::Object(_) => AttributeType::String,
    }
}

/// Null, an empty text, an empty list, an empty object: an index has nothing to find in them, and takes none of them.
fn is_nothing(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Text(text) => text.trim().is_empty(),
        Json::List(items) => items.iter().all(is_nothing),
        Json::Object(members) => members.is_empty(),
        Json::Flag(_) | Json::Number(_) => false,
    }
}

/// A text of any scalar.
fn scalar(value: &Json) -> Option<(String, Option<FixKind>)> {
    match value {
        Json::Text(text) => Some((text.clone(), None)),
        Json::Number(digits) => Some((digits.clone(), Some(FixKind::Text))),
        Json::Flag(flag) => Some((flag.to_string(), Some(FixKind::Text))),
        Json::Null | Json::List(_) | Json::Object(_) => None,
    }
}

fn text(value: &Json, repo: &Repo) -> Result<(String, Option<FixKind>), String> {
    let scalar = match value {
        // A list of one is that one.
        Json::List(items) if items.len() == 1 => scalar(&items[0]).map(|(text, _)| (text, Some(FixKind::Text))),
        other => scalar(other),
    };
    let (text, sort) = scalar.ok_or_else(|| format!("expected a text, found {}", value.found()))?;
    let (text, cut) = short(text, repo)?;
    Ok((text, cut.or(sort)))
}

fn short(text: String, repo: &Repo) -> Result<(String, Option<FixKind>), String> {
    let chars = text.chars().count();
    if chars <= TEXT_CHARS {
        Ok((text, None))
    } else if repo.config.cut_long_text {
        Ok((text.chars().take(TEXT_CHARS).collect(), Some(FixKind::Cut)))
    } else {
        Err(format!(
            "a text has {TEXT_CHARS} characters at most, and this one {chars}; `cut_long_text: true` would cut it"
        ))
    }
}

fn list(value: &Json, repo: &Repo) -> Result<(Vec<String>, Option<FixKind>), String> {
    let (items, mut sort): (Vec<Json>, _) = match (value, &repo.config.list_separator) {
        (Json::List(items), _) => (items.clone(), None),
        (Json::Text(text), Some(separator)) => {
            (text.split(separator.as_str()).map(|part| Json::Text(part.trim().into())).collect(), Some(FixKind::List))
        }
        (other, _) => (vec![other.clone()], Some(FixKind::List)),
    };
    let mut texts = Vec::new();
    for item in &items {
        if is_nothing(item) {
            sort = sort.or(Some(FixKind::List));
            continue;
        }
        let (text, converted) =
            scalar(item).ok_or_else(|| format!("expected a list of texts, found {} in it", item.found()))?;
        let (text, cut) = short(text, repo)?;
        sort = cut.or(sort).or(converted);
        texts.push(text);
    }
    let most = repo.config.list_length;
    if texts.len() > usize::try_from(most).unwrap_or(usize::MAX) {
        return Err(format!(
            "a list has {most} texts at most, and this one {}; `list_length` says how many",
            texts.len()
        ));
    }
    Ok((texts, sort))
}

fn long(value: &Json) -> Result<(String, Option<FixKind>), String> {
    let refused = || format!("expected a whole number, found {}", value.found());
    let (digits, sort) = match value {
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
    let sort = sort.or((written != digits).then_some(FixKind::Number));
    Ok((written, sort))
}

fn number(value: &Json) -> Result<(String, Option<FixKind>), String> {
    let refused = || format!("expected a number, found {}", value.found());
    let (digits, sort) = match value {
        Json::Number(digits) => (digits.as_str(), None),
        Json::Text(text) => (text.trim(), Some(FixKind::Number)),
        Json::Null | Json::Flag(_) | Json::List(_) | Json::Object(_) => return Err(refused()),
    };
    // JSON's grammar of numbers, in the range of a double.
    let is_number = matches!(Json::parse(digits), Ok(Json::Number(_)));
    let finite = digits.parse::<f64>().is_ok_and(f64::is_finite);
    if is_number && finite { Ok((digits.to_owned(), sort)) } else { Err(refused()) }
}

fn flag(value: &Json) -> Result<(bool, Option<FixKind>), String> {
    match value {
        Json::Flag(flag) => Ok((*flag, None)),
        Json::Text(text) if text.trim().eq_ignore_ascii_case("true") => Ok((true, Some(FixKind::Flag))),
        Json::Text(text) if text.trim().eq_ignore_ascii_case("false") => Ok((false, Some(FixKind::Flag))),
        Json::Null | Json::Number(_) | Json::Text(_) | Json::List(_) | Json::Object(_) => {
            Err(format!("expected true or false, found {}", value.found()))
        }
    }
}

fn date(value: &Json, repo: &Repo) -> Result<(String, Option<FixKind>), String> {
    let read = match value {
        Json::Text(text) => repo.dates.of_text(text),
        Json::Number(digits) => repo.dates.of_number(digits),
        Json::Null | Json::Flag(_) | Json::List(_) | Json::Object(_) => None,
    };
    let iso = read.ok_or_else(|| {
        let formats = &repo.config.dates;
        let declared = if formats.is_empty() { String::new() } else { format!(", {}", formats.join(", ")) };
        format!("no date that `dates` knows (ISO 8601{declared}): {}", value.found())
    })?;
    if repo.config.dates_as == DatesAs::EpochSeconds && !dates::is_in_seconds(&iso) {
        return Err(format!("{} is no date that would read as seconds again", value.found()));
    }
    let same = Value::Instant(iso.clone()).json(repo.config.dates_as) == *value;
    Ok((iso, (!same).then_some(FixKind::Date)))
}
