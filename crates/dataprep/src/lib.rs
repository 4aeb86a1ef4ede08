//! `sagebrush-sql`: the built-in processing program. It runs one SQL script under the SageMaker processing contract.
//!
//! Every folder below `processing/input` (except `code`) becomes a table; the statements of the script run in order
//! on an embedded DataFusion; `COPY ... TO '/opt/ml/processing/output/...'` writes the results. What each statement
//! did is printed line by line, because those lines become the job's log.
//!
//! Promises: the same script on the same inputs gives the same rows; a job that ends without a failure has written
//! every output its script names; nothing outside the given root is read or written, symbolic links included; the
//! memory of queries and tables stays under a stated limit, beyond which operators spill to a folder below the root.
//!
//! Never: network access, guesses about the type of a CSV column (they are all strings, as they stand in the file),
//! or values that could inject SQL.

mod arguments;
mod ensure;
mod failure;
mod input;
mod memory;
mod report;
mod root;
mod rooted_store;
mod script;
mod seeded_random;
mod session;

use std::io::Write;
use std::path::Path;
use std::pin::Pin;
use std::time::Instant;

pub use crate::failure::{FailureKind, PrepareFailure};
pub use crate::seeded_random::{SeedHash, seeded_random};

use crate::arguments::Arguments;
use crate::root::Root;
use crate::session::Session;

/// Where a failed run leaves its explanation, relative to the root. The platform shows the first kilobyte of it.
const MESSAGE_FILE: &str = "output/message";

/// How much of a failure message is kept: the platform shows one kilobyte.
const MESSAGE_BYTES: usize = 1024;

/// Runs the program once.
///
/// `root` stands for `/opt/ml`: in a container it is that folder, as a child process it is any other one.
/// `arguments` are the words after the program's name: `--script PATH` (default: the only `.sql` file under
/// `processing/input/code`), `--set NAME=VALUE` (repeatable; fills `${NAME}` in the script),
/// `--memory-limit SIZE` (for instance `2G`; default: half of the memory that is free) and `--threads N` (default:
/// the processors this process may use). Progress goes to `stdout`, one line per event.
///
/// # Errors
///
/// [`FailureKind::Client`] when the script, the arguments or the data are at fault, [`FailureKind::Internal`] when
/// the machine is. The text of the failure is then also in `output/message` below the root.
pub fn run<'a>(
    root: &'a Path,
    arguments: &'a [String],
    stdout: &'a mut (dyn Write + Send),
) -> Pin<Box<dyn Future<Output = Result<(), PrepareFailure>> + 'a>> {
    // Boxed so that the query engine's code is generated in this crate, not anew in every caller.
    Box::pin(async move {
        let outcome = prepare(root, arguments, stdout).await;
        if let Err(failure) = &outcome {
            leave_message(root, failure);
        }
        outcome
    })
}

async fn prepare(
    root: &Path,
    arguments: &[String],
    stdout: &mut (dyn Write + Send),
) -> Result<(), PrepareFailure> {
    let started = Instant::now();
    let arguments = Arguments::parse(arguments)?;
    let root = Root::open(root)?;
    let path = match &arguments.script {
        Some(path) => root.resolve(path)?,
        None => script::find(&root)?,
    };
    let script = script::load(&path, &root, &arguments.values)?;
    report::line(
        stdout,
        format_args!("script {}: {} statements", root.display(&path), script.statements.len()),
    )?;
    for name in &script.unused {
        report::line(stdout, format_args!("note: the script does not use --set {name}"))?;
    }
    let mut session = Session::open(&root, &arguments)?;
    session.register_inputs(stdout).await?;
    for statement in &script.statements {
        session.execute(statement, stdout).await?;
    }
    report::line(
        stdout,
        format_args!(
            "done: {} statements in {:.2} s",
            script.statements.len(),
            started.elapsed().as_secs_f64()
        ),
    )
}

/// Writes the failure where the platform looks for it. A root that cannot be written must not hide the failure
/// itself, so trouble here is only logged.
fn leave_message(root: &Path, failure: &PrepareFailure) {
    let path = root.join(MESSAGE_FILE);
    let text = report::clip(&failure.message, MESSAGE_BYTES);
    let written =
        path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text));
    if let Err(error) = written {
        tracing::warn!(%error, "the failure message could not be written");
    }
}
