//! Service models as facts: operations, shapes, members, required members, enums, patterns and
//! bounds of the pinned botocore package, without any prose. Only what `models/scope.toml` serves,
//! and every shape reached from it; the other operations are kept by name. The compatibility page is
//! written from the same lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};

/// The service whose protocol is a library's, so that its shapes are not kept.
const WITHOUT_FACTS: &str = "s3";

/// Writes `models/<service>.json` for every service of `models/scope.toml`, and `docs/compatibility.md`.
pub fn write() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let scope: toml::Table = fs::read_to_string(root.join("models/scope.toml"))?.parse()?;
    let version = scope.get("botocore").and_then(|value| value.as_str()).context("scope.toml: botocore")?;
    let data = fetch(version)?;
    let (mut rows, mut sections) = (String::new(), String::new());
    for (service, table) in scope.iter().filter(|(_, value)| value.is_table()) {
        let real: BTreeSet<String> = table
            .get("real")
            .and_then(|list| list.as_array())
            .with_context(|| format!("scope.toml: [{service}] real"))?
            .iter()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        let model = read_model(&data.join(service))?;
        let all = model["operations"].as_object().context("operations")?;
        rows.push_str(&format!(
            "| [{service}](#{service}) | {} | {} | |\n",
            real.len(),
            all.len() - real.len()
        ));
        sections.push_str(&page_section(service, all, &real));
        if service == WITHOUT_FACTS {
            continue;
        }
        let facts = facts(service, &model, &real)?;
        let path = root.join(format!("models/{service}.json"));
        fs::write(&path, serde_json::to_string_pretty(&facts)? + "\n")?;
        println!(
            "{}: {} operations, {} shapes",
            path.display(),
            real.len(),
            facts["shapes"].as_object().map_or(0, Map::len)
        );
    }
    for service in scope.get("unspoken").and_then(|list| list.as_array()).into_iter().flatten() {
        let service = service.as_str().context("scope.toml: unspoken")?;
        if scope.contains_key(service) {
            // It is spoken by now, and has its row above.
            continue;
        }
        let model = read_model(&data.join(service))?;
        let all = model["operations"].as_object().context("operations")?;
        rows.push_str(&format!("| {service} | | | {} |\n", all.len()));
    }
    fs::write(root.join("docs/compatibility.md"), format!("{PAGE_HEAD}{rows}{sections}"))?;
    Ok(())
}

const PAGE_HEAD: &str = "# Compatibility

Written by `cargo xtask models` from `models/scope.toml`; do not edit.

An operation listed as performed really does its work. A refused one answers `UnknownOperationException` (`InvalidAction`
in the query protocol, `NotImplemented` from S3) with its name. A field of a performed operation that would change what
happens and is not supported is refused by name, never ignored. Services of which every operation is unknown are
not spoken; a call answers the same error in the service's own protocol.

| service | performed | refused | unknown |
| --- | --- | --- | --- |
";

fn page_section(service: &str, all: &Map<String, Value>, real: &BTreeSet<String>) -> String {
    let list = |names: Vec<&str>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let performed = list(real.iter().map(String::as_str).collect());
    let refused: Vec<&str> = all.keys().map(String::as_str).filter(|name| !real.contains(*name)).collect();
    format!(
        "\n## {service}\n\n{} of {} operations performed: {performed}.\n\n<details><summary>Refused ({})</summary>\n\n{}\n\n</details>\n",
        real.len(),
        all.len(),
        refused.len(),
        list(refused)
    )
}

/// Downloads the pinned package into the target folder and returns its data folder.
fn fetch(version: &str) -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("sagebrush-botocore-{version}"));
    if !folder.join("botocore").is_dir() {
        fs::create_dir_all(&folder)?;
        let python = |arguments: &[&str]| -> Result<()> {
            let status = Command::new("python3").current_dir(&folder).args(arguments).status()?;
            if !status.success() {
                bail!("python3 {} failed", arguments.join(" "));
            }
            Ok(())
        };
        python(&[
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            ".",
            &format!("botocore=={version}"),
        ])?;
        python(&["-m", "zipfile", "-e", &format!("botocore-{version}-py3-none-any.whl"), "."])?;
    }
    Ok(folder.join("botocore/data"))
}

