//! The S3 requests of COPY and UNLOAD.

use std::path::Path;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_http_client::tls;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use tokio::io::AsyncRead;

use crate::config::Config;
use crate::execute::Stop;

/// Characters that are not percent-encoded in a URL (S3 API, "UriEncode").
const AS_IS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A bucket, and a key or key prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) bucket: String,
    pub(crate) key: String,
}

impl Place {
    /// Parses `s3://bucket/key`.
    pub(crate) fn parse(url: &str) -> Result<Self, Stop> {
        let place = url.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
        match place {
            Some((bucket, key)) if !bucket.is_empty() => Ok(Self { bucket: bucket.into(), key: key.into() }),
            _ => Err(Stop::Failed(format!("ERROR: \"{url}\" is not a valid S3 URL: expected s3://bucket/prefix"))),
        }
    }

    /// `key` in the same bucket.
    pub(crate) fn at(&self, key: impl Into<String>) -> Self {
        Self { bucket: self.bucket.clone(), key: key.into() }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// S3 with the credentials of this process. The roles of the local stack cannot be assumed by a database.
pub(crate) struct S3 {
    client: Client,
    region: String,
}

impl S3 {
    pub(crate) fn new(config: &Config) -> Self {
        let key = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
        let token = std::env::var("AWS_SESSION_TOKEN").ok();
        let credentials = Credentials::new(
            key("AWS_ACCESS_KEY_ID", "test"),
            key("AWS_SECRET_ACCESS_KEY", "test"),
            token,
            None,
            "env",
        );
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https();
        let mut builder = aws_sdk_s3::Config::builder()
            .behavior_version_latest()
            .region(Region::new(config.region.clone()))
            .credentials_provider(credentials)
            .http_client(http)
            .force_path_style(true)
            // S3 emulators often do not support the trailing checksums that the SDK sends by default.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if let Some(endpoint) = &config.s3_endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        Self { client: Client::from_conf(builder.build()), region: config.region.clone() }
    }

    /// Keys that start with `prefix.key`, in order, without directory markers.
    pub(crate) async fn list(&self, prefix: &Place) -> Result<Vec<Place>, Stop> {
        let request = self.client.list_objects_v2().bucket(&prefix.bucket).prefix(&prefix.key);
        let mut pages = request.into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed("list", prefix, &error))?;
            for object in page.contents() {
                let key = object.key().unwrap_or_default();
                if !(key.ends_with('/') && object.size() == Some(0)) {
                    found.push(prefix.at(key));
                }
            }
        }
        Ok(found)
    }

    /// The content of an object as a stream; `None` if the object does not exist.
    pub(crate) async fn open(&self, place: &Place) -> Result<Option<impl AsyncRead + Send + Unpin + use<>>, Stop> {
        match self.client.get_object().bucket(&place.bucket).key(&place.key).send().await {
            Ok(object) => Ok(Some(Box::pin(object.body.into_async_read()))),
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => Ok(None),
            Err(error) => Err(failed("read", place, &error)),
        }
    }

    /// Writes an object to an unnamed temporary file; `None` if the object does not exist.
    pub(crate) async fn download(&self, place: &Place) -> Result<Option<std::fs::File>, Stop> {
        let Some(mut object) = self.open(place).await? else { return Ok(None) };
        let file = tempfile::tempfile().map_err(|error| failed("keep", place, &error))?;
        let mut file = tokio::fs::File::from_std(file);
        tokio::io::copy(&mut object, &mut file).await.map_err(|error| failed("read", place, &error))?;
        tokio::io::AsyncWriteExt::flush(&mut file).await.map_err(|error| failed("keep", place, &error))?;
        Ok(Some(file.into_std().await))
    }

    /// The HTTPS URL of an object, which Redshift uses for columnar formats and shows in its errors.
    pub(crate) fn https(&self, place: &Place) -> String {
        let key = percent_encoding::utf8_percent_encode(&place.key, AS_IS);
        format!("https://s3.{}.amazonaws.com/{}/{key}", self.region, place.bucket)
    }

    /// The content of a small object.
    pub(crate) async fn read(&self, place: &Place) -> Result<Vec<u8>, Stop> {
        let object = self.client.get_object().bucket(&place.bucket).key(&place.key).send().await;
        let object = object.map_err(|error| failed("read", place, &error))?;
        let bytes = object.body.collect().await.map_err(|error| failed("read", place, &error))?;
        Ok(bytes.to_vec())
    }

    pub(crate) async fn write_file(&self, place: &Place, file: &Path) -> Result<(), Stop> {
        let body = ByteStream::from_path(file).await.map_err(|error| failed("write", place, &error))?;
        self.put(place, body).await
    }

    pub(crate) async fn write(&self, place: &Place, bytes: Vec<u8>) -> Result<(), Stop> {
        self.put(place, ByteStream::from(bytes)).await
    }

    async fn put(&self, place: &Place, body: ByteStream) -> Result<(), Stop> {
        let sent = self.client.put_object().bucket(&place.bucket).key(&place.key).body(body).send().await;
        sent.map(|_| ()).map_err(|error| failed("write", place, &error))
    }

    pub(crate) async fn delete(&self, place: &Place) -> Result<(), Stop> {
        let sent = self.client.delete_object().bucket(&place.bucket).key(&place.key).send().await;
        sent.map(|_| ()).map_err(|error| failed("delete", place, &error))
    }
}

/// The causes of an error, from the outermost to the innermost, without repetitions. The SDK's own display contains the
/// whole response.
fn failed(verb: &str, place: &Place, error: &dyn std::error::Error) -> Stop {
    let mut causes: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !causes.iter().any(|cause| cause.contains(&text)) {
            causes.push(text);
        }
        next = error.source();
    }
    Stop::Failed(format!("ERROR: S3ServiceException: cannot {verb} {place}: {}", causes.join(": ")))
}
