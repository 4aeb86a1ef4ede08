//! Policies of users and roles: inline ones and attached managed ones.

use sagebrush_access::{IdentityFailure, Owner, Policies};
use sagebrush_auth::EXECUTION_ROLE;
use sagebrush_auth::policy::managed_policy;
use serde_json::json;

use super::{Answer, Asked, Fields, encoded};

/// Whose policies an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// A user's.
    User,
    /// A role's.
    Role,
}

impl Whose {
    const fn field(self) -> &'static str {
        match self {
            Self::User => "UserName",
            Self::Role => "RoleName",
        }
    }

    fn owner(self, name: &str) -> Owner<'_> {
        match self {
            Self::User => Owner::User(name),
            Self::Role => Owner::Role(name),
        }
    }
}

pub fn put(asked: &Asked, whose: Whose) -> Answer {
    let fields = Fields::of(asked, &[whose.field(), "PolicyName", "PolicyDocument"])?;
    let owner = whose.owner(fields.required(whose.field())?);
    let (name, document) = (fields.required("PolicyName")?, fields.required("PolicyDocument")?);
    asked.access.directory.file().change(|records| records.put_policy(owner, name, document))?;
    Ok(json!({}))
}

pub fn get(asked: &Asked, whose: Whose) -> Answer {
    let fields = Fields::of(asked, &[whose.field(), "PolicyName"])?;
    let (owner, name) = (fields.required(whose.field())?, fields.required("PolicyName")?);
    let policies = read(asked, whose, owner)?;
    let document = policies.inline.get(name).ok_or_else(|| {
        IdentityFailure::NoSuchEntity(format!("The policy with name {name} cannot be found."))
    })?;
    Ok(json!({whose.field(): owner, "PolicyName": name, "PolicyDocument": encoded(document)}))
}

pub fn delete(asked: &Asked, whose: Whose) -> Answer {
    let fields = Fields::of(asked, &[whose.field(), "PolicyName"])?;
    let owner = whose.owner(fields.required(whose.field())?);
    let name = fields.required("PolicyName")?;
    asked.access.directory.file().change(|records| records.delete_policy(owner, name))?;
    Ok(json!({}))
}

pub fn list(asked: &Asked, whose: Whose) -> Answer {
    let fields = Fields::of(asked, &[whose.field(), "Marker", "MaxItems"])?;
    let policies = read(asked, whose, fields.required(whose.field())?)?;
    fields.page("PolicyNames", policies.inline.keys().map(|name| (name.clone(), json!(name))))
}

pub fn attach(asked: &Asked, whose: Whose) -> Answer {
    let fields = Fields::of(asked, &[whose.field(), "PolicyArn"])?;
    let owner = whose.owner(fields.required(whose.field())?);
    let policy = fields.required("PolicyArn")?;
    asked.access.directory.file().change(|records| records.attach_policy(owner, policy))?;
    Ok(json!({}))
}

pub fn detach(asked: &Asked, whose: Whose) -> Answer {
    let fields = Fields::of(asked, &[whose.field(), "PolicyArn"])?;
    let owner = whose.owner(fields.required(whose.field())?);
    let policy = fields.required("PolicyArn")?;
    asked.access.directory.file().change(|records| records.detach_policy(owner, policy))?;
    Ok(json!({}))
}

pub fn list_attached(asked: &Asked, whose: Whose) -> Answer {
    let fields = Fields::of(asked, &[whose.field(), "Marker", "MaxItems"])?;
    let policies = read(asked, whose, fields.required(whose.field())?)?;
    let attached = policies.attached.iter().filter_map(|name| {
        let managed = managed_policy(name)?;
        Some((name.clone(), json!({"PolicyName": managed.name, "PolicyArn": managed.arn()})))
    });
    fields.page("AttachedPolicies", attached)
}

/// The policies of a user or role; the execution role has the administrator's.
fn read(asked: &Asked, whose: Whose, name: &str) -> Result<Policies, IdentityFailure> {
    if (whose, name) == (Whose::Role, EXECUTION_ROLE) {
        let attached = ["AdministratorAccess".to_owned()].into();
        return Ok(Policies { attached, ..Policies::default() });
    }
    Ok(asked.access.directory.file().read()?.policies(whose.owner(name))?.clone())
}
