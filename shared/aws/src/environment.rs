//! The environment variables of a function, as a struct with a field for each variable.
//!
//! ```
//! use shiftwork_aws::environment;
//!
//! environment! {
//!     /// Variables that several functions read.
//!     pub struct Tables {
//!         pub job_audit_table: String,
//!         pub lease_table: String,
//!     }
//! }
//! environment! {
//!     /// The variables of this function.
//!     pub struct Environment {
//!         pub scripts_bucket: String,
//!         pub tables: Tables,
//!     }
//! }
//! let error = environment::read::<Environment>().unwrap_err().to_string();
//! assert!(error.contains("SCRIPTS_BUCKET, JOB_AUDIT_TABLE, LEASE_TABLE"));
//! ```

use shiftwork_protocol::Connection;

/// The environment is not what the function needs.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// Variables that are not set, or empty.
    #[error("these variables are not set: {}. infra/template.yaml sets them for the function", .0.join(", "))]
    Missing(Vec<String>),
    /// The value of a variable cannot be read.
    #[error("{variable} is not valid: {reason}")]
    Invalid {
        /// Its name.
        variable: String,
        /// The message of the parser.
        reason: String,
    },
}

/// Reads variables, and keeps what is wrong until all of them were read.
pub struct Reader<'a> {
    value: &'a dyn Fn(&str) -> Option<String>,
    missing: Vec<String>,
    invalid: Option<EnvironmentError>,
}

/// A type that is read from the environment: from one variable, or from the variables of its fields.
pub trait FromEnvironment: Sized {
    /// Reads the variable of a field: the field's name in upper case. `None` where something is missing or not valid, which the
    /// reader then keeps.
    fn read_field(reader: &mut Reader<'_>, field: &str) -> Option<Self>;
}

impl Reader<'_> {
    fn text(&mut self, field: &str) -> Option<String> {
        let variable = field.to_ascii_uppercase();
        let value = (self.value)(&variable).filter(|value| !value.is_empty());
        if value.is_none() {
            self.missing.push(variable);
        }
        value
    }

    fn invalid(&mut self, field: &str, reason: &dyn std::fmt::Display) {
        let (variable, reason) = (field.to_ascii_uppercase(), reason.to_string());
        self.invalid = Some(EnvironmentError::Invalid { variable, reason });
    }
}

impl FromEnvironment for String {
    fn read_field(reader: &mut Reader<'_>, field: &str) -> Option<Self> {
        reader.text(field)
    }
}

impl FromEnvironment for usize {
    fn read_field(reader: &mut Reader<'_>, field: &str) -> Option<Self> {
        let text = reader.text(field)?;
        text.parse().map_err(|error: std::num::ParseIntError| reader.invalid(field, &error)).ok()
    }
}

/// As JSON.
impl FromEnvironment for Connection {
    fn read_field(reader: &mut Reader<'_>, field: &str) -> Option<Self> {
        let text = reader.text(field)?;
        serde_json::from_str(&text).map_err(|error| reader.invalid(field, &error)).ok()
    }
}

/// Reads a struct from the environment of the process.
///
/// # Errors
/// All variables that are missing, or one that is not valid.
pub fn read<T: FromEnvironment>() -> Result<T, EnvironmentError> {
    read_from(&|variable| std::env::var(variable).ok())
}

fn read_from<T: FromEnvironment>(value: &dyn Fn(&str) -> Option<String>) -> Result<T, EnvironmentError> {
    let mut reader = Reader { value, missing: Vec::new(), invalid: None };
    let read = T::read_field(&mut reader, "");
    match (read, reader.invalid) {
        (Some(read), _) => Ok(read),
        (None, Some(invalid)) if reader.missing.is_empty() => Err(invalid),
        (None, _) => Err(EnvironmentError::Missing(reader.missing)),
    }
}

/// Declares a struct of environment variables. A field is a variable of the same name in upper case, or another such struct.
#[macro_export]
macro_rules! environment {
    ($(#[$about:meta])* $vis:vis struct $name:ident { $($of:vis $field:ident: $type:ty),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone)]
        $vis struct $name { $($of $field: $type),+ }

        impl $crate::environment::FromEnvironment for $name {
            fn read_field(reader: &mut $crate::environment::Reader<'_>, _: &str) -> ::std::option::Option<Self> {
                $(let $field = <$type as $crate::environment::FromEnvironment>::read_field(reader, stringify!($field));)+
                Some(Self { $($field: $field?),+ })
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use shiftwork_protocol::Connection;

    use super::{EnvironmentError, read_from};

    environment! {
        /// A group.
        struct Tables { lease_table: String }
    }
    environment! {
        /// The variables of a function.
        struct Environment {
            scripts_bucket: String,
            tables: Tables,
            default_connection: Connection,
            max_causes: usize,
        }
    }

    #[test]
    fn each_field_is_its_variable() {
        let read: Environment = read_from(&|variable| match variable {
            "DEFAULT_CONNECTION" => Some(r#"{"workgroup":"w","database":"d"}"#.into()),
            "MAX_CAUSES" => Some("10".into()),
            other => Some(other.to_lowercase()),
        })
        .unwrap();
        assert_eq!((read.scripts_bucket.as_str(), read.tables.lease_table.as_str()), ("scripts_bucket", "lease_table"));
        assert_eq!(read.default_connection.workgroup.as_deref(), Some("w"));
        assert_eq!(read.max_causes, 10);
    }

    #[test]
    fn every_missing_variable_is_named_at_once() {
        let error = read_from::<Environment>(&|variable| (variable == "LEASE_TABLE").then(String::new)).unwrap_err();
        let names = ["SCRIPTS_BUCKET", "LEASE_TABLE", "DEFAULT_CONNECTION", "MAX_CAUSES"].map(String::from);
        assert_eq!(error, EnvironmentError::Missing(names.into()));
    }

    #[test]
    fn a_value_that_cannot_be_read_is_named() {
        for (variable, value) in [("DEFAULT_CONNECTION", "{}"), ("MAX_CAUSES", "ten")] {
            let error = read_from::<Environment>(&|name| match name {
                name if name == variable => Some(value.into()),
                "DEFAULT_CONNECTION" => Some(r#"{"workgroup":"w","database":"d"}"#.into()),
                _ => Some("1".into()),
            });
            let error = error.unwrap_err().to_string();
            assert!(error.starts_with(&format!("{variable} is not valid: ")), "{error}");
        }
    }
}
