//! The endpoint of the local stack, which the environment names.

use std::env;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};

/// The configuration of clients of the endpoint that an environment variable names. Panics if the variable is not set.
pub(crate) fn config(variable: &str) -> SdkConfig {
    let endpoint = env::var(variable).ok().filter(|url| !url.is_empty()).unwrap_or_else(|| {
        panic!(
            "{variable} is not set, and this test needs the local stack. Run `make test`, or \
             `make up-test && . target/local-test/env` before `cargo test`"
        )
    });
    let https = aws_smithy_http_client::Builder::new()
        .tls_provider(aws_smithy_http_client::tls::Provider::Rustls(
            aws_smithy_http_client::tls::rustls_provider::CryptoMode::Ring,
        ))
        .build_https();
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "test")))
        .endpoint_url(endpoint)
        .http_client(https)
        .build()
}
