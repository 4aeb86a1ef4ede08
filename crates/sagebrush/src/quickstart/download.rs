//! `--download`: the real goodbooks-10k files from their public home, checked before they are used.
//!
//! Promises: what does not have the pinned SHA-256 is never unpacked; an archive that is there already and has it is
//! not fetched again; without a network the error says so and what to do instead.
//!
//! Source of the digest: the dataset registry of the Ludwig project (`goodbooks_books.yaml`), which checks the same
//! archive of release v1.0 with it.

use super::screen::{Screen, size};
use super::zip;
use anyhow::{Context, bail};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

const URL: &str = "https://github.com/zygmuntz/goodbooks-10k/releases/download/v1.0/goodbooks-10k.zip";
const SHA256: &str = "261b97b56db61f3fb2ce5aadbb13704d30179fcc986c17ace665a0af9ed00731";
/// Ceiling on the archive, several times what the release page shows.
const ARCHIVE_LIMIT: u64 = 200_000_000;
/// Ceiling on one unpacked file; ratings.csv has about 72 MB.
const FILE_LIMIT: u64 = 500_000_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The files of the download.
pub(super) struct Downloaded {
    /// `user_id,book_id,rating`, 5,976,479 rows.
    pub ratings: PathBuf,
    /// `book_id,...,title,...`, 10,000 rows.
    pub books: PathBuf,
}

/// Fetches the archive into `folder` unless it is there, checks it and unpacks ratings.csv and books.csv beside it.
pub(super) async fn goodbooks(folder: &Path, screen: Screen) -> anyhow::Result<Downloaded> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let archive = folder.join("goodbooks-10k.zip");
    if archive.exists() && digest_of(&archive)? == SHA256 {
        screen.line(&format!("   {} is there and intact", archive.display()));
    } else {
        fetch(&archive, screen).await?;
    }
    let files = Downloaded { ratings: folder.join("ratings.csv"), books: folder.join("books.csv") };
    let (from, ratings, books) = (archive, files.ratings.clone(), files.books.clone());
    tokio::task::spawn_blocking(move || {
        zip::unpack(&from, "ratings.csv", &ratings, FILE_LIMIT)?;
        zip::unpack(&from, "books.csv", &books, FILE_LIMIT)
    })
    .await??;
    Ok(files)
}

async fn fetch(archive: &Path, screen: Screen) -> anyhow::Result<()> {
    let advice = "Download the archive elsewhere, unpack it and give its files with --ratings and --books; \
                  or leave --download out to run on generated data.";
    let http = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .build()
        .context("the HTTP client cannot be built")?;
    let mut reply = match http.get(URL).send().await {
        Ok(reply) if reply.status().is_success() => reply,
        Ok(reply) => bail!("{URL} answered {}. {advice}", reply.status()),
        Err(error) if error.is_connect() || error.is_timeout() => {
            bail!("there is no network, or no way from here to {URL} ({error}). {advice}")
        }
        Err(error) => bail!("{URL} cannot be fetched: {error}. {advice}"),
    };
    let bar = screen.bar(
        reply.content_length().unwrap_or(0),
        "   download {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}",
    );
    let partial = archive.with_extension("zip.partial");
    let mut file =
        File::create(&partial).with_context(|| format!("{} cannot be written", partial.display()))?;
    let mut digest = Sha256::new();
    let mut length = 0u64;
    while let Some(chunk) =
        reply.chunk().await.with_context(|| format!("the download broke off. {advice}"))?
    {
        length += chunk.len() as u64;
        if length > ARCHIVE_LIMIT {
            bail!(
                "{URL} is longer than {}, so it is not the archive that is meant. {advice}",
                size(ARCHIVE_LIMIT)
            );
        }
        digest.update(&chunk);
        file.write_all(&chunk).with_context(|| format!("{} cannot be written", partial.display()))?;
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    let found = hex::encode(digest.finalize());
    if found != SHA256 {
        bail!(
            "{URL} has the SHA-256 {found} where {SHA256} is expected; it was not unpacked ({} for a look). {advice}",
            partial.display()
        );
    }
    fs::rename(&partial, archive).with_context(|| format!("{} cannot be written", archive.display()))?;
    screen.line(&format!("   {} fetched, SHA-256 as expected", size(length)));
    Ok(())
}

fn digest_of(file: &Path) -> anyhow::Result<String> {
    let mut opened = File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length =
            opened.read(&mut buffer).with_context(|| format!("{} cannot be read", file.display()))?;
        if length == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(&buffer[..length]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("abc");
        fs::write(&file, "abc").expect("written");
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest_of(&file).expect("readable"), known);
        assert_eq!(SHA256.len(), known.len());
    }
}
