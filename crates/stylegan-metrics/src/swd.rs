//! The sliced Wasserstein distance of ProGAN.

use crate::MetricError;
use crate::descriptors::Descriptors;
use crate::pictures::{PictureSet, pair};
use crate::random::{Purpose, directions, generator};
use crate::{pyramid, sliced};

/// Random directions a level: 4 times 128.
const DIRECTIONS: usize = 4 * 128;

/// The distance at one level of the pyramid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevelDistance {
    /// Width and height of the level in pixels.
    pub side: usize,
    /// The distance, times 1000.
    pub distance: f64,
}

/// The distance between two sets of pictures, by the size of what is seen.
#[derive(Debug, Clone, PartialEq)]
pub struct SlicedWasserstein {
    /// From the finest level, which is the pictures' own size, to that of 16x16.
    pub levels: Vec<LevelDistance>,
}

impl SlicedWasserstein {
    /// The mean over the levels.
    pub fn mean(&self) -> f64 {
        let sum: f64 = self.levels.iter().map(|level| level.distance).sum();
        sum / self.levels.len() as f64
    }
}

/// The sliced Wasserstein distance between patches of two sets of pictures, times 1000.
///
/// Every picture becomes a Laplacian pyramid that ends at 16x16. From each of its levels 128 descriptors
/// of 7x7 pixels and all channels are taken at random places. Descriptors of a level are normalised to
/// mean 0 and standard deviation 1 in each channel, reals and fakes each by their own, and projected on
/// 512 random directions d of length 1:
///
/// distance = 1000 * mean over d of (1/N) sum_i |sort(reals d)_i - sort(fakes d)_i|
///
/// Small at a fine level means that sharpness and texture are like those of the reals, at 16x16 that the
/// large shapes are. Colours and contrast are normalised away; see
/// [`layout_distance`](crate::layout_distance) for colours.
///
/// As many pictures of both sets are compared, evenly spread over the larger one. The same seed gives the
/// same number on any number of threads. Takes 25 kB of memory per channel of a picture, beside the sets.
///
/// Source: Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation"
/// (2018), section 5.
///
/// # Errors
/// If the sets hold pictures of different sizes or numbers of channels, or one of them holds none.
pub fn sliced_wasserstein(
    reals: &PictureSet,
    fakes: &PictureSet,
    seed: u64,
) -> Result<SlicedWasserstein, MetricError> {
    let [chosen_reals, chosen_fakes] = pair(reals, fakes)?;
    let distance = |level| {
        let mut real = Descriptors::sample(reals, &chosen_reals, level, |picture| {
            generator(seed, Purpose::Reals { level, picture })
        });
        let mut fake = Descriptors::sample(fakes, &chosen_fakes, level, |picture| {
            generator(seed, Purpose::Fakes { level, picture })
        });
        real.normalise();
        fake.normalise();
        let rng = generator(seed, Purpose::Level { level });
        let directions = directions(DIRECTIONS, real.dim(), rng)?;
        let distance = sliced::distance(&real.rows, &fake.rows, real.dim(), &directions)?;
        Ok(LevelDistance {
            side: reals.side() >> level,
            distance: 1000. * distance,
        })
    };
    let levels = (0..pyramid::levels(reals.side())).map(distance);
    Ok(SlicedWasserstein {
        levels: levels.collect::<Result<_, MetricError>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout_distance;
    use candle_core::{Device, Tensor};
    use stylegan_data::{Dataset, DatasetOptions};

    /// Portraits `first`, `first + 2`, ... as values in [-1, 1].
    fn portraits(first: usize, count: usize) -> Tensor {
        let options = DatasetOptions {
            resolution: Some(32),
            ..DatasetOptions::default()
        };
        let dataset = Dataset::open(&options).unwrap();
        let indices: Vec<usize> = (0..count).map(|i| first + 2 * i).collect();
        dataset.batch(&indices, &Device::Cpu).unwrap().0
    }

    fn set(images: &Tensor) -> PictureSet {
        let mut set = PictureSet::new(3, 32).unwrap();
        set.push(images).unwrap();
        set
    }

    fn swd(reals: &PictureSet, fakes: &PictureSet) -> Vec<f64> {
        let swd = sliced_wasserstein(reals, fakes, 0).unwrap();
        swd.levels.iter().map(|level| level.distance).collect()
    }

    #[test]
    fn more_alike_is_less_far_apart_at_every_level() {
        let reals = set(&portraits(0, 24));
        let same = swd(&reals, &reals);
        let split = swd(&reals, &set(&portraits(1, 24)));
        let noise = (0..24 * 3 * 32 * 32).map(|i| (i as f32 * i as f32).sin());
        let noise = Tensor::from_iter(noise, &Device::Cpu).unwrap();
        let noise = swd(&reals, &set(&noise.reshape((24, 3, 32, 32)).unwrap()));
        for level in 0..2 {
            assert!(same[level] < 50., "{same:?}");
            assert!(split[level] < 110., "{split:?}");
            assert!(noise[level] > 2. * split[level], "{noise:?} {split:?}");
        }
    }

    #[test]
    fn a_loss_of_detail_shows_at_the_fine_level() {
        let sharp = portraits(0, 24);
        let coarse = sharp.avg_pool2d(2).unwrap();
        let blurred = set(&coarse.upsample_nearest2d(32, 32).unwrap());
        let sharp = set(&sharp);
        let (same, lost) = (swd(&sharp, &sharp), swd(&sharp, &blurred));
        assert!(lost[0] > 1.4 * same[0], "{lost:?} {same:?}");
        assert!(lost[1] < 1.3 * same[1], "{lost:?} {same:?}");
    }

    #[test]
    fn shifted_colours_change_the_layout_alone() {
        let dim = (portraits(0, 24) * 0.5).unwrap();
        let red = Tensor::new(&[0.25f32, 0., 0.], &Device::Cpu).unwrap();
        let red = red.reshape((1, 3, 1, 1)).unwrap();
        let (reals, shifted) = (set(&dim), set(&dim.broadcast_add(&red).unwrap()));
        let (same, moved) = (swd(&reals, &reals), swd(&reals, &shifted));
        for (same, moved) in same.iter().zip(&moved) {
            // Rounding to bytes differs.
            assert!((same - moved).abs() < 2., "{same:?} {moved:?}");
        }
        assert_eq!(layout_distance(&reals, &reals, 0).unwrap(), 0.);
        assert!(layout_distance(&reals, &shifted, 0).unwrap() > 5.);
    }

    #[test]
    fn the_larger_set_is_cut_evenly() {
        let many = portraits(0, 24);
        let every_other: Vec<u32> = (0..12).map(|i| 2 * i).collect();
        let every_other = Tensor::new(every_other, &Device::Cpu).unwrap();
        let cut = set(&many.index_select(&every_other, 0).unwrap());
        let fakes = set(&portraits(1, 12));
        assert_eq!(swd(&set(&many), &fakes), swd(&cut, &fakes));
        assert_eq!(swd(&fakes, &set(&many)), swd(&fakes, &cut));
    }

    #[test]
    fn the_seed_alone_decides_on_any_number_of_threads() {
        let (reals, fakes) = (set(&portraits(0, 12)), set(&portraits(1, 12)));
        let on = |threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let compare = || {
                let layout = layout_distance(&reals, &fakes, seed).unwrap();
                (sliced_wasserstein(&reals, &fakes, seed).unwrap(), layout)
            };
            pool.build().unwrap().install(compare)
        };
        assert_eq!(on(1, 0), on(3, 0));
        assert_ne!(on(1, 0), on(1, 1));
    }
}
