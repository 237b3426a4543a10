//! TLS on loopback: a root of our own, and servers with a certificate of it.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use axum::serve::Listener;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// A root that nobody else trusts.
pub struct TestRoot {
    folder: TempDir,
    acceptor: TlsAcceptor,
}

impl TestRoot {
    /// Draws a root, and a certificate of it for `127.0.0.1`.
    #[must_use]
    pub fn new() -> Self {
        const MADE: &str = "a certificate can be made";
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "flexglue's tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect(MADE);
        let root = params.self_signed(&key).expect(MADE);
        let issuer = Issuer::new(params, key);
        let server = KeyPair::generate().expect(MADE);
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect(MADE);
        params.distinguished_name.push(DnType::CommonName, "loopback");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&server, &issuer).expect(MADE);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key)
            });
        let folder = TempDir::new().expect("there is room for a file");
        fs::write(folder.path().join("root.pem"), root.pem()).expect("there is room for a file");
        Self { folder, acceptor: TlsAcceptor::from(Arc::new(config.expect(MADE))) }
    }

    /// The root, as PEM. The file lives as long as this does.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// Lets servers speak TLS.
    #[must_use]
    pub fn guard(&self, listener: TcpListener) -> Guarded {
        let address = listener.local_addr().expect("loopback works");
        let (standing, accepted) = unbounded_channel();
        let acceptor = self.acceptor.clone();
        tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                let (acceptor, standing) = (acceptor.clone(), standing.clone());
                // Side by side: a slow client holds up nobody else.
                tokio::spawn(async move {
                    if stream.set_nodelay(true).is_ok()
                        && let Ok(stream) = acceptor.accept(stream).await
                    {
                        drop(standing.send((stream, from)));
                    }
                });
            }
        });
        Guarded { address, accepted }
    }
}

impl Default for TestRoot {
    fn default() -> Self {
        Self::new()
    }
}

/// Connections over which TLS stands.
pub struct Guarded {
    address: SocketAddr,
    accepted: UnboundedReceiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl Listener for Guarded {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.accepted.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(self.address)
    }
}
