//! `sagebrush env`: shell commands that point AWS clients at a server.

mod intercept;

use std::path::PathBuf;

use crate::data_dir::{read_credentials, read_server_info};

/// Options of `sagebrush env`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  eval \"$(sagebrush env --data-dir ./sagebrush-data)\"
  aws s3 ls
  python3 -c 'import boto3; print(boto3.client(\"sts\").get_caller_identity())'

  sagebrush serve --intercept &
  eval \"$(sagebrush env --intercept)\"
  python3 -c 'import sagemaker; print(sagemaker.Session().default_bucket())'")]
pub struct EnvArgs {
    /// The server's data folder.
    #[arg(long, default_value = "sagebrush-data", env = "SAGEBRUSH_DATA_DIR")]
    data_dir: PathBuf,
    /// Also send calls to AWS's host names to the server, for clients that make them whatever
    /// AWS_ENDPOINT_URL says (the SageMaker SDK calls STS so). The server must run with --intercept.
    #[arg(long)]
    intercept: bool,
    /// With --intercept: certificate authorities that clients trust beside the server's own, as a PEM file.
    /// Without it, those that AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE or SSL_CERT_FILE name, or the system's.
    #[arg(long, value_name = "FILE", requires = "intercept")]
    ca_bundle: Option<PathBuf>,
}

/// Prints the exports.
pub fn run(args: &EnvArgs) -> anyhow::Result<()> {
    let info = read_server_info(&args.data_dir)?;
    let key = read_credentials(&args.data_dir)?;
    let mut exports: Vec<(&str, String)> = [
        ("AWS_ENDPOINT_URL", info.endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", key.id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", key.secret.expose()),
        ("AWS_DEFAULT_REGION", info.region.as_str()),
        ("AWS_REGION", info.region.as_str()),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into();
    if args.intercept {
        exports.extend(intercept::exports(&args.data_dir, &info, args.ca_bundle.as_deref())?);
    }
    for (name, value) in exports {
        println!("export {name}='{}'", value.replace('\'', "'\\''"));
    }
    // A session token or profile of real AWS would be sent along with the key above.
    println!("unset AWS_SESSION_TOKEN AWS_PROFILE");
    Ok(())
}
