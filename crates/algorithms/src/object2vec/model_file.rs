//! A trained model as one file.
//!
//! Layout, all numbers little-endian:
//!
//! ```text
//! 8 bytes   "SBOBJ2V" and a zero byte
//! 4 bytes   version, 1
//! 4 bytes   length of the header
//! header    JSON: {"hyperparameters": {name: value, ...}, "tensors": [{"name": ..., "shape": [..]}, ...]}
//! tensors   f32 values, row by row, in the order of the header
//! 8 bytes   CRC-64/NVME of everything before
//! ```
//!
//! Promises: the file appears under its name complete and on disk, or not at all; a file that was cut or changed is
//! refused with a message. Never: executes or trusts anything in it; sizes follow from checked hyperparameters.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use crc_fast::{CrcAlgorithm, Digest};
use serde::{Deserialize, Serialize};

use super::hyperparameters::Hyperparameters;
use super::network::{Network, Shape};
use crate::kernels::Matrix;

const MAGIC: &[u8; 8] = b"SBOBJ2V\0";
const VERSION: u32 = 1;
/// Longest header: some fifty names with short values.
const MAX_HEADER: u32 = 1 << 20;
/// Bytes converted at a time.
const PIECE: usize = 1 << 16;

#[derive(Serialize, Deserialize)]
struct Header {
    hyperparameters: BTreeMap<String, String>,
    tensors: Vec<Tensor>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Tensor {
    name: String,
    shape: Vec<usize>,
}

/// Names and shapes of all tensors, in file order.
fn tensors(shape: &Shape) -> Vec<Tensor> {
    let mut list: Vec<Tensor> = shape
        .tables()
        .into_iter()
        .enumerate()
        .map(|(i, (rows, columns))| Tensor {
            name: if shape.tied { "embed_shared_weight".to_owned() } else { format!("embed_{i}_weight") },
            shape: vec![rows, columns],
        })
        .collect();
    for side in 0..2 {
        for layer in shape.encoder_layers(side) {
            let name = format!("enc{side}_{}", layer.name);
            list.push(Tensor { name: format!("{name}_weight"), shape: vec![layer.inputs, layer.outputs] });
            if layer.bias {
                list.push(Tensor { name: format!("{name}_bias"), shape: vec![layer.outputs] });
            }
        }
    }
    let sizes = shape.layers();
    for (i, &(inputs, outputs)) in sizes.iter().enumerate() {
        let layer = if i + 1 == sizes.len() { "output_layer".to_owned() } else { format!("mlp_fc{i}") };
        list.push(Tensor { name: format!("{layer}_weight"), shape: vec![inputs, outputs] });
        list.push(Tensor { name: format!("{layer}_bias"), shape: vec![outputs] });
    }
    list
}

/// Writes the model to `path`: to a temporary name beside it first, flushed to disk, then renamed.
///
/// # Errors
/// What the file system says.
pub(crate) fn save(path: &Path, network: &Network, hyperparameters: &Hyperparameters) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder)?;
    let temporary = path.with_extension("partial");
    let written = write(&temporary, network, hyperparameters).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The failure that is reported is the first one; a left-over is overwritten by the next run.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(folder)?.sync_all()
}

fn write(path: &Path, network: &Network, hyperparameters: &Hyperparameters) -> std::io::Result<()> {
    let header = Header { hyperparameters: hyperparameters.values.clone(), tensors: tensors(&network.shape) };
    let header = serde_json::to_vec(&header)?;
    let mut out = Summed {
        file: BufWriter::with_capacity(PIECE, File::create(path)?),
        sum: Digest::new(CrcAlgorithm::Crc64Nvme),
        bytes: Vec::with_capacity(PIECE),
    };
    out.put(MAGIC)?;
    out.put(&VERSION.to_le_bytes())?;
    out.put(&(header.len() as u32).to_le_bytes())?;
    out.put(&header)?;
    for table in &network.tables {
        out.put_matrix(table)?;
    }
    for layer in network.dense() {
        out.put_matrix(&layer.weights)?;
        out.put_floats(&layer.bias)?;
    }
    let sum = out.sum.finalize();
    out.file.write_all(&sum.to_le_bytes())?;
    out.file.flush()?;
    out.file.get_ref().sync_all()
}

/// A file that keeps the checksum of what is written to it.
struct Summed {
    file: BufWriter<File>,
    sum: Digest,
    bytes: Vec<u8>,
}

impl Summed {
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.sum.update(bytes);
        self.file.write_all(bytes)
    }

    fn put_floats(&mut self, values: &[f32]) -> std::io::Result<()> {
        for piece in values.chunks(PIECE / 4) {
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.clear();
            bytes.extend(piece.iter().flat_map(|value| value.to_le_bytes()));
            let done = self.put(&bytes);
            self.bytes = bytes;
            done?;
        }
        Ok(())
    }

    fn put_matrix(&mut self, matrix: &Matrix) -> std::io::Result<()> {
        (0..matrix.rows()).try_for_each(|row| self.put_floats(matrix.row(row)))
    }
}

