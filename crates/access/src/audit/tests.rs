use super::*;
use crate::limits::{AUDIT_FILE_BYTES, AUDIT_FILES};

fn entry(operation: &str) -> Entry {
    Entry {
        access_key_id: "AKIA1".into(),
        principal: "arn:aws:iam::123456789012:user/alice".into(),
        service: "s3".into(),
        operation: operation.into(),
        status: 200,
        ..Entry::default()
    }
}

fn lines(root: &Path, filter: &Filter) -> Vec<Entry> {
    let mut found = Vec::new();
    let told = read(root, filter, |entry| {
        found.push(entry);
        Ok(())
    });
    told.expect("readable");
    found
}

#[tokio::test]
async fn a_change_is_in_the_file_when_its_write_returns() {
    let folder = tempfile::tempdir().expect("a folder");
    let audit = Audit::open(folder.path(), Clock::system()).expect("a log");
    let origin = Origin { user_agent: Some("x".repeat(5000)), ..Origin::default() };
    for index in 0..20 {
        audit.write(entry(&format!("PutObject{index}")), &origin, Effect::Changes).await;
        let found = lines(folder.path(), &Filter::default());
        assert_eq!(found.len(), index + 1);
        assert!(found[index].user_agent.chars().count() <= AUDIT_FIELD_CHARS + 1);
    }
    drop(audit);
    // A cut-off line does not hide what comes after it.
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(folder.path().join("audit/audit.jsonl"))
        .expect("a file");
    file.write_all(b"{\"time\":\"20").expect("written");
    let audit = Audit::open(folder.path(), Clock::system()).expect("a log");
    audit.write(entry("DeleteObject"), &origin, Effect::Changes).await;
    assert_eq!(lines(folder.path(), &Filter::default()).len(), 21);
}

#[tokio::test]
async fn lines_are_filtered() {
    let folder = tempfile::tempdir().expect("a folder");
    let audit = Audit::open(folder.path(), Clock::system()).expect("a log");
    let denied = Entry { status: 400, error: "AccessDeniedException".into(), ..entry("CreateModel") };
    let other = Entry { access_key_id: "AKIA2".into(), ..entry("GetObject") };
    for line in [denied, other, entry("PutObject")] {
        audit.write(line, &Origin::default(), Effect::Changes).await;
    }
    let count = |filter: Filter| lines(folder.path(), &filter).len();
    assert_eq!(count(Filter::default()), 3);
    assert_eq!(count(Filter { denied: true, ..Filter::default() }), 1);
    assert_eq!(count(Filter { key: Some("AKIA2".into()), ..Filter::default() }), 1);
    assert_eq!(count(Filter { operation: Some("s3:GetObject".into()), ..Filter::default() }), 1);
    assert_eq!(count(Filter { operation: Some("PutObject".into()), ..Filter::default() }), 1);
    let later = Clock::system().now() + time::Duration::hours(1);
    assert_eq!(count(Filter { since: Some(later), ..Filter::default() }), 0);
}

#[test]
fn the_log_has_a_ceiling() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut files = writer::Files::open(folder.path(), Clock::system()).expect("files");
    let line = vec![b'x'; (AUDIT_FILE_BYTES / 2 + 1) as usize];
    for _ in 0..AUDIT_FILES + 3 {
        files.write_for_test(&line);
    }
    let rotated = read::rotated(folder.path()).expect("a listing");
    assert_eq!(rotated.len(), AUDIT_FILES);
}

#[test]
fn what_gives_out_credentials_is_a_change() {
    assert_eq!(Effect::of("GetSessionToken"), Effect::Changes);
    assert_eq!(Effect::of("CreateModel"), Effect::Changes);
    assert_eq!(Effect::of("UploadPart"), Effect::Changes);
    assert_eq!(Effect::of("GetObject"), Effect::Reads);
    assert_eq!(Effect::of("InvokeEndpoint"), Effect::Reads);
    assert_eq!(Effect::of(""), Effect::Reads);
}

#[tokio::test]
async fn who_is_not_proven_cannot_push_others_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let audit = Audit::open(folder.path(), sagebrush_env::SimulatedClock::at(0).clock()).expect("a log");
    let unproven = Entry { principal: String::new(), status: 403, ..entry("") };
    for _ in 0..AUDIT_UNPROVEN_BURST + 50 {
        audit.write(unproven.clone(), &Origin::default(), Effect::Reads).await;
    }
    audit.write(entry("PutObject"), &Origin::default(), Effect::Changes).await;
    let found = lines(folder.path(), &Filter::default());
    assert_eq!(found.iter().filter(|line| line.principal.is_empty() && line.lost == 0).count(), 200);
    assert_eq!(found.iter().map(|line| line.lost).sum::<u64>(), 50);
    assert!(found.iter().any(|line| line.operation == "PutObject"));
}

#[test]
fn an_allowance_grows_with_time_and_has_a_bound() {
    let mut allowance = Allowance { left: 1, at: 0 };
    assert_eq!([0, 500, 1500, 1600].map(|now| allowance.take(now)), [true, false, true, false]);
    assert!(allowance.take(1_000_000_000));
    assert_eq!(allowance.left, AUDIT_UNPROVEN_BURST - 1);
}
