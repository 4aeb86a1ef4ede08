//! The decision, and the words in which it is told.

use super::{Context, Effect, Policy};
use crate::Principal;

/// May the principal do it?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A policy allows it and none denies it.
    Allowed,
    /// A policy denies it.
    ExplicitDeny,
    /// No policy of the identity allows it.
    ImplicitDeny,
    /// The identity's policies allow it, the session's policy does not.
    SessionDeny,
}

/// How far a trust policy means a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// Not at all, or a statement denies it.
    None,
    /// Through its account: the principal's own policies must allow the action too.
    Account,
    /// By name: nothing else is needed.
    Named,
}

/// Decides with every policy of the principal. `action` is `service:Operation`, `resource` an ARN or
/// `*`.
pub fn decide(action: &str, resource: &str, context: &Context<'_>) -> Decision {
    let principal = context.principal;
    let mut allowed = false;
    for policy in principal.policies.iter().map(AsRef::as_ref) {
        match effect(policy, action, resource, context) {
            Some(Effect::Deny) => return Decision::ExplicitDeny,
            Some(Effect::Allow) => allowed = true,
            None => {}
        }
    }
    // A session's policy only takes away: what it does not allow is not allowed.
    let session = principal.session.as_deref().map(|policy| effect(policy, action, resource, context));
    match (allowed, session) {
        (_, Some(Some(Effect::Deny))) => Decision::ExplicitDeny,
        (false, _) => Decision::ImplicitDeny,
        (true, Some(None)) => Decision::SessionDeny,
        (true, None | Some(Some(Effect::Allow))) => Decision::Allowed,
    }
}

/// Does a trust policy let the principal do `action` (`sts:AssumeRole`)?
pub fn trusts(trust: &Policy, action: &str, context: &Context<'_>) -> Trust {
    let mut found = Trust::None;
    for statement in &trust.statements {
        let Some(principals) = &statement.principals else { continue };
        let meant = principals.trust(context.principal);
        if meant == Trust::None || !statement.applies(action, "*", context) {
            continue;
        }
        match statement.effect {
            Effect::Deny => return Trust::None,
            Effect::Allow => found = found.max(meant),
        }
    }
    found
}

fn effect(policy: &Policy, action: &str, resource: &str, context: &Context<'_>) -> Option<Effect> {
    let mut found = None;
    for statement in &policy.statements {
        if !statement.applies(action, resource, context) {
            continue;
        }
        if statement.effect == Effect::Deny {
            return Some(Effect::Deny);
        }
        found = Some(Effect::Allow);
    }
    found
}

impl Decision {
    /// Is it allowed?
    pub fn is_allowed(self) -> bool {
        self == Self::Allowed
    }

    /// The decision in the words of SimulatePrincipalPolicy.
    pub const fn simulated(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::ExplicitDeny => "explicitDeny",
            Self::ImplicitDeny | Self::SessionDeny => "implicitDeny",
        }
    }

    /// AWS's message for a refusal.
    pub fn message(self, principal: &Principal, action: &str, resource: &str) -> String {
        let because = match self {
            Self::ExplicitDeny => "with an explicit deny in an identity-based policy".to_owned(),
            Self::SessionDeny => format!("because no session policy allows the {action} action"),
            Self::ImplicitDeny | Self::Allowed => {
                format!("because no identity-based policy allows the {action} action")
            }
        };
        format!(
            "User: {} is not authorized to perform: {action} on resource: {resource} {because}",
            principal.arn
        )
    }
}
