//! SimulatePrincipalPolicy: what a user or role may do, decided as for a real request.
//!
//! A role that does not exist cannot be simulated. Jobs accept any role ARN, so the answer for it is that
//! nothing can be verified (AccessDenied) and not that nothing is allowed: the SDKs then warn and go on.

use std::borrow::Cow;
use std::sync::Arc;

use sagebrush_access::IdentityFailure;
use sagebrush_auth::Principal;
use sagebrush_auth::policy::{Context, Facts, Policy, PolicyKind, decide};
use serde_json::{Value, json};

use super::{Answer, Asked, Fields, role};

/// Decisions of one call at most: each reads every statement of the principal.
const DECISIONS: usize = 10_000;

pub fn principal(asked: &Asked) -> Answer {
    let fields = Fields::of(
        asked,
        &[
            "PolicySourceArn",
            "ActionNames",
            "ResourceArns",
            "PolicyInputList",
            "ContextEntries",
            "MaxItems",
            "Marker",
        ],
    )?;
    let mut principal = source(asked, fields.required("PolicySourceArn")?)?;
    for document in fields.texts("PolicyInputList") {
        principal.policies.push(Arc::new(Policy::read(document, PolicyKind::Identity)?));
    }
    let context = Context {
        principal: &principal,
        now: asked.access.now(),
        source: None,
        secure: false,
        region: &asked.caller.region,
        user_agent: None,
        facts: Cow::Owned(context_entries(&fields)),
    };
    let resources = match fields.texts("ResourceArns") {
        none if none.is_empty() => vec!["*"],
        some => some,
    };
    let actions = fields.texts("ActionNames");
    if actions.len() * resources.len() > DECISIONS {
        return Err(IdentityFailure::Invalid(format!(
            "ActionNames times ResourceArns are more than {DECISIONS} decisions. Ask in several calls."
        )));
    }
    let results =
        actions.iter().flat_map(|action| resources.iter().map(move |resource| (*action, *resource)));
    let results = results.enumerate().map(|(index, (action, resource))| {
        let decision = decide(action, resource, &context);
        let document = json!({
            "EvalActionName": action,
            "EvalResourceName": resource,
            "EvalDecision": decision.simulated(),
            "MatchedStatements": [],
            "MissingContextValues": [],
        });
        (format!("{index:08}"), document)
    });
    fields.page("EvaluationResults", results)
}

/// The principal of an ARN, without a session.
fn source(asked: &Asked, arn: &str) -> Result<Principal, IdentityFailure> {
    let directory = &asked.access.directory;
    let own = format!("arn:aws:iam::{}:", directory.account());
    let name = arn.rsplit('/').next().unwrap_or_default();
    let kind = arn.strip_prefix(&own).and_then(|rest| rest.split('/').next());
    match kind {
        Some("user") => directory.user(name),
        Some("role") => match directory.role(name).filter(|role| role.arn == arn) {
            Some(role) => {
                let mut principal =
                    Principal::role_session(directory.account(), &role.name, &role.id, "simulation");
                principal.source_arn = role.arn;
                principal.policies = role.policies;
                Ok(principal)
            }
            None => {
                directory.note_unverifiable(&asked.caller, name, asked.access.now());
                Err(role::unverifiable(name))
            }
        },
        _ if arn.contains(":role/") => {
            // Of another account, or another partition: jobs accept it like any other.
            directory.note_unverifiable(&asked.caller, name, asked.access.now());
            Err(role::unverifiable(name))
        }
        _ => Err(IdentityFailure::Invalid(format!(
            "Invalid Entity Arn: {arn} does not identify a user or role."
        ))),
    }
}

/// What conditions may ask about, as the caller says it.
fn context_entries(fields: &Fields<'_>) -> Facts {
    let entries = fields.list("ContextEntries").map(|entry| {
        let name = entry["ContextKeyName"].as_str().unwrap_or_default();
        let values = entry["ContextKeyValues"].as_array().into_iter().flatten();
        let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
        (Cow::Owned(name.to_owned()), values)
    });
    entries.collect()
}
