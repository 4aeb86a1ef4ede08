use sagebrush_auth::policy::{Context, Decision, decide};

use super::*;
use crate::{IdentityFile, NewRole, NewSession, Owner};

const NOW: OffsetDateTime = time::macros::datetime!(2026-11-24 12:00:00 UTC);

fn first() -> AccessKey {
    AccessKey { id: "AKIAFIRST".into(), secret: SecretKey::new("first".into()) }
}

fn open(root: &Path) -> Directory {
    Directory::open(root, "123456789012", first()).unwrap_or_else(|error| panic!("{error}"))
}

fn context(principal: &Principal) -> Context<'_> {
    Context {
        principal,
        now: NOW,
        source: None,
        secure: false,
        region: "us-east-1",
        user_agent: None,
        facts: (&[]).into(),
    }
}

/// A user with a key and everything allowed; the key.
fn user(file: &IdentityFile, name: &str) -> AccessKey {
    let made = file.change(|records| {
        records.create_user(name, 0)?;
        records.attach_policy(Owner::User(name), "AdministratorAccess")?;
        records.create_access_key(name, 0)
    });
    made.unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn changes_of_another_process_hold_from_the_next_request_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = open(folder.path());
    // Another process is another handle on the same file.
    let other = IdentityFile::of(folder.path());
    let key = user(&other, "alice");
    let found = directory.find(&key.id, None, NOW).expect("the key is known");
    assert_eq!(found.secret.expose(), key.secret.expose());
    assert_eq!(found.principal.arn, "arn:aws:iam::123456789012:user/alice");
    other.change(|records| records.set_key_status(&key.id, None, KeyStatus::Inactive)).expect("a change");
    assert_eq!(directory.find(&key.id, None, NOW).err(), Some(AuthFailure::UnknownKey));
    other.change(|records| records.set_key_status(&key.id, None, KeyStatus::Active)).expect("a change");
    assert!(directory.find(&key.id, None, NOW).is_ok());
    other.change(|records| records.delete_access_key(&key.id, Some("alice"))).expect("a change");
    assert_eq!(directory.find(&key.id, None, NOW).err(), Some(AuthFailure::UnknownKey));
    assert!(directory.find("AKIAFIRST", None, NOW).is_ok());
}

#[test]
fn what_cannot_be_read_lets_nobody_in_but_the_first_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = open(folder.path());
    let key = user(directory.file(), "alice");
    assert!(directory.find(&key.id, None, NOW).is_ok());
    std::fs::write(folder.path().join("access/identities.json"), b"{").expect("a write");
    assert_eq!(directory.find(&key.id, None, NOW).err(), Some(AuthFailure::UnknownKey));
    assert!(directory.find("AKIAFIRST", None, NOW).is_ok());
}

#[test]
fn secrets_are_for_their_owner_and_survive() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let key = user(open(folder.path()).file(), "alice");
    for name in ["identities.json", "session-key"] {
        let found = std::fs::metadata(folder.path().join("access").join(name)).expect("a file");
        assert_eq!(found.permissions().mode() & 0o777, 0o600, "{name}");
    }
    assert!(open(folder.path()).find(&key.id, None, NOW).is_ok());
}

#[test]
fn sessions_act_as_their_key_end_with_it_and_expire() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = open(folder.path());
    let key = user(directory.file(), "alice");
    let alice = directory.find(&key.id, None, NOW).expect("the key is known").principal;
    let session = directory.session_token(&alice, Some(900), NOW).expect("a session");
    // Also after a restart.
    let directory = open(folder.path());
    let find = |at| directory.find(&session.id, Some(&session.token), at);
    let found = find(NOW).expect("the session is known");
    assert_eq!(found.principal.arn, alice.arn);
    assert_eq!(found.secret.expose(), session.secret.expose());
    assert_eq!(decide("s3:GetObject", "*", &context(&found.principal)), Decision::Allowed);
    assert!(find(NOW + time::Duration::seconds(899)).is_ok());
    assert_eq!(find(NOW + time::Duration::seconds(900)).err(), Some(AuthFailure::ExpiredToken));
    assert_eq!(directory.find(&session.id, None, NOW).err(), Some(AuthFailure::InvalidToken));
    assert_eq!(directory.find(&key.id, Some(&session.token), NOW).err(), Some(AuthFailure::InvalidToken));
    assert!(directory.session_token(&found.principal, None, NOW).is_err());
    assert!(directory.session_token(&alice, Some(899), NOW).is_err());
    assert!(directory.session_token(&alice, Some(129_601), NOW).is_err());
    let change = |records: &mut Records| records.set_key_status(&key.id, None, KeyStatus::Inactive);
    directory.file().change(change).expect("a change");
    assert_eq!(find(NOW).err(), Some(AuthFailure::InvalidToken));
}

