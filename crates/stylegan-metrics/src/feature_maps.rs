//! How large feature maps are, and whether single spots dominate them.

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::MetricError;

/// Maps whose standard deviation is below that part of their largest magnitude are flat: what varies is
/// rounding.
const FLAT: f64 = 1e-5;

/// Statistics of the feature maps of one layer, collected picture by picture.
///
/// Of the map x of a channel and a picture, with P pixels:
///
/// - its scale s = sqrt(mean((x - mean(x))^2)), which instance normalisation divides by;
/// - its peak max |x - mean(x)| / s, from 1 to [`highest_peak`] = sqrt(P - 1). The bound is met where one
///   pixel alone differs from all others, and so decides what the map is divided by (P. A. Samuelson, "How
///   Deviant Can You Be?" (1968)). Neither shifts nor scales change it.
///
/// Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020), section 2: a
/// droplet is "a strong, localized spike that dominates the statistics", "present in all feature maps".
/// The first half is what [`peak`](Self::peak) sees, the second [`shared_peak`](Self::shared_peak).
///
/// ```
/// use candle_core::{Device, Tensor};
/// use stylegan_metrics::{FeatureMapStatistics, highest_peak};
///
/// # fn main() -> Result<(), stylegan_metrics::MetricError> {
/// let mut spot = [0f32; 64];
/// spot[20] = 5.;
/// let mut statistics = FeatureMapStatistics::default();
/// statistics.push(&Tensor::from_slice(&spot, (1, 1, 8, 8), &Device::Cpu)?)?;
/// assert!((statistics.peak() - highest_peak(8)).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct FeatureMapStatistics {
    /// Of every picture, the scales of its channels.
    scales: Vec<Vec<f64>>,
    /// Of every picture that has a map which isn't flat.
    peaks: Vec<Peaks>,
}

#[derive(Debug, Clone, Copy)]
struct Peaks {
    /// The channel of the most peaked map.
    channel: usize,
    highest: f64,
    shared: f64,
}

/// What one picture adds.
struct Measured {
    scales: Vec<f64>,
    peaks: Option<Peaks>,
}

/// How values are distributed: five of their percentiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// A twentieth of the values is below.
    pub p5: f64,
    /// A quarter of the values is below.
    pub p25: f64,
    /// Half of the values is below.
    pub median: f64,
    /// A quarter of the values is above.
    pub p75: f64,
    /// A twentieth of the values is above.
    pub p95: f64,
}

impl Quantiles {
    /// The quantiles of values, linear between neighbours; `None` where there are none.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        let last = values.len().checked_sub(1)?;
        values.sort_unstable_by(f64::total_cmp);
        let at = |quantile: f64| {
            let place = quantile * last as f64;
            let (below, above) = (
                values[place.floor() as usize],
                values[place.ceil() as usize],
            );
            below + (above - below) * place.fract()
        };
        Some(Self {
            p5: at(0.05),
            p25: at(0.25),
            median: at(0.5),
            p75: at(0.75),
            p95: at(0.95),
        })
    }
}

/// The highest peak that a map of `side` x `side` pixels can have: sqrt(side^2 - 1).
pub fn highest_peak(side: usize) -> f64 {
    ((side * side) as f64 - 1.).max(0.).sqrt()
}

impl FeatureMapStatistics {
    /// Adds the feature maps `[N, C, H, W]` of N pictures, of any float type on any device.
    ///
    /// # Errors
    /// [`MetricError::FeatureMaps`] where the shape is another, the channels are not as many as before, or
    /// a value is not finite.
    pub fn push(&mut self, maps: &Tensor) -> Result<(), MetricError> {
        let maps = Maps::read(maps)?;
        let expected = self.scales.first().map_or(maps.channels, Vec::len);
        if maps.channels != expected {
            return Err(MetricError::FeatureMaps(format!(
                "expected pictures of {expected} channels, found {}",
                maps.channels
            )));
        }
        for Measured { scales, peaks } in maps.measure() {
            self.scales.push(scales);
            self.peaks.extend(peaks);
        }
        Ok(())
    }

    /// How the channels differ in scale: the quantiles, over channels, of the mean scale over pictures.
    /// `None` before the first picture.
    pub fn scale(&self) -> Option<Quantiles> {
        Quantiles::of(self.channels().map(|scales| mean(&scales)).collect())
    }

