//! A real endpoint, where the environment names one.

use std::env;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};

/// How to speak to the endpoint that a variable names; without it, says that nobody was asked.
pub(crate) fn config(variable: &str) -> Option<SdkConfig> {
    let Some(endpoint) = env::var(variable).ok().filter(|url| !url.is_empty()) else {
        eprintln!("SKIPPED: {variable} is not set, so nobody was asked; `make up` starts somebody who answers");
        return None;
    };
    let https = aws_smithy_http_client::Builder::new()
        .tls_provider(aws_smithy_http_client::tls::Provider::Rustls(
            aws_smithy_http_client::tls::rustls_provider::CryptoMode::Ring,
        ))
        .build_https();
    Some(
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "test")))
            .endpoint_url(endpoint)
            .http_client(https)
            .build(),
    )
}
