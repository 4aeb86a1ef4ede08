//! S3: many small objects, and one large one.

use std::time::Instant;

use bytes::Bytes;
use futures::stream;
use http::Method;
use serde_json::{Value, json};

use crate::measure::{self, Objects};
use crate::sender::{Body, Sender};

const BUCKET: &str = "load-objects";
/// Bytes handed to the connection at a time.
const PIECE: usize = 1 << 20;

async fn make_bucket(server: &Sender) -> anyhow::Result<()> {
    let path = format!("/{BUCKET}");
    server.send("s3", Method::PUT, &path, &[], Body::Bytes(Bytes::new())).await?;
    Ok(())
}

pub async fn small(server: Sender, objects: Objects) -> anyhow::Result<Value> {
    make_bucket(&server).await?;
    let Objects { count, size, at_once } = objects;
    let path = |number: usize| format!("/{BUCKET}/small/{number:06}");
    let writer = server.clone();
    let put = measure::repeat(count, at_once, move |number| {
        let (server, path) = (writer.clone(), path(number));
        async move {
            let bytes = measure::noise(number as u64, size).into();
            server.send("s3", Method::PUT, &path, &[], Body::Bytes(bytes)).await?.bytes().await?;
            Ok(())
        }
    })
    .await;
    let get = measure::repeat(count, at_once, move |number| {
        let (server, path) = (server.clone(), path(number));
        async move {
            let answer = server.send("s3", Method::GET, &path, &[], Body::Bytes(Bytes::new())).await?;
            let got = answer.bytes().await?;
            anyhow::ensure!(got == measure::noise(number as u64, size), "object {number} came back changed");
            Ok(())
        }
    })
    .await;
    Ok(json!({ "put": put, "get": get }))
}

pub async fn large(server: Sender, bytes: u64) -> anyhow::Result<Value> {
    make_bucket(&server).await?;
    let path = format!("/{BUCKET}/large");
    let piece = Bytes::from(measure::noise(1, PIECE));
    let pieces = bytes.div_ceil(PIECE as u64);
    let body = reqwest::Body::wrap_stream(stream::iter((0..pieces).map(move |index| {
        let left = bytes - index * PIECE as u64;
        Ok::<_, std::io::Error>(piece.slice(..PIECE.min(left as usize)))
    })));
    let began = Instant::now();
    server.send("s3", Method::PUT, &path, &[], Body::Stream(bytes, body)).await?.bytes().await?;
    let put = measure::rate(bytes, began.elapsed());
    let began = Instant::now();
    let mut answer = server.send("s3", Method::GET, &path, &[], Body::Bytes(Bytes::new())).await?;
    let mut received = 0;
    while let Some(chunk) = answer.chunk().await? {
        received += chunk.len() as u64;
    }
    anyhow::ensure!(received == bytes, "{received} of {bytes} bytes came back");
    Ok(json!({ "put_mib_per_second": put, "get_mib_per_second": measure::rate(bytes, began.elapsed()) }))
}
