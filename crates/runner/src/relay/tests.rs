//! Relays before small servers of this process.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Path as At;
use axum::http::HeaderMap;
use axum::routing::any;
use sagebrush_types::{RELAY_CONTAINER, RELAY_REFUSAL};

use super::*;
use crate::artifact::pack;

type Failure = Box<dyn std::error::Error>;
type Done = Result<(), Failure>;

async fn listen(router: Router) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// A container that answers with its suffix behind the body, and with what it was told beside the body.
async fn container(name: &'static str, chunked: bool) -> io::Result<RelayedContainer> {
    let answer = move |headers: HeaderMap, body: Bytes| async move {
        let text = String::from_utf8_lossy(&body).into_owned();
        let told =
            |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
        if text.contains(&format!("fail {name}")) {
            return (StatusCode::IM_A_TEAPOT, [("content-type", "text/plain")], Body::from("not like this"));
        }
        let heads = ["content-type", "accept", "content-length", "x-amzn-sagemaker-custom-attributes"];
        let heads = heads.map(told).join(" ");
        let text = format!("{text}[{name}: {heads}]");
        let body = if chunked {
            Body::from_stream(futures::stream::iter([Ok::<_, io::Error>(Bytes::from(text))]))
        } else {
            Body::from(text)
        };
        (StatusCode::OK, [("content-type", name)], body)
    };
    let router = Router::new().route("/ping", get(|| async {})).route("/invocations", post(answer));
    Ok(RelayedContainer { name: name.into(), address: listen(router).await?, models: None })
}

