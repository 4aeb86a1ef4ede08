//! Running average of all weights: the network that is evaluated and stored instead of the last one (Polyak and
//! Juditsky 1992; as an exponential average).

use crate::object2vec::network::Network;

/// Times per epoch that the average takes a look at the weights.
pub(super) const LOOKS: usize = 16;

/// The average so far.
pub(super) struct Average {
    network: Network,
    looks: u32,
    /// Share of the newest weights once the window is full.
    share: f64,
}

impl Average {
    /// Over a window of so many epochs; `None` for a window of 0.
    pub(super) fn new(epochs: f64, network: &Network) -> Option<Self> {
        let share = 1.0 - (-1.0 / (LOOKS as f64 * epochs)).exp();
        (epochs > 0.0).then(|| Self { network: network.clone(), looks: 0, share })
    }

    /// Takes in the weights as they are now. Until the window is full all looks count the same.
    pub(super) fn look(&mut self, network: &Network) {
        self.looks = self.looks.saturating_add(1);
        let share = self.share.max(1.0 / f64::from(self.looks)) as f32;
        let blend = |to: &mut [f32], from: &[f32]| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += share * (from - *to));
        };
        for (to, from) in self.network.tables.iter_mut().zip(&network.tables) {
            blend(to.data_mut(), from.data());
        }
        for (to, from) in self.network.dense_mut().zip(network.dense()) {
            blend(to.weights.data_mut(), from.weights.data());
            blend(&mut to.bias, &from.bias);
        }
    }

    /// The averaged network, and the number of looks that went into it.
    pub(super) fn parts(&self) -> (&Network, u32) {
        (&self.network, self.looks)
    }

    /// To continue from a stored average after so many looks.
    pub(super) fn restore(&mut self, looks: u32) -> &mut Network {
        self.looks = looks;
        &mut self.network
    }
}
