//! The configuration of a function: the variables that its crate declares, and no others.

use std::collections::BTreeMap;

/// A variable is missing, or was never declared.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// Not set, or empty.
    #[error("these variables are not set: {}. infra/template.yaml sets them for the function", .0.join(", "))]
    Missing(Vec<&'static str>),
    /// Read without being in the function's `ENVIRONMENT`.
    #[error("{0} is not in the function's ENVIRONMENT list: add it there and in infra/template.yaml")]
    Undeclared(&'static str),
}

/// The declared variables, read once.
#[derive(Debug)]
pub struct Environment(BTreeMap<&'static str, String>);

impl Environment {
    /// Reads what a function declares; every missing name is told at once.
    pub fn read(declared: &'static [&'static str]) -> Result<Self, EnvironmentError> {
        let (set, missing): (Vec<_>, Vec<_>) = declared
            .iter()
            .map(|name| (*name, std::env::var(name).unwrap_or_default()))
            .partition(|(_, v)| !v.is_empty());
        if missing.is_empty() {
            Ok(Self(set.into_iter().collect()))
        } else {
            Err(EnvironmentError::Missing(missing.into_iter().map(|(name, _)| name).collect()))
        }
    }

    /// One of them.
    pub fn get(&self, name: &'static str) -> Result<&str, EnvironmentError> {
        self.0.get(name).map(String::as_str).ok_or(EnvironmentError::Undeclared(name))
    }
}
