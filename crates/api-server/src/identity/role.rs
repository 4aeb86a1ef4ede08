//! Roles.

use std::collections::BTreeMap;

use sagebrush_access::{IdentityFailure, NewRole, RoleRecord};
use serde_json::{Value, json};

use super::{Answer, Asked, Fields, encoded};

fn document(asked: &Asked, name: &str, role: &RoleRecord) -> Value {
    let tags: Vec<Value> = role.tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
    let mut document = json!({
        "Path": role.path,
        "RoleName": name,
        "RoleId": role.id,
        "Arn": format!("arn:aws:iam::{}:role{}{name}", asked.access.directory.account(), role.path),
        "CreateDate": role.created,
        "AssumeRolePolicyDocument": encoded(&role.trust),
        "MaxSessionDuration": role.max_session,
    });
    if let Some(description) = &role.description {
        document["Description"] = json!(description);
    }
    if !tags.is_empty() {
        document["Tags"] = json!(tags);
    }
    document
}

pub fn create(asked: &Asked) -> Answer {
    let fields = Fields::of(
        asked,
        &["RoleName", "Path", "AssumeRolePolicyDocument", "Description", "MaxSessionDuration", "Tags"],
    )?;
    let tags: BTreeMap<String, String> = fields
        .list("Tags")
        .filter_map(|tag| Some((tag["Key"].as_str()?.to_owned(), tag["Value"].as_str()?.to_owned())))
        .collect();
    let new = NewRole {
        name: fields.required("RoleName")?,
        path: fields.text("Path"),
        trust: fields.required("AssumeRolePolicyDocument")?,
        description: fields.text("Description"),
        max_session: fields.number("MaxSessionDuration"),
        tags,
    };
    let (name, now) = (new.name, asked.access.now().unix_timestamp());
    let role = asked
        .access
        .directory
        .file()
        .change(|records| records.create_role(new, now).map(|role| document(asked, name, role)))?;
    Ok(json!({"Role": role}))
}

pub fn get(asked: &Asked) -> Answer {
    let fields = Fields::of(asked, &["RoleName"])?;
    let name = fields.required("RoleName")?;
    if let Some(role) = asked.access.directory.role_record(name)? {
        return Ok(json!({"Role": document(asked, name, &role)}));
    }
    // A client that could not simulate a role that is not there asks for its trust policy next.
    if asked.access.directory.was_unverifiable(&asked.caller, name, asked.access.now()) {
        return Err(unverifiable(name));
    }
    Err(IdentityFailure::NoSuchEntity(format!("The role with name {name} cannot be found.")))
}

/// The answer for a role that jobs may name although nobody has made it.
pub fn unverifiable(name: &str) -> IdentityFailure {
    IdentityFailure::Denied(format!(
        "The role {name} does not exist here, so its permissions cannot be verified. Jobs accept any role ARN; create the role with CreateRole to verify it."
    ))
}

pub fn delete(asked: &Asked) -> Answer {
    let fields = Fields::of(asked, &["RoleName"])?;
    let name = fields.required("RoleName")?;
    asked.access.directory.file().change(|records| records.delete_role(name))?;
    Ok(json!({}))
}

pub fn update_trust(asked: &Asked) -> Answer {
    let fields = Fields::of(asked, &["RoleName", "PolicyDocument"])?;
    let (name, document) = (fields.required("RoleName")?, fields.required("PolicyDocument")?);
    asked.access.directory.file().change(|records| records.set_trust(name, document))?;
    Ok(json!({}))
}

pub fn list(asked: &Asked) -> Answer {
    let fields = Fields::of(asked, &["PathPrefix", "Marker", "MaxItems"])?;
    let prefix = fields.text("PathPrefix").unwrap_or("/");
    let roles = asked.access.directory.role_records()?;
    let roles = roles.iter().filter(|(_, role)| role.path.starts_with(prefix));
    fields.page("Roles", roles.map(|(name, role)| (name.clone(), document(asked, name, role))))
}