/// Reads a model.
///
/// # Errors
/// A sentence that says what is wrong with the file.
pub(crate) fn load(path: &Path) -> Result<(Network, Hyperparameters), String> {
    let shown = path.display();
    let file = File::open(path).map_err(|e| format!("cannot open the model {shown}: {e}"))?;
    let size = file.metadata().map_err(|e| format!("cannot open the model {shown}: {e}"))?.len();
    let mut source = Source { file, sum: Digest::new(CrcAlgorithm::Crc64Nvme), bytes: vec![0; PIECE] };
    let result = source.model(size);
    result.map_err(|what| format!("the model {shown} cannot be used: {what}"))
}

struct Source {
    file: File,
    sum: Digest,
    bytes: Vec<u8>,
}

impl Source {
    fn take(&mut self, into: &mut [u8]) -> Result<(), String> {
        self.file.read_exact(into).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
            _ => e.to_string(),
        })?;
        self.sum.update(into);
        Ok(())
    }

    fn take_number(&mut self) -> Result<u32, String> {
        let mut bytes = [0; 4];
        self.take(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn take_floats(&mut self, into: &mut [f32]) -> Result<(), String> {
        let mut bytes = std::mem::take(&mut self.bytes);
        let done = into.chunks_mut(PIECE / 4).try_for_each(|piece| {
            let raw = &mut bytes[..piece.len() * 4];
            self.take(raw)?;
            for (value, raw) in piece.iter_mut().zip(raw.as_chunks::<4>().0) {
                *value = f32::from_le_bytes(*raw);
            }
            Ok(())
        });
        self.bytes = bytes;
        done
    }

    fn take_matrix(&mut self, into: &mut Matrix) -> Result<(), String> {
        (0..into.rows()).try_for_each(|row| self.take_floats(into.row_mut(row)))
    }

    fn model(&mut self, size: u64) -> Result<(Network, Hyperparameters), String> {
        let mut magic = [0; 8];
        self.take(&mut magic)?;
        if magic != *MAGIC {
            return Err("it is not an object2vec model of sagebrush".to_owned());
        }
        let version = self.take_number()?;
        if version != VERSION {
            return Err(format!(
                "it has version {version}; this version of sagebrush reads version {VERSION}"
            ));
        }
        let length = self.take_number()?;
        if length > MAX_HEADER {
            return Err("its header is damaged".to_owned());
        }
        let mut header = vec![0; length as usize];
        self.take(&mut header)?;
        let header: Header =
            serde_json::from_slice(&header).map_err(|e| format!("its header is damaged: {e}"))?;
        let hyperparameters = Hyperparameters::from_pairs(header.hyperparameters).map_err(|e| e.message)?;
        let shape = Shape::new(&hyperparameters);
        if header.tensors != tensors(&shape) {
            return Err("its tensors do not fit its hyperparameters".to_owned());
        }
        let want = 24 + u64::from(length) + 4 * shape.parameters() as u64;
        if size != want {
            return Err(format!("it has {size} bytes instead of {want}; the file is cut or damaged"));
        }
        let mut network = Network::zeroed(shape);
        for table in &mut network.tables {
            self.take_matrix(table)?;
        }
        for layer in network.dense_mut() {
            self.take_matrix(&mut layer.weights)?;
            self.take_floats(&mut layer.bias)?;
        }
        let computed = self.sum.finalize();
        let mut stored = [0; 8];
        self.take(&mut stored)?;
        if u64::from_le_bytes(stored) != computed {
            return Err("its checksum is wrong; the file is damaged".to_owned());
        }
        Ok((network, hyperparameters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> (Network, Hyperparameters) {
        let pairs = [
            ("enc0_max_seq_len", "3"),
            ("enc0_vocab_size", "11"),
            ("enc1_vocab_size", "7"),
            ("enc0_network", "pooled_embedding"),
            ("output_layer", "mean_squared_error"),
            ("enc_dim", "5"),
            ("mlp_dim", "6"),
        ];
        let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let hyperparameters = Hyperparameters::from_pairs(pairs).unwrap();
        let mut network = Network::xavier(Shape::new(&hyperparameters), 1);
        network.layers[1].bias[3] = 0.25;
        (network, hyperparameters)
    }

    #[test]
    fn a_model_comes_back_as_it_went_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper/model");
        let (network, hyperparameters) = model();
        save(&path, &network, &hyperparameters).unwrap();
        let (back, values) = load(&path).unwrap();
        assert_eq!(values.values, hyperparameters.values);
        assert_eq!(back.shape, network.shape);
        for (a, b) in back.tables.iter().zip(&network.tables) {
            assert_eq!(a.data(), b.data());
        }
        for (a, b) in back.layers.iter().zip(&network.layers) {
            assert_eq!(a.weights.data(), b.weights.data());
            assert_eq!(a.bias, b.bias);
        }
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "the temporary file is gone");
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        let (network, hyperparameters) = model();
        save(&path, &network, &hyperparameters).unwrap();
        let whole = fs::read(&path).unwrap();
        for size in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
            fs::write(&path, &whole[..size]).unwrap();
            assert!(load(&path).is_err(), "cut to {size} bytes");
        }
        for at in (0..whole.len()).step_by(3) {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            fs::write(&path, &changed).unwrap();
            assert!(load(&path).is_err(), "changed byte {at}");
        }
        let mut longer = whole;
        longer.push(0);
        fs::write(&path, &longer).unwrap();
        let message = load(&path).err().unwrap();
        assert!(message.ends_with("the file is cut or damaged"), "{message}");
        assert!(load(&folder.path().join("none")).err().unwrap().starts_with("cannot open the model"));
    }
}
