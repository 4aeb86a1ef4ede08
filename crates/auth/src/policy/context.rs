//! What a policy's conditions may ask about a request: the condition keys that are known here and
//! their values.
//!
//! A key that is not listed is an error when a policy is read: a condition that can never hold, or
//! always holds, would not be what its writer meant.

use std::borrow::Cow;
use std::net::IpAddr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::PolicyError;
use crate::Principal;

/// Values of a key: none when the request has no such key.
pub type Values<'a> = Vec<Cow<'a, str>>;

/// A known condition key. Keys ignore case; the part after the slash of a tag key does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key in AWS's spelling, or the prefix of a tag key with its slash.
    name: &'static str,
    /// The tag of `aws:RequestTag/<tag>`.
    tag: Option<String>,
}

/// Keys with one value, in AWS's spelling. `aws:SourceAccount` and `aws:SourceArn` are of calls that a
/// service makes for somebody; the trust policies that the SDKs write ask for them. No call here has them.
const SINGLE: &[&str] = &[
    "aws:CurrentTime",
    "aws:EpochTime",
    "aws:PrincipalAccount",
    "aws:PrincipalArn",
    "aws:PrincipalType",
    "aws:RequestedRegion",
    "aws:SecureTransport",
    "aws:SourceAccount",
    "aws:SourceArn",
    "aws:SourceIp",
    "aws:TokenIssueTime",
    "aws:UserAgent",
    "aws:userid",
    "aws:username",
    "iam:PassedToService",
    "s3:delimiter",
    "s3:max-keys",
    "s3:prefix",
    "sts:RoleSessionName",
];
/// Keys with any number of values: conditions on them need `ForAllValues:` or `ForAnyValue:`.
const MANY: &[&str] = &["aws:TagKeys", "sagemaker:InstanceTypes"];
/// Keys that name a tag after a slash.
const TAGS: &[&str] = &["aws:RequestTag/"];

impl Key {
    /// Reads a key.
    ///
    /// # Errors
    /// When it is not known, with the list of those that are.
    pub fn read(text: &str) -> Result<Self, PolicyError> {
        let same = |name: &&&'static str| name.eq_ignore_ascii_case(text);
        if let Some(name) = SINGLE.iter().chain(MANY).find(same) {
            return Ok(Self { name, tag: None });
        }
        for prefix in TAGS {
            if let (Some(head), Some(tag)) = (text.get(..prefix.len()), text.get(prefix.len()..))
                && head.eq_ignore_ascii_case(prefix)
                && !tag.is_empty()
            {
                return Ok(Self { name: prefix, tag: Some(tag.to_owned()) });
            }
        }
        let known: Vec<&str> = SINGLE.iter().chain(MANY).chain(TAGS).copied().collect();
        Err(PolicyError::new(format!(
            "the condition key '{text}' is not supported by this server. Supported: {}",
            known.join(", ")
        )))
    }

    /// Has the key any number of values?
    pub fn has_many_values(&self) -> bool {
        MANY.contains(&self.name)
    }
}

/// Facts of one operation that its service adds: key in AWS's spelling (a tag's key whole) and values.
pub type Facts = Vec<(Cow<'static, str>, Vec<String>)>;

/// A request as conditions see it.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// When.
    pub now: OffsetDateTime,
    /// From which address; absent for calls without a connection, as in tests.
    pub source: Option<IpAddr>,
    /// Over TLS?
    pub secure: bool,
    /// For which region.
    pub region: &'a str,
    /// The User-Agent header.
    pub user_agent: Option<&'a str>,
    /// What the service knows beyond that.
    pub facts: Cow<'a, [(Cow<'static, str>, Vec<String>)]>,
}

impl Context<'_> {
    /// The values of a key, or `None` when the request has no such key.
    pub fn values(&self, key: &Key) -> Option<Values<'_>> {
        let one = |value: Cow<'static, str>| Some(vec![value]);
        // Facts first: a simulation may say what is otherwise read off the request.
        if let Some(values) = self.fact(key.name, key.tag.as_deref()) {
            return Some(values);
        }
        match key.name {
            "aws:CurrentTime" => one(self.now.format(&Rfc3339).ok()?.into()),
            "aws:EpochTime" => one(self.now.unix_timestamp().to_string().into()),
            "aws:PrincipalAccount" => Some(vec![self.principal.account.as_str().into()]),
            "aws:PrincipalArn" => Some(vec![self.principal.source_arn.as_str().into()]),
            "aws:PrincipalType" => Some(vec![self.principal.kind().into()]),
            "aws:RequestedRegion" => Some(vec![self.region.into()]),
            "aws:SecureTransport" => one(if self.secure { "true" } else { "false" }.into()),
            "aws:SourceIp" => one(self.source?.to_string().into()),
            "aws:TokenIssueTime" => one(self.principal.token_issued?.format(&Rfc3339).ok()?.into()),
            "aws:UserAgent" => Some(vec![self.user_agent?.into()]),
            "aws:userid" => Some(vec![self.principal.user_id.as_str().into()]),
            "aws:username" => Some(vec![self.principal.user_name.as_deref()?.into()]),
            _ => None,
        }
    }

    fn fact(&self, name: &str, tag: Option<&str>) -> Option<Values<'_>> {
        let is_asked = |found: &str| match tag {
            None => found.eq_ignore_ascii_case(name),
            Some(tag) => found.strip_prefix(name) == Some(tag),
        };
        let (_, values) = self.facts.iter().find(|(found, _)| is_asked(found))?;
        Some(values.iter().map(|value| Cow::Borrowed(value.as_str())).collect())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::LazyLock;

    use super::*;

    /// A context whose user name holds a wildcard.
    pub(crate) fn context() -> Context<'static> {
        static PRINCIPAL: LazyLock<Principal> =
            LazyLock::new(|| Principal::user("123456789012", "ali*e", "AIDA1"));
        Context {
            principal: &PRINCIPAL,
            now: time::macros::datetime!(2026-11-24 12:00:00 UTC),
            source: Some(IpAddr::from([10, 1, 2, 3])),
            secure: false,
            region: "eu-west-1",
            user_agent: Some("Boto3/1.44.8"),
            facts: Cow::Owned(vec![
                ("aws:RequestTag/Team".into(), vec!["red".into()]),
                ("aws:TagKeys".into(), vec!["Team".into(), "Cost".into()]),
                ("s3:max-keys".into(), vec!["10".into()]),
            ]),
        }
    }

    #[test]
    fn keys_ignore_case_and_tags_do_not() {
        let context = context();
        let value = |key: &str| Key::read(key).ok().and_then(|key| context.values(&key).map(|v| v.join("|")));
        assert_eq!(value("AWS:RequestedRegion").as_deref(), Some("eu-west-1"));
        assert_eq!(value("aws:requesttag/Team").as_deref(), Some("red"));
        assert_eq!(value("aws:RequestTag/team"), None);
        assert_eq!(value("aws:TagKeys").as_deref(), Some("Team|Cost"));
        assert_eq!(value("aws:CurrentTime").as_deref(), Some("2026-11-24T12:00:00Z"));
        assert!(Key::read("aws:MultiFactorAuthPresent").is_err());
        assert!(Key::read("aws:RequestTag/").is_err());
    }
}
