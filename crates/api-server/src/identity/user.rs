//! Users and their access keys.

use sagebrush_access::{IdentityFailure, KeyStatus, UserRecord};
use serde_json::{Value, json};

use super::{Answer, Asked, Fields};

/// The user that is named, or the caller.
pub fn named<'a>(asked: &'a Asked, fields: &Fields<'a>) -> Result<&'a str, IdentityFailure> {
    fields.text("UserName").or(asked.caller.principal.user_name.as_deref()).ok_or_else(|| {
        IdentityFailure::Invalid("Must specify userName when calling with non-User credentials".into())
    })
}

fn document(asked: &Asked, name: &str, user: &UserRecord) -> Value {
    json!({
        "Path": "/",
        "UserName": name,
        "UserId": user.id,
        "Arn": format!("arn:aws:iam::{}:user/{name}", asked.access.directory.account()),
        "CreateDate": user.created,
    })
}

pub fn create(asked: &Asked) -> Answer {
    let fields = Fields::of(asked, &["UserName", "Path"])?;
    if fields.text("Path").is_some_and(|path| path != "/") {
        return Err(IdentityFailure::Invalid("Path: this server has users with the path / alone.".into()));
    }
    let name = fields.required("UserName")?;
    let now = asked.access.now().unix_timestamp();
    let user = asked
        .access
        .directory
        .file()
        .change(|records| records.create_user(name, now).map(|user| document(asked, name, user)))?;
    Ok(json!({"User": user}))
}

pub fn get(asked: &Asked) -> Answer {
    let fields = Fields::of(asked, &["UserName"])?;
    let name = named(asked, &fields)?;
    let records = asked.access.directory.file().read()?;
    Ok(json!({"User": document(asked, name, records.user(name)?)}))
}

pub fn delete(asked: &Asked) -> Answer {
    let fields = Fields::of(asked, &["UserName"])?;
    let name = fields.required("UserName")?;
    asked.access.directory.file().change(|records| records.delete_user(name))?;
    Ok(json!({}))
}

pub fn list(asked: &Asked) -> Answer {
    let fields = Fields::of(asked, &["PathPrefix", "Marker", "MaxItems"])?;
    let records = asked.access.directory.file().read()?;
    let all = fields.text("PathPrefix").is_none_or(|prefix| prefix == "/");
    let users = records.users.iter().filter(|_| all);
    fields.page("Users", users.map(|(name, user)| (name.clone(), document(asked, name, user))))
}

pub fn create_access_key(asked: &Asked) -> Answer {
    let fields = Fields::of(asked, &["UserName"])?;
    let name = named(asked, &fields)?;
    let now = asked.access.now().unix_timestamp();
    let key = asked.access.directory.file().change(|records| records.create_access_key(name, now))?;
    Ok(json!({"AccessKey": {
        "UserName": name,
        "AccessKeyId": key.id,
        "Status": KeyStatus::Active.name(),
        "SecretAccessKey": key.secret.expose(),
        "CreateDate": now,
    }}))
}

pub fn list_access_keys(asked: &Asked) -> Answer {
    let fields = Fields::of(asked, &["UserName", "Marker", "MaxItems"])?;
    let name = named(asked, &fields)?;
    let records = asked.access.directory.file().read()?;
    records.user(name)?;
    let keys = records.access_keys.iter().filter(|(_, key)| key.user == name).map(|(id, key)| {
        let document = json!({
            "UserName": name, "AccessKeyId": id, "Status": key.status.name(), "CreateDate": key.created,
        });
        (id.clone(), document)
    });
    fields.page("AccessKeyMetadata", keys)
}

pub fn update_access_key(asked: &Asked) -> Answer {
    let fields = Fields::of(asked, &["UserName", "AccessKeyId", "Status"])?;
    let (user, id) = (named(asked, &fields)?, fields.required("AccessKeyId")?);
    let status = match fields.required("Status")? {
        "Active" => KeyStatus::Active,
        "Inactive" => KeyStatus::Inactive,
        other => {
            return Err(IdentityFailure::Invalid(format!(
                "Status '{other}' is neither Active nor Inactive."
            )));
        }
    };
    asked.access.directory.file().change(|records| records.set_key_status(id, Some(user), status))?;
    Ok(json!({}))
}

pub fn delete_access_key(asked: &Asked) -> Answer {
    let fields = Fields::of(asked, &["UserName", "AccessKeyId"])?;
    let (user, id) = (named(asked, &fields)?, fields.required("AccessKeyId")?);
    asked.access.directory.file().change(|records| records.delete_access_key(id, Some(user)))?;
    Ok(json!({}))
}