    /// How the scale of one channel differs between pictures: the quantiles, over channels, of the
    /// population standard deviation over pictures (divided by their number) in units of the mean. Channels that are flat in all pictures don't
    /// count; `None` where there are no others.
    pub fn variation(&self) -> Option<Quantiles> {
        let variation = |scales: Vec<f64>| {
            let mean = mean(&scales);
            (mean > 0.).then(|| deviation(&scales, mean) / mean)
        };
        Quantiles::of(self.channels().filter_map(variation).collect())
    }

    /// The peak of the most peaked map of a picture, as the mean over the pictures that have a map which
    /// isn't flat; 0 where there are none.
    pub fn peak(&self) -> f64 {
        self.mean_peak(|peaks| peaks.highest)
    }

    /// How far one pixel stands out in all maps of a picture together: max over pixels of
    /// sqrt(mean over channels of ((x - mean(x)) / s)^2), over the maps that aren't flat and as the mean over
    /// the pictures that have any.
    ///
    /// About 1 where every map has its own details, [`highest_peak`] where the same pixel dominates all
    /// of them; 0 where all maps of all pictures are flat.
    pub fn shared_peak(&self) -> f64 {
        self.mean_peak(|peaks| peaks.shared)
    }

    /// The scales of each channel over the pictures.
    fn channels(&self) -> impl Iterator<Item = Vec<f64>> {
        let count = self.scales.first().map_or(0, Vec::len);
        (0..count).map(|channel| self.scales.iter().map(|scales| scales[channel]).collect())
    }

    fn mean_peak(&self, peak: impl Fn(&Peaks) -> f64) -> f64 {
        match self.peaks.len() {
            0 => 0.,
            count => self.peaks.iter().map(peak).sum::<f64>() / count as f64,
        }
    }
}

/// The most peaked map of each picture of feature maps `[N, C, H, W]`, to look at: `[N, 1, H, W]`, 0 at its
/// mean and 1 or -1 where it is farthest from that. All 0 where all maps of a picture are flat.
///
/// # Errors
/// [`MetricError::FeatureMaps`] where the shape is another or a value is not finite.
pub fn most_peaked_maps(maps: &Tensor) -> Result<Tensor, MetricError> {
    let &[count, _, height, width] = maps.dims() else {
        return Err(wrong_shape(maps));
    };
    let maps = Maps::read(maps)?;
    let mut shown = vec![0f32; count * maps.pixels];
    let pictures = maps.values.chunks(maps.channels * maps.pixels);
    for (number, (picture, measured)) in pictures.zip(maps.measure()).enumerate() {
        let Some(Peaks { channel, .. }) = measured.peaks else {
            continue;
        };
        let map = &picture[channel * maps.pixels..][..maps.pixels];
        let mean = mean_of(map);
        let farthest = farthest(map, mean);
        let places = &mut shown[number * maps.pixels..];
        for (place, &value) in places.iter_mut().zip(map) {
            *place = ((f64::from(value) - mean) / farthest) as f32;
        }
    }
    let shape = (count, 1, height, width);
    Ok(Tensor::from_vec(shown, shape, &Device::Cpu)?)
}

/// The values of feature maps, checked.
struct Maps {
    values: Vec<f32>,
    channels: usize,
    pixels: usize,
}

impl Maps {
    fn read(maps: &Tensor) -> Result<Self, MetricError> {
        let &[_, channels, height, width] = maps.dims() else {
            return Err(wrong_shape(maps));
        };
        if maps.elem_count() == 0 {
            return Err(wrong_shape(maps));
        }
        let values: Vec<f32> = maps
            .to_device(&Device::Cpu)?
            .to_dtype(DType::F32)?
            .flatten_all()?
            .to_vec1()?;
        if values.iter().any(|value| !value.is_finite()) {
            return Err(MetricError::FeatureMaps(
                "a value is not finite; the network is damaged".to_string(),
            ));
        }
        Ok(Self {
            values,
            channels,
            pixels: height * width,
        })
    }

    /// Of every picture, in order.
    fn measure(&self) -> Vec<Measured> {
        let pictures = self.values.par_chunks(self.channels * self.pixels);
        pictures
            .map(|picture| measure(picture, self.pixels))
            .collect()
    }
}

fn wrong_shape(maps: &Tensor) -> MetricError {
    MetricError::FeatureMaps(format!(
        "expected [N, C, H, W], none of them 0, found {:?}",
        maps.dims()
    ))
}

