use std::fmt;
use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, Result, error::CredentialsError, future};
use aws_sdk_sts::{Client, types};
use tokio::sync::OnceCell;

/// Credentials of a role, asked of STS when they are first needed.
///
/// `aws_config::sts` has a provider for it, which links the SDK's whole chain of credentials: a twentieth of a function's package
/// for profiles, containers and instances that a function has none of.
pub(super) struct AssumedRole {
    base: SdkConfig,
    role_arn: String,
    session_name: String,
    // Building the STS client takes 0.2 ms that an invocation which never assumes the role should not pay.
    client: OnceCell<Client>,
}

impl AssumedRole {
    pub(super) fn new(base: SdkConfig, role_arn: String, session_name: String) -> Self {
        Self { base, role_arn, session_name, client: OnceCell::new() }
    }

    async fn assume(&self) -> Result {
        let client = self.client.get_or_init(async || Client::new(&self.base)).await;
        let assume = client.assume_role().role_arn(&self.role_arn).role_session_name(&self.session_name);
        let answer = assume.send().await.map_err(CredentialsError::provider_error)?;
        let types::Credentials { access_key_id, secret_access_key, session_token, expiration, .. } = answer
            .credentials
            .ok_or_else(|| CredentialsError::unhandled("STS AssumeRole answered without credentials"))?;
        let expires = SystemTime::try_from(expiration).map_err(CredentialsError::unhandled)?;
        Ok(Credentials::new(access_key_id, secret_access_key, Some(session_token), Some(expires), "assumed role"))
    }
}

impl ProvideCredentials for AssumedRole {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.assume())
    }
}

impl fmt::Debug for AssumedRole {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("AssumedRole")
            .field("role_arn", &self.role_arn)
            .field("session_name", &self.session_name)
            .finish_non_exhaustive()
    }
}
