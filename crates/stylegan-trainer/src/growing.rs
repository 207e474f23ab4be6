//! Progressive growing: at which resolution a training stands, and with which batch and learning rate.

use std::collections::BTreeMap;

use candle_core::{Result, bail};
use serde::{Deserialize, Serialize};
use stylegan_ops::growing::Lod;

/// How the networks grow: training starts at a low resolution, which doubles on a schedule.
///
/// Every resolution has a phase of `lod_training_kimg`, in which it is trained as it is, and one of
/// `lod_transition_kimg`, in which the next one fades in. The schedule goes by thousands of real images
/// shown; its names are those of the public tools.
///
/// "Progressive Growing of GANs" (Karras et al. 2018, section 2 and appendix A.1); StyleGAN starts at 8x8
/// (Karras et al. 2019, appendix C).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GrowingConfig {
    /// The resolution that training starts at.
    pub lod_initial_resolution: usize,
    /// Length of the phase in which a resolution is trained as it is, in thousands of images.
    pub lod_training_kimg: f64,
    /// Length of the phase in which the next resolution fades in, in thousands of images.
    pub lod_transition_kimg: f64,
    /// Images per minibatch by active resolution; [`Base::batch`] where there is no entry.
    #[serde(with = "by_resolution")]
    pub minibatch_dict: BTreeMap<usize, usize>,
    /// The most images per minibatch and device, by active resolution: unlike `batch_gpu`, which splits a
    /// minibatch into passes, it makes the minibatch smaller.
    #[serde(with = "by_resolution")]
    pub max_minibatch_per_gpu: BTreeMap<usize, usize>,
    /// The generator's learning rate by active resolution; [`Base::g_lr`] where there is no entry.
    #[serde(with = "by_resolution")]
    pub g_lrate_dict: BTreeMap<usize, f64>,
    /// The discriminator's learning rate by active resolution; [`Base::d_lr`] where there is no entry.
    #[serde(with = "by_resolution")]
    pub d_lrate_dict: BTreeMap<usize, f64>,
    /// Learning rates rise linearly over so many thousands of images from the start; 0 for no ramp-up.
    pub lrate_rampup_kimg: f64,
    /// Minibatches between two evaluations of the schedule.
    pub minibatch_repeats: u64,
    /// Whether Adam starts anew when a resolution enters; at the end of a fade it goes on as it was.
    pub reset_optimizer: bool,
}

impl Default for GrowingConfig {
    /// StyleGAN's phases, with the base's batch and learning rates at all resolutions.
    fn default() -> Self {
        Self {
            lod_initial_resolution: 8,
            lod_training_kimg: 600.,
            lod_transition_kimg: 600.,
            minibatch_dict: BTreeMap::new(),
            max_minibatch_per_gpu: BTreeMap::new(),
            g_lrate_dict: BTreeMap::new(),
            d_lrate_dict: BTreeMap::new(),
            lrate_rampup_kimg: 0.,
            minibatch_repeats: 4,
            reset_optimizer: true,
        }
    }
}

/// What holds where a [`GrowingConfig`] has no entry for a resolution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Base {
    /// The images' own resolution, which the networks grow to.
    pub img_resolution: usize,
    /// Images per minibatch.
    pub batch: usize,
    /// The generator's learning rate.
    pub g_lr: f64,
    /// The discriminator's learning rate.
    pub d_lr: f64,
    /// Devices that share a minibatch; at least 1.
    pub num_gpus: usize,
}

/// Where a training stands: a pure function of the images seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    /// The level of detail.
    pub lod: Lod,
    /// The active resolution, that of the images which the networks work on.
    pub resolution: usize,
    /// Images per minibatch.
    pub batch: usize,
    /// The generator's learning rate.
    pub g_lr: f64,
    /// The discriminator's learning rate.
    pub d_lr: f64,
}

impl GrowingConfig {
    /// The level of detail after `kimg` thousand images, for images of `img_resolution`.
    ///
    /// With phases of `duration = training + transition` kimg, of which `phase = floor(kimg / duration)` are
    /// over, `lod = log2(img_resolution) - log2(initial) - phase - max(kimg - phase * duration - training, 0)
    /// / transition`, and at least 0.
    ///
    /// # Errors
    /// Where a number is not finite.
    pub fn lod(&self, kimg: f64, img_resolution: usize) -> Result<Lod> {
        let (training, transition) = (self.lod_training_kimg, self.lod_transition_kimg);
        let duration = training + transition;
        let phase = match duration > 0. {
            true => (kimg / duration).floor(),
            false => 0.,
        };
        let phase_kimg = kimg - phase * duration;
        let doublings = log2(img_resolution) - log2(self.lod_initial_resolution);
        let mut lod = doublings - phase;
        if transition > 0. {
            // Rounding must not carry the end of a phase into the next one, from which it would fall back.
            lod -= ((phase_kimg - training).max(0.) / transition).min(1.);
        }
        Lod::new(lod.max(0.))
    }

