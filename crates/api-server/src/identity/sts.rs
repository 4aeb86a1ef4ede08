//! The Security Token Service.

use sagebrush_access::{IdentityFailure, NewSession, SessionKey};
use sagebrush_auth::SESSION_KEY_PREFIX;
use serde_json::{Value, json};

use super::{Answer, Asked, Fields, unwired};

pub fn call(asked: &Asked) -> Answer {
    match asked.operation.as_str() {
        "AssumeRole" => assume_role(asked),
        "GetAccessKeyInfo" => access_key_info(asked),
        "GetCallerIdentity" => caller_identity(asked),
        "GetSessionToken" => session_token(asked),
        other => Err(unwired(other)),
    }
}

fn caller_identity(asked: &Asked) -> Answer {
    let principal = &asked.caller.principal;
    Ok(json!({"UserId": principal.user_id, "Account": principal.account, "Arn": principal.arn}))
}

fn session_token(asked: &Asked) -> Answer {
    let fields = Fields::of(asked, &["DurationSeconds"])?;
    let (access, principal) = (&asked.access, &asked.caller.principal);
    let key = access.directory.session_token(principal, fields.number("DurationSeconds"), access.now())?;
    Ok(json!({"Credentials": credentials(&key)}))
}

fn assume_role(asked: &Asked) -> Answer {
    let fields = Fields::of(asked, &["RoleArn", "RoleSessionName", "DurationSeconds", "Policy"])?;
    let session = NewSession {
        role_arn: fields.required("RoleArn")?,
        name: fields.required("RoleSessionName")?,
        seconds: fields.number("DurationSeconds"),
        policy: fields.text("Policy"),
    };
    let facts = vec![("sts:RoleSessionName".into(), vec![session.name.to_owned()])];
    let context = asked.access.context(&asked.caller, &asked.origin, &facts);
    let (key, _, principal) = asked.access.directory.assume_role(&context, session)?;
    Ok(json!({
        "Credentials": credentials(&key),
        "AssumedRoleUser": {"AssumedRoleId": principal.user_id, "Arn": principal.arn},
    }))
}

/// The account of a key: known for the keys of this server alone.
fn access_key_info(asked: &Asked) -> Answer {
    let fields = Fields::of(asked, &["AccessKeyId"])?;
    let id = fields.required("AccessKeyId")?;
    let directory = &asked.access.directory;
    let known = id == directory.first_key()
        || id.starts_with(SESSION_KEY_PREFIX)
        || directory.file().read()?.access_keys.contains_key(id);
    if !known {
        return Err(IdentityFailure::Invalid(format!("The access key {id} is not one of this server.")));
    }
    Ok(json!({"Account": directory.account()}))
}

fn credentials(key: &SessionKey) -> Value {
    json!({
        "AccessKeyId": key.id,
        "SecretAccessKey": key.secret.expose(),
        "SessionToken": key.token,
        "Expiration": key.expires,
    })
}
