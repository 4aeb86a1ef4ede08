//! A container of a user's own, for the tests: `train`, `serve` or arguments of a processing job, with the standard
//! library alone, so that it is one static file in an image built from nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::exit;
use std::sync::Mutex;
use std::time::Duration;

unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("train") => train(),
        Some("serve") => serve(),
        Some("child") => std::thread::sleep(Duration::from_secs(600)),
        _ => process(&arguments),
    }
}

/// The text of a member of a flat JSON object whose values are texts.
fn member(json: &str, name: &str) -> Option<String> {
    let rest = json.split_once(&format!("\"{name}\":\""))?.1;
    Some(rest.split_once('"')?.0.to_owned())
}

fn config(name: &str) -> String {
    fs::read_to_string(format!("/opt/ml/input/config/{name}.json")).unwrap_or_default()
}

fn files(folder: &Path) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if let Ok(data) = entry.metadata() {
            found.insert(path.display().to_string(), data.len());
        }
    }
    found
}

fn train() {
    let parameters = config("hyperparameters");
    let host = member(&config("resourceconfig"), "current_host").unwrap_or_default();
    match member(&parameters, "mode").as_deref().unwrap_or("report") {
        "report" => report(&host),
        "failure" => {
            fs::write("/opt/ml/output/failure", "the data is of the wrong shape").unwrap();
            exit(3);
        }
        "exit" => exit(7),
        "link" => {
            // What a container leaves may lead out of its folders.
            std::os::unix::fs::symlink("/etc/hostname", "/opt/ml/output/failure").unwrap();
            exit(1);
        }
        "deaf" => {
            // SAFETY: the handler is SIG_IGN.
            unsafe { signal(15, 1) };
            println!("deaf");
            std::thread::sleep(Duration::from_secs(600));
        }
        "sleep" => {
            println!("sleeping");
            std::thread::sleep(Duration::from_secs(600));
        }
        "memory" => {
            let mut held = Vec::new();
            loop {
                held.push(vec![1u8; 64 << 20]);
                println!("{} MiB", held.len() * 64);
            }
        }
        "disk" => {
            let mut file = fs::File::create("/opt/ml/model/large").unwrap();
            let block = vec![7u8; 16 << 20];
            for _ in 0..256 {
                if file.write_all(&block).is_err() {
                    exit(28);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            std::thread::sleep(Duration::from_secs(600));
        }
        "fork" => {
            let mut children = Vec::new();
            loop {
                match std::process::Command::new("/program").arg("child").spawn() {
                    Ok(child) => children.push(child),
                    Err(error) => {
                        println!("children={};", children.len());
                        fs::write("/opt/ml/output/failure", format!("no more processes: {error}")).unwrap();
                        exit(11);
                    }
                }
            }
        }
        "logs" => {
            let line = "x".repeat(1023);
            let mut out = std::io::stdout().lock();
            for number in 0..100 << 10 {
                writeln!(out, "{number:06}{}", &line[6..]).unwrap();
            }
        }
        "meet" => meet(&host),
        "pipe" => {
            for epoch in 0..2 {
                let data = fs::read(format!("/opt/ml/input/data/train_{epoch}")).unwrap();
                println!("epoch {epoch} bytes={};", data.len());
            }
        }
        "checkpoint" => {
            let place = "/opt/ml/checkpoints/state";
            let done: u32 = fs::read_to_string(place).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
            println!("resumed at {done}");
            fs::write(place, (done + 1).to_string()).unwrap();
        }
        other => {
            eprintln!("no mode '{other}'");
            exit(2);
        }
    }
}

/// Writes down what this container sees.
fn report(host: &str) {
    let mut text = String::new();
    for (name, size) in files(Path::new("/opt/ml/input/data")) {
        text += &format!("{name} {size}\n");
        println!("{name} {size}");
    }
    for (name, value) in std::env::vars() {
        text += &format!("{name}={value}\n");
    }
    text += &config("hyperparameters");
    text += &config("inputdataconfig");
    text += &config("resourceconfig");
    let networks = fs::read_dir("/sys/class/net").unwrap().flatten().map(|entry| entry.file_name());
    text += &format!("\nnetworks {:?}\n", networks.collect::<Vec<_>>());
    fs::write(format!("/opt/ml/model/report-{host}"), text).unwrap();
    fs::write("/opt/ml/model/common", host).unwrap();
    fs::create_dir_all("/opt/ml/output/data").unwrap();
    fs::write(format!("/opt/ml/output/data/of-{host}"), "extra").unwrap();
    for loss in [0.5, 0.25] {
        println!("loss={loss};");
    }
    eprintln!("to standard error");
}

/// The first host waits for the others, which find it by its name.
fn meet(host: &str) {
    let hosts = config("resourceconfig").matches("algo-").count() - 1;
    if host == "algo-1" {
        let listener = TcpListener::bind("0.0.0.0:7777").unwrap();
        for _ in 1..hosts {
            let mut name = String::new();
            BufReader::new(listener.accept().unwrap().0).read_line(&mut name).unwrap();
            println!("met {}", name.trim());
        }
        return;
    }
    for _ in 0..200 {
        if let Ok(mut stream) = TcpStream::connect("algo-1:7777") {
            writeln!(stream, "{host}").unwrap();
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    exit(9);
}

fn process(arguments: &[String]) {
    println!("arguments {arguments:?}");
    let inputs = files(Path::new("/opt/ml/processing/input"));
    let output = Path::new("/opt/ml/processing/output");
    let config = fs::read_to_string("/opt/ml/config/resourceconfig.json").unwrap();
    let host = member(&config, "current_host").unwrap();
    for (name, size) in &inputs {
        println!("{name} {size}");
    }
    let names: Vec<&str> = inputs.keys().filter_map(|name| name.rsplit('/').next()).collect();
    fs::write(output.join(format!("seen-by-{host}")), names.join("\n")).unwrap();
    fs::write("/opt/ml/output/message", format!("{} files", inputs.len())).unwrap();
    if let Some(seconds) = arguments.iter().find_map(|argument| argument.strip_prefix("--sleep=")) {
        std::thread::sleep(Duration::from_secs(seconds.parse().unwrap()));
    }
    if let Some(code) = arguments.iter().find_map(|argument| argument.strip_prefix("--exit=")) {
        exit(code.parse().unwrap());
    }
}

fn serve() {
    let port = std::env::var("SAGEMAKER_BIND_TO_PORT").unwrap_or("8080".into());
    println!("serving on {port}");
    let listener = TcpListener::bind(format!("0.0.0.0:{port}")).unwrap();
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || answer(stream));
    }
}

fn answer(stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut first = String::new();
        reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0u8; length];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let (method, path) = (first.split(' ').next()?, first.split(' ').nth(1)?);
        let (status, text) = match path {
            "/ping" => ("200 OK", String::new()),
            _ if path.starts_with("/models") && std::env::var("SAGEMAKER_MULTI_MODEL").is_ok() => {
                of_models(method, path.trim_start_matches("/models").trim_start_matches('/'), &body)
            }
            "/invocations" if body == "die" => exit(5),
            "/invocations" if body == "bad" => ("400 Bad Request", "that is bad".into()),
            "/invocations" if body.starts_with("reach ") => ("200 OK", reached(&body[6..])),
            "/invocations" => ("200 OK", invoked(&headers, &body)),
            _ => ("404 Not Found", String::new()),
        };
        let size = text.len();
        write!(writer, "HTTP/1.1 {status}\r\ncontent-type: text/csv\r\ncontent-length: {size}\r\n\r\n{text}").ok()?;
    }
}

