//! The configuration of a terminal: command-line flags, environment and profiles, with the precedence that the AWS CLI
//! documents.
//!
//! | setting | precedence, highest first |
//! | --- | --- |
//! | credentials | `--profile`; `AWS_ACCESS_KEY_ID`; `AWS_PROFILE`, else the profile `default`; web identity, container, instance |
//! | Region | `--region`; `AWS_REGION`, `AWS_DEFAULT_REGION`; `region` of the profile |
//! | endpoint | `--endpoint-url`; `AWS_ENDPOINT_URL_<SERVICE>`; `AWS_ENDPOINT_URL`; `services` and `endpoint_url` of the profile |

use std::env;
use std::error::Error as _;

use aws_config::profile::{self, ProfileFileCredentialsProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_types::os_shim_internal::{Env, Fs};

use super::{Aws, ClientError, Flags, https_client, retry_config, timeout_config, trusted_roots, variable};

/// Variables that name the configuration files, and the paths that apply without them.
const FILES: [(&str, &str); 2] =
    [("AWS_CONFIG_FILE", "~/.aws/config"), ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")];

/// The profile that applies without `--profile` and `AWS_PROFILE`; it need not exist.
const DEFAULT: &str = "default";

impl Aws {
    /// The configuration of a terminal: flags, then the chain of the SDK (environment, `AWS_PROFILE`, IAM Identity
    /// Center, a credential process, a web identity, a container), over the same connections, timeouts and roots.
    ///
    /// With `flags.profile`, the credentials come from this profile and from nowhere else. The chain of the SDK would use
    /// access keys in the environment first, and the command could change another account.
    ///
    /// Instance metadata is used last, unless `AWS_EC2_METADATA_DISABLED` is `true`.
    pub async fn from_terminal(flags: Flags<'_>) -> Result<Self, ClientError> {
        must_exist(flags.profile).await?;
        let client = https_client(&trusted_roots()?);
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(client.clone())
            .retry_config(retry_config())
            .timeout_config(timeout_config());
        if let Some(profile) = flags.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = flags.region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if let Some(url) = flags.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        let config = loader.load().await;
        let Some(profile) = flags.profile else { return Ok(Self { config }) };
        let provider = ProviderConfig::default().with_http_client(client).with_region(config.region().cloned());
        let provider = ProfileFileCredentialsProvider::builder().configure(&provider).profile_name(profile).build();
        let provider = Named { profile: profile.into(), provider };
        let config = config.to_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build();
        Ok(Self { config })
    }
}

/// The credentials of a profile that `--profile` names. Its errors name the profile.
#[derive(Debug)]
struct Named {
    profile: String,
    provider: ProfileFileCredentialsProvider,
}

impl ProvideCredentials for Named {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            self.provider.provide_credentials().await.map_err(|error| {
                let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                CredentialsError::invalid_configuration(format!(
                    "--profile {}: {reason}; with --profile, other credentials are not used",
                    self.profile
                ))
            })
        })
    }
}

/// Returns an error if the profile that `--profile` or `AWS_PROFILE` names does not exist.
async fn must_exist(flag: Option<&str>) -> Result<(), ClientError> {
    let (source_name, selected) = match (flag, variable("AWS_PROFILE")) {
        (Some(profile), _) => ("--profile", profile.to_owned()),
        (None, Some(profile)) if profile != DEFAULT => ("AWS_PROFILE", profile),
        (None, Some(_) | None) => return Ok(()),
    };
    let files = FILES.map(|(name, path)| env::var(name).unwrap_or_else(|_| path.into())).join(" and ");
    #[allow(clippy::default_trait_access, reason = "the type is in a crate that is not a dependency")]
    let loaded = profile::load(&Fs::real(), &Env::real(), &Default::default(), None).await;
    let profiles = match loaded {
        Ok(profiles) => profiles,
        Err(error) => return Err(ClientError::ProfilesInvalid { files, reason: error.to_string() }),
    };
    if profiles.get_profile(&selected).is_some() {
        return Ok(());
    }
    let mut known: Vec<&str> = profiles.profiles().collect();
    known.sort_unstable();
    let known = if known.is_empty() { "none".into() } else { known.join(", ") };
    Err(ClientError::UnknownProfile { source_name, profile: selected, files, known })
}
