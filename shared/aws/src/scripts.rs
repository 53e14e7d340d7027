//! Scripts in a versioned S3 bucket.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata as _, SdkError},
    operation::get_object::{GetObjectError, GetObjectOutput},
};
use shiftwork_ports::{Result, ScriptText, Scripts};
use shiftwork_protocol::{FailureKind, ScriptPin, name::sha256};

use crate::failures::Call;

/// [`Scripts`] over S3.
#[derive(Debug, Clone)]
pub struct S3Scripts {
    client: Client,
    bucket: String,
}

impl S3Scripts {
    /// Over the bucket of this name, which must keep versions.
    pub fn new(config: &SdkConfig, bucket: impl Into<String>) -> Self {
        Self { client: Client::new(config), bucket: bucket.into() }
    }

    /// The object, or `None` where S3 says that there is no such key or version.
    async fn get(&self, key: &str, version: Option<&str>, address: &str) -> Result<Option<GetObjectOutput>> {
        let get = self.client.get_object().bucket(&self.bucket).key(key).set_version_id(version.map(Into::into));
        match get.send().await {
            Ok(object) => Ok(Some(object)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(Call::new("S3 GetObject", address).failed(error)),
        }
    }

    fn address(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }
}

async fn bytes(object: GetObjectOutput, address: &str) -> Result<Vec<u8>> {
    let body = object.body.collect().await;
    let body = body.map_err(|error| Call::new("S3 GetObject", address).failure(FailureKind::Unavailable, error))?;
    Ok(body.to_vec())
}

fn text(bytes: Vec<u8>, address: &str) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let problem = error.utf8_error();
        Call::new("S3 GetObject", address).failure(
            FailureKind::ScriptUnreadable,
            format_args!("the script is not UTF-8 ({problem}); save it as UTF-8 and push it again"),
        )
    })
}

/// `NoSuchVersion` is in no model of the SDK; `MethodNotAllowed` is S3's answer for a version that marks a deletion.
fn is_missing<R>(error: &SdkError<GetObjectError, R>) -> bool {
    error.as_service_error().is_some_and(|answer| {
        answer.is_no_such_key() || matches!(answer.code(), Some("NoSuchKey" | "NoSuchVersion" | "MethodNotAllowed"))
    })
}

#[async_trait]
impl Scripts for S3Scripts {
    async fn newest(&self, key: &str) -> Result<Option<ScriptText>> {
        let address = self.address(key);
        let Some(object) = self.get(key, None, &address).await? else { return Ok(None) };
        // S3 writes "null" for an object of a time when the bucket kept no versions.
        let Some(version_id) = object.version_id.clone().filter(|version| version != "null") else {
            return Err(Call::new("S3 GetObject", &address).failure(
                FailureKind::ScriptUnreadable,
                format_args!(
                    "the object has no version, so a plan cannot pin it; switch versioning of bucket {} on and push the \
                     script again",
                    self.bucket
                ),
            ));
        };
        let text = text(bytes(object, &address).await?, &address)?;
        Ok(Some(ScriptText { key: key.into(), version_id, text }))
    }

    async fn tags(&self, prefix: &str) -> Result<BTreeMap<String, String>> {
        let mut pages = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).into_paginator().send();
        let mut tags = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| Call::new("S3 ListObjectsV2", &self.address(prefix)).failed(error))?;
            let listed = page.contents.unwrap_or_default();
            tags.extend(listed.into_iter().filter_map(|object| Some((object.key?, object.e_tag.unwrap_or_default()))));
        }
        Ok(tags)
    }

    async fn pinned(&self, pin: &ScriptPin) -> Result<String> {
        let address = format!("{} (version {})", self.address(&pin.key), pin.version_id);
        let unreadable =
            |words: &str| Call::new("S3 GetObject", &address).failure(FailureKind::ScriptUnreadable, words);
        let Some(object) = self.get(&pin.key, Some(&pin.version_id), &address).await? else {
            return Err(unreadable(
                "the version that the plan pinned is gone; start a new run, or restart this one, with the script as it is now",
            ));
        };
        let bytes = bytes(object, &address).await?;
        let found = sha256(&bytes);
        if found != pin.sha256 {
            return Err(unreadable(&format!("its SHA-256 is {found}, and the plan pinned {}", pin.sha256)));
        }
        text(bytes, &address)
    }
}
