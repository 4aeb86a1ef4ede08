//! Repositories: names under which images are kept.

use std::collections::BTreeMap;

use crate::names::check_name;
use crate::{Error, Registry, RepositoryName, Result, limits};

/// Whether a tag may be moved to another image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutability {
    /// It may.
    Mutable,
    /// Its first push is its last.
    Immutable,
}

/// The tags of a repository as a resource (not those of its images), by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags(pub BTreeMap<String, String>);

impl Tags {
    /// AWS's rules for tags of resources.
    fn check(&self) -> Result<()> {
        if self.0.len() > limits::RESOURCE_TAGS {
            return Err(Error::TooManyTags(self.0.len()));
        }
        for (key, value) in &self.0 {
            if !(1..=128).contains(&key.chars().count()) || key.to_ascii_lowercase().starts_with("aws:") {
                let rule = "keys have 1 to 128 characters and do not begin with 'aws:'";
                return Err(Error::InvalidResourceTag(format!("the key '{key}': {rule}")));
            }
            if value.chars().count() > 256 {
                return Err(Error::InvalidResourceTag(format!(
                    "the value of '{key}' has more than 256 characters"
                )));
            }
        }
        Ok(())
    }

    pub(crate) fn document(&self) -> String {
        // A map of texts always has a JSON form.
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Region.
    pub region: String,
    /// Name, unique within the region.
    pub name: String,
    /// Milliseconds since 1970.
    pub created: i64,
    /// May tags be moved?
    pub mutability: Mutability,
    /// Tags of the repository as a resource.
    pub tags: Tags,
}

/// What a new repository is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRepository {
    /// May tags be moved?
    pub mutability: Mutability,
    /// Tags of the repository as a resource.
    pub tags: Tags,
}

impl Registry {
    /// Makes a repository.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::RepositoryExists`], [`Error::InvalidResourceTag`],
    /// [`Error::TooManyTags`]; [`Error::TooMany`] at the ceiling.
    pub async fn create_repository(
        &self,
        repository: RepositoryName<'_>,
        new: NewRepository,
    ) -> Result<Repository> {
        check_name(repository.name)?;
        new.tags.check()?;
        let mut change = self.index().begin().await?;
        match change.repository_id(repository).await {
            Ok(_) => return Err(Error::RepositoryExists(repository.name.to_owned())),
            Err(Error::NoSuchRepository(_)) => {}
            Err(error) => return Err(error),
        }
        let most = limits::REPOSITORIES;
        if change.count_repositories(repository.region).await? >= most {
            return Err(Error::TooMany(format!("there are {most} repositories already; delete one first")));
        }
        let made = Repository {
            region: repository.region.to_owned(),
            name: repository.name.to_owned(),
            created: self.now(),
            mutability: new.mutability,
            tags: new.tags,
        };
        change.insert_repository(&made).await?;
        change.commit().await?;
        Ok(made)
    }

    /// A repository.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`].
    pub async fn repository(&self, repository: RepositoryName<'_>) -> Result<Repository> {
        self.index().repository(repository).await
    }

    /// At most `limit` repositories of a region in the order of their names, those after `after`.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn repositories(&self, region: &str, after: &str, limit: usize) -> Result<Vec<Repository>> {
        self.index().repositories(region, after, limit.min(limits::PAGE + 1)).await
    }

    /// Changes whether tags of a repository may be moved.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`].
    pub async fn set_mutability(&self, repository: RepositoryName<'_>, mutability: Mutability) -> Result<()> {
        let mut change = self.index().begin().await?;
        let id = change.repository_id(repository).await?;
        let tags = change.repository(repository).await?.tags;
        change.update_repository(id, mutability, &tags).await?;
        change.commit().await
    }

    /// Adds tags to a repository as a resource; those of the same keys are replaced.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`], [`Error::InvalidResourceTag`], [`Error::TooManyTags`].
    pub async fn tag_repository(&self, repository: RepositoryName<'_>, tags: Tags) -> Result<()> {
        self.edit_tags(repository, |present| present.0.extend(tags.0)).await
    }

    /// Removes tags of a repository as a resource by their keys; those that are not there do not matter.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`].
    pub async fn untag_repository(&self, repository: RepositoryName<'_>, keys: &[&str]) -> Result<()> {
        self.edit_tags(repository, |present| present.0.retain(|key, _| !keys.contains(&key.as_str()))).await
    }

    async fn edit_tags(&self, repository: RepositoryName<'_>, edit: impl FnOnce(&mut Tags)) -> Result<()> {
        let mut change = self.index().begin().await?;
        let id = change.repository_id(repository).await?;
        let Repository { mut tags, mutability, .. } = change.repository(repository).await?;
        edit(&mut tags);
        tags.check()?;
        change.update_repository(id, mutability, &tags).await?;
        change.commit().await
    }

    /// Removes a repository, with its images when `force` says so.
    ///
    /// # Errors
    /// [`Error::NoSuchRepository`]; [`Error::RepositoryNotEmpty`] without `force`.
    pub async fn delete_repository(&self, repository: RepositoryName<'_>, force: bool) -> Result<Repository> {
        let mut change = self.index().begin().await?;
        let id = change.repository_id(repository).await?;
        let gone = change.repository(repository).await?;
        if !force && change.has_images(id).await? {
            return Err(Error::RepositoryNotEmpty(repository.name.to_owned()));
        }
        change.delete_repository(id).await?;
        change.commit().await?;
        self.pushes().remove(&id);
        self.collect().await?;
        Ok(gone)
    }
}
