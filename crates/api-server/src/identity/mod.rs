//! STS and IAM: identities, temporary credentials, users, keys, roles and their policies.
//!
//! Promises: a field that is not acted on is refused by name; a change is on disk before it is answered.
//! Never: permissions of the caller, except those that a role's trust policy has a say in.

mod fields;
mod policy;
mod role;
mod simulate;
mod sts;
mod user;

use std::sync::Arc;

use sagebrush_access::{Access, IdentityFailure};
use sagebrush_auth::{Caller, Origin};
use sagebrush_wire::Service;
use serde_json::Value;

use fields::Fields;

/// A validated request of a caller who may make it.
pub struct Asked {
    /// Where identities are.
    pub access: Arc<Access>,
    /// Who asks.
    pub caller: Caller,
    /// From where.
    pub origin: Origin,
    /// STS or IAM.
    pub service: Service,
    /// Name of the operation.
    pub operation: String,
    /// The request.
    pub document: Value,
}

type Answer = Result<Value, IdentityFailure>;

/// Carries out an operation. It reads and writes files, so it has a thread of its own.
pub async fn call(asked: Asked) -> Answer {
    let work = tokio::task::spawn_blocking(move || match asked.service {
        Service::Iam => iam(&asked),
        _ => sts::call(&asked),
    });
    work.await.unwrap_or_else(|error| Err(IdentityFailure::Internal(error.to_string())))
}

fn iam(asked: &Asked) -> Answer {
    match asked.operation.as_str() {
        "AttachRolePolicy" => policy::attach(asked, policy::Whose::Role),
        "AttachUserPolicy" => policy::attach(asked, policy::Whose::User),
        "CreateAccessKey" => user::create_access_key(asked),
        "CreateRole" => role::create(asked),
        "CreateUser" => user::create(asked),
        "DeleteAccessKey" => user::delete_access_key(asked),
        "DeleteRole" => role::delete(asked),
        "DeleteRolePolicy" => policy::delete(asked, policy::Whose::Role),
        "DeleteUser" => user::delete(asked),
        "DeleteUserPolicy" => policy::delete(asked, policy::Whose::User),
        "DetachRolePolicy" => policy::detach(asked, policy::Whose::Role),
        "DetachUserPolicy" => policy::detach(asked, policy::Whose::User),
        "GetRole" => role::get(asked),
        "GetRolePolicy" => policy::get(asked, policy::Whose::Role),
        "GetUser" => user::get(asked),
        "GetUserPolicy" => policy::get(asked, policy::Whose::User),
        "ListAccessKeys" => user::list_access_keys(asked),
        "ListAttachedRolePolicies" => policy::list_attached(asked, policy::Whose::Role),
        "ListAttachedUserPolicies" => policy::list_attached(asked, policy::Whose::User),
        "ListRolePolicies" => policy::list(asked, policy::Whose::Role),
        "ListRoles" => role::list(asked),
        "ListUserPolicies" => policy::list(asked, policy::Whose::User),
        "ListUsers" => user::list(asked),
        "PutRolePolicy" => policy::put(asked, policy::Whose::Role),
        "PutUserPolicy" => policy::put(asked, policy::Whose::User),
        "SimulatePrincipalPolicy" => simulate::principal(asked),
        "UpdateAccessKey" => user::update_access_key(asked),
        "UpdateAssumeRolePolicy" => role::update_trust(asked),
        other => Err(unwired(other)),
    }
}

/// An operation that the scope names and no table does: a defect that a test looks for.
fn unwired(operation: &str) -> IdentityFailure {
    IdentityFailure::Internal(format!("{operation} is in models/scope.toml and not wired"))
}

/// Policy documents stand percent-encoded in IAM's answers.
fn encoded(document: &str) -> String {
    percent_encoding::utf8_percent_encode(document, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sagebrush_wire::{Model, model};

    #[test]
    fn every_operation_of_the_scope_is_wired() {
        let source = concat!(include_str!("mod.rs"), include_str!("sts.rs"));
        for service in [Service::Iam, Service::Sts] {
            for operation in model(service).into_iter().flat_map(Model::operations) {
                assert!(source.contains(&format!("\"{operation}\" =>")), "{operation}");
            }
        }
    }
}
