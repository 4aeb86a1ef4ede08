//! Runs one contract: lays out `/opt/ml`, starts the program, hands up its lines and its end, packs
//! and unpacks artifacts. Reports events, decides nothing.
//!
//! Promises: a child gets only the environment its job names; it is the leader of its own process
//! group, so stopping it stops everything it started; when this process dies, however it dies, a
//! built-in child notices at its standard input and ends. Archives are unpacked inside their folder
//! or not at all.

mod artifact;
mod invoke;
mod layout;
mod lines;
mod ping;
mod process;
mod stage;

pub use artifact::{ArtifactError, pack, unpack};
pub use invoke::{Answer, ExecutionParameters, Invocation, InvokeError, ModelClient, Payload};
pub use layout::{Layout, read_message};
pub use ping::ping;
pub use process::{Exit, ProcessRun, Program, RunEvent, Stopper, kill_leftover};
pub use stage::{Shard, StageError, Staged, plain_files, relative_name, stage_prefix, store_folder};
