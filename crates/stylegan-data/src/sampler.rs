//! Shuffled, endless, resumable order of the pictures.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::DataError;

/// An endless order of picture indices: epoch after epoch, each visiting every picture once.
///
/// The order of an epoch depends only on the seed and the number of the epoch, so the serialized
/// state is four numbers, and a restored sampler goes on where the saved one stopped.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut sampler = stylegan_data::Sampler::new(100, 7)?;
/// sampler.next_indices(130);
/// let saved = serde_json::to_string(&sampler)?;
/// let mut restored: stylegan_data::Sampler = serde_json::from_str(&saved)?;
/// assert_eq!(restored.next_indices(16), sampler.next_indices(16));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "State", into = "State")]
pub struct Sampler {
    state: State,
    order: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct State {
    /// At least 1, at most `u32::MAX`.
    len: usize,
    seed: u64,
    epoch: u64,
    position: usize,
}

impl Sampler {
    /// A sampler over the indices `0..len`, at the start of its first epoch.
    ///
    /// # Errors
    /// If `len` is 0 or more than `u32::MAX`.
    pub fn new(len: usize, seed: u64) -> Result<Self, DataError> {
        State {
            len,
            seed,
            epoch: 0,
            position: 0,
        }
        .try_into()
    }

    /// The next `count` indices; may cross into following epochs.
    pub fn next_indices(&mut self, count: usize) -> Vec<usize> {
        (0..count).map(|_| self.next_index()).collect()
    }

    /// Number of pictures in an epoch. A restored sampler fits a dataset of this length only.
    pub fn epoch_len(&self) -> usize {
        self.state.len
    }

    fn next_index(&mut self) -> usize {
        if self.state.position == self.state.len {
            self.state.epoch = self.state.epoch.wrapping_add(1);
            self.state.position = 0;
            self.order = self.state.order();
        }
        let index = self.order[self.state.position];
        self.state.position += 1;
        index as usize
    }
}

impl State {
    fn order(&self) -> Vec<u32> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(self.epoch);
        let mut order: Vec<u32> = (0..self.len as u32).collect();
        order.shuffle(&mut rng);
        order
    }
}

impl TryFrom<State> for Sampler {
    type Error = DataError;

    fn try_from(state: State) -> Result<Self, DataError> {
        if state.len == 0 {
            return Err(DataError::InvalidSampler(
                "expected at least one picture, found 0".to_string(),
            ));
        }
        if u32::try_from(state.len).is_err() {
            return Err(DataError::InvalidSampler(format!(
                "expected at most {} pictures, found {}; the saved state is damaged",
                u32::MAX,
                state.len
            )));
        }
        if state.position > state.len {
            return Err(DataError::InvalidSampler(format!(
                "expected a position from 0 to {}, found {}; the saved state is damaged",
                state.len, state.position
            )));
        }
        let order = state.order();
        Ok(Self { state, order })
    }
}

impl From<Sampler> for State {
    fn from(sampler: Sampler) -> Self {
        sampler.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_visits_every_index_once_in_another_order() {
        let mut sampler = Sampler::new(50, 1).unwrap();
        let epochs: Vec<Vec<usize>> = (0..3).map(|_| sampler.next_indices(50)).collect();
        for epoch in &epochs {
            let mut sorted = epoch.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        }
        assert_ne!(epochs[0], epochs[1]);
        assert_ne!(epochs[1], epochs[2]);
    }

    #[test]
    fn the_seed_alone_decides_the_order_whatever_the_batch_size() {
        let mut whole = Sampler::new(10, 3).unwrap();
        let mut pieces = Sampler::new(10, 3).unwrap();
        let expected = whole.next_indices(35);
        let found: Vec<usize> = (0..5).flat_map(|_| pieces.next_indices(7)).collect();
        assert_eq!(found, expected);
        assert_ne!(Sampler::new(10, 4).unwrap().next_indices(35), expected);
    }

    #[test]
    fn a_restored_sampler_goes_on_at_every_position() {
        for drawn in [0, 1, 9, 10, 11, 25] {
            let mut sampler = Sampler::new(10, 5).unwrap();
            sampler.next_indices(drawn);
            let json = serde_json::to_string(&sampler).unwrap();
            let mut restored: Sampler = serde_json::from_str(&json).unwrap();
            assert_eq!(restored.next_indices(23), sampler.next_indices(23));
        }
    }

    #[test]
    fn impossible_states_are_errors() {
        let error = Sampler::new(0, 1).unwrap_err().to_string();
        assert_eq!(error, "sampler: expected at least one picture, found 0");
        for (json, part) in [
            (
                r#"{"len": 4, "seed": 1, "epoch": 0, "position": 5}"#,
                "expected a position from 0 to 4, found 5",
            ),
            (
                r#"{"len": 1000000000000000000, "seed": 1, "epoch": 0, "position": 0}"#,
                "expected at most 4294967295 pictures, found 1000000000000000000",
            ),
        ] {
            let error = serde_json::from_str::<Sampler>(json).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn the_order_of_a_seed_stays_the_same_between_versions() {
        assert_eq!(
            Sampler::new(8, 7).unwrap().next_indices(8),
            [0, 7, 5, 2, 4, 1, 6, 3]
        );
    }
}
