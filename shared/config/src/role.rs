//! IAM roles of COPY and UNLOAD.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use shiftwork_sql::quote_literal;

/// The IAM role with which COPY and UNLOAD access S3.
///
/// Configuration has `default`, one ARN, or the ARNs of a role chain as a list or as one comma-separated string. The type is serialized as
/// one string without whitespace, in the form of Redshift's `IAM_ROLE`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum IamRole {
    /// The default role of the warehouse.
    #[default]
    Default,
    /// The ARNs of a role chain: the first role is associated with the warehouse, and each role assumes the next one. Never empty.
    Chain(Vec<String>),
}

impl IamRole {
    /// The value of `format` in the JSON Schema.
    pub(crate) const FORMAT: &'static str = "iam-role";
    /// Hint of messages about a value that is not a valid role.
    pub const HINT: &'static str = "write `default`, the ARN of a role such as `arn:aws:iam::123456789012:role/warehouse`, or the list of ARNs of a role chain, in which each role assumes the next one";

    /// The ARNs, joined by commas; `None` for the default role of the warehouse.
    pub fn arns(&self) -> Option<String> {
        match self {
            Self::Default => None,
            Self::Chain(arns) => Some(arns.join(",")),
        }
    }

    /// The clause of COPY and UNLOAD: `IAM_ROLE DEFAULT` or `IAM_ROLE 'arn,arn'`.
    pub fn clause(&self) -> String {
        let role = self.arns().map_or_else(|| "DEFAULT".to_owned(), |arns| quote_literal(&arns));
        format!("IAM_ROLE {role}")
    }

    /// Parses a value of configuration: one string or a list of strings.
    ///
    /// # Errors
    /// Returns a message that names the part that is neither `default` nor the ARN of a role.
    pub(crate) fn read<T: AsRef<str>>(parts: &[T]) -> Result<Self, String> {
        if let [only] = parts
            && only.as_ref().trim().eq_ignore_ascii_case(DEFAULT)
        {
            return Ok(Self::Default);
        }
        let arns: Vec<&str> = parts.iter().flat_map(|part| at_commas(part.as_ref())).map(str::trim).collect();
        match arns.iter().find(|arn| !is_role(arn)) {
            None if arns.is_empty() => Err("an empty list is not a valid role".into()),
            None => Ok(Self::Chain(arns.into_iter().map(str::to_owned).collect())),
            Some(other) => Err(format!("`{other}` is not a valid role")),
        }
    }
}

const DEFAULT: &str = "default";

/// Splits a role chain at commas. A role's name can contain a comma, so only a comma before `arn:` separates ARNs.
fn at_commas(text: &str) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    for (at, _) in text.match_indices(',') {
        if text[at + 1..].trim_start().starts_with("arn:") {
            parts.push(&text[start..at]);
            start = at + 1;
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Returns true for `arn:<partition>:iam::<account>:role/<path and name>` without characters that could end a string literal.
fn is_role(arn: &str) -> bool {
    let fields: Vec<_> = arn.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, role] = fields[..] else { return false };
    let name = role.strip_prefix("role/").unwrap_or_default();
    partition.starts_with("aws")
        && partition.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-/".contains(&b))
}

impl FromStr for IamRole {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::read(&[text])
    }
}

/// Writes `default`, or the ARNs joined by commas.
impl fmt::Display for IamRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.arns().as_deref().unwrap_or(DEFAULT))
    }
}

impl Serialize for IamRole {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IamRole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            List(Vec<String>),
        }
        let role = match Written::deserialize(deserializer)? {
            Written::Text(text) => text.parse(),
            Written::List(parts) => Self::read(&parts),
        };
        role.map_err(|problem| D::Error::custom(format_args!("{problem}; {}", Self::HINT)))
    }
}

impl JsonSchema for IamRole {
    fn schema_name() -> Cow<'static, str> {
        "IamRole".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "array"], "items": { "type": "string" }, "format": Self::FORMAT })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::IamRole;

    const ONE: &str = "arn:aws:iam::123456789012:role/path/warehouse";
    const OTHER: &str = "arn:aws-us-gov:iam::210987654321:role/a,b";

    #[test]
    fn a_role_is_default_an_arn_or_a_chain_of_arns() {
        let both = format!("{ONE},{OTHER}");
        for (written, role) in [
            (json!("default"), "default"),
            (json!("DEFAULT"), "default"),
            (json!(["default"]), "default"),
            (json!(ONE), ONE),
            (json!([ONE]), ONE),
            (json!([ONE, OTHER]), &both),
            (json!(both), &both),
            (json!(format!("{ONE} , {OTHER}")), &both),
            (json!([both]), &both),
        ] {
            let read: IamRole =
                serde_json::from_value(written.clone()).unwrap_or_else(|error| panic!("{written}: {error}"));
            assert_eq!(read.to_string(), role, "{written}");
            assert_eq!(read.arns(), Some(role.to_owned()).filter(|role| role != "default"), "{written}");
            assert_eq!(serde_json::to_value(&read).unwrap(), json!(role), "a role is serialized as one string");
            assert_eq!(serde_json::from_value::<IamRole>(json!(role)).unwrap(), read);
        }
    }

    #[test]
    fn a_chain_is_one_literal_without_blanks() {
        let role = |text: &str| text.parse::<IamRole>().unwrap().clause();
        assert_eq!(role("default"), "IAM_ROLE DEFAULT");
        assert_eq!(role(&format!("{ONE}, {OTHER}")), format!("IAM_ROLE '{ONE},{OTHER}'"));
    }

    #[test]
    fn invalid_roles_are_refused() {
        for (written, part) in [
            (json!(""), ""),
            (json!("warehouse"), "warehouse"),
            (json!("arn:aws:s3:::bucket"), "arn:aws:s3:::bucket"),
            (json!("arn:aws:iam::123456789012:user/warehouse"), "arn:aws:iam::123456789012:user/warehouse"),
            (json!("arn:aws:iam::12345678901:role/warehouse"), "arn:aws:iam::12345678901:role/warehouse"),
            (json!("arn:aws:iam::123456789012:role/"), "arn:aws:iam::123456789012:role/"),
            (
                json!("arn:aws:iam::123456789012:role/x' CREDENTIALS 'y"),
                "arn:aws:iam::123456789012:role/x' CREDENTIALS 'y",
            ),
            (json!([ONE, "default"]), "default"),
            (json!([ONE, ""]), ""),
        ] {
            let error = serde_json::from_value::<IamRole>(written).unwrap_err().to_string();
            assert_eq!(error, format!("`{part}` is not a valid role; {}", IamRole::HINT));
        }
        let error = serde_json::from_value::<IamRole>(json!([])).unwrap_err().to_string();
        assert!(error.starts_with("an empty list is not a valid role; "), "{error}");
    }
}
