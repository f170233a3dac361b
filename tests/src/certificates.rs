//! A certificate authority of one's own, as PEM files in a folder.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

/// The authority. Its own certificate is `ca.pem`.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// In a folder that is there.
    pub fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::new(vec![]).expect("parameters");
        // (what has the name of its issuer is taken for self-signed)
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        std::fs::write(folder.join("ca.pem"), issuer.pem()).expect("a file");
        Self { folder: folder.to_owned(), issuer }
    }

    /// Writes `FILE.pem`: a certificate for a name or address and its key.
    pub fn issue(&self, file: &str, name: &str, expired: bool) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        if expired {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let pem = certificate.pem() + &key.serialize_pem();
        std::fs::write(self.folder.join(format!("{file}.pem")), pem).expect("a file");
    }
}
