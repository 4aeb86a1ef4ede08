//! The S3 API alone on a port, for measuring it and for running S3 clients against it.
//!
//! `cargo run --release -p sagebrush-api-server --example s3_only -- <folder> <port>`; the access
//! key is `EXAMPLEKEY`, its secret `example-secret`.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::serve::ListenerExt;
use sagebrush_api_server::s3;
use sagebrush_auth::{KeyRing, SecretKey};
use sagebrush_object_store::ObjectStore;

struct OneKey;

impl KeyRing for OneKey {
    fn secret(&self, access_key_id: &str) -> Option<SecretKey> {
        (access_key_id == "EXAMPLEKEY").then(|| SecretKey::new("example-secret".to_owned()))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(port)) = (arguments.next(), arguments.next()) else {
        return Err("usage: s3_only <folder> <port>".into());
    };
    let store = ObjectStore::open(Path::new(&folder)).await?;
    let (account, region) = ("000000000000".to_owned(), "us-east-1".to_owned());
    let front = s3::service(store, Arc::new(OneKey), account, region, None);
    let app = Router::new().fallback(move |request| {
        let front = front.clone();
        async move { front.handle(request).await }
    });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    println!("http://{}", listener.local_addr()?);
    // Head and body of an answer are written apart; without this the second waits for the
    // client's delayed acknowledgement of the first.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await?;
    Ok(())
}
