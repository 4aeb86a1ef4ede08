//! `load`: requests at full speed against one address, signed with SigV4 as an AWS client signs them,
//! and the same writes against a plain folder. Prints one JSON document with rates and latencies;
//! `benches/api/run.py` starts the servers and puts the documents side by side.
//!
//! Promises: every server is asked the same bytes by the same client; an answer that is not a
//! success is counted, and its first text shown. Never retries.

mod control;
mod folder;
mod measure;
mod objects;
mod sender;

use clap::{Parser, Subcommand};
use std::path::PathBuf;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    work: Work,
}

#[derive(Subcommand)]
enum Work {
    /// CreateTrainingJob, then DescribeTrainingJob of what was made.
    Control {
        #[command(flatten)]
        server: sender::Server,
        /// Jobs to create.
        #[arg(long, default_value_t = 800)]
        jobs: usize,
        /// Describes to send.
        #[arg(long, default_value_t = 20_000)]
        describes: usize,
    },
    /// Puts, then gets, of many small objects.
    SmallObjects {
        #[command(flatten)]
        server: sender::Server,
        #[command(flatten)]
        objects: measure::Objects,
    },
    /// Put, then get, of one large object.
    LargeObject {
        #[command(flatten)]
        server: sender::Server,
        /// Bytes of the object.
        #[arg(long, default_value_t = 1 << 30)]
        bytes: u64,
    },
    /// The same small writes and reads as files of a folder, each fsynced with its folder.
    SmallFiles {
        folder: PathBuf,
        #[command(flatten)]
        objects: measure::Objects,
    },
    /// The same large write and read as one file, fsynced.
    LargeFile {
        folder: PathBuf,
        /// Bytes of the file.
        #[arg(long, default_value_t = 1 << 30)]
        bytes: u64,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let report = match Arguments::parse().work {
        Work::Control { server, jobs, describes } => control::run(server.connect()?, jobs, describes).await?,
        Work::SmallObjects { server, objects } => objects::small(server.connect()?, objects).await?,
        Work::LargeObject { server, bytes } => objects::large(server.connect()?, bytes).await?,
        Work::SmallFiles { folder, objects } => folder::small(&folder, objects)?,
        Work::LargeFile { folder, bytes } => folder::large(&folder, bytes)?,
    };
    println!("{report}");
    Ok(())
}
