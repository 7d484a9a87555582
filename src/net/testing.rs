//! A certificate authority and servers in this process, for the tests of the rooms that use the network.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned, crypto};

use super::{Anchors, Deadline, Trust};

pub(crate) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(10))
}

/// A certificate authority 'CN=test CA'.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = named("test CA", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), certificate: certificate.into(), issuer: Issuer::new(params, key) }
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::new(Anchors::given(vec![self.certificate.clone()]), None).unwrap()
    }

    pub(crate) fn pem_file(&self) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(self.pem.as_bytes()).unwrap();
        file
    }

    pub(crate) fn server_for(&self, names: &[&str]) -> Arc<ServerConfig> {
        self.server_with(named("a server", names))
    }

    pub(crate) fn expired_server_for(&self, names: &[&str]) -> Arc<ServerConfig> {
        let mut params = named("a server", names);
        params.not_before = date_time_ymd(2019, 12, 31);
        params.not_after = date_time_ymd(2020, 2, 29);
        self.server_with(params)
    }

    fn server_with(&self, params: CertificateParams) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        server(certificate.into(), &key)
    }
}

pub(crate) fn self_signed_server_for(names: &[&str]) -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    server(named("alone", names).self_signed(&key).unwrap().into(), &key)
}

/// Accepts connections on localhost and runs `talk` with each in a thread of its own; returns the port.
pub(crate) fn listen(talk: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let talk = Arc::new(talk);
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let talk = talk.clone();
            thread::spawn(move || talk(socket));
        }
    });
    port
}

pub(crate) type TlsPeer = StreamOwned<ServerConnection, TcpStream>;

/// The server's end of TLS; the handshake is done with the first read or write.
pub(crate) fn tls(config: &Arc<ServerConfig>, socket: TcpStream) -> TlsPeer {
    StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), socket)
}

/// Like [`listen`], over TLS.
pub(crate) fn listen_tls(config: Arc<ServerConfig>, talk: impl Fn(TlsPeer) + Send + Sync + 'static) -> u16 {
    listen(move |socket| talk(tls(&config, socket)))
}

/// Answers every byte with itself until the other side goes.
pub(crate) fn echo(mut peer: impl Read + Write) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = peer.read(&mut buffer) {
        if peer.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

pub(crate) fn a_path_without_a_file() -> PathBuf {
    tempfile::tempdir().unwrap().path().join("none.pem")
}

fn named(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn server(certificate: CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Arc::new(config)
}
