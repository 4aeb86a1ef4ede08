//! The S3 API alone on a port, for measuring it and for running S3 clients against it.
//!
//! `cargo run --release -p sagebrush-api-server --example s3_only -- <folder> <port>`; the access
//! key is `EXAMPLEKEY`, its secret `example-secret`.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use sagebrush_access::Access;
use sagebrush_api_server::s3;
use sagebrush_auth::{AccessKey, SecretKey};
use sagebrush_env::Clock;
use sagebrush_object_store::ObjectStore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(port)) = (arguments.next(), arguments.next()) else {
        return Err("usage: s3_only <folder> <port>".into());
    };
    let store = ObjectStore::open(Path::new(&folder)).await?;
    let key = AccessKey { id: "EXAMPLEKEY".to_owned(), secret: SecretKey::new("example-secret".to_owned()) };
    let (folder, skew) = (Path::new(&folder), Duration::from_secs(900));
    let access = Access::open(folder, "000000000000", key, Clock::system(), skew)?;
    let front = s3::service(store, Arc::new(access), "us-east-1".to_owned(), None);
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
