//! Serves the Object2Vec model of a folder: `serve_folder MODEL_FOLDER [ADDRESS]`.

use std::path::PathBuf;

use sagebrush_algorithms::object2vec::Predictor;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: serve_folder MODEL_FOLDER [ADDRESS]")?);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("serving {} on {}", folder.display(), listener.local_addr()?);
    let load = move || Ok(Box::new(Predictor::load(&folder)?) as _);
    sagebrush_model_server::serve(load, listener, std::future::pending()).await?;
    Ok(())
}