fn invoked(headers: &BTreeMap<String, String>, body: &str) -> String {
    let model = files(Path::new("/opt/ml/model")).into_keys().collect::<Vec<_>>().join(" ");
    let writable = fs::write("/opt/ml/model/probe", "").is_ok();
    let kind = headers.get("content-type").cloned().unwrap_or_default();
    let colour = std::env::var("COLOUR").unwrap_or_default();
    let suffix = std::env::var("SUFFIX").unwrap_or_default();
    if suffix.is_empty() {
        format!("{kind}|{colour}|{model}|writable={writable}|{body}")
    } else {
        format!("{body}{suffix}")
    }
}

/// Whether a connection to a host and port can be made.
fn reached(place: &str) -> String {
    let found = place.to_socket_addrs().into_iter().flatten().next();
    let made = found.is_some_and(|address| TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_ok());
    format!("reached={made}")
}

/// The loaded models: where each one lies, by its name.
static MODELS: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// The contract of containers with many models; there is room for MOST_MODELS.
fn of_models(method: &str, path: &str, body: &str) -> (&'static str, String) {
    let mut models = MODELS.lock().unwrap();
    let most = std::env::var("MOST_MODELS").ok().and_then(|most| most.parse().ok()).unwrap_or(usize::MAX);
    match (method, path, path.strip_suffix("/invoke")) {
        ("POST", "", _) => {
            let name = member(body, "model_name").unwrap();
            let url = member(body, "url").unwrap();
            if models.contains_key(&name) {
                return ("409 Conflict", String::new());
            }
            if models.len() >= most {
                return ("507 Insufficient Storage", "no more memory".into());
            }
            let Ok(text) = fs::read_to_string(format!("{url}/text")) else {
                return ("422 Unprocessable Entity", "the model has no text".into());
            };
            println!("loaded {text}");
            models.insert(name, url);
            ("200 OK", String::new())
        }
        ("POST", _, Some(name)) => match models.get(name) {
            Some(url) => ("200 OK", format!("{}|{body}", fs::read_to_string(format!("{url}/text")).unwrap())),
            None => ("404 Not Found", "no such model".into()),
        },
        ("DELETE", name, _) => match models.remove(name) {
            Some(url) => {
                println!("unloaded {}", fs::read_to_string(format!("{url}/text")).unwrap());
                ("200 OK", String::new())
            }
            None => ("404 Not Found", String::new()),
        },
        _ => ("405 Method Not Allowed", String::new()),
    }
}
