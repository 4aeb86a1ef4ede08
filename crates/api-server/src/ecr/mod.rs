//! ECR's API: repositories, images, and the passwords of the registry.
//!
//! Promises: a field that is not acted on is refused by name; a change is on disk before it is answered.
//! Never: permissions of the caller; layers, which engines send and fetch through [`crate::registry`].

mod image;
mod image_id;
mod page;
mod repository;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sagebrush_auth::Caller;
use sagebrush_registry::{Error, Registry, RepositoryName};
use sagebrush_types::Scope;
use serde_json::{Value, json};

use crate::registry::RegistryFrontDoor;

/// A validated request of a caller who may make it.
pub struct Asked<'a> {
    /// The registry, and how engines reach it.
    pub door: &'a RegistryFrontDoor,
    /// Who asks.
    pub caller: &'a Caller,
    /// The session token that the caller proved itself with.
    pub session_token: Option<&'a str>,
    /// Account and region.
    pub scope: &'a Scope,
    /// Name of the operation.
    pub operation: &'a str,
    /// The request.
    pub document: &'a Value,
}

/// Why an operation was refused.
#[derive(Debug, thiserror::Error)]
pub enum EcrFailure {
    /// By the registry.
    #[error(transparent)]
    Registry(#[from] Error),
    /// By a rule of the API: AWS's code and the message.
    #[error("{1}")]
    Refused(&'static str, String),
}

type Answer = Result<Value, EcrFailure>;

/// Carries out an operation.
pub async fn call(asked: &Asked<'_>) -> Answer {
    match asked.operation {
        "BatchCheckLayerAvailability" => image::check_layers(asked).await,
        "BatchDeleteImage" => image::delete(asked).await,
        "BatchGetImage" => image::get(asked).await,
        "CreateRepository" => repository::create(asked).await,
        "DeleteRepository" => repository::delete(asked).await,
        "DescribeImages" => image::describe(asked).await,
        "DescribeRepositories" => repository::describe(asked).await,
        "GetAuthorizationToken" => authorization_token(asked),
        "ListImages" => image::list(asked).await,
        "ListTagsForResource" => repository::list_tags(asked).await,
        "PutImage" => image::put(asked).await,
        "PutImageTagMutability" => repository::put_mutability(asked).await,
        "TagResource" => repository::tag(asked).await,
        "UntagResource" => repository::untag(asked).await,
        other => Err(refused(
            "ServerException",
            format!("{other} is in models/scope.toml and not wired: a defect of this server."),
        )),
    }
}

/// `GetAuthorizationToken`: the user name and password of [`RegistryFrontDoor`], as HTTP Basic has them.
fn authorization_token(asked: &Asked<'_>) -> Answer {
    asked.fields(&["registryIds"])?;
    if asked.texts("registryIds").iter().any(|id| *id != asked.scope.account) {
        let text = format!("registryIds: this server has the registry '{}' alone.", asked.scope.account);
        return Err(invalid(text));
    }
    let access = &asked.door.access;
    let key = (asked.caller.access_key_id.as_str(), asked.session_token);
    let password = access
        .directory
        .registry_password(key, &asked.scope.region, access.now())
        .map_err(|failure| invalid(failure.to_string()))?;
    let token = STANDARD.encode(format!("AWS:{}", password.text));
    Ok(json!({"authorizationData": [
        {"authorizationToken": token, "expiresAt": password.expires, "proxyEndpoint": asked.door.url}
    ]}))
}

impl Asked<'_> {
    fn registry(&self) -> &Registry {
        &self.door.registry
    }

    /// Refuses a request with a field that is not acted on, or for another account's registry.
    fn fields(&self, known: &[&str]) -> Result<(), EcrFailure> {
        for (name, value) in self.document.as_object().into_iter().flatten() {
            if name == "registryId" {
                self.check_registry(value.as_str().unwrap_or_default())?;
            } else if !known.contains(&name.as_str()) {
                return Err(invalid(format!(
                    "{}: the field '{name}' is not supported by this server. Leave it out; see docs/compatibility.md.",
                    self.operation
                )));
            }
        }
        Ok(())
    }

    fn check_registry(&self, id: &str) -> Result<(), EcrFailure> {
        if id == self.scope.account {
            return Ok(());
        }
        let name = self.text("repositoryName");
        let text = format!("The repository with name '{name}' does not exist in the registry with id '{id}'");
        Err(refused("RepositoryNotFoundException", text))
    }

    fn text(&self, name: &str) -> &str {
        self.document.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn list(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.document.get(name).and_then(Value::as_array).into_iter().flatten()
    }

    fn texts(&self, name: &str) -> Vec<&str> {
        self.list(name).filter_map(Value::as_str).collect()
    }

    /// The repository that the request names.
    fn repository(&self) -> RepositoryName<'_> {
        self.named(self.text("repositoryName"))
    }

    fn named<'n>(&'n self, name: &'n str) -> RepositoryName<'n> {
        RepositoryName { region: &self.scope.region, name }
    }
}

fn refused(code: &'static str, message: String) -> EcrFailure {
    EcrFailure::Refused(code, message)
}

fn invalid(message: String) -> EcrFailure {
    refused("InvalidParameterException", message)
}

/// Milliseconds since 1970 as AWS's JSON has times.
fn seconds(milliseconds: i64) -> Value {
    json!(milliseconds as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use sagebrush_wire::{Model, Service, model};

    #[test]
    fn every_operation_of_the_scope_is_wired() {
        let source = include_str!("mod.rs");
        for operation in model(Service::Ecr).into_iter().flat_map(Model::operations) {
            assert!(source.contains(&format!("\"{operation}\" =>")), "{operation}");
        }
    }
}
