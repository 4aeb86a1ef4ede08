//! Repositories, and their tags as resources.

use sagebrush_registry::{Mutability, NewRepository, Repository, RepositoryName, Tags};
use serde_json::{Value, json};

use super::page::Page;
use super::{Answer, Asked, EcrFailure, invalid, seconds};

fn described(asked: &Asked<'_>, repository: &Repository) -> Value {
    let Repository { region, name, .. } = repository;
    let account = &asked.scope.account;
    json!({
        "repositoryArn": format!("arn:aws:ecr:{region}:{account}:repository/{name}"),
        "registryId": account,
        "repositoryName": name,
        "repositoryUri": format!("{}/{name}", asked.door.host()),
        "createdAt": seconds(repository.created),
        "imageTagMutability": mutability_text(repository.mutability),
        "imageScanningConfiguration": {"scanOnPush": false},
    })
}

const fn mutability_text(mutability: Mutability) -> &'static str {
    match mutability {
        Mutability::Mutable => "MUTABLE",
        Mutability::Immutable => "IMMUTABLE",
    }
}

fn mutability(asked: &Asked<'_>) -> Result<Mutability, EcrFailure> {
    match asked.text("imageTagMutability") {
        "" | "MUTABLE" => Ok(Mutability::Mutable),
        "IMMUTABLE" => Ok(Mutability::Immutable),
        other => Err(invalid(format!(
            "imageTagMutability: '{other}' is not supported by this server; MUTABLE and IMMUTABLE are."
        ))),
    }
}

fn tags(asked: &Asked<'_>) -> Tags {
    let text =
        |tag: &Value, field: &str| tag.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    Tags(asked.list("tags").map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect())
}

pub(super) async fn create(asked: &Asked<'_>) -> Answer {
    asked.fields(&[
        "repositoryName",
        "tags",
        "imageTagMutability",
        "imageScanningConfiguration",
        "encryptionConfiguration",
    ])?;
    if asked.document.pointer("/imageScanningConfiguration/scanOnPush") == Some(&Value::Bool(true)) {
        return Err(invalid("imageScanningConfiguration: images are not scanned by this server.".to_owned()));
    }
    // Nothing is encrypted here, so AES256, which the caller cannot see, is accepted and not confirmed.
    if let Some(encryption) = asked.document.get("encryptionConfiguration")
        && (encryption.get("kmsKey").is_some() || encryption["encryptionType"] != "AES256")
    {
        return Err(invalid(
            "encryptionConfiguration: keys of KMS are not supported by this server.".to_owned(),
        ));
    }
    let new = NewRepository { mutability: mutability(asked)?, tags: tags(asked) };
    let made = asked.registry().create_repository(asked.repository(), new).await?;
    Ok(json!({"repository": described(asked, &made)}))
}

pub(super) async fn describe(asked: &Asked<'_>) -> Answer {
    asked.fields(&["repositoryNames", "nextToken", "maxResults"])?;
    let names = asked.texts("repositoryNames");
    if asked.document.get("repositoryNames").is_some() {
        if ["nextToken", "maxResults"].iter().any(|field| asked.document.get(field).is_some()) {
            return Err(invalid("repositoryNames: it excludes nextToken and maxResults.".to_owned()));
        }
        let mut found = Vec::new();
        for name in names {
            found.push(described(asked, &asked.registry().repository(asked.named(name)).await?));
        }
        return Ok(json!({"repositories": found}));
    }
    let page = Page::of(asked)?;
    let region = &asked.scope.region;
    let mut found = asked.registry().repositories(region, &page.after, page.limit + 1).await?;
    let mut answer = json!({});
    page.finish(&mut answer, &mut found, |repository| repository.name.clone());
    answer["repositories"] = found.iter().map(|repository| described(asked, repository)).collect();
    Ok(answer)
}

pub(super) async fn delete(asked: &Asked<'_>) -> Answer {
    asked.fields(&["repositoryName", "force"])?;
    let force = asked.document.get("force").and_then(Value::as_bool).unwrap_or(false);
    let gone = asked.registry().delete_repository(asked.repository(), force).await?;
    Ok(json!({"repository": described(asked, &gone)}))
}

pub(super) async fn put_mutability(asked: &Asked<'_>) -> Answer {
    asked.fields(&["repositoryName", "imageTagMutability"])?;
    let mutability = mutability(asked)?;
    asked.registry().set_mutability(asked.repository(), mutability).await?;
    Ok(json!({
        "registryId": asked.scope.account,
        "repositoryName": asked.text("repositoryName"),
        "imageTagMutability": mutability_text(mutability),
    }))
}

/// The repository whose ARN the request has.
fn of_arn<'a>(asked: &'a Asked<'_>) -> Result<RepositoryName<'a>, EcrFailure> {
    let arn = asked.text("resourceArn");
    let start = format!("arn:aws:ecr:{}:{}:repository/", asked.scope.region, asked.scope.account);
    match arn.strip_prefix(&start) {
        Some(name) => Ok(asked.named(name)),
        None => Err(invalid(format!(
            "resourceArn: '{arn}' is not the ARN of a repository of this account and region, such as {start}NAME."
        ))),
    }
}

pub(super) async fn tag(asked: &Asked<'_>) -> Answer {
    asked.fields(&["resourceArn", "tags"])?;
    asked.registry().tag_repository(of_arn(asked)?, tags(asked)).await?;
    Ok(json!({}))
}

pub(super) async fn untag(asked: &Asked<'_>) -> Answer {
    asked.fields(&["resourceArn", "tagKeys"])?;
    asked.registry().untag_repository(of_arn(asked)?, &asked.texts("tagKeys")).await?;
    Ok(json!({}))
}

pub(super) async fn list_tags(asked: &Asked<'_>) -> Answer {
    asked.fields(&["resourceArn"])?;
    let Tags(tags) = asked.registry().repository(of_arn(asked)?).await?.tags;
    let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
    Ok(json!({"tags": tags}))
}
