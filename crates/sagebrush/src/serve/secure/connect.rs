//! `CONNECT host:port`, as clients send it to the proxy that HTTPS_PROXY names.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use sagebrush_env::durable::{self, Readers};
use sagebrush_wire::is_spoken_here;
use subtle::ConstantTimeEq;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Secure, authority, tunnel};
use crate::serve::listen::{Door, HEADER_TIMEOUT};

/// The proxy's password, readable by the owner of the data folder only.
pub const PASSWORD_FILE: &str = "proxy-password";
/// The proxy's user name.
pub const USER: &str = "sagebrush";
/// Bytes of a CONNECT request.
const HEAD: usize = 8 << 10;

/// The password in a folder, made when there is none.
pub fn password(folder: &Path) -> anyhow::Result<String> {
    let path = folder.join(PASSWORD_FILE);
    if !path.exists() {
        let password = authority::new_password();
        durable::write(&path, password.as_bytes(), Readers::Owner)?;
        return Ok(password);
    }
    fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
}

/// What a CONNECT request asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    host: String,
    port: u16,
    /// The Proxy-Authorization header.
    authorization: Option<String>,
}

impl Secure {
    /// Answers a connection that begins with CONNECT.
    pub(super) async fn connect(&self, mut stream: TcpStream, peer: SocketAddr, door: Door) {
        let head = tokio::select! {
            head = tokio::time::timeout(HEADER_TIMEOUT, read_head(&mut stream)) => head,
            () = self.ended.cancelled() => return,
        };
        let Ok(Some(head)) = head else { return };
        let Some(asked) = parse(&head) else {
            return refuse(&mut stream, "400 Bad Request", "", "This is no CONNECT request.").await;
        };
        if !self.knows_password(&asked) {
            let challenge = "Proxy-Authenticate: Basic realm=\"sagebrush\"\r\n";
            let text = "The proxy needs the password that `sagebrush env --intercept` prints.";
            return refuse(&mut stream, "407 Proxy Authentication Required", challenge, text).await;
        }
        let here = asked.port == 443 && is_spoken_here(&asked.host);
        if here {
            if established(&mut stream).await {
                self.handshake(stream, peer, door).await;
            }
            return;
        }
        let Ok(_place) = self.tunnels.try_acquire() else {
            let text = "The proxy has as many tunnels open as it allows. Try again.";
            return refuse(&mut stream, "503 Service Unavailable", "", text).await;
        };
        // The drain at the end waits for requests, and a tunnel is none.
        drop(door);
        match tunnel::open(&asked.host, asked.port).await {
            Ok(there) => {
                if established(&mut stream).await {
                    tunnel::run(stream, there, &self.ended).await;
                }
            }
            Err(reason) => {
                let text = format!("{}:{} cannot be reached: {reason}", asked.host, asked.port);
                refuse(&mut stream, "502 Bad Gateway", "", &text).await;
            }
        }
    }

    fn knows_password(&self, asked: &Asked) -> bool {
        let given = asked.authorization.as_deref().and_then(basic);
        match (&self.proxy, given) {
            (Some(password), Some((user, given))) => {
                user == USER && bool::from(password.as_bytes().ct_eq(given.as_bytes()))
            }
            _ => false,
        }
    }
}

/// Everything up to the empty line, when it comes within [`HEAD`] bytes. Not one byte more is read: what
/// follows belongs to the tunnel.
async fn read_head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == HEAD {
            return None;
        }
        head.push(stream.read_u8().await.ok()?);
    }
    Some(head)
}

fn parse(head: &[u8]) -> Option<Asked> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    let target = lines.next()?.strip_prefix("CONNECT ")?.split_once(" HTTP/1.").map(|(target, _)| target)?;
    let (host, port) = target.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let plain = |letter: char| letter.is_ascii_alphanumeric() || ".-_:".contains(letter);
    if host.is_empty() || !host.chars().all(plain) {
        return None;
    }
    let authorization = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"))
        .map(|(_, value)| value.trim().to_owned());
    Some(Asked { host: host.to_owned(), port: port.parse().ok()?, authorization })
}

/// User and password of a Basic authorization.
fn basic(header: &str) -> Option<(String, String)> {
    use base64::Engine as _;
    let (scheme, encoded) = header.split_once(' ')?;
    let decoded = base64::prelude::BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

async fn established(stream: &mut TcpStream) -> bool {
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_ok()
}

async fn refuse(stream: &mut TcpStream, status: &str, header: &str, text: &str) {
    let answer = format!(
        "HTTP/1.1 {status}\r\n{header}Content-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    // A client that has gone needs no answer.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_or_refused() {
        let asked = |text: &str| parse(text.as_bytes());
        let head = "CONNECT sts.us-east-1.amazonaws.com:443 HTTP/1.1\r\nHost: x\r\nproxy-authorization:  Basic YTpi \r\n\r\n";
        let expected = Asked {
            host: "sts.us-east-1.amazonaws.com".into(),
            port: 443,
            authorization: Some("Basic YTpi".into()),
        };
        assert_eq!(asked(head), Some(expected));
        assert_eq!(asked("CONNECT [::1]:8443 HTTP/1.0\r\n\r\n").map(|asked| asked.host), Some("::1".into()));
        for strange in [
            "CONNECT x HTTP/1.1\r\n\r\n",
            "CONNECT :443 HTTP/1.1\r\n\r\n",
            "CONNECT a/b:443 HTTP/1.1\r\n\r\n",
            "CONNECT a:99999 HTTP/1.1\r\n\r\n",
            "COPY a:443 HTTP/1.1\r\n\r\n",
            "CONNECT a:443\r\n\r\n",
        ] {
            assert_eq!(asked(strange), None, "{strange}");
        }
    }

    #[test]
    fn basic_authorizations_are_decoded() {
        assert_eq!(basic("Basic YTpiOmM="), Some(("a".into(), "b:c".into())));
        assert_eq!(basic("Bearer YTpi"), None);
        assert_eq!(basic("Basic !"), None);
    }
}
