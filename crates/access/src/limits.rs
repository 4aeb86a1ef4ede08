//! Every ceiling of this crate with its reason.

use std::time::Duration;

/// Users of a data folder. All identities are one file that is written whole, with every change.
pub const USERS: usize = 1000;

/// Roles of a data folder: AWS's default quota, and see [`USERS`].
pub const ROLES: usize = 1000;

/// Access keys of one user: AWS's fixed quota, enough to rotate.
pub const KEYS_PER_USER: usize = 2;

/// Policies of one user or role, inline and attached each. A decision reads all of them.
pub const POLICIES: usize = 20;

/// Time to wait for another process that changes the identities. A change takes milliseconds.
pub const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Seconds of a session of AssumeRole and GetSessionToken at least: AWS's documented bound.
pub const SESSION_SECONDS_MIN: i64 = 900;
/// Seconds of a session of AssumeRole when the caller names none: AWS's default.
pub const ROLE_SESSION_SECONDS: i64 = 3600;
/// The longest that a role may allow: AWS's documented bound of 12 hours.
pub const ROLE_SESSION_SECONDS_MAX: i64 = 43_200;
/// Seconds of GetSessionToken when the caller names none: AWS's default of 12 hours.
pub const TOKEN_SECONDS: i64 = 43_200;
/// The longest session of GetSessionToken: AWS's documented bound of 36 hours.
pub const TOKEN_SECONDS_MAX: i64 = 129_600;

/// Seconds of a registry password: ECR's 12 hours.
pub const REGISTRY_PASSWORD_SECONDS: i64 = 43_200;
/// Seconds of a password with which an engine pulls an image for this server: the largest image over a slow
/// disk takes less.
pub const PULL_PASSWORD_SECONDS: i64 = 3600;

/// Simulations of roles that do not exist that are remembered at once. Each is asked about again within a
/// second or never.
pub const UNVERIFIABLE: usize = 256;

/// Bytes of lines that wait to be written to the audit log: about 12,000 lines, more than come in a tenth of
/// a second.
pub const AUDIT_QUEUE_BYTES: usize = 4 << 20;
/// Bytes of one file of the audit log, about 50,000 lines: small enough to read, large enough to be few.
pub const AUDIT_FILE_BYTES: u64 = 16 << 20;
/// Rotated files that are kept, beside the one that is written: 256 MiB together.
pub const AUDIT_FILES: usize = 15;
/// Characters of a client's text in a line: the longest honest resource is a key of 1,024 bytes.
pub const AUDIT_FIELD_CHARS: usize = 1100;
/// Lines that senders without proof may leave at once; they get one more each second. At 400 bytes a line they
/// need a week of asking to fill the log, and a person who mistypes a key leaves a trace all the same.
pub const AUDIT_UNPROVEN_BURST: i64 = 200;
