//! Which permissions an operation needs. One table says it for every operation; a unit test fails for an
//! operation that is served and has no line in it.
//!
//! Promises: an operation without a line is refused for everybody; resources are built from the request as
//! AWS names them. Never: decisions; `auth::policy` decides.

mod facts;
mod table;

use std::borrow::Cow;

use sagebrush_access::Access;
use sagebrush_auth::policy::Facts;
use sagebrush_auth::{Caller, Origin};
use sagebrush_types::Scope;
use sagebrush_wire::Service;
use serde_json::Value;

use table::Place;

/// One permission that is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// `service:Operation`.
    pub action: String,
    /// An ARN or `*`.
    pub resource: String,
    /// What conditions may ask about.
    pub facts: Facts,
}

/// The permissions that an operation needs, or `None` when the table has no line for it.
pub fn needs(
    service: Service,
    operation: &str,
    document: &Value,
    scope: &Scope,
    caller: &Caller,
) -> Option<Vec<Need>> {
    let places = table::places(service, operation)?;
    let action = format!("{}:{operation}", prefix(service));
    let facts = facts::of(document);
    let names = Names { document, scope, caller };
    let mut needs: Vec<Need> = places
        .iter()
        .filter(|place| !matches!(place, Place::Nothing | Place::OwnRule))
        .flat_map(|place| names.resources(place))
        .map(|resource| Need { action: action.clone(), resource, facts: facts.clone() })
        .collect();
    if service == Service::SageMaker && (operation.starts_with("Create") || operation.starts_with("Update")) {
        needs.extend(table::passed_roles(document).into_iter().map(|role| Need {
            action: "iam:PassRole".into(),
            resource: role.to_owned(),
            facts: vec![(Cow::Borrowed("iam:PassedToService"), vec!["sagemaker.amazonaws.com".into()])],
        }));
    }
    Some(needs)
}

/// Checks every permission that an operation needs; answers the resource it was asked for, for the audit.
///
/// # Errors
/// The message of the first refusal, with its resource.
pub fn check(access: &Access, caller: &Caller, origin: &Origin, needs: &[Need]) -> Result<(), String> {
    needs.iter().try_for_each(|need| access.check(caller, origin, &need.action, &need.resource, &need.facts))
}

/// The service's name in actions.
pub const fn prefix(service: Service) -> &'static str {
    match service {
        Service::SageMaker | Service::SageMakerRuntime | Service::SageMakerMetrics => "sagemaker",
        Service::AutoScaling => "application-autoscaling",
        Service::Logs => "logs",
        Service::CloudWatch => "cloudwatch",
        Service::Ecr => "ecr",
        Service::Sts => "sts",
        Service::Iam => "iam",
        Service::S3 => "s3",
    }
}

/// What resource names are made of.
struct Names<'a> {
    document: &'a Value,
    scope: &'a Scope,
    caller: &'a Caller,
}

impl Names<'_> {
    fn text(&self, field: &str) -> &str {
        self.document.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// The resources of a place: one, but for lists of names.
    fn resources(&self, place: &Place) -> Vec<String> {
        if !matches!(place, Place::Repositories) {
            return vec![self.resource(place)];
        }
        let names = self.document.get("repositoryNames").and_then(Value::as_array);
        let names = names.into_iter().flatten().filter_map(Value::as_str);
        let named: Vec<String> = names.map(|name| self.repository(name)).collect();
        if named.is_empty() { vec![self.resource(place)] } else { named }
    }

    fn repository(&self, name: &str) -> String {
        let Scope { account, region } = self.scope;
        format!("arn:aws:ecr:{region}:{account}:repository/{name}")
    }

    fn resource(&self, place: &Place) -> String {
        let Scope { account, region } = self.scope;
        match place {
            Place::Nothing | Place::OwnRule | Place::Everything => "*".to_owned(),
            Place::Named(segment, field) => {
                let name = self.text(field);
                // Model packages and the like may be named by their ARN.
                if name.starts_with("arn:") {
                    return name.to_owned();
                }
                format!("arn:aws:sagemaker:{region}:{account}:{segment}/{}", name.to_lowercase())
            }
            Place::Arn(field) => self.text(field).to_owned(),
            Place::Repository => self.repository(self.text("repositoryName")),
            Place::Repositories => self.repository("*"),
            Place::LogGroups => format!("arn:aws:logs:{region}:{account}:log-group:*"),
            Place::LogGroup => format!("arn:aws:logs:{region}:{account}:log-group:{}:*", self.log_group()),
            Place::LogStream => format!(
                "arn:aws:logs:{region}:{account}:log-group:{}:log-stream:{}",
                self.log_group(),
                self.text("logStreamName")
            ),
            Place::Role => format!("arn:aws:iam::{account}:role/{}", self.text("RoleName")),
            Place::NewRole => {
                let path = self.document.get("Path").and_then(Value::as_str).unwrap_or("/");
                format!("arn:aws:iam::{account}:role{path}{}", self.text("RoleName"))
            }
            Place::User => {
                let own = self.caller.principal.user_name.as_deref();
                let name = match self.text("UserName") {
                    "" => own.unwrap_or_default(),
                    name => name,
                };
                format!("arn:aws:iam::{account}:user/{name}")
            }
        }
    }

    fn log_group(&self) -> &str {
        let named = self.text("logGroupName");
        if !named.is_empty() {
            return named;
        }
        // A group may be given by its ARN: arn:aws:logs:region:account:log-group:NAME[:*]
        let arn = self.text("logGroupIdentifier");
        let name = arn.splitn(7, ':').nth(6).unwrap_or(arn);
        name.strip_suffix(":*").unwrap_or(name)
    }
}

#[cfg(test)]
mod tests;
