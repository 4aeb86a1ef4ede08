use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use sagebrush_auth::{AccessKey, SecretKey};
use sagebrush_env::SimulatedClock;
use sagebrush_registry::{Digest, Error, Mutability, NewRepository, Reference, Tags};

const REGION: &str = "us-east-1";

struct World {
    door: RegistryFrontDoor,
    hand: SimulatedClock,
    _folder: tempfile::TempDir,
}

async fn world() -> World {
    let folder = tempfile::tempdir().expect("a folder");
    let hand = SimulatedClock::at(1_800_000_000_000);
    let first = AccessKey { id: "AKIAFIRST".into(), secret: SecretKey::new("first".into()) };
    let skew = std::time::Duration::from_secs(900);
    let access = Access::open(folder.path(), "123456789012", first, hand.clock(), skew).expect("access");
    let registry = Registry::open(&folder.path().join("registry"), hand.clock()).await.expect("a registry");
    let new = NewRepository { mutability: Mutability::Mutable, tags: Tags::default() };
    for name in ["mine", "other"] {
        let name = RepositoryName { region: REGION, name };
        registry.create_repository(name, new.clone()).await.expect("a repository");
    }
    let url = "http://127.0.0.1:9400".to_owned();
    World { door: RegistryFrontDoor { registry, access: Arc::new(access), url }, hand, _folder: folder }
}

impl World {
    fn password(&self) -> String {
        let directory = &self.door.access.directory;
        directory
            .registry_password(("AKIAFIRST", None), REGION, self.door.access.now())
            .expect("a password")
            .text
    }

    async fn ask(&self, method: &str, path: &str, password: Option<&str>) -> (StatusCode, HeaderMap, String) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(password) = password {
            let encoded = STANDARD.encode(format!("AWS:{password}"));
            request = request.header("authorization", format!("Basic {encoded}"));
        }
        let answer = self.door.handle(request.body(Body::empty()).expect("a request")).await;
        let (parts, body) = answer.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        (parts.status, parts.headers, String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[tokio::test]
async fn nobody_is_let_in_without_a_password_of_this_server() {
    let world = world().await;
    let (status, headers, text) = world.ask("GET", "/v2/", None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let challenge = "Basic realm=\"http://127.0.0.1:9400/\",service=\"ecr.amazonaws.com\"";
    assert_eq!(headers["www-authenticate"], challenge);
    assert!(text.contains("get-login-password"), "{text}");
    assert_eq!(headers[VERSION_HEADER], "registry/2.0");
    assert_eq!(world.ask("GET", "/v2/", Some("wrong")).await.0, StatusCode::UNAUTHORIZED);
    // The password is neither the secret nor good for another name.
    assert_eq!(world.ask("GET", "/v2/mine/tags/list", Some("first")).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(world.ask("GET", "/v2/", Some(&world.password())).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_password_ends_after_twelve_hours() {
    let world = world().await;
    let password = world.password();
    world.hand.advance(43_199_000);
    assert_eq!(world.ask("GET", "/v2/", Some(&password)).await.0, StatusCode::OK);
    world.hand.advance(1000);
    let (status, _, text) = world.ask("GET", "/v2/", Some(&password)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(text.contains("Reauthenticate"), "{text}");
}

#[tokio::test]
async fn a_password_for_pulling_is_for_nothing_else() {
    let world = world().await;
    let access = &world.door.access;
    let password = access.directory.pull_password(REGION, "mine", access.now()).text;
    let status = async |method, path| world.ask(method, path, Some(&password)).await.0;
    assert_eq!(status("GET", "/v2/").await, StatusCode::OK);
    // Allowed, and not there.
    assert_eq!(status("GET", "/v2/mine/manifests/latest").await, StatusCode::NOT_FOUND);
    for (method, path) in [
        ("GET", "/v2/other/manifests/latest"),
        ("POST", "/v2/mine/blobs/uploads/"),
        ("DELETE", "/v2/mine/manifests/latest"),
        ("GET", "/v2/_catalog"),
        ("GET", "/v2/mine/tags/list"),
    ] {
        assert_eq!(status(method, path).await, StatusCode::FORBIDDEN, "{method} {path}");
    }
}

#[tokio::test]
async fn places_that_are_none_say_so() {
    let world = world().await;
    let password = world.password();
    for (method, path, status, code) in [
        ("GET", "/v2/nowhere/tags/list", 404, "NAME_UNKNOWN"),
        ("POST", "/v2/nowhere/blobs/uploads/", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/mine/manifests/latest", 404, "MANIFEST_UNKNOWN"),
        ("GET", "/v2/mine/manifests/.x", 400, "TAG_INVALID"),
        ("GET", "/v2/mine/blobs/sha256:0", 400, "DIGEST_INVALID"),
        ("PATCH", "/v2/mine/blobs/uploads/none", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PUT", "/v2/mine/blobs/uploads/none", 400, "DIGEST_INVALID"),
        ("PUT", "/v2/mine/blobs/x", 405, "UNSUPPORTED"),
        ("GET", "/v2/mine", 404, "NAME_UNKNOWN"),
    ] {
        let (found, _, text) = world.ask(method, path, Some(&password)).await;
        assert_eq!(found.as_u16(), status, "{method} {path}: {text}");
        assert!(text.contains(&format!("\"code\":\"{code}\"")), "{method} {path}: {text}");
    }
}

#[tokio::test]
async fn images_of_jobs_are_found_by_this_address_and_by_the_name_of_the_account() {
    let world = world().await;
    let registry = &world.door.registry;
    let (home, empty) = (RepositoryName { region: REGION, name: "mine" }, Digest::of(b""));
    let id = registry.begin_upload(home).await.expect("an upload");
    let body = futures::stream::iter(Vec::<std::io::Result<bytes::Bytes>>::new());
    registry.finish_upload(home, &id, None, body, &empty).await.expect("a layer");
    let manifest = format!(r#"{{"schemaVersion":2,"config":{{"digest":"{empty}","size":0}},"layers":[]}}"#);
    let digest = Digest::of(manifest.as_bytes());
    let latest = Reference::Tag("latest".into());
    registry.put_image(home, &latest, None, manifest.into()).await.expect("an image");
    for name in ["127.0.0.1:9400/mine", "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:latest"] {
        let source = world.door.source_of(name, REGION).await.expect(name).expect(name);
        assert_eq!(source.reference, format!("127.0.0.1:9400/mine@{digest}"));
        let path = format!("/v2/mine/manifests/{digest}");
        assert_eq!(world.ask("GET", &path, Some(&source.password)).await.0, StatusCode::OK);
    }
    for other in
        ["mine", "docker.io/mine", "683313688378.dkr.ecr.us-east-1.amazonaws.com/mine", "ghcr.io/UPPER/x"]
    {
        assert!(world.door.source_of(other, REGION).await.expect(other).is_none(), "{other}");
    }
    let abroad = world.door.source_of("127.0.0.1:9400/mine", "eu-west-1").await;
    assert!(matches!(abroad, Err(Error::NoSuchRepository(_))));
    let absent = world.door.source_of("127.0.0.1:9400/mine:v9", REGION).await;
    assert!(matches!(absent, Err(Error::NoSuchImage { .. })));
}