fn read_model(service: &Path) -> Result<Value> {
    let mut versions: Vec<PathBuf> = fs::read_dir(service)
        .with_context(|| format!("no service at {}", service.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    versions.sort();
    let newest = versions.last().context("a service without versions")?;
    let mut text = String::new();
    GzDecoder::new(fs::File::open(newest.join("service-2.json.gz"))?).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

fn facts(service: &str, model: &Value, real: &BTreeSet<String>) -> Result<Value> {
    let operations = model["operations"].as_object().context("operations")?;
    let shapes = model["shapes"].as_object().context("shapes")?;
    let mut served = BTreeMap::new();
    let mut reached = BTreeSet::new();
    for name in real {
        let operation = operations.get(name).with_context(|| format!("{service} has no operation {name}"))?;
        let mut fact = Map::new();
        for side in ["input", "output"] {
            if let Some(shape) = operation[side]["shape"].as_str() {
                fact.insert(side.into(), json!(shape));
                reach(shape, shapes, &mut reached);
            }
        }
        served.insert(name.clone(), Value::Object(fact));
    }
    let refused: BTreeSet<&String> = operations.keys().filter(|name| !real.contains(*name)).collect();
    let kept: BTreeMap<&String, Value> =
        reached.iter().filter_map(|name| shapes.get(name).map(|shape| (name, shape_facts(shape)))).collect();
    // The query protocol has codes of its own for some errors.
    let codes: BTreeMap<&String, &Value> = shapes
        .iter()
        .map(|(name, shape)| (name, &shape["error"]["code"]))
        .filter(|(name, code)| code.as_str().is_some_and(|code| code != *name))
        .collect();
    Ok(json!({
        "service": service,
        "version": model["metadata"]["apiVersion"],
        "targetPrefix": model["metadata"]["targetPrefix"],
        "namespace": model["metadata"]["xmlNamespace"].as_str().unwrap_or_default(),
        "queryCodes": codes,
        "operations": served,
        "refused": refused,
        "shapes": kept,
    }))
}

fn reach(name: &str, shapes: &Map<String, Value>, reached: &mut BTreeSet<String>) {
    if !reached.insert(name.to_owned()) {
        return;
    }
    let Some(shape) = shapes.get(name) else { return };
    let members = shape["members"].as_object().into_iter().flat_map(|members| members.values());
    for member in members.chain([&shape["member"], &shape["key"], &shape["value"]]) {
        if let Some(name) = member["shape"].as_str() {
            reach(name, shapes, reached);
        }
    }
}

fn shape_facts(shape: &Value) -> Value {
    let mut facts = Map::new();
    for key in ["type", "required", "enum", "pattern", "min", "max", "union", "timestampFormat"] {
        if !shape[key].is_null() {
            facts.insert(key.into(), shape[key].clone());
        }
    }
    for key in ["member", "key", "value"] {
        if let Some(name) = shape[key]["shape"].as_str() {
            facts.insert(key.into(), json!(name));
        }
    }
    if let Some(members) = shape["members"].as_object() {
        let members: Map<String, Value> =
            members.iter().map(|(name, member)| (name.clone(), member_facts(member))).collect();
        facts.insert("members".into(), Value::Object(members));
    }
    Value::Object(facts)
}

/// A plain member is its shape's name; one with a place outside the body is an object.
fn member_facts(member: &Value) -> Value {
    if member["location"].is_null() {
        return member["shape"].clone();
    }
    json!({"shape": member["shape"], "location": member["location"], "locationName": member["locationName"]})
}
