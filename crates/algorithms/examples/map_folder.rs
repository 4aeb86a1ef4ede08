//! Makes a t-SNE map of a folder with the layout of `/opt/ml`: `map_folder FOLDER [THREADS]`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next() else {
        eprintln!("usage: map_folder FOLDER [THREADS]");
        return ExitCode::from(2);
    };
    let mut out = std::io::stdout().lock();
    let result = match arguments.next().and_then(|threads| threads.parse().ok()) {
        Some(threads) => {
            sagebrush_algorithms::tsne::train_with_threads(Path::new(&folder), &mut out, threads)
        }
        None => sagebrush_algorithms::tsne::train(Path::new(&folder), &mut out),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
