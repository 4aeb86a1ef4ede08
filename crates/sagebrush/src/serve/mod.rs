//! `sagebrush serve`: one process, one port, one data folder.

mod front;
mod listen;
mod own_registry;
mod secure;

pub use secure::{CA_FILE, PASSWORD_FILE, USER as PROXY_USER};

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use sagebrush_access::Access;
use sagebrush_api_server::registry::RegistryFrontDoor;
use sagebrush_api_server::{ApiServer, s3};
use sagebrush_control_plane::{ControlPlane, INDEX_RULES, Settings};
use sagebrush_env::{Clock, random_hex};
use sagebrush_inference::{Events, Inference};
use sagebrush_metastore::Metastore;
use sagebrush_object_store::ObjectStore;
use sagebrush_registry::Registry;
use sagebrush_runner::{Engine, keep_guard};
use sagebrush_types::ByteBudget;
use sagebrush_types::limits::{CAPTURE_BYTES, CAPTURE_EVENTS, CLOCK_SKEW, INVOCATION_EVENTS};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;

use crate::algorithm::built_ins;
use crate::data_dir::{DataDir, ServerInfo};
use front::{Bodies, Front};
use own_registry::OwnRegistry;
use secure::Secure;

/// Options of `sagebrush serve`.
#[derive(clap::Args)]
#[command(
    after_help = "The first start makes an access key and stores it in DIR/credentials, readable only by you.

Examples:
  sagebrush serve
  sagebrush serve --data-dir /srv/sagebrush --listen 127.0.0.1:9500
  sagebrush serve --intercept     for clients that call AWS's host names whatever their settings say
  eval \"$(sagebrush env)\" && aws s3 ls"
)]
pub struct ServeArgs {
    /// Folder that holds everything; made when it is not there.
    #[arg(long, default_value = "sagebrush-data", env = "SAGEBRUSH_DATA_DIR")]
    data_dir: PathBuf,
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9400", env = "SAGEBRUSH_LISTEN")]
    listen: SocketAddr,
    /// Twelve-digit account id in ARNs.
    #[arg(long, default_value = "123456789012", value_parser = account_id, env = "SAGEBRUSH_ACCOUNT")]
    account: String,
    /// Region that `sagebrush env` names; a request's region is that of its signature.
    #[arg(long, default_value = "us-east-1", env = "SAGEBRUSH_REGION")]
    region: String,
    /// Also speak TLS on the same port. A local certificate authority is made at the first time; clients
    /// trust DIR/tls/ca.pem.
    #[arg(long, env = "SAGEBRUSH_TLS")]
    tls: bool,
    /// Also be a proxy for this machine that answers AWS's host names itself and passes everything else
    /// on; implies --tls. `sagebrush env --intercept` points clients at it.
    #[arg(long, env = "SAGEBRUSH_INTERCEPT")]
    intercept: bool,
    /// Name under which buckets have host names: with example.test, a bucket is also at
    /// BUCKET.example.test and BUCKET.s3.example.test. Those of localhost always work.
    #[arg(long, value_name = "NAME", value_parser = domain, env = "SAGEBRUSH_DOMAIN")]
    domain: Option<String>,
    /// Where the container engine is that runs images which are not built in: unix:///PATH or http://HOST:PORT,
    /// or none. It is looked for where Docker and Podman usually listen when this is not given.
    #[arg(long, value_name = "ADDRESS", env = "SAGEBRUSH_CONTAINER_ENGINE")]
    container_engine: Option<String>,
    /// Address under which container engines reach this server, as http://HOST:PORT or https://HOST: what
    /// names of images begin with. Without it the address listened on, or 127.0.0.1 when that is every
    /// address.
    #[arg(long, value_name = "URL", value_parser = registry_url, env = "SAGEBRUSH_REGISTRY_URL")]
    registry_url: Option<String>,
    /// Minutes by which a client's clock may differ before its signatures are refused.
    #[arg(long, value_name = "MINUTES", default_value_t = CLOCK_SKEW.as_secs() / 60,
          value_parser = clap::value_parser!(u64).range(1..=1440), env = "SAGEBRUSH_CLOCK_SKEW")]
    clock_skew: u64,
    /// What image URIs stand for: other images of the container engine, or Python environments. It is
    /// DIR/images.toml when it is not given; docs/script-mode.md says what it holds.
    #[arg(long, value_name = "FILE", env = "SAGEBRUSH_IMAGES")]
    images: Option<PathBuf>,
    /// Fail requests whose answer does not fit the AWS service model: for tests.
    #[arg(long, hide = true, env = "SAGEBRUSH_CHECK_ANSWERS")]
    check_answers: bool,
}

fn account_id(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    Err("an account id has twelve digits".into())
}

fn domain(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    if text.bytes().all(plain) && !text.split('.').any(str::is_empty) {
        return Ok(text.to_owned());
    }
    Err("a domain is a host name in lower case, without a port".into())
}

fn registry_url(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:".contains(&byte);
    match host {
        // An engine takes a first part without a dot or a port for a part of the repository's name.
        Some(host) if host.bytes().all(plain) && (host.contains(['.', ':']) || host == "localhost") => {
            Ok(text.to_owned())
        }
        _ => {
            Err("a registry's address is http:// or https:// and a host in lower case, with a port or a dot"
                .into())
        }
    }
}

