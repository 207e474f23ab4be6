//! Small patches from one level of the pyramids of many pictures.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::pictures::PictureSet;
use crate::pyramid;

/// Patches from each level of a picture.
pub(crate) const PER_PICTURE: usize = 128;

/// Side of a patch in pixels.
pub(crate) const SIDE: usize = 7;

/// Pixels of a patch in one channel.
const AREA: usize = SIDE * SIDE;

/// What keeps a plane of one value from a division by zero.
const EPSILON: f64 = 1e-8;

/// Patches of one set at one level.
pub(crate) struct Descriptors {
    /// Rows of [`Descriptors::dim`] values, channel by channel.
    pub(crate) rows: Vec<f32>,
    channels: usize,
}

impl Descriptors {
    /// Takes [`PER_PICTURE`] patches at random places from each chosen picture; `rng` gives a generator
    /// for the n-th of them.
    pub(crate) fn sample(
        set: &PictureSet,
        chosen: &[usize],
        level: usize,
        rng: impl Fn(usize) -> ChaCha8Rng + Sync,
    ) -> Self {
        let channels = set.channels();
        let per_picture = PER_PICTURE * channels * AREA;
        let mut rows = vec![0.; chosen.len() * per_picture];
        rows.par_chunks_exact_mut(per_picture)
            .zip(chosen)
            .enumerate()
            .for_each(|(n, (rows, &picture))| {
                let planes: Vec<Vec<f32>> = set
                    .planes(picture)
                    .map(|plane| pyramid::level(&plane, set.side(), level))
                    .collect();
                take_patches(&planes, set.side() >> level, &mut rng(n), rows);
            });
        Self { rows, channels }
    }

    /// Values in a descriptor.
    pub(crate) fn dim(&self) -> usize {
        self.channels * AREA
    }

    /// Gives every channel mean 0 and standard deviation 1, over all descriptors.
    pub(crate) fn normalise(&mut self) {
        for channel in 0..self.channels {
            let count = (self.rows.len() / self.channels) as f64;
            let mean = self.sum(channel, |x| x) / count;
            let deviation = (self.sum(channel, |x| (x - mean).powi(2)) / count).sqrt();
            let scale = 1. / (deviation + EPSILON);
            let dim = self.dim();
            self.rows.par_chunks_exact_mut(dim).for_each(|row| {
                for x in &mut row[channel * AREA..][..AREA] {
                    *x = ((f64::from(*x) - mean) * scale) as f32;
                }
            });
        }
    }

    /// A sum over one channel; parts are added in the same order on any number of threads.
    fn sum(&self, channel: usize, term: impl Fn(f64) -> f64 + Sync) -> f64 {
        let parts: Vec<f64> = (self.rows.par_chunks(PER_PICTURE * self.dim()))
            .map(|rows| {
                rows.chunks_exact(self.dim())
                    .flat_map(|row| &row[channel * AREA..][..AREA])
                    .map(|&x| term(f64::from(x)))
                    .sum()
            })
            .collect();
        parts.iter().sum()
    }
}

/// Fills `rows` with patches of planes `[side, side]`, one place for all planes.
fn take_patches(planes: &[Vec<f32>], side: usize, rng: &mut ChaCha8Rng, rows: &mut [f32]) {
    for row in rows.chunks_exact_mut(planes.len() * AREA) {
        let top = rng.random_range(0..=side - SIDE);
        let left = rng.random_range(0..=side - SIDE);
        for (patch, plane) in row.chunks_exact_mut(AREA).zip(planes) {
            for (line, y) in patch.chunks_exact_mut(SIDE).zip(top..) {
                line.copy_from_slice(&plane[y * side + left..][..SIDE]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn patches_are_squares_at_the_same_place_of_every_channel() {
        let side = 16;
        let first: Vec<f32> = (0..side * side).map(|i| i as f32).collect();
        let second: Vec<f32> = first.iter().map(|x| x + 1000.).collect();
        let mut rows = vec![0.; 2000 * 2 * AREA];
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        take_patches(&[first, second], side, &mut rng, &mut rows);

        let mut corners = [false; 256];
        for row in rows.chunks_exact(2 * AREA) {
            let corner = row[0] as usize;
            corners[corner] = true;
            for (i, &x) in row[..AREA].iter().enumerate() {
                assert_eq!(x as usize, corner + i / SIDE * side + i % SIDE);
                assert_eq!(row[AREA + i], x + 1000.);
            }
        }
        // Every place where a patch fits is taken, and no other.
        for (corner, &taken) in corners.iter().enumerate() {
            assert_eq!(taken, corner / side < 10 && corner % side < 10, "{corner}");
        }
    }

    #[test]
    fn channels_are_normalised_one_by_one() {
        let rows: Vec<f32> = (0..300 * 2 * AREA)
            .map(|i| match i / AREA % 2 {
                0 => 100. + (i as f32).sin(),
                _ => 7.,
            })
            .collect();
        let mut descriptors = Descriptors { rows, channels: 2 };
        descriptors.normalise();
        let count = (300 * AREA) as f64;
        assert!(descriptors.sum(0, |x| x).abs() / count < 1e-6);
        assert!((descriptors.sum(0, |x| x * x) / count - 1.).abs() < 1e-5);
        assert_eq!(descriptors.sum(1, f64::abs), 0., "a plain channel");
    }
}
