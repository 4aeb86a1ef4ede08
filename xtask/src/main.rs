//! Chores of the repository: `cargo xtask models` (service models as facts) and `cargo xtask layers`
//! (who may depend on whom).

mod layers;
mod models;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["layers"] => layers::check(),
        ["models"] => models::write(),
        _ => bail!(
            "usage: cargo xtask layers   compare the crates' dependencies with the allowed edges\n       \
             cargo xtask models   write models/*.json from the botocore version pinned in models/scope.toml"
        ),
    }
}
