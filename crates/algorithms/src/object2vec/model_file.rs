//! A trained model as one file: a [`tensor_file`] whose header is
//! `{"hyperparameters": {name: value, ...}, "tensors": [{"name": ..., "shape": [..]}, ...]}`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::hyperparameters::Hyperparameters;
use super::network::{Network, Role, Shape};
use crate::tensor_file::{self, Format};

const FORMAT: Format = Format { magic: b"SBOBJ2V\0", version: 1, algorithm: "object2vec", name: "model" };

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
        .map(|(i, (role, rows, columns))| Tensor {
            name: match role {
                Role::Embedding if shape.tied => "embed_shared_weight".to_owned(),
                Role::Embedding => format!("embed_{i}_weight"),
                Role::History(side) => format!("history_{side}_weight"),
                Role::Bias(side) => format!("bias_{side}_weight"),
            },
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

/// Writes the model to `path`.
///
/// # Errors
/// What the file system says.
pub(crate) fn save(path: &Path, network: &Network, hyperparameters: &Hyperparameters) -> std::io::Result<()> {
    let header = Header { hyperparameters: hyperparameters.values.clone(), tensors: tensors(&network.shape) };
    tensor_file::save(path, &FORMAT, &header, |out| network.write(out))
}

/// Reads a model.
///
/// # Errors
/// A sentence that says what is wrong with the file.
pub(crate) fn load(path: &Path) -> Result<(Network, Hyperparameters), String> {
    let shown = path.display();
    let opened = tensor_file::open::<Header>(path, &FORMAT)?;
    let (header, reader) =
        opened.ok_or_else(|| format!("cannot open the model {shown}: there is no such file"))?;
    let unusable = |what: String| format!("the model {shown} cannot be used: {what}");
    let hyperparameters =
        Hyperparameters::from_pairs(header.hyperparameters).map_err(|e| unusable(e.message))?;
    // What histories say is part of the embeddings by now.
    let shape = Shape { history: [false; 2], ..Shape::new(&hyperparameters) };
    if header.tensors != tensors(&shape) {
        return Err(unusable("its tensors do not fit its hyperparameters".to_owned()));
    }
    let network = reader.tensors(shape.parameters(), |from| {
        let mut network = Network::zeroed(shape);
        network.read(from)?;
        Ok(network)
    })?;
    Ok((network, hyperparameters))
}

#[cfg(test)]
mod tests {
    use std::fs;

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
