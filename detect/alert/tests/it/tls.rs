//! TLS: whose certificate is believed, and how the sender shows its own.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, version};
use tokio_rustls::server::TlsStream;
use tripline_alert::{Destination, Outbox, Sender, Settings, Store, Timeouts};

use crate::support::{commit, finding};

/// A certificate authority in a folder.
struct Authority {
    dir: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { dir, issuer }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A certificate for a name or address, with its key.
    fn issue(&self, name: &str, expired: bool) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if expired {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// The same as a PEM file.
    fn issue_file(&self, name: &str) -> PathBuf {
        let (certificate, key) = self.issue(name, false);
        let path = self.dir.path().join(format!("{name}.pem"));
        std::fs::write(&path, certificate.pem() + &key.serialize_pem()).unwrap();
        path
    }
}

struct TlsListener(TcpListener, TlsAcceptor);

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, address) = self.0.accept().await.unwrap();
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// A receiver with a certificate; with `clients`, for those only whose certificate that authority has signed.
async fn serve(certificate: (rcgen::Certificate, KeyPair), clients: Option<&Authority>) -> SocketAddr {
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .unwrap();
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.issuer.der().clone()).unwrap();
            config.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap(),
            )
        }
    };
    let chain: Vec<CertificateDer<'static>> = vec![certificate.0.der().clone()];
    let config =
        config.with_single_cert(chain, PrivatePkcs8KeyDer::from(certificate.1.serialize_der()).into()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = TlsListener(listener, TlsAcceptor::from(Arc::new(config)));
    tokio::spawn(
        async move { axum::serve(listener, Router::new().fallback(|| async { StatusCode::NO_CONTENT })).await },
    );
    address
}

/// Sends one alert. `Ok`, or why not.
async fn send(address: SocketAddr, ca: Option<&Path>, client: Option<&Path>) -> Result<(), String> {
    let settings = Settings {
        name: "soc".into(),
        url: format!("https://localhost:{}/hook", address.port()),
        style: "native".into(),
        ca_file: ca.map(Path::to_owned),
        client_certificate_file: client.map(Path::to_owned),
        ..Settings::default()
    };
    let destination = Destination::new(&settings, |_| None).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.commit(&commit(vec![finding("192.0.2.1", 0, 5)], 5, 0)).unwrap();
    let outcome = Sender::new(&store, vec![destination], Timeouts::default()).unwrap().deliver_due(0).await;
    match Outbox::open(dir.path()).unwrap().pending().unwrap().pop() {
        None => {
            assert_eq!(outcome.delivered, 1);
            Ok(())
        }
        Some(entry) => Err(entry.last_error.unwrap()),
    }
}

#[tokio::test]
async fn a_private_authority_is_believed_where_the_config_names_it() {
    let (ours, other) = (Authority::new(), Authority::new());
    let receiver = serve(ours.issue("localhost", false), None).await;
    send(receiver, Some(&ours.file()), None).await.unwrap();
    for ca in [None, Some(other.file())] {
        let error = send(receiver, ca.as_deref(), None).await.unwrap_err();
        assert!(error.contains("invalid peer certificate"), "{error}");
    }
}

#[tokio::test]
async fn expired_and_wrong_names_are_refused() {
    let authority = Authority::new();
    let expired =
        send(serve(authority.issue("localhost", true), None).await, Some(&authority.file()), None).await.unwrap_err();
    assert!(expired.contains("expired"), "{expired}");
    let wrong = send(serve(authority.issue("other.example.com", false), None).await, Some(&authority.file()), None)
        .await
        .unwrap_err();
    assert!(wrong.contains("not valid for name"), "{wrong}");
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let receiver = serve(servers.issue("localhost", false), Some(&clients)).await;
    let certificate = clients.issue_file("tripline");
    send(receiver, Some(&servers.file()), Some(&certificate)).await.unwrap();
    send(receiver, Some(&servers.file()), None).await.unwrap_err();
    send(receiver, Some(&servers.file()), Some(&servers.issue_file("stranger"))).await.unwrap_err();
}
