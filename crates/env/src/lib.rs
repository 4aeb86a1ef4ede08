//! The only door to the clock, to randomness and to durable file writes, with a simulated twin of
//! the clock for tests.
//!
//! Promises: nothing here decides anything; a durable write that returned `Ok` survives power loss
//! as far as the operating system's fsync does.

mod clock;
pub mod durable;
mod group_sync;
mod identifier;

pub use clock::{Clock, SimulatedClock};
pub use group_sync::{GroupSync, SyncFailed, Synced};
pub use identifier::{random_hex, secret_text};
