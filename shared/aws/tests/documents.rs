//! The files of a real bucket, held to the same suite as those in memory.
//!
//! `AWS_ENDPOINT_URL` names the endpoint of S3. The test fails if it is not set.
#![allow(clippy::unwrap_used, reason = "a call that fails here fails the test")]

mod endpoint;

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use shiftwork_aws::documents::S3Documents;
use shiftwork_ports::{
    conformance,
    documents::{Documents as _, Draft, KmsEncryption, Only},
};

#[tokio::test]
async fn documents_hold_what_the_port_says() {
    let config = endpoint::config("AWS_ENDPOINT_URL");
    let client = aws_sdk_s3::Client::new(&config);
    for versioned in [false, true] {
        let bucket = format!("conformance-documents-{}-{versioned}", std::process::id());
        client.create_bucket().bucket(&bucket).send().await.unwrap();
        if versioned {
            let status = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
            client.put_bucket_versioning().bucket(&bucket).versioning_configuration(status).send().await.unwrap();
        }
        let documents = S3Documents::new(&config, &bucket);
        conformance::documents(&documents).await;
        let found = documents.list("", None).await.unwrap();
        let some = documents.read(&found.keys[0]).await.unwrap().unwrap();
        assert_eq!(some.version.is_some(), versioned);

        // What is encrypted under a key of KMS, says so, and is written so.
        let kms = KmsEncryption {
            algorithm: "aws:kms".into(),
            key: "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555".into(),
            bucket_key: false,
        };
        let draft = Draft { bytes: b"{}".to_vec(), marks: [].into(), encryption: Some(kms.clone()) };
        documents.write("kms.json", &draft, &Only::IfAbsent).await.unwrap();
        assert_eq!(documents.read("kms.json").await.unwrap().unwrap().encryption, Some(kms));
    }
}