/// Where engines on this machine reach a server that listens on `address`. They take plain HTTP from
/// 127.0.0.0/8 and localhost without being told to.
fn registry_url_of(address: SocketAddr) -> String {
    let port = address.port();
    match address.ip() {
        ip if ip.is_unspecified() => format!("http://127.0.0.1:{port}"),
        // Names of images have no brackets.
        std::net::IpAddr::V6(_) => format!("http://localhost:{port}"),
        ip => format!("http://{ip}:{port}"),
    }
}

/// Serves until told to end.
pub async fn run(args: ServeArgs) -> anyhow::Result<()> {
    // The S3 library logs every refused request as an error; refusals are answers, not incidents.
    let filter = EnvFilter::try_from_env("SAGEBRUSH_LOG").unwrap_or_else(|_| EnvFilter::new("info,s3s=off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let data = DataDir::open(&args.data_dir)?;
    let (key, fresh) = data.access_key()?;
    let listener =
        TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let info = ServerInfo {
        endpoint: format!("http://{}", listener.local_addr()?),
        region: args.region.clone(),
        account: args.account.clone(),
        intercept: args.intercept,
    };
    let clock = Clock::system();
    let secure = match args.tls || args.intercept {
        true => Some(Arc::new(Secure::open(&data.tls(), args.intercept, clock.clone())?)),
        false => None,
    };
    let skew = Duration::from_secs(args.clock_skew * 60);
    let access = Arc::new(Access::open(data.root(), &args.account, key, clock.clone(), skew)?);
    let store = Metastore::open_indexed(&data.metadata(), clock.clone(), &INDEX_RULES).await?;
    let objects = ObjectStore::open(&data.objects()).await?;
    let registry = Registry::open(&data.registry(), clock.clone()).await?;
    registry.collect_regularly();
    let url = args.registry_url.map_or_else(|| listener.local_addr().map(registry_url_of), Ok)?;
    let registry = RegistryFrontDoor { registry, access: Arc::clone(&access), url };
    let settings = Settings {
        account: args.account.clone(),
        work: data.work(),
        executable: std::env::current_exe().context("this program's own file is unknown")?,
        built_ins: built_ins(),
        engine: container_engine(args.container_engine.as_deref(), data.root()),
        registry: Some(Arc::new(OwnRegistry { door: registry.clone(), region: args.region.clone() })),
        python: crate::python::settings(data.root(), args.images.as_deref())?,
    };
    let plane = ControlPlane::new(store.clone(), objects.clone(), clock.clone(), settings);
    if let Err(failure) = plane.reconcile().await {
        bail!(
            "what was going on at the last stop cannot be read: {}",
            failure.cause.unwrap_or(failure.message)
        );
    }
    let s3 = s3::service(objects, Arc::clone(&access), args.region.clone(), args.domain);
    let (invocations, invocations_seen) = mpsc::channel(INVOCATION_EVENTS);
    let (captures, captures_seen) = mpsc::channel(CAPTURE_EVENTS);
    plane.watch_invocations(invocations_seen);
    plane.keep_captures(captures_seen);
    plane.scale_variants();
    let events = Events::new(invocations, captures, ByteBudget::new(CAPTURE_BYTES));
    let front = Front {
        inference: Inference::new(plane.routes(), Arc::clone(&access), events),
        api: ApiServer { plane: plane.clone(), s3, registry, access, check_answers: args.check_answers },
        bodies: Bodies::default(),
    };
    data.publish(&info)?;
    greet(&data, &info, fresh);
    listen::serve(listener, Arc::new(front), secure, told_to_end()).await;
    data.withdraw();
    plane.shut_down().await;
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// The container engine; its containers are told apart by data folder and process.
fn container_engine(address: Option<&str>, data: &Path) -> Option<Engine> {
    let usual = || Engine::default_address(std::env::var("DOCKER_HOST").ok().as_deref());
    let address = address.map_or_else(usual, str::to_owned);
    (address != "none").then(|| Engine::new(&address, &data.to_string_lossy(), &random_hex(16)))
}

/// Options of `sagebrush container-guard`.
#[derive(clap::Args)]
pub struct GuardArgs {
    /// Where the engine is.
    engine: String,
    /// The server whose containers these are.
    server: String,
    /// The process of the server.
    process: String,
}

/// Removes the containers of a server's process when its end is seen at standard input.
pub async fn guard(args: GuardArgs) -> anyhow::Result<()> {
    keep_guard(Engine::new(&args.engine, &args.server, &args.process)).await?;
    Ok(())
}

fn greet(data: &DataDir, info: &ServerInfo, fresh: bool) {
    let root = data.root().display();
    println!("sagebrush listens on {}", info.endpoint);
    println!("data folder: {root}");
    if fresh {
        println!("a new access key was made; it is in {root}/credentials, readable only by you");
    }
    let option = if info.intercept { " --intercept" } else { "" };
    println!("use it:  eval \"$(sagebrush env{option} --data-dir {root})\"");
}

/// Completes when the process is asked to end (SIGTERM or SIGINT).
pub async fn told_to_end() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without handlers the signals end the process by themselves.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
