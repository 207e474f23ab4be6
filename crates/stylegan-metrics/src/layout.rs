//! Colours, and where they are.

use crate::MetricError;
use crate::pictures::{PictureSet, pair};
use crate::random::{Purpose, directions, generator};
use crate::sliced;

/// Every channel of a picture is seen as 4x4 means.
const CELLS: usize = 4;

/// Random directions.
const DIRECTIONS: usize = 512;

/// The sliced Wasserstein distance between the pictures as 4x4 means of every channel.
///
/// A picture is a point of 16 values a channel, each the mean over a sixteenth of the picture, from 0 to
/// 255; the points of both sets are projected on 512 random directions d of length 1:
///
/// distance = mean over d of (1/N) sum_i |sort(reals d)_i - sort(fakes d)_i|
///
/// Nothing is normalised: the unit is that of the pixels, 0 to 255. Sees wrong colours, wrong brightness
/// and a wrong arrangement of the whole, all of which
/// [`sliced_wasserstein`](crate::sliced_wasserstein) leaves out; no detail.
///
/// As many pictures of both sets are compared, evenly spread over the larger one. The same seed gives the
/// same number on any number of threads.
///
/// # Errors
/// If the sets hold pictures of different sizes or numbers of channels, or one of them holds none.
pub fn layout_distance(
    reals: &PictureSet,
    fakes: &PictureSet,
    seed: u64,
) -> Result<f64, MetricError> {
    let [chosen_reals, chosen_fakes] = pair(reals, fakes)?;
    let dim = reals.channels() * CELLS * CELLS;
    let directions = directions(DIRECTIONS, dim, generator(seed, Purpose::Layout))?;
    let [reals, fakes] = [(reals, chosen_reals), (fakes, chosen_fakes)].map(|(set, chosen)| {
        let planes = chosen.iter().flat_map(|&picture| set.planes(picture));
        planes
            .flat_map(|plane| means(&plane, set.side()))
            .collect::<Vec<f32>>()
    });
    Ok(sliced::distance(&reals, &fakes, dim, &directions)?)
}

/// The means of 4x4 equal squares of a plane.
fn means(plane: &[f32], side: usize) -> [f32; CELLS * CELLS] {
    let mut means = [0.; CELLS * CELLS];
    let cell = side / CELLS;
    for (i, value) in plane.iter().enumerate() {
        means[i / side / cell * CELLS + i % side / cell] += value;
    }
    means.map(|sum| sum / (cell * cell) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    #[test]
    fn means_are_those_of_sixteenths() {
        let plane: Vec<f32> = (0..64).map(|i| (i / 16 * 10 + i % 8 / 2) as f32).collect();
        let expected = [0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23, 30, 31, 32, 33];
        assert_eq!(means(&plane, 8), expected.map(|x| x as f32));
    }

    #[test]
    fn plain_pictures_are_as_far_apart_as_their_projections() {
        let plain = |value: f64| {
            let mut set = PictureSet::new(1, 8).unwrap();
            let image = Tensor::full(value as f32, (3, 1, 8, 8), &Device::Cpu).unwrap();
            set.push(&image).unwrap();
            set
        };
        let found = layout_distance(&plain(-1.), &plain(1.), 3).unwrap();
        // |255 * sum(d)|, and 16 values of variance 1/16 add up to a standard normal: 255 sqrt(2/pi).
        let expected = 255. * (2. / std::f64::consts::PI).sqrt();
        assert!((found - expected).abs() < 0.1 * expected, "{found}");
    }
}
