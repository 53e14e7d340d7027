use std::fmt;
use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, Result, error::CredentialsError, future};
use aws_sdk_sts::{Client, types};
use tokio::sync::OnceCell;

/// The credentials of a role, requested from STS when they are first needed.
///
/// `aws_config::sts` has a provider for this purpose, but it links the SDK's whole credential chain, which makes a
/// function's package about 5% larger.
pub(super) struct AssumedRole {
    base: SdkConfig,
    role_arn: String,
    session_name: String,
    // Building the STS client takes 0.2 ms, which invocations that never assume the role should not spend.
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
        let types::Credentials { access_key_id, secret_access_key, session_token, expiration, .. } =
            answer.credentials.ok_or_else(|| CredentialsError::unhandled("STS AssumeRole returned no credentials"))?;
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
