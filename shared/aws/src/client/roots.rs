use std::fs;

use aws_smithy_http_client::tls::TrustStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::ClientError;

/// The five root certificates that Amazon Trust Services recommends for a custom trust store
/// (<https://www.amazontrust.com/repository/>). The last of them expires in 2037.
const AMAZON_TRUST_SERVICES: &[u8] = include_bytes!("amazon-trust-services.pem");

/// The root certificates of the public endpoints in the `aws` partition.
pub(super) fn amazon() -> TrustStore {
    TrustStore::empty().with_pem_certificate(AMAZON_TRUST_SERVICES)
}

/// Reads the root certificates of a PEM file, and no others, as the AWS CLI does for `AWS_CA_BUNDLE`.
pub(super) fn bundle(path: String) -> Result<TrustStore, ClientError> {
    let pem = match fs::read(&path) {
        Ok(pem) => pem,
        Err(source) => return Err(ClientError::BundleUnreadable { path, source }),
    };
    // The HTTP client panics at its first call if a certificate is invalid.
    match anchors(&pem) {
        Ok(()) => Ok(TrustStore::empty().with_pem_certificate(pem)),
        Err(reason) => Err(ClientError::BundleInvalid { path, reason }),
    }
}

fn anchors(pem: &[u8]) -> Result<(), String> {
    let mut found = false;
    for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        let number = index + 1;
        let certificate = certificate.map_err(|error| format!("certificate {number}: {error}"))?;
        webpki::anchor_from_trusted_cert(&certificate).map_err(|error| format!("certificate {number}: {error}"))?;
        found = true;
    }
    if found { Ok(()) } else { Err("it contains no certificate".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_roots_are_five_and_parse() {
        assert_eq!(anchors(AMAZON_TRUST_SERVICES), Ok(()));
        assert_eq!(CertificateDer::pem_slice_iter(AMAZON_TRUST_SERVICES).count(), 5);
    }

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        assert_eq!(anchors(b"no certificate"), Err("it contains no certificate".to_owned()));
    }

    #[test]
    fn a_bundle_with_a_broken_certificate_names_it() {
        let mut pem = AMAZON_TRUST_SERVICES.to_vec();
        pem.extend_from_slice(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let reason = anchors(&pem).unwrap_err();
        assert!(reason.starts_with("certificate 6: "), "{reason}");
    }
}