/// Measures the maps of one picture, one after the other in `picture`.
fn measure(picture: &[f32], pixels: usize) -> Measured {
    let mut highest = (0., 0);
    let mut squares = vec![0f64; pixels];
    let mut counted = 0;
    let mut scales = Vec::with_capacity(picture.len() / pixels);
    for (channel, map) in picture.chunks_exact(pixels).enumerate() {
        let mean = mean_of(map);
        let deviations = map.iter().map(|&value| f64::from(value) - mean);
        let variance = deviations.clone().map(|d| d * d).sum::<f64>() / pixels as f64;
        let scale = variance.sqrt();
        if scale <= FLAT * farthest(map, 0.) {
            scales.push(0.);
            continue;
        }
        scales.push(scale);
        counted += 1;
        for (sum, deviation) in squares.iter_mut().zip(deviations) {
            *sum += deviation * deviation / variance;
        }
        let peak = farthest(map, mean) / scale;
        if peak > highest.0 {
            highest = (peak, channel);
        }
    }
    let shared = squares.iter().copied().fold(0., f64::max);
    let peaks = (counted > 0).then(|| Peaks {
        channel: highest.1,
        highest: highest.0,
        shared: (shared / f64::from(counted)).sqrt(),
    });
    Measured { scales, peaks }
}

fn mean_of(map: &[f32]) -> f64 {
    map.iter().copied().map(f64::from).sum::<f64>() / map.len() as f64
}

