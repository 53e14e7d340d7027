//! The small files of an S3 bucket, written and deleted under conditions.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    error::ProvideErrorMetadata,
    operation::get_object::GetObjectError,
    primitives::ByteStream,
    types::{ChecksumAlgorithm, ServerSideEncryption},
};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use shiftwork_ports::{
    Result,
    documents::{Changed, Documents, Draft, KmsEncryption, MOST_BYTES, Only, Page, Stored},
};
use shiftwork_protocol::FailureKind;

use crate::failures::Call;

/// [`Documents`] over S3.
#[derive(Debug, Clone)]
pub struct S3Documents {
    client: Client,
    bucket: String,
}

impl S3Documents {
    /// Over the bucket of this name.
    pub fn new(config: &SdkConfig, bucket: impl Into<String>) -> Self {
        Self { client: Client::new(config), bucket: bucket.into() }
    }

    fn address(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }
}

#[async_trait]
impl Documents for S3Documents {
    async fn read(&self, key: &str) -> Result<Option<Stored>> {
        let address = self.address(key);
        let call = Call::new("S3 GetObject", &address);
        let object = match self.client.get_object().bucket(&self.bucket).key(key).send().await {
            Ok(object) => object,
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => return Ok(None),
            Err(error) => return Err(call.failed(error)),
        };
        // Dropped unread, the body costs nothing.
        if let Some(bytes) = object.content_length().filter(|bytes| *bytes > MOST_BYTES) {
            let words =
                format!("{bytes} bytes are more than the {MOST_BYTES} of any metadata; the file stays where it is");
            return Err(call.failure(FailureKind::InvalidRequest, words));
        }
        let etag = unquoted(object.e_tag());
        // S3 writes "null" for an object of a time when the bucket kept no versions.
        let version = object.version_id().filter(|version| *version != "null").map(Into::into);
        let encryption =
            encryption(object.server_side_encryption(), object.ssekms_key_id(), object.bucket_key_enabled());
        let marks =
            object.metadata().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect();
        let body = object.body.collect().await.map_err(|error| call.failure(FailureKind::Unavailable, error))?;
        Ok(Some(Stored { etag, version, bytes: body.to_vec(), marks, encryption }))
    }

    async fn write(&self, key: &str, draft: &Draft, only: &Only) -> Result<Changed> {
        let marks: HashMap<_, _> = draft.marks.clone().into_iter().collect();
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type("application/json")
            // S3 refuses bytes of another digest (S3 User Guide, "Checking object integrity"): what it took is what was sent.
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .set_metadata((!marks.is_empty()).then_some(marks))
            .body(ByteStream::from(draft.bytes.clone()));
        let put = match only {
            Only::IfAbsent => put.if_none_match("*"),
            Only::IfUnchanged(etag) => put.if_match(quoted(etag)),
        };
        let put = match &draft.encryption {
            Some(kms) => put
                .server_side_encryption(ServerSideEncryption::from(kms.algorithm.as_str()))
                .ssekms_key_id(&kms.key)
                .bucket_key_enabled(kms.bucket_key),
            None => put,
        };
        match put.send().await {
            Ok(_) => Ok(Changed::Done),
            Err(error) => lost(Call::new("S3 PutObject", &self.address(key)), error),
        }
    }

    async fn delete(&self, key: &str, etag: &str) -> Result<Changed> {
        let delete = self.client.delete_object().bucket(&self.bucket).key(key).if_match(quoted(etag));
        match delete.send().await {
            Ok(_) => Ok(Changed::Done),
            Err(error) => lost(Call::new("S3 DeleteObject", &self.address(key)), error),
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page> {
        let list =
            self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).set_start_after(after.map(Into::into));
        let found =
            list.send().await.map_err(|error| Call::new("S3 ListObjectsV2", &self.address(prefix)).failed(error))?;
        let keys = found.contents().iter().filter_map(|object| object.key().map(Into::into)).collect();
        Ok(Page { keys, more: found.is_truncated() == Some(true) })
    }
}

/// A condition that does not hold is an answer (S3 User Guide, "Conditional requests"): 412, or 404 where there is nothing to
/// match. 409 is two writers at the same moment; the one that is told so has to look again.
fn lost<E>(call: Call<'_>, error: SdkError<E, HttpResponse>) -> Result<Changed>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error.as_service_error().and_then(ProvideErrorMetadata::code) {
        Some("PreconditionFailed" | "NoSuchKey" | "NotFound" | "ConditionalRequestConflict") => Ok(Changed::Lost),
        Some(_) | None => Err(call.failed(error)),
    }
}

fn encryption(by: Option<&ServerSideEncryption>, key: Option<&str>, bucket_key: Option<bool>) -> Option<KmsEncryption> {
    let algorithm = by.map(ServerSideEncryption::as_str).filter(|by| by.starts_with("aws:kms"))?;
    Some(KmsEncryption { algorithm: algorithm.into(), key: key?.into(), bucket_key: bucket_key == Some(true) })
}

/// S3 quotes ETags, events do not.
fn unquoted(etag: Option<&str>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}
