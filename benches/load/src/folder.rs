//! The plain file system as a peer: the same bytes, as durable as the server promises them, that is
//! written beside their place, fsynced, renamed, and the folder fsynced.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::measure::{self, Objects};

const PIECE: usize = 1 << 20;

pub fn small(folder: &Path, objects: Objects) -> anyhow::Result<Value> {
    fs::create_dir_all(folder)?;
    let path = |number: usize| folder.join(format!("{number:06}"));
    let put = threads(objects, |number| {
        let temporary = folder.join(format!("{number:06}.tmp"));
        let mut file = File::create(&temporary)?;
        file.write_all(&measure::noise(number as u64, objects.size))?;
        file.sync_all()?;
        fs::rename(&temporary, path(number))?;
        Ok(File::open(folder)?.sync_all()?)
    });
    let get = threads(objects, |number| {
        let got = fs::read(path(number))?;
        anyhow::ensure!(
            got == measure::noise(number as u64, objects.size),
            "file {number} came back changed"
        );
        Ok(())
    });
    Ok(json!({ "put": put, "get": get }))
}

fn threads(objects: Objects, work: impl Fn(usize) -> anyhow::Result<()> + Sync) -> Value {
    let next = AtomicUsize::new(0);
    let done: Mutex<(Vec<Duration>, Vec<String>)> = Mutex::default();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..objects.at_once {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= objects.count {
                        return;
                    }
                    let sent = Instant::now();
                    let outcome = work(number);
                    let Ok(mut done) = done.lock() else { return };
                    match outcome {
                        Ok(()) => done.0.push(sent.elapsed()),
                        Err(error) => done.1.push(format!("{error:#}")),
                    }
                }
            });
        }
    });
    let all = began.elapsed();
    let (times, failures) = done.into_inner().unwrap_or_default();
    measure::summary(times, all, &failures)
}

pub fn large(folder: &Path, bytes: u64) -> anyhow::Result<Value> {
    fs::create_dir_all(folder)?;
    let (path, temporary) = (folder.join("large"), folder.join("large.tmp"));
    let piece = measure::noise(1, PIECE);
    let began = Instant::now();
    let mut file = File::create(&temporary)?;
    let mut left = bytes;
    while left > 0 {
        let size = left.min(PIECE as u64);
        file.write_all(&piece[..size as usize])?;
        left -= size;
    }
    file.sync_all()?;
    fs::rename(&temporary, &path)?;
    File::open(folder)?.sync_all()?;
    let put = measure::rate(bytes, began.elapsed());
    let began = Instant::now();
    let mut file = File::open(&path)?;
    let mut piece = vec![0; PIECE];
    let mut received = 0;
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => received += read as u64,
        }
    }
    anyhow::ensure!(received == bytes, "{received} of {bytes} bytes came back");
    Ok(json!({ "put_mib_per_second": put, "get_mib_per_second": measure::rate(bytes, began.elapsed()) }))
}
