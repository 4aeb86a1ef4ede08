//! Policy documents: reading them, and deciding with them whether a principal may do something.
//!
//! Promises: an explicit deny wins, nothing is allowed unless a policy allows it, and a document that
//! is not understood whole is refused when it is read. Never: stores, clocks, HTTP.
//! Source: "Policy evaluation logic" and "IAM JSON policy reference", IAM User Guide.

mod condition;
pub(crate) mod context;
mod decide;
mod document;
mod managed;
mod pattern;
mod principals;
#[cfg(test)]
mod tests;

pub use context::{Context, Facts};
pub use decide::{Decision, Trust, decide, trusts};
pub use document::PolicyKind;
pub use managed::{ManagedPolicy, managed_policies, managed_policy};
pub use principals::Principals;

use condition::Condition;
use pattern::Pattern;

/// A policy that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    statements: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq)]
struct Statement {
    effect: Effect,
    actions: Vec<Pattern>,
    not_actions: bool,
    resources: Vec<Pattern>,
    not_resources: bool,
    /// Of a trust policy.
    principals: Option<Principals>,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Allow,
    Deny,
}

/// What is wrong with a policy document, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}{}{message}", if place.is_empty() { "" } else { ": " })]
pub struct PolicyError {
    place: String,
    message: String,
}

impl PolicyError {
    fn new(message: String) -> Self {
        Self { place: String::new(), message }
    }

    fn inside(mut self, place: &str) -> Self {
        self.place = if self.place.is_empty() { place.to_owned() } else { format!("{place}.{}", self.place) };
        self
    }
}

impl Statement {
    fn applies(&self, action: &str, resource: &str, context: &Context<'_>) -> bool {
        let named = self.actions.iter().any(|one| one.matches(action, true, context));
        if named == self.not_actions {
            return false;
        }
        let meant = self.resources.iter().any(|one| one.matches(resource, false, context));
        meant != self.not_resources && self.conditions.iter().all(|one| one.holds(context))
    }
}
