//! Runs one contract: lays out `/opt/ml`, starts the program, hands up its lines and its end, packs
//! and unpacks artifacts. Reports events, decides nothing.
//!
//! Promises: a program gets only the environment its job names; a child is the leader of its own process
//! group, and a container is one, so stopping it stops everything it started; when this process dies,
//! however it dies, a built-in child or the keeper of a sandbox notices at its standard input and ends.
//! What users bring runs in a sandbox or a container. Archives are unpacked inside their folder or not at
//! all.

mod artifact;
mod container;
mod invoke;
mod layout;
mod lines;
mod ping;
mod pipe;
mod process;
pub mod python;
mod relay;
mod run;
pub mod sandbox;
pub mod script;
mod stage;

pub use artifact::{ArtifactError, pack, unpack};
pub use container::{
    Container, ContainerError, ContainerLimits, ContainerRun, Engine, Guard, Leftovers, MOST_HOSTS, Mount,
    Network, Pull, keep_guard,
};
pub use invoke::{Answer, ExecutionParameters, Invocation, InvokeError, ModelClient, Payload};
pub use layout::{Layout, read_message};
pub use ping::ping;
pub use pipe::PipeFeed;
pub use process::{Process, ProcessRun, kill_leftover};
pub use relay::{ModelPrefix, Relay, RelayManner, RelayedContainer};
pub use run::{Exit, Program, Run, RunError, RunEvent, Stopper};
pub use stage::{
    Shard, StageError, Staged, is_folder, open_beneath, plain_files, relative_name, stage_prefix,
    store_folder,
};
