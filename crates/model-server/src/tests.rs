//! The server over real sockets, with a model that was really trained.

use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::*;
use sagebrush_algorithms::object2vec::Predictor;

/// Trains a tiny model into a folder.
fn trained() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: String| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let parameters = json!({
        "enc0_max_seq_len": "1", "enc0_vocab_size": "9", "enc1_vocab_size": "5", "enc0_network": "pooled_embedding",
        "output_layer": "mean_squared_error", "enc_dim": "8", "mlp_dim": "4", "epochs": "1",
    });
    write("input/config/hyperparameters.json", parameters.to_string());
    let records =
        (0..64).map(|i| format!("{{\"in0\":[{}],\"in1\":[{}],\"label\":{}}}\n", i % 9, i % 5, i % 3));
    write("input/data/train/part-0", records.collect());
    sagebrush_algorithms::object2vec::train(root.path(), &mut std::io::sink()).unwrap();
    root
}

fn load(model: &Path) -> Result<Box<dyn Predict>, LoadError> {
    Ok(Box::new(Predictor::load(model)?))
}

struct Running {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    server: tokio::task::JoinHandle<Result<(), ServeError>>,
    _root: tempfile::TempDir,
}

async fn start() -> Running {
    let root = trained();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let model = root.path().join("model");
    let server = tokio::spawn(serve(move || load(&model), listener, async move {
        let _ = stopped.await;
    }));
    Running { address, stop, server, _root: root }
}

/// Sends raw bytes and reads the whole answer: status, head, body.
async fn exchange(address: std::net::SocketAddr, raw: &[u8]) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(raw).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_lowercase(), body.to_owned())
}

async fn post(address: std::net::SocketAddr, headers: &str, body: &str) -> (u16, String, String) {
    let size = body.len();
    let raw = format!(
        "POST /invocations HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {size}\r\n{headers}\r\n{body}"
    );
    exchange(address, raw.as_bytes()).await
}

#[tokio::test]
async fn the_three_paths_answer() {
    let server = start().await;
    let ask =
        |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").into_bytes();
    assert_eq!(exchange(server.address, &ask("/ping")).await.0, 200);
    let (status, _, body) = exchange(server.address, &ask("/execution-parameters")).await;
    let value: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &value["BatchStrategy"], &value["MaxPayloadInMB"]),
        (200, &json!("MULTI_RECORD"), &json!(6))
    );
    let json = "content-type: application/json\r\n";
    let (status, head, body) =
        post(server.address, json, r#"{"instances":[{"in0":[1],"in1":[2]},{"in0":[8],"in1":[4]}]}"#).await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/json"));
    let value: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(value["predictions"].as_array().unwrap().len(), 2);
    let lines = "content-type: application/jsonlines\r\naccept: application/jsonlines\r\n";
    let (status, head, body) = post(server.address, lines, "{\"in1\":[2]}\n{\"in1\":[3]}\n").await;
    assert_eq!((status, body.lines().count()), (200, 2));
    assert!(head.contains("content-type: application/jsonlines") && body.starts_with("{\"embeddings\": ["));
    server.stop.send(()).unwrap();
    server.server.await.unwrap().unwrap();
}

#[tokio::test]
async fn refusals_have_a_status_and_a_reason() {
    let server = start().await;
    let json = "content-type: application/json\r\n";
    let (status, _, body) = post(server.address, json, r#"{"instances":[{"in0":[9]}]}"#).await;
    assert_eq!(status, 400);
    assert!(
        body.starts_with("Instance 0: key 'in0': token id 9 is outside the vocabulary of size 9"),
        "{body}"
    );
    assert_eq!(post(server.address, "content-type: text/csv\r\n", "1").await.0, 415);
    let stated = limits::BODY + 1;
    let raw = format!(
        "POST /invocations HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {stated}\r\n\r\n"
    );
    assert_eq!(exchange(server.address, raw.as_bytes()).await.0, 413);
    let get = b"GET /invocations HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(exchange(server.address, get).await.0, 405);
}

#[tokio::test]
async fn a_body_without_a_stated_length_is_cut_at_the_limit() {
    let server = start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head =
        b"POST /invocations HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let piece = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    for _ in 0..40 {
        if stream.write_all(&piece).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
    let ping = b"GET /ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(exchange(server.address, ping).await.0, 200);
}

#[tokio::test]
async fn what_exceeds_the_limits_is_refused_at_once() {
    let root = trained();
    let server = Arc::new(Server {
        model: load(&root.path().join("model")).unwrap(),
        requests: Arc::new(Semaphore::new(1)),
        bodies: Arc::new(Semaphore::new(2)),
        processors: Arc::new(Semaphore::new(1)),
        threads: 1,
    });
    let request =
        |size: usize| Request::builder().uri("/invocations").body(Body::from(" ".repeat(size))).unwrap();
    let status = |result: Result<Response, Refusal>| result.into_response().status().as_u16();
    assert_eq!(
        status(answer(Arc::clone(&server), request(10)).await),
        503,
        "a body of unknown length needs room"
    );
    let held = Arc::clone(&server.requests).try_acquire_owned().unwrap();
    assert_eq!(status(answer(Arc::clone(&server), request(10)).await), 503);
    drop(held);
    let mut small = request(10);
    small.headers_mut().insert(CONTENT_LENGTH, http::HeaderValue::from_static("10"));
    assert_eq!(status(answer(Arc::clone(&server), small).await), 400);
    assert_eq!(
        (server.requests.available_permits(), server.bodies.available_permits()),
        (1, 2),
        "permits come back"
    );
}

#[tokio::test]
async fn a_folder_without_a_model_is_explained() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let failure =
        serve(|| load(Path::new("/nonexistent")), listener, std::future::pending()).await.unwrap_err();
    assert!(failure.to_string().starts_with("cannot open the model /nonexistent/model_algo-1"), "{failure}");
}