async fn invoke(
    relay: &Relay,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<(u16, BTreeMap<String, String>, String), reqwest::Error> {
    let mut request = reqwest::Client::new().post(format!("http://{}/invocations", relay.address()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.body(body.to_owned()).send().await?;
    let status = answer.status().as_u16();
    let heads = answer.headers().iter();
    let heads = heads
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
        .collect();
    Ok((status, heads, answer.text().await?))
}

#[tokio::test]
async fn an_answer_is_the_next_containers_request_with_its_type_and_length() -> Done {
    let containers = vec![container("a", true).await?, container("b", false).await?];
    let relay = Relay::start(RelayManner::Serial, containers).await?;
    let headers =
        [("content-type", "text/csv"), ("accept", "text/html"), ("x-amzn-sagemaker-custom-attributes", "t")];
    let (status, heads, text) = invoke(&relay, &headers, "1").await?;
    // The first container does not learn what the caller accepts; its answer in chunks is a request of a length.
    assert_eq!((status, text.as_str()), (200, "1[a: text/csv */* 1 t][b: a text/html 22 t]"));
    assert_eq!(heads["content-type"], "b");
    assert!(!heads.contains_key(RELAY_CONTAINER));
    Ok(())
}

#[tokio::test]
async fn the_first_error_ends_it_and_names_its_container() -> Done {
    let containers = vec![container("a", false).await?, container("b", false).await?];
    let relay = Relay::start(RelayManner::Serial, containers).await?;
    for name in ["a", "b"] {
        let (status, heads, text) = invoke(&relay, &[], &format!("fail {name}")).await?;
        assert_eq!((status, text.as_str()), (418, "not like this"));
        assert_eq!(heads[RELAY_CONTAINER], name);
    }
    Ok(())
}

#[tokio::test]
async fn a_request_reaches_the_container_it_names_alone() -> Done {
    let containers = vec![container("a", false).await?, container("b", false).await?];
    let relay = Relay::start(RelayManner::Direct, containers).await?;
    let target = "x-amzn-sagemaker-target-container-hostname";
    assert_eq!(invoke(&relay, &[(target, "b")], "1").await?.2, "1[b: - */* 1 -]");
    for headers in [vec![], vec![(target, "c")]] {
        let (status, heads, text) = invoke(&relay, &headers, "1").await?;
        assert_eq!((status, heads[RELAY_REFUSAL].as_str()), (400, "ValidationError"));
        assert!(text.contains("a, b") && text.contains("TargetContainerHostname"), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_relay_is_up_when_all_its_containers_are() -> Done {
    let mut containers = vec![container("a", false).await?, container("b", false).await?];
    let relay = Relay::start(RelayManner::Serial, containers.clone()).await?;
    assert!(ping(relay.address()).await);
    relay.close().await;
    containers[1].address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let relay = Relay::start(RelayManner::Serial, containers).await?;
    assert!(!ping(relay.address()).await);
    let (status, heads, text) = invoke(&relay, &[], "1").await?;
    assert_eq!((status, heads[RELAY_REFUSAL].as_str()), (503, "ServiceUnavailable"));
    assert!(text.contains("container b broke"), "{text}");
    let address = relay.address();
    relay.close().await;
    assert!(TcpListener::bind(address).await.is_ok(), "nobody listens any more");
    Ok(())
}

/// What a container of many models does.
#[derive(Debug, Default)]
struct Shelves {
    room: usize,
    loaded: BTreeMap<String, String>,
    loads: Vec<String>,
    slow: bool,
}

/// A container of many models, before a prefix that has the artifacts `a`, `b/c` and `d`.
struct Many {
    relay: Relay,
    shelves: Arc<Mutex<Shelves>>,
    folder: tempfile::TempDir,
}

impl Many {
    async fn start(room: usize, slow: bool, cached: bool) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let objects = store(folder.path()).await?;
        let shelves = Arc::new(Mutex::new(Shelves { room, slow, ..Shelves::default() }));
        let models = ModelPrefix {
            objects,
            bucket: "bucket".into(),
            prefix: "models/".into(),
            folder: folder.path().join("unpacked"),
            seen_at: folder.path().join("unpacked").to_string_lossy().into_owned(),
            cached,
        };
        let address = listen(many(&shelves)).await?;
        let containers = vec![RelayedContainer { name: "m".into(), address, models: Some(models) }];
        Ok(Self { relay: Relay::start(RelayManner::Serial, containers).await?, shelves, folder })
    }

    async fn ask(&self, model: &str) -> Result<(u16, BTreeMap<String, String>, String), reqwest::Error> {
        invoke(&self.relay, &[("x-amzn-sagemaker-target-model", model)], "1").await
    }

    fn loads(&self) -> Vec<String> {
        self.shelves.lock().map(|shelves| shelves.loads.clone()).unwrap_or_default()
    }

    /// Names of the models on disk.
    fn on_disk(&self) -> BTreeSet<PathBuf> {
        let found = std::fs::read_dir(self.folder.path().join("unpacked")).into_iter().flatten().flatten();
        found.map(|entry| entry.file_name().into()).collect()
    }
}

async fn store(folder: &Path) -> Result<ObjectStore, Failure> {
    let objects = ObjectStore::open(&folder.join("store")).await?;
    objects.create_bucket("bucket", "us-east-1", "123456789012").await?;
    for name in ["a", "b/c", "d"] {
        let (model, archive) = (folder.join("model"), folder.join("model.tar.gz"));
        std::fs::create_dir_all(&model)?;
        std::fs::write(model.join("answer"), name)?;
        pack(&model, &archive)?;
        objects.store_file("bucket", &format!("models/{name}"), &archive, "application/gzip").await?;
    }
    objects.store_bytes("bucket", "models/broken", b"no archive".to_vec(), "text/plain").await?;
    Ok(objects)
}

/// The multi-model contract, with room for a number of models.
fn many(shelves: &Arc<Mutex<Shelves>>) -> Router {
    let (load, delete, answer) = (Arc::clone(shelves), Arc::clone(shelves), Arc::clone(shelves));
    let lock = |shelves: &Arc<Mutex<Shelves>>, act: &mut dyn FnMut(&mut Shelves) -> StatusCode| {
        shelves.lock().map_or(StatusCode::INTERNAL_SERVER_ERROR, |mut shelves| act(&mut shelves))
    };
    Router::new()
        .route(
            "/models",
            post(move |asked: Bytes| async move {
                let asked: serde_json::Value = serde_json::from_slice(&asked).unwrap_or_default();
                let text = |member: &str| asked[member].as_str().unwrap_or_default().to_owned();
                let (name, url) = (text("model_name"), text("url"));
                let answer = std::fs::read_to_string(Path::new(&url).join("answer")).unwrap_or_default();
                if load.lock().is_ok_and(|shelves| shelves.slow) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                lock(&load, &mut |shelves| {
                    if shelves.loaded.len() >= shelves.room {
                        return StatusCode::INSUFFICIENT_STORAGE;
                    }
                    shelves.loads.push(answer.clone());
                    shelves.loaded.insert(name.clone(), answer.clone());
                    StatusCode::OK
                })
            }),
        )
        .route(
            "/models/{name}",
            any(move |At(name): At<String>| async move {
                lock(&delete, &mut |shelves| match shelves.loaded.remove(&name) {
                    Some(_) => StatusCode::OK,
                    None => StatusCode::NOT_FOUND,
                })
            }),
        )
        .route(
            "/models/{name}/invoke",
            post(move |At(name): At<String>| async move {
                let found = answer.lock().ok().and_then(|shelves| shelves.loaded.get(&name).cloned());
                found.ok_or(StatusCode::NOT_FOUND)
            }),
        )
}

#[tokio::test]
async fn a_model_is_loaded_once_for_all_that_wait_for_it() -> Done {
    let many = Many::start(9, true, true).await?;
    let answers = join_all((0..8).map(|_| many.ask("b/c"))).await;
    for answer in answers {
        assert_eq!(answer.map(|(status, _, text)| (status, text))?, (200, "b/c".into()));
    }
    assert_eq!(many.loads(), ["b/c"]);
    assert_eq!(many.on_disk(), [PathBuf::from(models::name_of("b/c"))].into());
    Ok(())
}

#[tokio::test]
async fn what_was_not_used_for_longest_makes_room() -> Done {
    let many = Many::start(2, false, true).await?;
    for model in ["a", "b/c", "a", "d", "a", "b/c"] {
        assert_eq!(many.ask(model).await?.2, model);
    }
    assert_eq!(many.loads(), ["a", "b/c", "d", "b/c"], "a stays, because it is used in between");
    let kept = ["a", "b/c"].map(|model| PathBuf::from(models::name_of(model)));
    assert_eq!(many.on_disk(), kept.into(), "what is unloaded leaves the disk");
    Ok(())
}

#[tokio::test]
async fn without_a_cache_a_model_goes_with_its_last_request() -> Done {
    let many = Many::start(9, false, false).await?;
    assert_eq!(many.ask("a").await?.2, "a");
    for _ in 0..200 {
        if many.on_disk().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(many.on_disk().is_empty() && many.shelves.lock().is_ok_and(|shelves| shelves.loaded.is_empty()));
    assert_eq!(many.ask("a").await?.2, "a");
    assert_eq!(many.loads(), ["a", "a"]);
    Ok(())
}

#[tokio::test]
async fn models_that_cannot_be_had_are_explained() -> Done {
    let many = Many::start(9, false, true).await?;
    for (model, words) in [
        ("none", "Failed to download model data(bucket: bucket, key: models/none)"),
        ("broken", "Failed to extract model data(bucket: bucket, key: models/broken)"),
        ("../a", "'../a' must be the path of an artifact"),
        ("b//c", "'b//c' must be the path of an artifact"),
    ] {
        let (status, heads, text) = many.ask(model).await?;
        assert_eq!((status, heads[RELAY_REFUSAL].as_str()), (400, "ValidationError"), "{model}");
        assert!(text.contains(words), "{text}");
    }
    let (status, _, text) = invoke(&many.relay, &[], "1").await?;
    assert!(status == 400 && text.contains("missing a target model header"), "{text}");
    assert!(many.on_disk().is_empty(), "what failed leaves nothing");
    // It is no longer missing when it has come.
    let (model, archive) = (many.folder.path().join("model"), many.folder.path().join("late.tar.gz"));
    pack(&model, &archive)?;
    many.relay.models[0].prefix.objects.store_file("bucket", "models/none", &archive, "x").await?;
    assert_eq!(many.ask("none").await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn a_container_without_room_says_so_itself() -> Done {
    let many = Many::start(0, false, true).await?;
    let (status, heads, _) = many.ask("a").await?;
    assert_eq!((status, heads[RELAY_CONTAINER].as_str()), (507, "m"));
    many.relay.close().await;
    assert!(std::fs::remove_dir_all(many.folder.path()).is_ok());
    Ok(())
}
