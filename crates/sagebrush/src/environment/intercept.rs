//! What `sagebrush env --intercept` adds: the proxy, and the certificate authorities that clients trust.
//!
//! Promises: hosts that are tunnelled verify as before, because the authorities that were trusted before
//! stay in the bundle; what the user has set for himself is kept or named, never dropped in silence.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, bail};
use sagebrush_env::durable::{self, Readers};

use crate::data_dir::{ServerInfo, tls_folder};
use crate::serve::{CA_FILE, PASSWORD_FILE, PROXY_USER};

/// Our authority and the others, in one file.
const BUNDLE_FILE: &str = "bundle.pem";
/// Settings of the SageMaker SDK that only apply where the user's own say nothing.
const SDK_FILE: &str = "sagemaker-sdk.yaml";

/// The variables that name a file of certificate authorities: botocore, requests, and OpenSSL with the
/// tools that follow it.
const BUNDLES: [&str; 3] = ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"];

/// Where systems keep the certificate authorities that they trust.
const SYSTEM: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/opt/homebrew/etc/ca-certificates/cert.pem",
];

/// Switches the SageMaker SDK's own reports off; the server would refuse them anyway.
const SDK_SETTINGS: &str = "SchemaVersion: '1.0'
SageMaker:
  PythonSDK:
    Modules:
      TelemetryOptOut: true
";

/// The exports. Writes the bundle and the SDK's settings into the data folder.
pub fn exports(
    data: &Path,
    info: &ServerInfo,
    chosen: Option<&Path>,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    if !info.intercept {
        bail!(
            "the server on {} answers no AWS host names: start it with sagebrush serve --intercept",
            data.display()
        );
    }
    let folder = tls_folder(data).canonicalize().context("the server's TLS folder is not there")?;
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
    };
    let bundle = folder.join(BUNDLE_FILE);
    write_bundle(&bundle, &read(CA_FILE)?, chosen)?;
    let sdk = folder.join(SDK_FILE);
    durable::write(&sdk, SDK_SETTINGS.as_bytes(), Readers::Default)?;
    let address =
        info.endpoint.strip_prefix("http://").unwrap_or(&info.endpoint).replace("0.0.0.0", "127.0.0.1");
    let proxy = format!("http://{PROXY_USER}:{}@{address}", read(PASSWORD_FILE)?);
    let another = |name: &str| env::var(name).ok().filter(|value| !value.is_empty() && *value != proxy);
    if let Some(other) = another("HTTPS_PROXY").or_else(|| another("https_proxy"))
        && !other.contains(&format!("@{address}"))
    {
        eprintln!(
            "sagebrush: HTTPS_PROXY was set; the server connects to other hosts directly, not through it"
        );
    }
    let direct = no_proxy(&[env::var("NO_PROXY").ok(), env::var("no_proxy").ok()]);
    let mut exports = vec![
        ("HTTPS_PROXY", proxy.clone()),
        ("https_proxy", proxy),
        ("NO_PROXY", direct.clone()),
        ("no_proxy", direct),
    ];
    exports.extend(BUNDLES.map(|name| (name, bundle.display().to_string())));
    exports.push(("NODE_EXTRA_CA_CERTS", folder.join(CA_FILE).display().to_string()));
    // The file of an administrator gives way to the user's, and another one's is not replaced.
    if env::var_os("SAGEMAKER_ADMIN_CONFIG_OVERRIDE").is_none_or(|path| Path::new(&path) == sdk) {
        exports.push(("SAGEMAKER_ADMIN_CONFIG_OVERRIDE", sdk.display().to_string()));
    }
    Ok(exports)
}

/// Our authority, then those that clients trust already.
fn write_bundle(bundle: &Path, ours: &str, chosen: Option<&Path>) -> anyhow::Result<()> {
    let named = BUNDLES.iter().filter_map(env::var_os).map(PathBuf::from).filter(|path| path.is_file());
    let named: Vec<PathBuf> = named.collect();
    // With these exports in force, what was trusted before stands in the bundle.
    let again = named.iter().any(|path| path == bundle);
    if chosen.is_none() && again && fs::read_to_string(bundle).is_ok_and(|text| text.starts_with(ours)) {
        return Ok(());
    }
    let system = SYSTEM.iter().map(PathBuf::from).find(|path| path.is_file());
    let mut sources: Vec<PathBuf> = match chosen {
        Some(path) => vec![path.to_owned()],
        None => named.into_iter().filter(|path| path != bundle).chain(system).collect(),
    };
    sources.sort();
    sources.dedup();
    if sources.is_empty() {
        bail!(
            "no file of certificate authorities was found on this system: name one with --ca-bundle FILE \
             (python3 -m certifi prints one that pip brings)"
        );
    }
    let mut text = ours.to_owned();
    for source in sources {
        let others =
            fs::read_to_string(&source).with_context(|| format!("{} cannot be read", source.display()))?;
        text.push('\n');
        text.push_str(&others);
    }
    durable::write(bundle, text.as_bytes(), Readers::Default)
        .with_context(|| format!("{} cannot be written", bundle.display()))
}

/// Hosts that are not asked through the proxy: the user's, without those that would keep AWS's names from
/// it, and this machine.
fn no_proxy(set: &[Option<String>]) -> String {
    let mut hosts: Vec<&str> = Vec::new();
    let own = set.iter().flatten().flat_map(|list| list.split(','));
    for host in own.map(str::trim).chain(["127.0.0.1", "localhost"]) {
        let of_aws = host == "*" || host.ends_with("amazonaws.com") || host == ".com";
        if !host.is_empty() && !of_aws && !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_exceptions_stay_but_for_aws() {
        let set = [Some("intern.example, .amazonaws.com,localhost".to_owned()), None];
        assert_eq!(no_proxy(&set), "intern.example,localhost,127.0.0.1");
        assert_eq!(no_proxy(&[Some("*".into()), Some("a".into())]), "a,127.0.0.1,localhost");
    }
}
