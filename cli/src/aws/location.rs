//! Where a command works: account, Region, stack and endpoint.

use std::fmt;

use anyhow::Context as _;
use aws_sdk_sts::Client;
use aws_types::SdkConfig;

use super::failed;

/// Where a command works. A command that changes something prints it first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// AWS account id.
    pub account: String,
    /// AWS Region.
    pub region: String,
    /// Name of the stack; `None` for a command that needs no deployment.
    pub stack: Option<String>,
    /// URL of the endpoint, if it is not the endpoint of AWS.
    pub endpoint: Option<String>,
}

impl Location {
    pub(super) fn new(config: &SdkConfig, account: &str, stack: Option<&str>) -> Self {
        Self {
            account: account.into(),
            region: config.region().map(ToString::to_string).unwrap_or_default(),
            stack: stack.map(Into::into),
            endpoint: config.endpoint_url().map(Into::into),
        }
    }

    /// The deployment as a key: `account/Region/stack`.
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.account, self.region, self.stack.as_deref().unwrap_or_default())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "account {}, Region {}", self.account, self.region)?;
        if let Some(stack) = &self.stack {
            write!(f, ", stack {stack}")?;
        }
        match &self.endpoint {
            Some(endpoint) => write!(f, ", endpoint {endpoint}"),
            None => Ok(()),
        }
    }
}

/// The identity of the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) account: String,
    pub(super) arn: String,
}

/// Asks STS who the caller is. The call needs no permission.
pub(super) async fn caller(config: &SdkConfig) -> anyhow::Result<Caller> {
    let identity = Client::new(config).get_caller_identity().send().await;
    let identity = identity.map_err(|error| failed("STS GetCallerIdentity", "the caller", &error))?;
    let account = identity.account.context("STS GetCallerIdentity returned no account")?;
    let arn = identity.arn.context("STS GetCallerIdentity returned no ARN")?;
    Ok(Caller { account, arn })
}

#[cfg(test)]
mod tests {
    use super::Location;

    #[test]
    fn a_location_names_account_region_stack_and_another_endpoint() {
        let aws = Location {
            account: "123456789012".into(),
            region: "eu-central-1".into(),
            stack: Some("shiftwork".into()),
            endpoint: None,
        };
        assert_eq!(aws.to_string(), "account 123456789012, Region eu-central-1, stack shiftwork");
        assert_eq!(aws.key(), "123456789012/eu-central-1/shiftwork");
        let local = Location { endpoint: Some("http://127.0.0.1:4566".into()), stack: None, ..aws };
        assert_eq!(local.to_string(), "account 123456789012, Region eu-central-1, endpoint http://127.0.0.1:4566");
    }
}
