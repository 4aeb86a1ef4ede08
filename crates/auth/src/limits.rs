//! Every ceiling of this crate with its reason.

/// Bytes of one policy document: AWS's quota for a managed policy (6,144 characters without blanks)
/// and a role's policies together (10,240), rounded up for blanks. It bounds what a decision costs.
pub const POLICY_BYTES: usize = 16 << 10;

/// Statements of one policy: more do not fit into [`POLICY_BYTES`] with room to say anything.
pub const POLICY_STATEMENTS: usize = 200;

/// Characters of a session policy: AWS's documented limit. It travels in every session token.
pub const SESSION_POLICY_CHARS: usize = 2048;

/// Bytes of a session token that is read: ours have less than 5 KiB with the longest session policy.
pub const SESSION_TOKEN_BYTES: usize = 8 << 10;

/// Bytes of a registry password that is read: it may have a session token in it, half as long again.
pub const REGISTRY_PASSWORD_BYTES: usize = 16 << 10;
