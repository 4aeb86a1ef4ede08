//! Who a proven sender is, and from where a request came.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use time::OffsetDateTime;

use crate::policy::{Policy, managed_policy};

/// The role that the first access key acts as: it exists in every data folder.
pub const EXECUTION_ROLE: &str = "SagebrushExecutionRole";

/// A user, or a session of a role.
#[derive(Debug, Clone, PartialEq)]
pub struct Principal {
    /// Twelve-digit account id.
    pub account: String,
    /// The principal's own ARN, as GetCallerIdentity tells it.
    pub arn: String,
    /// The ARN policies know it by: the user, or the session's role.
    pub source_arn: String,
    /// The UserId of GetCallerIdentity.
    pub user_id: String,
    /// A user's name; sessions of roles have none.
    pub user_name: Option<String>,
    /// The long-term access key at the root: its own, or the one that asked for the session.
    pub root_key: String,
    /// Policies of the user or role.
    pub policies: Vec<Arc<Policy>>,
    /// The policy a session was asked for with: it only takes away.
    pub session: Option<Arc<Policy>>,
    /// When the session's token was issued; `None` for a long-term key.
    pub token_issued: Option<OffsetDateTime>,
}

impl Principal {
    /// A user without policies.
    pub fn user(account: &str, name: &str, id: &str) -> Self {
        let arn = format!("arn:aws:iam::{account}:user/{name}");
        Self {
            account: account.to_owned(),
            source_arn: arn.clone(),
            arn,
            user_id: id.to_owned(),
            user_name: Some(name.to_owned()),
            root_key: String::new(),
            policies: Vec::new(),
            session: None,
            token_issued: None,
        }
    }

    /// A session of a role, without policies.
    pub fn role_session(account: &str, role: &str, role_id: &str, session: &str) -> Self {
        Self {
            account: account.to_owned(),
            arn: format!("arn:aws:sts::{account}:assumed-role/{role}/{session}"),
            source_arn: format!("arn:aws:iam::{account}:role/{role}"),
            user_id: format!("{role_id}:{session}"),
            user_name: None,
            root_key: String::new(),
            policies: Vec::new(),
            session: None,
            token_issued: None,
        }
    }

    /// The holder of a data folder's first key, who may do everything. Clients read an execution role
    /// off the identity, so it has a role's form.
    pub fn first(account: &str, access_key_id: &str) -> Self {
        static ADMINISTRATOR: LazyLock<Vec<Arc<Policy>>> = LazyLock::new(|| {
            managed_policy("AdministratorAccess")
                .map(|managed| Arc::clone(&managed.policy))
                .into_iter()
                .collect()
        });
        let mut principal = Self::role_session(account, EXECUTION_ROLE, access_key_id, access_key_id);
        principal.user_id = access_key_id.to_owned();
        principal.root_key = access_key_id.to_owned();
        principal.policies = ADMINISTRATOR.clone();
        principal
    }

    /// `User` or `AssumedRole`, as `aws:PrincipalType` has it.
    pub fn kind(&self) -> &'static str {
        if self.user_name.is_some() { "User" } else { "AssumedRole" }
    }

    /// Did a session's token prove it?
    pub fn is_temporary(&self) -> bool {
        self.token_issued.is_some()
    }
}

/// From where and with what a request came.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The other end of the connection, when there is one.
    pub peer: Option<Peer>,
    /// The User-Agent header.
    pub user_agent: Option<String>,
}

impl Origin {
    /// The origin of a request.
    pub fn of(headers: &http::HeaderMap, extensions: &http::Extensions) -> Self {
        let user_agent = headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok());
        Self { peer: extensions.get::<Peer>().copied(), user_agent: user_agent.map(str::to_owned) }
    }
}

/// The other end of a connection. Whoever accepts connections adds it to each request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address: a proxy's, when there is one in between.
    pub address: IpAddr,
    /// Did the request come over TLS?
    pub secure: bool,
}
