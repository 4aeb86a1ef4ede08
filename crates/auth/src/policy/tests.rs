//! Evaluation as a whole: the rules of AWS's guide as examples, and properties.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::context::tests::context;
use super::*;
use crate::Principal;

fn policy(statements: Value) -> Policy {
    let document = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    Policy::read(&document, PolicyKind::Identity).unwrap_or_else(|error| panic!("{error}: {document}"))
}

fn decided(statements: Value, action: &str, resource: &str) -> Decision {
    let mut context = context();
    let principal = Principal { policies: vec![Arc::new(policy(statements))], ..context.principal.clone() };
    context.principal = &principal;
    decide(action, resource, &context)
}

fn holds(condition: Value) -> bool {
    let statement = json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition});
    decided(statement, "s3:GetObject", "arn:aws:s3:::b/k").is_allowed()
}

#[test]
fn nothing_is_allowed_unless_it_is_and_a_deny_wins() {
    let allow =
        json!({"Effect": "Allow", "Action": ["s3:Get*", "s3:list?ucket"], "Resource": "arn:aws:s3:::b/*"});
    let deny = json!({"Effect": "Deny", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/secret/*"});
    let both = json!([allow, deny]);
    let case = |action, key| decided(both.clone(), action, &format!("arn:aws:s3:::b/{key}"));
    assert_eq!(case("s3:GetObject", "a"), Decision::Allowed);
    assert_eq!(case("s3:ListBucket", "a"), Decision::Allowed);
    assert_eq!(case("s3:PutObject", "a"), Decision::ImplicitDeny);
    assert_eq!(case("s3:GetObject", "secret/a"), Decision::ExplicitDeny);
    assert_eq!(decided(both.clone(), "s3:GetObject", "arn:aws:s3:::c/a"), Decision::ImplicitDeny);
    assert_eq!(decided(both, "s3:GetObject", "*"), Decision::ImplicitDeny);
}

#[test]
fn the_negated_elements_mean_everything_else() {
    let statement = json!({"Effect": "Allow", "NotAction": "iam:*", "NotResource": "arn:aws:s3:::b/*"});
    assert!(decided(statement.clone(), "s3:GetObject", "arn:aws:s3:::c/k").is_allowed());
    assert!(!decided(statement.clone(), "s3:GetObject", "arn:aws:s3:::b/k").is_allowed());
    assert!(!decided(statement, "IAM:GetUser", "arn:aws:iam::1:user/a").is_allowed());
}

#[test]
fn a_session_policy_only_takes_away() {
    let mut context = context();
    let own = policy(json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*"}));
    let session =
        policy(json!({"Effect": "Allow", "Action": ["s3:GetObject", "sagemaker:*"], "Resource": "*"}));
    let principal = Principal {
        policies: vec![Arc::new(own)],
        session: Some(Arc::new(session)),
        ..context.principal.clone()
    };
    context.principal = &principal;
    assert_eq!(decide("s3:GetObject", "*", &context), Decision::Allowed);
    assert_eq!(decide("s3:PutObject", "*", &context), Decision::SessionDeny);
    assert_eq!(decide("sagemaker:ListModels", "*", &context), Decision::ImplicitDeny);
}

#[test]
fn operators_mean_what_the_guide_says() {
    let table = [
        (json!({"StringEquals": {"aws:username": "ali*e"}}), true),
        (json!({"StringEquals": {"aws:username": "a*"}}), false),
        (json!({"StringLike": {"aws:username": ["x", "a*"]}}), true),
        (json!({"StringNotLike": {"aws:username": ["x", "a*"]}}), false),
        (json!({"StringEqualsIgnoreCase": {"aws:RequestedRegion": "EU-West-1"}}), true),
        (json!({"StringNotEquals": {"aws:RequestedRegion": ["us-east-1", "eu-west-1"]}}), false),
        // A key that is not there: fails, unless negated or IfExists.
        (json!({"StringEquals": {"s3:prefix": ""}}), false),
        (json!({"StringNotEquals": {"s3:prefix": "x"}}), true),
        (json!({"StringEqualsIfExists": {"s3:prefix": "x"}}), true),
        (json!({"Null": {"s3:prefix": "true"}}), true),
        (json!({"Null": {"s3:prefix": false, "aws:username": "false"}}), false),
        (json!({"NumericLessThanEquals": {"s3:max-keys": "10"}}), true),
        (json!({"NumericLessThan": {"s3:max-keys": 10}}), false),
        (json!({"NumericNotEquals": {"s3:max-keys": 11}}), true),
        (json!({"DateGreaterThan": {"aws:CurrentTime": "2026-11-24T11:59:59Z"}}), true),
        (json!({"DateLessThan": {"aws:CurrentTime": "2026-11-24"}}), false),
        (json!({"DateEquals": {"aws:EpochTime": 1_795_521_600}}), true),
        (json!({"Bool": {"aws:SecureTransport": "true"}}), false),
        (json!({"Bool": {"aws:SecureTransport": false}}), true),
        (json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), true),
        (json!({"IpAddress": {"aws:SourceIp": ["10.1.2.4", "2001:db8::/32"]}}), false),
        (json!({"NotIpAddress": {"aws:SourceIp": "10.1.2.3/32"}}), false),
        (json!({"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}), true),
        (json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/*"}}), true),
        (json!({"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:user/*"}}), false),
        (json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["Team", "Cost", "Other"]}}), true),
        (json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["Team"]}}), false),
        (json!({"ForAnyValue:StringEquals": {"aws:TagKeys": ["Team"]}}), true),
        (json!({"ForAllValues:StringEquals": {"sagemaker:InstanceTypes": ["ml.m5.large"]}}), true),
        (json!({"ForAnyValue:StringEquals": {"sagemaker:InstanceTypes": ["ml.m5.large"]}}), false),
        (json!({"StringEquals": {"aws:RequestTag/Team": "red"}}), true),
        // Keys are all needed, values are alternatives.
        (json!({"StringEquals": {"aws:RequestTag/Team": ["blue", "red"], "aws:username": "bob"}}), false),
        (json!({"StringEquals": {"aws:RequestTag/Team": "${aws:username}"}}), false),
        (json!({"StringLike": {"aws:PrincipalArn": "*/${aws:username}"}}), true),
    ];
    for (condition, expected) in table {
        assert_eq!(holds(condition.clone()), expected, "{condition}");
    }
}

#[test]
fn what_is_not_understood_is_refused_with_its_place() {
    let with = |change: Value| {
        let mut statement = json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*"});
        for (name, value) in change.as_object().into_iter().flatten() {
            statement[name] = value.clone();
        }
        let document = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
        Policy::read(&document, PolicyKind::Identity).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(with(json!({})), "");
    let table = [
        (json!({"Effect": "allow"}), "Statement[0]: Effect must be Allow or Deny"),
        (json!({"Action": "GetObject"}), "Statement[0].Action: 'GetObject' is not an action"),
        (json!({"Resource": "bucket"}), "Statement[0].Resource: 'bucket' is not an ARN"),
        (json!({"NotAction": "s3:*"}), "Action and NotAction exclude each other"),
        (json!({"Principal": "*"}), "Principal does not belong"),
        (json!({"Resources": "*"}), "the element 'Resources' is unknown"),
        (json!({"Action": []}), "a text or a list of texts is expected"),
        (
            json!({"Condition": {"StringEqual": {"aws:username": "a"}}}),
            "operator 'StringEqual' is not supported",
        ),
        (json!({"Condition": {"StringEquals": {"aws:Username2": "a"}}}), "the condition key 'aws:Username2'"),
        (json!({"Condition": {"Bool": {"aws:SecureTransport": "yes"}}}), "'yes' is not true or false"),
        (
            json!({"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}}),
            "'10.0.0.0/33' is not an address",
        ),
        (json!({"Condition": {"StringEquals": {"aws:TagKeys": "a"}}}), "the key has several values"),
        (json!({"Condition": {"NullIfExists": {"s3:prefix": "true"}}}), "operator 'NullIfExists'"),
    ];
    for (change, expected) in table {
        let message = with(change.clone());
        assert!(message.contains(expected), "{change}: {message}");
    }
    for text in ["", "[]", r#"{"Statement": []}"#, r#"{"Version": "2012", "Statement": {}}"#] {
        assert!(Policy::read(text, PolicyKind::Identity).is_err(), "{text}");
    }
}

#[test]
fn trust_is_by_name_or_through_the_account() {
    let trust = |principal: Value| {
        let document = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]});
        let policy = Policy::read(&document.to_string(), PolicyKind::Trust).unwrap_or_else(|e| panic!("{e}"));
        trusts(&policy, "sts:AssumeRole", &context())
    };
    assert_eq!(trust(json!({"AWS": "arn:aws:iam::123456789012:user/ali*e"})), Trust::Named);
    assert_eq!(trust(json!({"AWS": ["123456789012"]})), Trust::Account);
    assert_eq!(trust(json!({"AWS": "arn:aws:iam::123456789012:root"})), Trust::Account);
    assert_eq!(trust(json!("*")), Trust::Account);
    assert_eq!(trust(json!({"AWS": "arn:aws:iam::123456789012:user/*"})), Trust::None);
    assert_eq!(trust(json!({"Service": "sagemaker.amazonaws.com"})), Trust::None);
}

fn any_statement() -> impl Strategy<Value = Value> {
    let actions = prop::sample::select(vec!["*", "s3:*", "s3:Get*", "s3:PutObject", "iam:*"]);
    let resources =
        prop::sample::select(vec!["*", "arn:aws:s3:::a/*", "arn:aws:s3:::b/k", "arn:aws:s3:::?/k"]);
    (any::<bool>(), any::<bool>(), any::<bool>(), actions, resources).prop_map(
        |(allow, not_action, not_resource, action, resource)| {
            let mut statement = json!({"Effect": if allow { "Allow" } else { "Deny" }});
            statement[if not_action { "NotAction" } else { "Action" }] = action.into();
            statement[if not_resource { "NotResource" } else { "Resource" }] = resource.into();
            statement
        },
    )
}

proptest! {
    /// The decision is the same as asking every statement alone: any deny denies, else any allow allows.
    #[test]
    fn statements_combine_by_the_rule(
        statements in prop::collection::vec(any_statement(), 1..6),
        action in prop::sample::select(vec!["s3:GetObject", "s3:PutObject", "iam:GetUser"]),
        resource in prop::sample::select(vec!["*", "arn:aws:s3:::a/k", "arn:aws:s3:::b/k", "arn:aws:s3:::b/l"]),
    ) {
        let alone: Vec<Decision> =
            statements.iter().map(|one| decided(one.clone(), action, resource)).collect();
        let expected = if alone.contains(&Decision::ExplicitDeny) {
            Decision::ExplicitDeny
        } else if alone.contains(&Decision::Allowed) {
            Decision::Allowed
        } else {
            Decision::ImplicitDeny
        };
        prop_assert_eq!(decided(json!(statements), action, resource), expected);
    }

    /// A deny added anywhere never lets more through.
    #[test]
    fn a_deny_never_adds_anything(
        mut statements in prop::collection::vec(any_statement(), 1..5),
        mut denied in any_statement(),
        at in 0usize..5,
    ) {
        denied["Effect"] = "Deny".into();
        let before = decided(json!(statements), "s3:GetObject", "arn:aws:s3:::a/k");
        statements.insert(at.min(statements.len()), denied);
        let after = decided(json!(statements), "s3:GetObject", "arn:aws:s3:::a/k");
        prop_assert!(!after.is_allowed() || before.is_allowed());
    }

    #[test]
    fn reading_never_panics(text in ".{0,200}") {
        let _ = Policy::read(&text, PolicyKind::Identity);
        let _ = Policy::read(&json!({"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": text, "Resource": text,
            "Condition": {text.clone(): {text.clone(): text}}}}).to_string(), PolicyKind::Identity);
    }
}