#[test]
fn a_role_is_assumed_by_whom_it_trusts() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = open(folder.path());
    let made = directory.file().change(|records| {
        records.create_user("bob", 0)?;
        records.create_access_key("bob", 0)
    });
    let bob_key = made.expect("a key").id;
    let bob = directory.find(&bob_key, None, NOW).expect("the key is known").principal;
    let alice_key = user(directory.file(), "alice").id;
    let alice = directory.find(&alice_key, None, NOW).expect("the key is known").principal;
    let trust = |principal: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":"sts:AssumeRole"}}]}}"#
        )
    };
    let read =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}]}"#;
    let changed = directory.file().change(|records| {
        let account = trust("123456789012");
        records.create_role(NewRole { name: "account", trust: &account, ..NewRole::default() }, 0)?;
        let named = trust("arn:aws:iam::123456789012:user/bob");
        let new = NewRole { name: "named", trust: &named, path: Some("/team/"), ..NewRole::default() };
        records.create_role(new, 0)?;
        records.put_policy(Owner::Role("named"), "read", read)
    });
    changed.expect("a change");
    let assume = |who: &Principal, arn: &str, policy| {
        let asked = NewSession { role_arn: arn, name: "work", seconds: None, policy };
        directory.assume_role(&context(who), asked)
    };
    let account = "arn:aws:iam::123456789012:role/account";
    let named = "arn:aws:iam::123456789012:role/team/named";
    assert!(assume(&alice, account, None).is_ok());
    assert!(matches!(assume(&bob, account, None), Err(IdentityFailure::Denied(_))));
    assert!(matches!(assume(&alice, named, None), Err(IdentityFailure::Denied(_))));
    assert!(matches!(
        assume(&alice, "arn:aws:iam::123456789012:role/other", None),
        Err(IdentityFailure::Denied(_))
    ));
    let (key, _, principal) = assume(&bob, named, None).expect("bob is named");
    assert_eq!(principal.arn, "arn:aws:sts::123456789012:assumed-role/named/work");
    let may = |key: &SessionKey, action| {
        let found = directory.find(&key.id, Some(&key.token), NOW).expect("the session is known");
        decide(action, "*", &context(&found.principal))
    };
    assert_eq!(may(&key, "s3:GetObject"), Decision::Allowed);
    assert_eq!(may(&key, "s3:PutObject"), Decision::ImplicitDeny);
    let (key, ..) =
        assume(&bob, named, Some(&read.replace("s3:Get*", "s3:GetBucketLocation"))).expect("a session");
    assert_eq!(may(&key, "s3:GetObject"), Decision::SessionDeny);
    let change = |records: &mut Records| {
        records.delete_policy(Owner::Role("named"), "read")?;
        records.delete_role("named")
    };
    directory.file().change(change).expect("a change");
    assert_eq!(directory.find(&key.id, Some(&key.token), NOW).err(), Some(AuthFailure::InvalidToken));
}

#[test]
fn the_first_keys_role_can_be_assumed_and_not_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = open(folder.path());
    let first = directory.find("AKIAFIRST", None, NOW).expect("the key is known").principal;
    assert_eq!(first.arn, "arn:aws:sts::123456789012:assumed-role/SagebrushExecutionRole/AKIAFIRST");
    let role_arn = "arn:aws:iam::123456789012:role/SagebrushExecutionRole";
    let asked = NewSession { role_arn, name: "work", seconds: Some(43_200), policy: None };
    assert!(directory.assume_role(&context(&first), asked).is_ok());
    let refused = directory.file().change(|records| records.delete_role(EXECUTION_ROLE));
    assert!(matches!(refused, Err(IdentityFailure::Unmodifiable(_))));
}

#[test]
fn changes_at_the_same_time_are_all_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for index in 0..5 {
                    let name = format!("u{thread}-{index}");
                    let made =
                        IdentityFile::of(root).change(|records| records.create_user(&name, 0).map(drop));
                    assert!(made.is_ok(), "{made:?}");
                }
            });
        }
    });
    assert_eq!(IdentityFile::of(root).read().map(|records| records.users.len()), Ok(20));
}
