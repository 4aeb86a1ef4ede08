//! `sagebrush algorithm`: the built-in algorithms under the container contract. The server starts
//! this program again as a child; in an image the same command line is the entry point.

use std::io::{Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sagebrush_algorithms::{LoadError, Predict, TrainFailure, object2vec, title_embedding, tsne, ubcf};
use sagebrush_control_plane::{BuiltIn, MetricDefinition};

/// The exit code of a program that failed, as the contract asks for any but 0.
const FAILED: u8 = 1;

/// Options of `sagebrush algorithm`.
#[derive(clap::Args)]
pub struct AlgorithmArgs {
    /// The folder that stands for /opt/ml.
    #[arg(long, default_value = "/opt/ml", env = "SAGEBRUSH_ML_ROOT")]
    root: PathBuf,
    /// Threads that may work; as many as pay on this machine when it is not given.
    #[arg(long, env = "SAGEBRUSH_THREADS")]
    threads: Option<usize>,
    #[command(subcommand)]
    algorithm: Algorithm,
}

#[derive(clap::Subcommand)]
enum Algorithm {
    /// Embeddings of pairs of objects.
    Object2vec {
        #[command(subcommand)]
        task: Task,
    },
    /// Recommendations by users with similar ratings.
    Ubcf {
        #[command(subcommand)]
        task: Task,
    },
    /// Vectors of titles from pretrained word vectors.
    #[command(name = "title_embedding")]
    TitleEmbedding {
        #[command(subcommand)]
        task: Task,
    },
    /// A map of the plane of vectors.
    Tsne {
        #[command(subcommand)]
        task: TrainTask,
    },
    /// Data preparation with SQL.
    Sql {
        /// Arguments of the processing job.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[derive(clap::Subcommand)]
enum Task {
    /// Train on the channels under the folder.
    Train,
    /// Serve the model under the folder.
    Serve {
        /// Port to listen on.
        #[arg(long, default_value_t = 8080, env = "SAGEMAKER_BIND_TO_PORT")]
        port: u16,
        /// Address to listen on.
        #[arg(long, default_value = "0.0.0.0", env = "SAGEBRUSH_BIND_TO_ADDRESS")]
        address: IpAddr,
    },
}

#[derive(clap::Subcommand)]
enum TrainTask {
    /// Train on the channels under the folder.
    Train,
}

/// The built-in algorithms as the control plane starts them.
pub fn built_ins() -> Vec<BuiltIn> {
    vec![
        BuiltIn {
            repository: object2vec::ALGORITHM_NAME,
            train: Some(&["algorithm", "object2vec", "train"]),
            serve: Some(&["algorithm", "object2vec", "serve"]),
            process: None,
            metric_definitions: definitions(object2vec::METRIC_DEFINITIONS),
        },
        BuiltIn {
            repository: ubcf::ALGORITHM_NAME,
            train: Some(&["algorithm", "ubcf", "train"]),
            serve: Some(&["algorithm", "ubcf", "serve"]),
            process: None,
            metric_definitions: definitions(ubcf::METRIC_DEFINITIONS),
        },
        BuiltIn {
            repository: title_embedding::ALGORITHM_NAME,
            train: Some(&["algorithm", "title_embedding", "train"]),
            serve: Some(&["algorithm", "title_embedding", "serve"]),
            process: None,
            metric_definitions: definitions(title_embedding::METRIC_DEFINITIONS),
        },
        BuiltIn {
            repository: tsne::ALGORITHM_NAME,
            train: Some(&["algorithm", "tsne", "train"]),
            serve: None,
            process: None,
            metric_definitions: definitions(tsne::METRIC_DEFINITIONS),
        },
        BuiltIn {
            repository: "sagebrush-sql",
            train: None,
            serve: None,
            process: Some(&["algorithm", "sql", "--"]),
            metric_definitions: Vec::new(),
        },
    ]
}

fn definitions(metrics: &'static [(&str, &str)]) -> Vec<MetricDefinition> {
    metrics.iter().map(|(name, regex)| MetricDefinition { name, regex }).collect()
}

/// Runs an algorithm; its exit code is the contract's.
pub fn run(args: AlgorithmArgs) -> ExitCode {
    if std::env::var("SAGEBRUSH_LIFELINE").is_ok_and(|lifeline| lifeline == "stdin") {
        std::thread::spawn(end_with_standard_input);
    }
    let outcome = match args.algorithm {
        Algorithm::Object2vec { task: Task::Train } => {
            train(&args.root, args.threads, object2vec::train, object2vec::train_with_threads)
        }
        Algorithm::Ubcf { task: Task::Train } => {
            train(&args.root, args.threads, ubcf::train, ubcf::train_with_threads)
        }
        Algorithm::TitleEmbedding { task: Task::Train } => {
            title_embedding::train(&args.root, &mut std::io::stdout().lock()).map_err(anyhow::Error::from)
        }
        Algorithm::Tsne { task: TrainTask::Train } => {
            train(&args.root, args.threads, tsne::train, tsne::train_with_threads)
        }
        Algorithm::Object2vec { task: Task::Serve { port, address } } => {
            let model = args.root.join("model");
            crate::block_on(serve(move || Ok(Box::new(object2vec::Predictor::load(&model)?)), address, port))
        }
        Algorithm::Ubcf { task: Task::Serve { port, address } } => {
            let model = args.root.join("model");
            crate::block_on(serve(move || Ok(Box::new(ubcf::Predictor::load(&model)?)), address, port))
        }
        Algorithm::TitleEmbedding { task: Task::Serve { port, address } } => {
            let load = title_embedding::Predictor::load;
            let model = args.root.join("model");
            crate::block_on(serve(move || Ok(Box::new(load(&model)?)), address, port))
        }
        Algorithm::Sql { arguments } => crate::block_on(prepare(args.root, arguments)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(FAILED)
        }
    }
}

/// The server holds the other end of standard input: when it is gone, so is the work's owner.
fn end_with_standard_input() {
    let mut buffer = [0u8; 64];
    loop {
        match std::io::stdin().read(&mut buffer) {
            Ok(0) | Err(_) => std::process::exit(i32::from(FAILED)),
            Ok(_) => {}
        }
    }
}

/// Trains on the folder; the lines go to standard output.
fn train(
    root: &Path,
    threads: Option<usize>,
    with_best: fn(&Path, &mut dyn Write) -> Result<(), TrainFailure>,
    with_given: fn(&Path, &mut dyn Write, usize) -> Result<(), TrainFailure>,
) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    let trained = match threads {
        Some(threads) => with_given(root, &mut stdout, threads),
        None => with_best(root, &mut stdout),
    };
    Ok(trained?)
}

async fn serve(
    load: impl FnOnce() -> Result<Box<dyn Predict>, LoadError> + Send + 'static,
    address: IpAddr,
    port: u16,
) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind((address, port)).await?;
    sagebrush_model_server::serve(load, listener, crate::serve::told_to_end()).await?;
    Ok(())
}

async fn prepare(root: PathBuf, arguments: Vec<String>) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    sagebrush_dataprep::run(&root, &arguments, &mut stdout).await?;
    stdout.flush()?;
    Ok(())
}
