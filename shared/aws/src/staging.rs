//! Objects of change data in S3: the staging bucket, and files in other people's buckets.

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    error::ProvideErrorMetadata as _,
    operation::get_object::GetObjectError,
    primitives::ByteStream,
    types::{Delete, ObjectIdentifier},
};
use shiftwork_ports::{ChangeFiles, FileStream, FileVersion, Object, Result, Staging, Version};
use shiftwork_protocol::FailureKind;

use crate::failures::Call;

/// Keys of one `DeleteObjects` (S3 API reference).
const DELETING: usize = 1_000;
/// How often a conditional write that met another one is tried.
const TRIES: u32 = 5;

/// [`Staging`] over a bucket, and [`ChangeFiles`] over all of them.
#[derive(Debug, Clone)]
pub struct S3Staging {
    client: Client,
    bucket: String,
}

impl S3Staging {
    /// Over the bucket of this name.
    pub fn new(config: &SdkConfig, bucket: impl Into<String>) -> Self {
        Self { client: Client::new(config), bucket: bucket.into() }
    }

    fn address(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    async fn delete_some(&self, keys: &[String]) -> Result<()> {
        let address = self.address(keys.first().map_or("", String::as_str));
        let call = Call::new("S3 DeleteObjects", &address);
        let objects: std::result::Result<Vec<_>, _> =
            keys.iter().map(|key| ObjectIdentifier::builder().key(key).build()).collect();
        let delete = objects.and_then(|objects| Delete::builder().set_objects(Some(objects)).quiet(true).build());
        let delete = delete.map_err(|error| call.failure(FailureKind::Refused, error))?;
        let answer = self.client.delete_objects().bucket(&self.bucket).delete(delete).send().await;
        match answer.map_err(|error| call.failed(error))?.errors().first() {
            None => Ok(()),
            Some(error) => {
                let (code, message) = (error.code().unwrap_or_default(), error.message().unwrap_or_default());
                let kind = if code == "AccessDenied" { FailureKind::AccessDenied } else { FailureKind::Unavailable };
                Err(call.failure(kind, format_args!("{}: {code}: {message}", error.key().unwrap_or_default())))
            }
        }
    }
}

#[async_trait]
impl Staging for S3Staging {
    async fn put(&self, key: &str, body: Vec<u8>) -> Result<()> {
        let put = self.client.put_object().bucket(&self.bucket).key(key).body(body.into()).send().await;
        put.map(drop).map_err(|error| Call::new("S3 PutObject", &self.address(key)).failed(error))
    }

    async fn put_once(&self, key: &str, body: Vec<u8>) -> Result<Vec<u8>> {
        let address = self.address(key);
        for _ in 0..TRIES {
            let put = self.client.put_object().bucket(&self.bucket).key(key).if_none_match("*");
            let Err(error) = put.body(body.clone().into()).send().await else { return Ok(body) };
            match error.as_service_error().and_then(|answer| answer.code()) {
                // Somebody was first; or is at it (S3: "ConditionalRequestConflict"), and then the next look tells.
                Some("PreconditionFailed" | "ConditionalRequestConflict") => {
                    if let Some(found) = self.get(key).await? {
                        return Ok(found);
                    }
                }
                Some(_) | None => return Err(Call::new("S3 PutObject", &address).failed(error)),
            }
        }
        let words = "others write and delete the object at this moment";
        Err(Call::new("S3 PutObject", &address).failure(FailureKind::Unavailable, words))
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let address = self.address(key);
        let call = Call::new("S3 GetObject", &address);
        match self.client.get_object().bucket(&self.bucket).key(key).send().await {
            Ok(object) => {
                let body = object.body.collect().await;
                Ok(Some(body.map_err(|error| call.failure(FailureKind::Unavailable, error))?.to_vec()))
            }
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => Ok(None),
            Err(error) => Err(call.failed(error)),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let mut pages = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).into_paginator().send();
        let mut listed = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| Call::new("S3 ListObjectsV2", &self.address(prefix)).failed(error))?;
            listed.extend(page.contents.unwrap_or_default().into_iter().filter_map(|object| {
                Some(Object { key: object.key?, bytes: object.size.unwrap_or_default().try_into().unwrap_or_default() })
            }));
        }
        Ok(listed)
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        for keys in keys.chunks(DELETING) {
            self.delete_some(keys).await?;
        }
        Ok(())
    }
}

/// An object that is being read.
pub(crate) struct Body {
    pub(crate) bytes: ByteStream,
    pub(crate) address: String,
}

#[async_trait]
impl FileStream for Body {
    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let next = self.bytes.try_next().await;
        let next =
            next.map_err(|error| Call::new("S3 GetObject", &self.address).failure(FailureKind::Unavailable, error))?;
        Ok(next.map(|bytes| bytes.to_vec()))
    }
}

#[async_trait]
impl ChangeFiles for S3Staging {
    async fn open(&self, file: &FileVersion) -> Result<Option<Box<dyn FileStream>>> {
        let FileVersion { bucket, key, version } = file;
        let address = format!("s3://{bucket}/{key}");
        let get = self.client.get_object().bucket(bucket).key(key);
        let get = match version {
            Version::Id(id) => get.version_id(id),
            Version::Tag(tag) => get.if_match(tag),
        };
        match get.send().await {
            Ok(object) => Ok(Some(Box::new(Body { bytes: object.body, address }))),
            Err(error) => match error.as_service_error().and_then(|answer| answer.code()) {
                // The last but one is the answer for a version that marks a deletion, the last for another tag.
                Some("NoSuchKey" | "NoSuchVersion" | "MethodNotAllowed" | "PreconditionFailed") => Ok(None),
                Some(_) | None => Err(Call::new("S3 GetObject", &address).failed(error)),
            },
        }
    }
}