    /// Where training stands after `kimg` thousand images.
    ///
    /// The batch is rounded down to a multiple of the devices, then limited to `max_minibatch_per_gpu` on
    /// each. The learning rates are multiplied by `min(kimg / lrate_rampup_kimg, 1)`.
    ///
    /// # Errors
    /// Where a number is not finite.
    pub fn position(&self, kimg: f64, base: &Base) -> Result<Position> {
        let lod = self.lod(kimg, base.img_resolution)?;
        let resolution = lod.resolution(base.img_resolution);
        let rampup = match self.lrate_rampup_kimg > 0. {
            true => (kimg / self.lrate_rampup_kimg).min(1.),
            false => 1.,
        };
        let lr = |dict: &BTreeMap<usize, f64>, base| dict.get(&resolution).unwrap_or(base) * rampup;
        Ok(Position {
            lod,
            resolution,
            batch: self.batch(resolution, base),
            g_lr: lr(&self.g_lrate_dict, &base.g_lr),
            d_lr: lr(&self.d_lrate_dict, &base.d_lr),
        })
    }

    /// Images per minibatch at an active resolution; see [`position`](Self::position).
    pub fn batch(&self, resolution: usize, base: &Base) -> usize {
        let batch = self.minibatch_dict.get(&resolution).unwrap_or(&base.batch);
        let num_gpus = base.num_gpus.max(1);
        let batch = batch - batch % num_gpus;
        match self.max_minibatch_per_gpu.get(&resolution) {
            Some(max) => batch.min(max * num_gpus),
            None => batch,
        }
    }

    /// The resolutions that a training goes through, in order.
    pub fn resolutions(&self, img_resolution: usize) -> impl Iterator<Item = usize> + use<> {
        let first = self.lod_initial_resolution.min(img_resolution);
        std::iter::successors(Some(first.max(1)), |resolution| resolution.checked_mul(2))
            .take_while(move |resolution| *resolution <= img_resolution)
    }

    /// Checks that the schedule can be followed to images of `img_resolution`.
    ///
    /// # Errors
    /// The first rule that is broken: the field, what was expected, what was found.
    pub(crate) fn validate(&self, img_resolution: usize) -> Result<()> {
        let initial = self.lod_initial_resolution;
        if !(initial.is_power_of_two() && (4..=img_resolution).contains(&initial)) {
            bail!(
                "growing.lod_initial_resolution: expected a power of two from 4 to the images' \
                 {img_resolution}, found {initial}"
            );
        }
        let numbers = [
            ("lod_training_kimg", self.lod_training_kimg),
            ("lod_transition_kimg", self.lod_transition_kimg),
            ("lrate_rampup_kimg", self.lrate_rampup_kimg),
        ];
        let lrs = |field, dict: &BTreeMap<usize, f64>| {
            let numbers: Vec<_> = dict.values().map(|lr| (field, *lr)).collect();
            numbers
        };
        let g_lrs = lrs("g_lrate_dict", &self.g_lrate_dict);
        let d_lrs = lrs("d_lrate_dict", &self.d_lrate_dict);
        for (field, value) in numbers.into_iter().chain(g_lrs).chain(d_lrs) {
            if !(value.is_finite() && value >= 0.) {
                bail!("growing.{field}: expected a finite number of at least 0, found {value}");
            }
        }
        if self.lod_training_kimg + self.lod_transition_kimg == 0. && initial < img_resolution {
            bail!(
                "growing.lod_training_kimg: expected phases of some length, found 0 kimg with \
                 transitions of 0 kimg: the networks would never grow"
            );
        }
        if self.minibatch_repeats == 0 {
            bail!("growing.minibatch_repeats: expected at least 1, found 0");
        }
        let batches = [
            ("minibatch_dict", &self.minibatch_dict),
            ("max_minibatch_per_gpu", &self.max_minibatch_per_gpu),
        ];
        for (field, dict) in batches {
            if dict.values().any(|batch| *batch == 0) {
                bail!("growing.{field}: expected at least 1 image, found 0");
            }
            if let Some(resolution) = dict.keys().find(|r| !r.is_power_of_two()) {
                bail!("growing.{field}: expected powers of two as resolutions, found {resolution}");
            }
        }
        Ok(())
    }
}

fn log2(resolution: usize) -> f64 {
    f64::from(resolution.max(1).ilog2())
}

/// Maps with resolutions as keys, which are strings in JSON: within flattened structs serde doesn't turn
/// them into numbers by itself.
mod by_resolution {
    use std::collections::BTreeMap;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer, T: Serialize>(
        map: &BTreeMap<usize, T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        map.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<usize, T>, D::Error> {
        let map = BTreeMap::<String, T>::deserialize(deserializer)?;
        let resolution = |(key, value): (String, T)| match key.parse() {
            Ok(resolution) => Ok((resolution, value)),
            Err(_) => Err(D::Error::custom(format!(
                "expected a resolution as the key, found {key:?}"
            ))),
        };
        map.into_iter().map(resolution).collect()
    }
}

#[cfg(test)]
mod tests;
