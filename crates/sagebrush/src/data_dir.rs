//! The data folder: where everything lies, the access key of its first start, and the address of the
//! server that has it open.

use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, bail};
use sagebrush_auth::{AccessKey, SecretKey};
use sagebrush_env::durable::{self, FolderLock, Readers};
use sagebrush_env::secret_text;
use serde::{Deserialize, Serialize};

const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SECRET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/+";

/// Where the server that has the data folder open can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// `http://host:port`.
    pub endpoint: String,
    /// The default region.
    pub region: String,
    /// Twelve-digit account id.
    pub account: String,
    /// Is it a proxy that answers AWS's host names?
    #[serde(default)]
    pub intercept: bool,
}

/// A data folder that this process alone has open.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    _lock: FolderLock,
}

impl DataDir {
    /// Opens a data folder, creating it when it is not there.
    ///
    /// # Errors
    /// When another process has it open, or the file system refuses.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        durable::create_folder(root)
            .with_context(|| format!("the data folder {} cannot be made", root.display()))?;
        let root = root.canonicalize()?;
        let Some(lock) = FolderLock::take(&root.join("lock"))? else {
            let where_to = read_server_info(&root)
                .map_or_else(|_| String::new(), |info| format!(" It answers at {}.", info.endpoint));
            bail!(
                "another sagebrush server has the data folder {} open.{where_to} Use it, stop it, or name another folder with --data-dir.",
                root.display()
            );
        };
        Ok(Self { root, _lock: lock })
    }

    /// The metadata database.
    pub fn metadata(&self) -> PathBuf {
        self.root.join("metadata.db")
    }

    /// The object store's folder.
    pub fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    /// The registry of container images.
    pub fn registry(&self) -> PathBuf {
        self.root.join("registry")
    }

    /// Working folders of jobs and endpoints.
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// The certificate authority and the proxy's password.
    pub fn tls(&self) -> PathBuf {
        tls_folder(&self.root)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The access key, made at the first start; `true` when it was made now.
    ///
    /// # Errors
    /// When the credentials file cannot be read or written.
    pub fn access_key(&self) -> anyhow::Result<(AccessKey, bool)> {
        if self.root.join("credentials").exists() {
            return Ok((read_credentials(&self.root)?, false));
        }
        let key = AccessKey {
            id: format!("AKIA{}", secret_text(16, UPPER)),
            secret: SecretKey::new(secret_text(40, SECRET)),
        };
        let text = format!(
            "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            key.id,
            key.secret.expose()
        );
        durable::write(&self.root.join("credentials"), text.as_bytes(), Readers::Owner)
            .context("the credentials file cannot be written")?;
        Ok((key, true))
    }

    /// Notes where this server can be reached.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn publish(&self, info: &ServerInfo) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(info)?;
        durable::write(&self.root.join("server.json"), &text, Readers::Default)?;
        Ok(())
    }

    /// The server can no longer be reached.
    pub fn withdraw(&self) {
        // A stale note does no harm: the next start replaces it.
        let _ = fs::remove_file(self.root.join("server.json"));
    }
}

/// The folder of the certificate authority and the proxy's password.
pub fn tls_folder(root: &Path) -> PathBuf {
    root.join("tls")
}

/// Where the server of a data folder can be reached.
///
/// # Errors
/// When no server has noted its address there.
pub fn read_server_info(root: &Path) -> anyhow::Result<ServerInfo> {
    let path = root.join("server.json");
    let text = fs::read(&path).with_context(|| {
        format!("no server runs on the data folder {}: start one with sagebrush serve", root.display())
    })?;
    serde_json::from_slice(&text).with_context(|| format!("{} cannot be read", path.display()))
}

/// The access key of a data folder, from its credentials file in AWS's INI format.
///
/// # Errors
/// When the file is missing, not readable by this user, or incomplete.
pub fn read_credentials(root: &Path) -> anyhow::Result<AccessKey> {
    let path = root.join("credentials");
    let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            anyhow::anyhow!("{} has no credentials yet: start a server with sagebrush serve", root.display())
        }
        _ => anyhow::anyhow!("{} cannot be read: {error}", path.display()),
    })?;
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.split_once('=').filter(|(key, _)| key.trim() == name))
            .map(|(_, value)| value.trim().to_owned())
            .filter(|value| !value.is_empty())
            .with_context(|| format!("{} has no {name}", path.display()))
    };
    Ok(AccessKey { id: value("aws_access_key_id")?, secret: SecretKey::new(value("aws_secret_access_key")?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_the_folder_is_open_once() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let data = DataDir::open(folder.path())?;
        let (key, fresh) = data.access_key()?;
        assert!(fresh);
        let (again, fresh) = data.access_key()?;
        assert!(!fresh);
        assert_eq!((key.id, key.secret.expose()), (again.id, again.secret.expose()));
        data.publish(&ServerInfo {
            endpoint: "http://127.0.0.1:1".into(),
            region: "r".into(),
            account: "1".into(),
            intercept: false,
        })?;
        let refused = DataDir::open(folder.path()).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("http://127.0.0.1:1"), "{refused}");
        Ok(())
    }
}
