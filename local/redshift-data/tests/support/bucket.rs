//! An in-memory bucket that serves the S3 requests of COPY and UNLOAD.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};

/// Objects by `bucket/key`.
#[derive(Clone, Default)]
pub(crate) struct Bucket(Arc<Mutex<BTreeMap<String, Bytes>>>);

impl Bucket {
    pub(crate) fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        self.0.lock().unwrap().insert(key.to_owned(), bytes.into());
    }

    pub(crate) fn get(&self, key: &str) -> Option<Bytes> {
        self.0.lock().unwrap().get(key).cloned()
    }

    pub(crate) fn text(&self, key: &str) -> String {
        String::from_utf8(self.get(key).unwrap_or_else(|| panic!("no object {key}")).to_vec()).unwrap()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }

    pub(crate) async fn handle(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = decoded(request.uri().path().trim_start_matches('/'));
        let query = request.uri().query().unwrap_or_default().to_owned();
        let method = request.method().clone();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let reply = |status: u16, body: Bytes| Response::builder().status(status).body(Full::new(body)).unwrap();
        match method {
            Method::GET if query.contains("list-type=2") => reply(200, self.list(&path, &query)),
            Method::GET => match self.get(&path) {
                Some(bytes) => reply(200, bytes),
                None => reply(404, Bytes::from_static(b"<Error><Code>NoSuchKey</Code><Message>none</Message></Error>")),
            },
            Method::PUT => {
                self.put(&path, body);
                reply(200, Bytes::new())
            }
            Method::DELETE => {
                self.0.lock().unwrap().remove(&path);
                reply(204, Bytes::new())
            }
            other => panic!("unexpected {other} {path}"),
        }
    }

    fn list(&self, bucket: &str, query: &str) -> Bytes {
        let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).map(decoded).unwrap_or_default();
        let bucket = bucket.trim_end_matches('/');
        let mut xml = String::from("<ListBucketResult><IsTruncated>false</IsTruncated>");
        for (path, bytes) in self.0.lock().unwrap().iter() {
            let key = path.strip_prefix(&format!("{bucket}/")).filter(|key| key.starts_with(&prefix));
            if let Some(key) = key {
                write!(xml, "<Contents><Key>{key}</Key><Size>{}</Size></Contents>", bytes.len()).unwrap();
            }
        }
        xml.push_str("</ListBucketResult>");
        Bytes::from(xml)
    }
}

/// Decodes percent-encoding.
fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits: String = bytes.by_ref().take(2).map(char::from).collect();
            out.push(u8::from_str_radix(&digits, 16).unwrap());
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).unwrap()
}
