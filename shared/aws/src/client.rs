//! One AWS configuration for every service client of a process.
//!
//! A function starts in milliseconds because of what is *not* done here: no credential chain, no profile files, no
//! instance metadata, no directory of certificates, no AWS-LC (`docs/decisions/0003-tls.md` has the numbers).
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let aws = shiftwork_aws::client::Aws::from_env()?;
//! let statements = aws.assume("arn:aws:iam::123456789012:role/statements");
//! // aws_sdk_dynamodb::Client::new(aws.config()), aws_sdk_redshiftdata::Client::new(&statements)
//! # Ok(())
//! # }
//! ```

mod endpoints;
#[cfg(feature = "cli")]
mod profile;
mod role;
mod roots;

use std::env;
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, TlsContext, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use self::endpoints::Endpoints;
use self::role::AssumedRole;

/// The limit of a TCP connection and its TLS handshake. A regional endpoint responds within milliseconds; two seconds allow for a
/// lost packet and its retransmission.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The limit of one attempt of a call, from signing to the last header of the response. The body of an S3 object streams after it;
/// the stalled-stream protection of the SDK (on by default) ends a body that stops.
///
/// A call that timed out may have been carried out, and is sent again. So every call that changes something must be
/// safe to repeat: `ExecuteStatement` carries a `ClientToken`, `DynamoDB` writes carry a condition, a task token closes
/// once. A call that waits on purpose (`WaitTimeSeconds`, up to 30 s) sets its own timeout with `customize()`.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Attempts of a call, the first included: enough for a dropped connection or one second's throttling. Longer waits
/// belong to the `Retry` of Step Functions, where they cost nothing.
const ATTEMPTS: u32 = 3;

/// The first wait between two attempts; it doubles, with full jitter.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);

/// The longest wait between two attempts.
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// The name of the sessions of assumed roles, which CloudTrail records.
const SESSION: &str = "shiftwork";

/// Why a process cannot call AWS. The fix is in the environment of the function; a retry does not help.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A variable that Lambda always sets is missing.
    #[error("{0} is not set. Lambda sets it for a function; to run the binary elsewhere, export it")]
    Missing(&'static str),
    /// The certificate bundle cannot be read.
    #[error("AWS_CA_BUNDLE names {path}, which cannot be read: {source}")]
    BundleUnreadable {
        /// The file.
        path: String,
        /// The message of the operating system.
        source: std::io::Error,
    },
    /// The certificate bundle is not a list of root certificates.
    #[error("AWS_CA_BUNDLE names {path}, which is not a PEM file of CA certificates: {reason}")]
    BundleInvalid {
        /// The file.
        path: String,
        /// The certificate, and what is wrong with it.
        reason: String,
    },
    /// No configuration file contains the profile.
    #[error("{source_name} names the profile `{profile}`, which does not exist; profiles in {files}: {known}")]
    UnknownProfile {
        /// `--profile` or `AWS_PROFILE`.
        source_name: &'static str,
        /// The profile.
        profile: String,
        /// Paths of the configuration files.
        files: String,
        /// The profiles that exist.
        known: String,
    },
    /// A configuration file is not valid.
    #[error("the profiles cannot be read from {files}: {reason}")]
    ProfilesInvalid {
        /// Paths of the configuration files.
        files: String,
        /// The message of the parser.
        reason: String,
    },
}

/// The options of a command line; each takes precedence over the environment.
#[cfg(feature = "cli")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Flags<'a> {
    /// Name of a profile of the configuration files.
    pub profile: Option<&'a str>,
    /// AWS Region.
    pub region: Option<&'a str>,
    /// URL of the endpoint of every service.
    pub endpoint_url: Option<&'a str>,
}

/// The configuration that every service client of a process is built from, and the connections that they share.
#[derive(Debug, Clone)]
pub struct Aws {
    config: SdkConfig,
}

impl Aws {
    /// The configuration of a Lambda function, from its environment alone.
    ///
    /// | variable | |
    /// | --- | --- |
    /// | `AWS_REGION`, else `AWS_DEFAULT_REGION` | required |
    /// | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` | required; Lambda sets them for the life of the process |
    /// | `AWS_SESSION_TOKEN` | of the function's role |
    /// | `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_<SERVICE>` | another endpoint, `http://127.0.0.1:4566` for one; see `Endpoints` |
    /// | `AWS_CA_BUNDLE` | a PEM file of the roots to trust instead of Amazon's |
    pub fn from_env() -> Result<Self, ClientError> {
        let region = variable("AWS_REGION")
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .ok_or(ClientError::Missing("AWS_REGION"))?;
        let credentials = Credentials::new(
            variable("AWS_ACCESS_KEY_ID").ok_or(ClientError::Missing("AWS_ACCESS_KEY_ID"))?,
            variable("AWS_SECRET_ACCESS_KEY").ok_or(ClientError::Missing("AWS_SECRET_ACCESS_KEY"))?,
            variable("AWS_SESSION_TOKEN"),
            None,
            "environment",
        );
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            // They never change, so there is nothing to cache and no refresh to time.
            .identity_cache(IdentityCache::no_cache())
            // The STS provider requires one.
            .time_source(SharedTimeSource::new(SystemTimeSource::new()))
            .service_config(Endpoints)
            .http_client(https_client(&trusted_roots()?))
            .retry_config(retry_config())
            .timeout_config(timeout_config())
            .build();
        Ok(Self { config })
    }

    /// What a service client is built from: `aws_sdk_sfn::Client::new(aws.config())`.
    pub const fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// The same configuration under another role.
    ///
    /// The Data API lets only the role that submitted a statement describe or cancel it, so the functions that share
    /// statements assume one role for them. STS is asked at the first call that needs it, and again a little before
    /// the credentials expire; until then this costs nothing.
    ///
    /// Each configuration that this returns asks STS for itself: call it once for a role, and share what it returns.
    pub fn assume(&self, role_arn: impl Into<String>) -> SdkConfig {
        let role = AssumedRole::new(self.config.clone(), role_arn.into(), SESSION.to_owned());
        self.config
            .to_builder()
            .credentials_provider(SharedCredentialsProvider::new(role))
            .identity_cache(IdentityCache::lazy().build())
            .build()
    }
}

/// The one HTTPS client (plain HTTP too, for a local endpoint). Clients with equal timeouts share its connections.
fn https_client(context: &TlsContext) -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(context.clone()).build_https()
}

fn trusted_roots() -> Result<TlsContext, ClientError> {
    let store = match variable("AWS_CA_BUNDLE") {
        Some(path) => roots::bundle(path)?,
        None => roots::amazon(),
    };
    Ok(TlsContext::builder()
        .with_trust_store(store)
        .build()
        .expect("a context of roots alone has nothing that can be invalid"))
}

fn retry_config() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(FIRST_BACKOFF)
        .with_max_backoff(LONGEST_BACKOFF)
}

fn timeout_config() -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT).build()
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
