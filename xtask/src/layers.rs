//! The layer check: the dependency edges between our crates, as Cargo resolves them, against the
//! table of allowed edges. A new edge fails; so does an allowed edge to a crate that is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Crate, and what it may use. ARCHITECTURE.md explains the table.
const ALLOWED: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("env", &["types"]),
    ("auth", &["types"]),
    ("algorithms", &[]),
    ("tuning", &[]),
    ("wire", &["types"]),
    ("metastore", &["types", "env"]),
    ("object-store", &["types", "env"]),
    ("registry", &["env"]),
    ("runner", &["types", "env", "object-store"]),
    ("access", &["env", "auth"]),
    ("control-plane", &["types", "env", "auth", "metastore", "object-store", "runner", "tuning"]),
    ("api-server", &["types", "env", "auth", "access", "wire", "control-plane", "object-store", "registry"]),
    ("inference", &["types", "env", "auth", "access", "wire"]),
    ("model-server", &["algorithms"]),
    ("dataprep", &[]),
    (
        "sagebrush",
        &[
            "types",
            "env",
            "auth",
            "algorithms",
            "tuning",
            "wire",
            "metastore",
            "object-store",
            "registry",
            "runner",
            "access",
            "control-plane",
            "api-server",
            "inference",
            "model-server",
            "dataprep",
        ],
    ),
    ("load", &["auth", "env"]),
    ("xtask", &[]),
];

/// External crates that a layer must never see: a pure crate with a runtime or a socket in its
/// dependencies is no longer pure.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("types", &["tokio", "http", "hyper", "axum", "sqlx", "rusqlite"]),
    ("auth", &["tokio", "hyper", "axum", "sqlx", "rusqlite", "reqwest"]),
    ("algorithms", &["tokio", "http", "hyper", "axum", "sqlx", "rusqlite", "reqwest"]),
    ("tuning", &["tokio", "http", "hyper", "axum", "sqlx", "rusqlite", "reqwest", "env"]),
    ("wire", &["tokio", "hyper", "axum", "sqlx", "rusqlite", "reqwest"]),
    ("metastore", &["http", "hyper", "axum", "reqwest"]),
    ("object-store", &["http", "hyper", "axum", "reqwest"]),
    ("registry", &["http", "hyper", "axum", "reqwest"]),
    ("access", &["http", "hyper", "axum", "sqlx", "rusqlite", "reqwest"]),
    ("control-plane", &["http", "hyper", "axum", "sqlx", "rusqlite"]),
    ("api-server", &["sqlx", "rusqlite"]),
    ("inference", &["sqlx", "rusqlite"]),
];

/// Compares `cargo metadata` with the tables.
pub fn check() -> Result<()> {
    let edges = edges()?;
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ALLOWED.iter().map(|(name, uses)| (*name, uses.iter().copied().collect())).collect();
    let forbidden: BTreeMap<&str, &[&str]> = FORBIDDEN.iter().copied().collect();
    let mut faults = Vec::new();
    for (name, uses) in &edges {
        let Some(allowed) = allowed.get(name.as_str()) else {
            faults.push(format!("{name}: not in the table of xtask/src/layers.rs"));
            continue;
        };
        for used in uses {
            let ours = edges.contains_key(used);
            if ours && !allowed.contains(used.as_str()) {
                faults.push(format!("{name} must not use {used}"));
            }
            if forbidden.get(name.as_str()).is_some_and(|names| names.contains(&used.as_str())) {
                faults.push(format!("{name} must not see {used}"));
            }
        }
    }
    for (name, uses) in &allowed {
        for missing in std::iter::once(name).chain(uses).filter(|name| !edges.contains_key(**name)) {
            faults.push(format!("{missing}: in the table, but not in the workspace"));
        }
    }
    if !faults.is_empty() {
        bail!("layers:\n  {}", faults.join("\n  "));
    }
    println!("layers: {} crates, every edge allowed", edges.len());
    Ok(())
}

/// Direct dependencies (not those of tests) of every member, without our crates' common prefix.
fn edges() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .output()
        .context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let short = |name: &Value| {
        let name = name.as_str().unwrap_or_default();
        name.strip_prefix("sagebrush-").unwrap_or(name).to_owned()
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    Ok(list(&metadata["packages"])
        .iter()
        .map(|package| {
            let uses = list(&package["dependencies"])
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .map(|dependency| short(&dependency["name"]))
                .collect();
            (short(&package["name"]), uses)
        })
        .collect())
}
