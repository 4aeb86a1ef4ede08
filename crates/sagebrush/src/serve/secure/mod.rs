//! TLS on the same port, and interception of AWS's host names: both only when asked for.
//!
//! The first byte of a connection tells what it is: 0x16 begins a TLS handshake, the C of `CONNECT` asks
//! for a tunnel, everything else is plain HTTP.
//!
//! Promises: a tunnel is opened for peers on this machine that know the proxy's password and for nobody
//! else; names of AWS services that are spoken here are answered here, all others are tunnelled without a
//! look inside. Never: a certificate for any other name than this machine's and AWS's.

mod authority;
mod connect;
mod tunnel;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use sagebrush_env::Clock;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::listen::{Door, HEADER_TIMEOUT};
use authority::{Authority, Names};
use sagebrush_types::limits::TUNNELS;

pub use authority::CA_FILE;
pub use connect::{PASSWORD_FILE, USER};

/// What is needed to answer connections that are not plain HTTP.
pub struct Secure {
    acceptor: TlsAcceptor,
    /// The password that a proxy request must give; without one there is no proxy.
    proxy: Option<String>,
    tunnels: Arc<Semaphore>,
    /// Completes when the server ends.
    pub ended: CancellationToken,
}

impl Secure {
    /// Opens, or makes at the first time, what lies in `folder`: the certificate authority and, if
    /// `intercept` is on, the proxy's password.
    ///
    /// # Errors
    /// Any error of the file system, or a key that cannot be read.
    pub fn open(folder: &Path, intercept: bool, clock: Clock) -> anyhow::Result<Self> {
        let names = if intercept { Names::LocalAndAws } else { Names::Local };
        let authority = Authority::open(folder, names, clock)?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(authority.server_config()?)),
            proxy: if intercept { Some(connect::password(folder)?) } else { None },
            tunnels: Arc::new(Semaphore::new(TUNNELS)),
            ended: CancellationToken::new(),
        })
    }

    /// Answers one connection.
    pub async fn serve(&self, stream: TcpStream, peer: SocketAddr, door: Door) {
        let mut first = [0];
        let peeked = tokio::select! {
            peeked = tokio::time::timeout(HEADER_TIMEOUT, stream.peek(&mut first)) => peeked,
            () = self.ended.cancelled() => return,
        };
        // A peer that sends nothing, or ends, needs no answer.
        let Ok(Ok(1)) = peeked else { return };
        match first[0] {
            0x16 => self.handshake(stream, peer, door).await,
            b'C' if self.proxy.is_some() && peer.ip().to_canonical().is_loopback() => {
                self.connect(stream, peer, door).await;
            }
            _ => door.serve(stream, peer, false).await,
        }
    }

    async fn handshake(&self, stream: TcpStream, peer: SocketAddr, door: Door) {
        match tokio::time::timeout(HEADER_TIMEOUT, self.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => door.serve(stream, peer, true).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        }
    }
}
