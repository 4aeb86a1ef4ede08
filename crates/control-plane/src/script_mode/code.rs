//! A user's code: fetched and unpacked where the toolkit puts it.

use std::fs;
use std::path::{Path, PathBuf};

use sagebrush_object_store::ObjectStore;
use sagebrush_runner::{Layout, plain_files, unpack};
use sagebrush_types::{Failure, Outcome, s3_uri};
use serde_json::Value;

/// The list of requirements in a folder of code.
const REQUIREMENTS: &str = "requirements.txt";

/// Puts the code of `place` into `/opt/ml/code`: the gzipped tar at an S3 URI, or an archive or folder that
/// lies under `/opt/ml` already, as in a channel.
///
/// # Errors
/// `Invalid` for code that is not there or no archive, with words for the user.
pub async fn stage(objects: &ObjectStore, place: &str, layout: &Layout) -> Outcome<()> {
    let code = layout.root().join("code");
    fs::create_dir_all(&code).map_err(Failure::internal)?;
    if place.starts_with("s3://") {
        let (bucket, key) = s3_uri("sagemaker_submit_directory", place)?;
        let archive = layout.root().join("sourcedir.tar.gz");
        objects.fetch_object_to(bucket, key, &archive).await.map_err(|error| {
            Failure::invalid(format!("the source code {place} could not be downloaded: {error}"))
        })?;
        unpack_to(place, &archive, &code).await?;
        return fs::remove_file(archive).map_err(Failure::internal);
    }
    let place = place.trim_start_matches("file://").trim_end_matches('/');
    let here = layout.place(place).ok_or_else(|| {
        Failure::invalid(format!(
            "sagemaker_submit_directory: '{place}' is neither an S3 URI nor a place under /opt/ml."
        ))
    })?;
    if here == code {
        return Ok(());
    }
    let found = fs::symlink_metadata(&here)
        .map_err(|_| Failure::invalid(format!("sagemaker_submit_directory: there is no '{place}'.")))?;
    if found.is_file() {
        return unpack_to(place, &here, &code).await;
    }
    for (path, name) in plain_files(&here).map_err(Failure::internal)? {
        let target = code.join(name);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(Failure::internal)?;
        }
        fs::copy(path, target).map_err(Failure::internal)?;
    }
    Ok(())
}

async fn unpack_to(place: &str, archive: &Path, code: &Path) -> Outcome<()> {
    let (from, to) = (archive.to_path_buf(), code.to_path_buf());
    let unpacked =
        tokio::task::spawn_blocking(move || unpack(&from, &to)).await.map_err(Failure::internal)?;
    unpacked.map_err(|error| Failure::invalid(format!("the source code {place} cannot be used: {error}")))
}

/// Where a job's own list of requirements may lie, the likeliest first: beside the code, within the model,
/// in the SDK's channel of code, which also says another name.
pub fn requirements(layout: &Layout) -> Vec<PathBuf> {
    let root = layout.root();
    let channel = root.join("input/data/code");
    let mut places = vec![
        root.join("code").join(REQUIREMENTS),
        root.join("model/code").join(REQUIREMENTS),
        channel.join(REQUIREMENTS),
    ];
    let source = fs::read(root.join("input/data/sm_drivers/sourcecode.json")).ok();
    let source: Value = source.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let named = source["requirements"].as_str().map(str::to_owned);
    if let Some(name) = named.filter(|name| !name.split('/').any(|part| part == ".." || part.is_empty())) {
        places.push(channel.join(name));
    }
    places.push(root.join("processing/input/code").join(REQUIREMENTS));
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use sagebrush_runner::pack;

    #[tokio::test]
    async fn code_of_a_channel_is_found_packed_or_not() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let objects = ObjectStore::open(&folder.path().join("objects")).await?;
        let layout = Layout::new(folder.path().join("job"));
        let channel = layout.channel("code");
        fs::create_dir_all(channel.join("lib"))?;
        fs::write(channel.join("lib/a.py"), "a")?;
        stage(&objects, "/opt/ml/input/data/code", &layout).await?;
        assert_eq!(fs::read_to_string(layout.root().join("code/lib/a.py"))?, "a");
        let packed = Layout::new(folder.path().join("packed"));
        fs::create_dir_all(packed.channel("code"))?;
        pack(&channel, &packed.channel("code").join("sourcedir.tar.gz"))?;
        stage(&objects, "/opt/ml/input/data/code/sourcedir.tar.gz", &packed).await?;
        assert!(packed.root().join("code/lib/a.py").is_file());
        for wrong in ["/etc", "/opt/ml/../etc", "/opt/ml/nothing", "s3://nowhere/x.tar.gz"] {
            assert!(stage(&objects, wrong, &layout).await.is_err(), "{wrong}");
        }
        Ok(())
    }

    #[test]
    fn the_sdk_may_name_its_list_otherwise() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let layout = Layout::new(folder.path().into());
        let drivers = layout.channel("sm_drivers");
        fs::create_dir_all(&drivers)?;
        fs::write(drivers.join("sourcecode.json"), r#"{"requirements": "dev/needs.txt"}"#)?;
        assert!(requirements(&layout).contains(&layout.channel("code").join("dev/needs.txt")));
        fs::write(drivers.join("sourcecode.json"), r#"{"requirements": "../../x"}"#)?;
        assert!(!requirements(&layout).iter().any(|place| place.ends_with("x")));
        Ok(())
    }
}
