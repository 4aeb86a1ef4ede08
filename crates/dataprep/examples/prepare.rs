//! Runs the processing program on a folder: `prepare ROOT [ARGUMENTS]`. For benchmarks and for trying out scripts
//! without the server.

use std::path::PathBuf;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let Some(root) = words.next().map(PathBuf::from) else {
        eprintln!("usage: prepare ROOT [--script PATH] [--set NAME=VALUE]...");
        return ExitCode::from(2);
    };
    let arguments: Vec<String> = words.collect();
    match sagebrush_dataprep::run(&root, &arguments, &mut std::io::stdout()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
