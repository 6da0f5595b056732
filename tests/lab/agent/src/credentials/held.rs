//! The certificate that the workload already has.

use std::path::Path;

use jiff::Timestamp;
use x509_parser::pem::Pem;

/// What `PROV_CERT` holds.
pub enum Held {
    /// A certificate that is still good, with its key, both in PEM.
    Certificate {
        /// The chain, the workload's own first.
        chain: String,
        /// The private key.
        key: String,
    },
    /// None that can be used, and what a real agent says then.
    Nothing(&'static str),
}

/// Reads the certificate of a folder. Both files are read anew each time.
pub fn held(folder: &Path, now: Timestamp) -> Held {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let (Some(chain), Some(key)) = (read("cert-chain.pem"), read("key.pem")) else {
        return Held::Nothing("cannot parse the cert chain, using token instead");
    };
    match not_after(&chain) {
        None => Held::Nothing("cannot parse the cert chain, using token instead"),
        Some(end) if end <= now => Held::Nothing("cert expired, using token instead"),
        Some(_) => Held::Certificate { chain, key },
    }
}

/// Returns when the first certificate of a chain ends; `None` when there is no certificate.
pub fn not_after(chain: &str) -> Option<Timestamp> {
    let pem = Pem::iter_from_buffer(chain.as_bytes()).next()?.ok()?;
    let certificate = pem.parse_x509().ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(certificate: Option<&str>) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let made = rcgen::CertificateParams::default()
            .self_signed(&key)
            .unwrap();
        let chain = certificate.map_or_else(|| made.pem(), str::to_owned);
        std::fs::write(folder.path().join("cert-chain.pem"), chain).unwrap();
        std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
        folder
    }

    #[test]
    fn a_good_certificate_is_used() {
        let folder = folder_with(None);
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        assert!(matches!(held(folder.path(), now), Held::Certificate { .. }));
    }

    #[test]
    fn one_that_ended_is_not() {
        let folder = folder_with(None);
        let chain = std::fs::read_to_string(folder.path().join("cert-chain.pem")).unwrap();
        let end = not_after(&chain).unwrap();
        let Held::Nothing(why) = held(folder.path(), end) else {
            panic!("a certificate that ended is used");
        };
        assert!(why.starts_with("cert expired"), "{why}");
    }

    #[test]
    fn one_that_cannot_be_read_is_not() {
        let now = Timestamp::UNIX_EPOCH;
        let broken = folder_with(Some("no certificate"));
        let empty = tempfile::tempdir().unwrap();
        for folder in [broken.path(), empty.path()] {
            let Held::Nothing(why) = held(folder, now) else {
                panic!("what is no certificate is used");
            };
            assert!(why.starts_with("cannot parse"), "{why}");
        }
    }
}
