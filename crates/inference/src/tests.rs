//! The way of a verified request, against model servers that answer with given bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use sagebrush_auth::{AccessKey, SecretKey};
use sagebrush_env::Clock;
use sagebrush_types::limits::CLOCK_SKEW;
use sagebrush_types::{
    Backend, ByteBudget, CaptureRoute, Captured, EndpointRoute, Invocation, RouteTable, ServerRoute,
    VariantRoute,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::*;

/// A model server that answers every request with these bytes and closes the connection.
async fn server(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0u8; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

/// A port on which nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

struct Plane {
    inference: Inference,
    invocations: mpsc::Receiver<Invocation>,
    captures: mpsc::Receiver<Captured>,
    _folder: tempfile::TempDir,
}

/// A serving plane whose endpoint `e` has these servers.
fn plane(servers: &[SocketAddr], capture: Option<CaptureRoute>) -> Plane {
    plane_before(servers, Backend::Model, capture)
}

fn plane_before(servers: &[SocketAddr], backend: Backend, capture: Option<CaptureRoute>) -> Plane {
    let server = |address: &SocketAddr| ServerRoute { address: *address, lease: Arc::default() };
    let variant = VariantRoute {
        name: "v".into(),
        weight: 1.0,
        backend,
        servers: servers.iter().map(server).collect(),
    };
    let route =
        EndpointRoute { variants: vec![variant], capture: capture.map(Arc::new), asynchronous: false };
    let mut table = RouteTable::default();
    table.endpoints.insert(("r".into(), "e".into()), Arc::new(route));
    let (_, routes) = watch::channel(Arc::new(table));
    let (to_invocations, invocations) = mpsc::channel(8);
    let (to_captures, captures) = mpsc::channel(8);
    let events = Events::new(to_invocations, to_captures, ByteBudget::new(1 << 20));
    let folder = tempfile::tempdir().unwrap();
    let first = AccessKey { id: "k".into(), secret: SecretKey::new("s".into()) };
    let access = Access::open(folder.path(), "123456789012", first, Clock::system(), CLOCK_SKEW).unwrap();
    Plane {
        inference: Inference::new(routes, Arc::new(access), events),
        invocations,
        captures,
        _folder: folder,
    }
}

async fn ask(plane: &Plane, manner: Manner) -> Result<Response, ErrorShape> {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/csv"));
    headers
        .insert(HeaderName::from_static("x-amzn-sagemaker-inference-id"), HeaderValue::from_static("mine"));
    let call = Call {
        id: "id",
        region: "r".into(),
        endpoint: "e",
        asked: Asked::read(manner, "e", &headers)?,
        body: Bytes::from_static(b"1,2"),
        started: Instant::now(),
    };
    plane.inference.pass_on(call).await
}

async fn body(response: Response) -> Vec<u8> {
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn what_the_model_server_says_beside_the_body_comes_back() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/csv\r\nx-amzn-sagemaker-custom-attributes: c=1\r\n\
                  set-cookie: no\r\ncontent-length: 2\r\n\r\nok";
    let mut plane = plane(&[server(answer).await], None);
    let response = ask(&plane, Manner::Whole).await.unwrap();
    assert_eq!(response.headers()["x-amzn-sagemaker-custom-attributes"], "c=1");
    assert_eq!(response.headers()["x-amzn-invoked-production-variant"], "v");
    assert!(!response.headers().contains_key("set-cookie"));
    assert_eq!(body(response).await, b"ok");
    let told = plane.invocations.recv().await.unwrap();
    assert_eq!((told.status, told.instances, told.variant.as_str()), (200, 1, "v"));
    assert!(told.model_latency.is_some() && plane.captures.try_recv().is_err());
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_followed_by_another() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let mut plane = plane(&[nobody().await, nobody().await, server(answer).await], None);
    for _ in 0..4 {
        assert_eq!(body(ask(&plane, Manner::Whole).await.unwrap()).await, b"ok");
        assert_eq!(plane.invocations.recv().await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn what_may_have_been_sent_is_not_sent_again() {
    // Both close the connection in the middle of their answer.
    let broken = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc";
    let mut plane = plane(&[server(broken).await, server(broken).await], None);
    let error = ask(&plane, Manner::Whole).await.unwrap_err();
    assert_eq!(error.code, "ServiceUnavailable");
    assert_eq!(plane.invocations.recv().await.unwrap().status, 503);
    assert!(plane.invocations.try_recv().is_err(), "one request, one event");
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_the_modelled_error() {
    let broken = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
    let capture = CaptureRoute {
        percentage: 100.0,
        input: true,
        output: true,
        destination: "s3://b".into(),
        csv: vec![],
        json: vec![],
    };
    let mut plane = plane(&[server(broken).await], Some(capture));
    let bytes = body(ask(&plane, Manner::Stream).await.unwrap()).await;
    assert!(holds(&bytes, "PayloadPart") && holds(&bytes, "abc"));
    assert!(holds(&bytes, "ModelStreamError") && holds(&bytes, "StreamBroken"));
    assert_eq!(plane.invocations.recv().await.unwrap().status, 500);
    assert!(plane.captures.try_recv().is_err(), "half an answer is no record");
}

#[tokio::test]
async fn captured_are_both_sides_or_the_one_that_is_asked_for() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";
    let address = server(answer).await;
    for (input, output, manner) in
        [(true, true, Manner::Whole), (true, false, Manner::Stream), (false, true, Manner::Stream)]
    {
        let destination = "s3://b".into();
        let capture =
            CaptureRoute { percentage: 100.0, input, output, destination, csv: vec![], json: vec![] };
        let mut plane = plane(&[address], Some(capture));
        body(ask(&plane, manner).await.unwrap()).await;
        let captured = plane.captures.recv().await.unwrap();
        assert_eq!(captured.inference_id.as_deref(), Some("mine"));
        let data =
            |body: &Option<sagebrush_types::CapturedBody>| body.as_ref().map(|body| body.data.to_vec());
        assert_eq!(data(&captured.input), input.then(|| b"1,2".to_vec()), "{manner:?}");
        assert_eq!(data(&captured.output), output.then(|| b"ok".to_vec()), "{manner:?}");
    }
}

#[tokio::test]
async fn a_relay_says_which_container_failed_or_that_it_refuses() {
    let of_container = "HTTP/1.1 400 No\r\nx-sagebrush-container: second\r\ncontent-length: 2\r\n\r\nno";
    let refusal =
        "HTTP/1.1 429 No\r\nx-sagebrush-refusal: ModelNotReadyException\r\ncontent-length: 4\r\n\r\nwait";
    for (answer, backend, code, message) in [
        (
            of_container,
            Backend::Pipeline,
            "ModelError",
            "Received client error (400) from second with message \"no\".",
        ),
        (
            of_container,
            Backend::Model,
            "ModelError",
            "Received client error (400) from v with message \"no\".",
        ),
        (refusal, Backend::Pipeline, "ModelNotReadyException", "wait"),
        (refusal, Backend::Model, "ModelError", "Received client error (429) from v with message \"wait\"."),
    ] {
        for manner in [Manner::Whole, Manner::Stream] {
            let plane = plane_before(&[server(answer).await], backend.clone(), None);
            let error = ask(&plane, manner).await.unwrap_err();
            assert_eq!((error.code.as_str(), error.message.as_str()), (code, message));
        }
    }
}
