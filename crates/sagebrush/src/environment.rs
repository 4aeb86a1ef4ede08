//! `sagebrush env`: shell commands that point AWS clients at a server.

use std::path::PathBuf;

use crate::data_dir::{read_credentials, read_server_info};

/// Options of `sagebrush env`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  eval \"$(sagebrush env --data-dir ./sagebrush-data)\"
  aws s3 ls
  python3 -c 'import boto3; print(boto3.client(\"sts\").get_caller_identity())'")]
pub struct EnvArgs {
    /// The server's data folder.
    #[arg(long, default_value = "sagebrush-data", env = "SAGEBRUSH_DATA_DIR")]
    data_dir: PathBuf,
}

/// Prints the exports.
pub fn run(args: &EnvArgs) -> anyhow::Result<()> {
    let info = read_server_info(&args.data_dir)?;
    let key = read_credentials(&args.data_dir)?;
    let exports = [
        ("AWS_ENDPOINT_URL", info.endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", key.id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", key.secret.expose()),
        ("AWS_DEFAULT_REGION", info.region.as_str()),
        ("AWS_REGION", info.region.as_str()),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    for (name, value) in exports {
        println!("export {name}='{}'", value.replace('\'', "'\\''"));
    }
    // A session token or profile of real AWS would be sent along with the key above.
    println!("unset AWS_SESSION_TOKEN AWS_PROFILE");
    Ok(())
}
