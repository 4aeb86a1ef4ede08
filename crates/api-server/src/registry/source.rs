//! How an engine on this machine gets an image that a job names.

use sagebrush_registry::{Error, ImageUri, RepositoryName, Result};

use super::RegistryFrontDoor;

/// What an engine must be told to pull an image from here.
#[derive(Debug, Clone)]
pub struct ImageSource {
    /// The name to pull: this registry's address, the repository and the image's digest, so that what is
    /// pulled is what was meant now, wherever its tag moves.
    pub reference: String,
    /// User name.
    pub user: &'static str,
    /// Password for reading this repository, for an hour.
    pub password: String,
}

impl RegistryFrontDoor {
    /// The source of an image that is named by this server's address (then in `region`), or by AWS's name of
    /// this account's registry in some region; `None` for an image of another registry or of none, which
    /// this server knows nothing of.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`] or [`Error::NoSuchImage`] for one that should be here;
    /// [`Error::InvalidName`], [`Error::InvalidTag`] or [`Error::InvalidDigest`] for what is no name of one.
    pub async fn source_of(&self, image: &str, region: &str) -> Result<Option<ImageSource>> {
        let uri = match ImageUri::parse(image) {
            Ok(uri) => uri,
            // Other registries have other rules for names.
            Err(Error::InvalidName(_)) if !image.starts_with(self.host()) => return Ok(None),
            Err(error) => return Err(error),
        };
        let account = self.access.directory.account();
        let region = match (uri.aws(), uri.host.as_deref()) {
            (Some((owner, region)), _) if owner == account => region,
            (None, Some(host)) if host == self.host() => region,
            _ => return Ok(None),
        };
        let repository = RepositoryName { region, name: &uri.repository };
        let found = self.registry.resolve(repository, &uri.reference).await?;
        let password = self.access.directory.pull_password(region, &uri.repository, self.access.now());
        Ok(Some(ImageSource {
            reference: format!("{}/{}@{}", self.host(), uri.repository, found.digest),
            user: "AWS",
            password: password.text,
        }))
    }
}
