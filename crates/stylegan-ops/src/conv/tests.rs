//! The parts of the convolution family that its public functions do not show.

use candle_core::{DType, Device, Result, Tensor};

use super::cpu::convolve;
use super::{Conv2d, Derivative, Epilogue, Geometry, Plain};

/// Not the identity when applied twice, and different for every pixel.
struct Numbered {
    channels: usize,
    pixels: usize,
}

impl Epilogue<f64> for Numbered {
    fn finish(&self, sample: usize, channel: usize, first_pixel: usize, row: &mut [f64]) {
        let first = (sample * self.channels + channel) * self.pixels + first_pixel;
        for (i, value) in row.iter_mut().enumerate() {
            *value = 2.0 * *value + (first + i) as f64;
        }
    }
}

/// Whole samples per tile, rows per tile, several passes, phases that no tap reaches.
#[test]
fn the_epilogue_finishes_every_pixel_once() -> Result<()> {
    let cases = [
        ([3, 5, 4, 3], 7, 3, 1, 1),
        ([2, 3, 40, 37], 33, 3, 1, 1),
        ([2, 3, 40, 37], 4, 1, 1, 0),
        ([2, 4, 13, 9], 6, 3, 2, 1),
        ([1, 2, 9, 7], 3, 1, 3, 0),
    ];
    for ([n, i, h, w], o, k, stride, padding) in cases {
        let config = Conv2d {
            stride,
            padding,
            ..Default::default()
        };
        let wave = |count: usize| -> Vec<f64> { (0..count).map(|i| (i as f64).sin()).collect() };
        let weight = Tensor::zeros((o, i, k, k), DType::F64, &Device::Cpu)?;
        let x = Tensor::zeros((n, i, h, w), DType::F64, &Device::Cpu)?;
        let g = Geometry::of_conv(&x, &weight, &config)?;
        for (by, from, to) in [(Derivative::Y, g.x, g.y), (Derivative::X, g.y, g.x)] {
            let input = wave(n * from.iter().product::<usize>());
            let weight = wave(o * i * k * k);
            let size = n * to.iter().product::<usize>();
            let (mut plain, mut finished) = (vec![f64::NAN; size], vec![f64::NAN; size]);
            convolve(&g, by, &input, &weight, None, &Plain, &mut plain);
            let epilogue = Numbered {
                channels: to[0],
                pixels: to[1] * to[2],
            };
            convolve(&g, by, &input, &weight, None, &epilogue, &mut finished);
            for (at, (plain, finished)) in plain.iter().zip(&finished).enumerate() {
                assert_eq!(*finished, 2.0 * plain + at as f64, "{by:?} {g:?} at {at}");
            }
        }
    }
    Ok(())
}
