use std::fmt;

use aws_config::SdkConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::provider::{ProvideCredentials, future};
use tokio::sync::OnceCell;

/// Credentials of a role, asked of STS when they are first needed.
pub(super) struct AssumedRole {
    base: SdkConfig,
    role_arn: String,
    session_name: String,
    // Building the STS client takes 0.2 ms that an invocation which never assumes the role should not pay.
    provider: OnceCell<AssumeRoleProvider>,
}

impl AssumedRole {
    pub(super) fn new(base: SdkConfig, role_arn: String, session_name: String) -> Self {
        Self { base, role_arn, session_name, provider: OnceCell::new() }
    }

    async fn provider(&self) -> &AssumeRoleProvider {
        self.provider
            .get_or_init(|| {
                AssumeRoleProvider::builder(self.role_arn.as_str())
                    .session_name(self.session_name.as_str())
                    .configure(&self.base)
                    .build()
            })
            .await
    }
}

impl ProvideCredentials for AssumedRole {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async move { self.provider().await.provide_credentials().await })
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