/// The largest distance of a value from `from`.
fn farthest(map: &[f32], from: f64) -> f64 {
    let distances = map.iter().map(|&value| (f64::from(value) - from).abs());
    distances.fold(0., f64::max)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64], mean: f64) -> f64 {
    let squares = values.iter().map(|value| (value - mean).powi(2));
    (squares.sum::<f64>() / values.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::StandardNormal;

    fn statistics(pictures: &[&[f32]], channels: usize, side: usize) -> FeatureMapStatistics {
        let mut statistics = FeatureMapStatistics::default();
        for picture in pictures {
            let shape = (1, channels, side, side);
            let maps = Tensor::from_slice(picture, shape, &Device::Cpu).unwrap();
            statistics.push(&maps).unwrap();
        }
        statistics
    }

    /// A map of standard deviation `scale` about a mean of 3.
    fn checkers(side: usize, scale: f32) -> Vec<f32> {
        (0..side * side)
            .map(|i| {
                3. + if (i + i / side).is_multiple_of(2) {
                    scale
                } else {
                    -scale
                }
            })
            .collect()
    }

    fn spot(side: usize, at: usize) -> Vec<f32> {
        (0..side * side)
            .map(|i| f32::from(u8::from(i == at)))
            .collect()
    }

    fn noise(count: usize) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        (0..count).map(|_| rng.sample(StandardNormal)).collect()
    }

    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        let quantiles = Quantiles::of(vec![4., 0., 3., 1., 2.]).unwrap();
        let found = [
            quantiles.p5,
            quantiles.p25,
            quantiles.median,
            quantiles.p75,
            quantiles.p95,
        ];
        let expected = [0.2, 1., 2., 3., 3.8];
        found
            .into_iter()
            .zip(expected)
            .for_each(|(f, e)| assert_close(f, e));
        assert_eq!(Quantiles::of(vec![7.]).unwrap().p95, 7.);
        assert_eq!(Quantiles::of(Vec::new()), None);
    }

    #[test]
    fn scale_is_over_channels_and_variation_over_pictures() {
        // Channels of scale 1, 2 and 4 on average; the last varies between 2 and 6, the first is fixed.
        let picture = |scales: [f32; 3]| scales.map(|scale| checkers(4, scale)).concat();
        let found = statistics(&[&picture([1., 1., 2.]), &picture([1., 3., 6.])], 3, 4);
        let scale = found.scale().unwrap();
        assert_close(scale.median, 2.);
        assert_close(scale.p75, 3.);
        let variation = found.variation().unwrap();
        assert_close(variation.median, 0.5);
        assert_close(variation.p25, 0.25);
        assert_close(found.peak(), 1.);
        assert_close(found.shared_peak(), 1.);
    }

    #[test]
    fn a_spot_has_the_highest_peak_at_any_scale_and_offset() {
        for side in [4, 8, 64] {
            let plain = spot(side, 5);
            let moved: Vec<f32> = plain.iter().map(|x| 7. - 1000. * x).collect();
            for map in [plain, moved] {
                let found = statistics(&[&map], 1, side);
                assert_close(found.peak(), highest_peak(side));
                assert_close(found.shared_peak(), highest_peak(side));
            }
        }
    }

    #[test]
    fn a_peak_is_shared_where_all_maps_have_it_at_one_place() {
        let together = [spot(8, 9), spot(8, 9), spot(8, 9), spot(8, 9)].concat();
        let apart = [spot(8, 9), spot(8, 30), spot(8, 50), spot(8, 63)].concat();
        let [together, apart] = [together, apart].map(|maps| statistics(&[&maps], 4, 8));
        assert_close(together.shared_peak(), highest_peak(8));
        assert_close(apart.peak(), highest_peak(8));
        // One map of four has its peak there, the other three next to nothing: (63 + 3 / 63) / 4.
        assert_close(apart.shared_peak(), ((63. + 3. / 63.) / 4f64).sqrt());
    }

    #[test]
    fn a_blob_of_pixels_peaks_less_than_a_single_one() {
        let blob: Vec<f32> = (0..64).map(|i| f32::from(u8::from(i < 4))).collect();
        // k pixels of P: sqrt((P - k) / k).
        assert_close(statistics(&[&blob], 1, 8).peak(), (60f64 / 4.).sqrt());
    }

    #[test]
    fn noise_has_low_peaks_and_none_that_are_shared() {
        let found = statistics(&[&noise(64 * 32 * 32)], 64, 32);
        assert!((3.5..6.).contains(&found.peak()), "{}", found.peak());
        let shared = found.shared_peak();
        assert!((1.0..1.6).contains(&shared), "{shared}");
    }

    #[test]
    fn flat_maps_have_no_scale_and_no_peak() {
        let flat = vec![0.1f32; 16];
        let found = statistics(&[&flat], 1, 4);
        assert_eq!(found.scale().unwrap().median, 0.);
        assert_eq!(found.variation(), None);
        assert_eq!((found.peak(), found.shared_peak()), (0., 0.));
        let mixed = statistics(&[&[flat, spot(4, 2)].concat()], 2, 4);
        assert_close(mixed.shared_peak(), highest_peak(4));
    }

    #[test]
    fn batches_add_up() {
        let values = noise(6 * 3 * 64);
        let mut together = FeatureMapStatistics::default();
        let maps = Tensor::from_slice(&values, (6, 3, 8, 8), &Device::Cpu).unwrap();
        together.push(&maps).unwrap();
        let pictures: Vec<&[f32]> = values.chunks(3 * 64).collect();
        let one_by_one = statistics(&pictures, 3, 8);
        assert_eq!(together.variation(), one_by_one.variation());
        assert_eq!(together.scale(), one_by_one.scale());
        assert_eq!(together.peak(), one_by_one.peak());
    }

    #[test]
    fn the_most_peaked_map_is_shown_about_its_mean() {
        let mut low = spot(4, 6);
        low.iter_mut().for_each(|x| *x *= -5.);
        let pictures = [checkers(4, 1.), low, vec![0.1; 16], vec![2.; 16]].concat();
        let maps = Tensor::from_slice(&pictures, (2, 2, 4, 4), &Device::Cpu).unwrap();
        let shown = most_peaked_maps(&maps).unwrap();
        assert_eq!(shown.dims(), [2, 1, 4, 4]);
        let values: Vec<f32> = shown.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(values[6], -1.);
        assert_close(values[5].into(), 1. / 15.);
        assert_eq!(values[16..], [0.; 16]);
    }

    #[test]
    fn wrong_shapes_and_values_are_errors() {
        let mut statistics = FeatureMapStatistics::default();
        assert_eq!(statistics.scale(), None);
        let mut message = |values: &[f32], shape: &[usize]| {
            let maps = Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
            statistics.push(&maps).map_err(|error| error.to_string())
        };
        message(&[0.; 8], &[1, 2, 2, 2]).unwrap();
        assert_eq!(
            message(&[0.; 8], &[2, 2, 2]).unwrap_err(),
            "feature maps: expected [N, C, H, W], none of them 0, found [2, 2, 2]"
        );
        assert_eq!(
            message(&[0.; 4], &[1, 1, 2, 2]).unwrap_err(),
            "feature maps: expected pictures of 2 channels, found 1"
        );
        assert_eq!(
            message(&[f32::INFINITY; 8], &[1, 2, 2, 2]).unwrap_err(),
            "feature maps: a value is not finite; the network is damaged"
        );
    }
}
