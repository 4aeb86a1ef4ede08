//! Sends one request over and over to InvokeEndpoint or straight to a model server, and prints what
//! came back as one line of JSON: counts by status and variant, and latencies in microseconds. Each
//! client is one kept connection; signing is done before the clock of a request starts.
//!
//! Settings are environment variables: `URL` (http://host:port/path), `BODY`, `SECONDS` or `COUNT`,
//! `CLIENTS` (1), `RATE` (requests a second over all clients; none: as fast as they are answered),
//! and, for signed requests, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_REGION`.

use std::collections::BTreeMap;
use std::env::var;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use sagebrush_auth::{AccessKey, Payload, SecretKey, sign_request};
use serde_json::json;
use time::OffsetDateTime;
use tokio::net::TcpStream;

struct Load {
    uri: Uri,
    body: Bytes,
    key: Option<AccessKey>,
    region: String,
    /// Requests that were begun, over all clients.
    begun: AtomicUsize,
    count: usize,
    until: Option<Instant>,
    start: Instant,
    rate: Option<f64>,
}

#[derive(Default)]
struct Tally {
    statuses: BTreeMap<String, usize>,
    variants: BTreeMap<String, usize>,
    latencies: Vec<u64>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let number =
        |name: &str| var(name).ok().map(|text| text.parse::<f64>()).transpose().context(name.to_owned());
    let uri: Uri = var("URL").context("URL")?.parse()?;
    let key = match (var("AWS_ACCESS_KEY_ID"), var("AWS_SECRET_ACCESS_KEY")) {
        (Ok(id), Ok(secret)) => Some(AccessKey { id, secret: SecretKey::new(secret) }),
        _ => None,
    };
    let start = Instant::now();
    let load = Arc::new(Load {
        uri,
        body: var("BODY").context("BODY")?.into(),
        key,
        region: var("AWS_REGION").unwrap_or_else(|_| "us-east-1".into()),
        begun: AtomicUsize::new(0),
        count: number("COUNT")?.map_or(usize::MAX, |count| count as usize),
        until: number("SECONDS")?.map(|seconds| start + Duration::from_secs_f64(seconds)),
        start,
        rate: number("RATE")?,
    });
    let clients = number("CLIENTS")?.unwrap_or(1.0) as usize;
    let tasks: Vec<_> = (0..clients).map(|_| tokio::spawn(run(Arc::clone(&load)))).collect();
    let mut all = Tally::default();
    for task in tasks {
        let tally = task.await??;
        tally.statuses.into_iter().for_each(|(name, count)| *all.statuses.entry(name).or_default() += count);
        tally.variants.into_iter().for_each(|(name, count)| *all.variants.entry(name).or_default() += count);
        all.latencies.extend(tally.latencies);
    }
    let seconds = start.elapsed().as_secs_f64();
    all.latencies.sort_unstable();
    let quantile = |part: f64| {
        let place = (part * all.latencies.len().saturating_sub(1) as f64).round() as usize;
        all.latencies.get(place).copied().unwrap_or_default()
    };
    let answer = json!({
        "statuses": all.statuses, "variants": all.variants, "seconds": seconds,
        "rate": all.latencies.len() as f64 / seconds,
        "p50": quantile(0.5), "p99": quantile(0.99),
    });
    println!("{answer}");
    Ok(())
}

async fn run(load: Arc<Load>) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut connection: Option<SendRequest<Full<Bytes>>> = None;
    loop {
        let number = load.begun.fetch_add(1, Ordering::Relaxed);
        if number >= load.count || load.until.is_some_and(|until| Instant::now() >= until) {
            return Ok(tally);
        }
        if let Some(rate) = load.rate {
            let due = load.start + Duration::from_secs_f64(number as f64 / rate);
            tokio::time::sleep_until(due.into()).await;
        }
        let mut client = match connection.take() {
            Some(client) if !client.is_closed() => client,
            _ => connect(&load.uri).await?,
        };
        let request = request(&load)?;
        let sent = Instant::now();
        match exchange(&mut client, request).await {
            Ok((status, variant)) => {
                tally.latencies.push(u64::try_from(sent.elapsed().as_micros())?);
                *tally.statuses.entry(status).or_default() += 1;
                *tally.variants.entry(variant).or_default() += 1;
                connection = Some(client);
            }
            Err(error) => *tally.statuses.entry(error.to_string()).or_default() += 1,
        }
    }
}

async fn connect(uri: &Uri) -> Result<SendRequest<Full<Bytes>>> {
    let Some(authority) = uri.authority() else { bail!("URL without a host") };
    let stream = TcpStream::connect(authority.as_str()).await?;
    stream.set_nodelay(true)?;
    let (client, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The request with a path alone, as a client sends it to a server.
fn request(load: &Load) -> Result<Request<Full<Bytes>>> {
    let request = Request::post(load.uri.clone()).header("content-type", "application/json").body(())?;
    let (mut parts, ()) = request.into_parts();
    if let Some(key) = &load.key {
        let now = OffsetDateTime::now_utc();
        sign_request(&mut parts, Payload::Bytes(&load.body), key, &load.region, "sagemaker", now)?;
    } else if let Some(authority) = load.uri.authority() {
        parts.headers.insert("host", authority.as_str().parse()?);
    }
    parts.uri = load.uri.path().parse()?;
    Ok(Request::from_parts(parts, Full::new(load.body.clone())))
}

async fn exchange(
    client: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<(String, String)> {
    client.ready().await?;
    let answer = client.send_request(request).await?;
    let status = answer.status().as_u16().to_string();
    let variant = answer.headers().get("x-amzn-invoked-production-variant");
    let variant = variant.and_then(|variant| variant.to_str().ok()).unwrap_or_default().to_owned();
    answer.into_body().collect().await?;
    Ok((status, variant))
}
