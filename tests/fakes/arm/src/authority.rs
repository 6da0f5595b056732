//! The authority that the double's certificate is from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::application::Application;

/// An authority in a folder, whose certificate clients are told to trust.
pub struct Authority {
    folder: PathBuf,
}

impl Authority {
    /// Makes one in a folder, or takes the one that is there.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn in_folder(folder: &Path) -> Self {
        let made = Self {
            folder: folder.to_owned(),
        };
        if !made.certificate().exists() {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::new(Vec::new()).expect("no names");
            let name = &mut params.distinguished_name;
            name.push(DnType::CommonName, "authority of meshvm's tests");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let certificate = params.self_signed(&key).expect("an authority");
            std::fs::write(made.key(), key.serialize_pem()).expect("a writable folder");
            std::fs::write(made.certificate(), certificate.pem()).expect("a writable folder");
        }
        made
    }

    /// Returns the file with its certificate, as `SSL_CERT_FILE` is set to.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Returns the file with the key and certificate of an application that has one, as
    /// `AZURE_CLIENT_CERTIFICATE_PATH` is set to; makes it when it is missing.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn application(&self) -> PathBuf {
        let file = self.folder.join("application.pem");
        if !file.exists() {
            Application::make(&file);
        }
        file
    }

    /// Returns the application, where there is one.
    pub(crate) fn known(&self) -> Option<Application> {
        let file = self.folder.join("application.pem");
        file.exists().then(|| Application::of(&file))
    }

    fn key(&self) -> PathBuf {
        self.folder.join("ca.key")
    }

    /// Returns what a server on this computer needs.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let key = std::fs::read_to_string(self.key()).expect("the authority's key");
        let key = KeyPair::from_pem(&key).expect("a key");
        let certificate = std::fs::read_to_string(self.certificate()).expect("its certificate");
        let issuer = Issuer::from_ca_cert_pem(&certificate, key).expect("an authority");
        let own = KeyPair::generate().expect("a key");
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut leaf = CertificateParams::new(names).expect("two names");
        // One of the same name as its issuer would look like one that signed itself.
        leaf.distinguished_name
            .push(DnType::CommonName, "127.0.0.1");
        leaf.use_authority_key_identifier_extension = true;
        let leaf = leaf.signed_by(&own, &issuer).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .expect("a certificate and its key");
        Arc::new(config)
    }
}
