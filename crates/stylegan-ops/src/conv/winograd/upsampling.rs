//! A transposed convolution and its filter as one convolution.

use super::weights::Composition;
use super::{Shape, tiles};

/// Twice the size: a 3x3 transposed convolution of stride 2, then a filter.
///
/// ```text
/// z[n,o,r] = gain * sum over i,p,k,j with 2 * p + k = r + j - before of  f[j] * w[o,i,k] * s[n,i] * x[n,i,p]
/// ```
///
/// on both axes. A pixel `2 * p + a` of one of the four phases a depends on the 3x3 pixels around p, so every
/// phase is a 3x3 correlation whose kernel is composed of the weight and the filter. The borders agree:
/// outside the picture, `x` is zero.
pub(crate) struct Upsampling(Composition);

impl Upsampling {
    /// For a filter `f` given row by row. None if a phase sees more than 3x3 pixels.
    pub(crate) fn new(filter: &[Vec<f64>], before: [i64; 2]) -> Option<Self> {
        let mut phases = Vec::new();
        for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let mut taps: [Vec<(usize, f32)>; 9] = Default::default();
            for (fy, row) in (0i64..).zip(filter) {
                for (fx, &factor) in (0i64..).zip(row) {
                    for k in 0..9 {
                        // Pixel a of a phase sees input pixel p = (a + j - before - k) / 2.
                        let position = [a + fy - before[0] - k / 3, b + fx - before[1] - k % 3];
                        if position.iter().any(|p| p.rem_euclid(2) != 0) {
                            continue;
                        }
                        let [y, x] = position.map(|p| p.div_euclid(2) + 1);
                        if !(0..3).contains(&y) || !(0..3).contains(&x) {
                            return None;
                        }
                        taps[(3 * y + x) as usize].push((k as usize, factor as f32));
                    }
                }
            }
            phases.push(taps);
        }
        Some(Self(Composition::Phases(phases)))
    }

    pub(super) fn composition(&self) -> &Composition {
        &self.0
    }

    /// Whether this is faster than the two steps. Both take nine multiplications per pixel, input and output
    /// channel, so it gains what the filter and the gaps between the phases cost, and loses the transforms
    /// of four times as many weights. Measured at batch 1: 1.5 times as fast from 128 to 64 channels at
    /// 128x128, equal from 256 to 128 at 64x64, half as fast from 512 to 512 at 16x16.
    pub(crate) fn pays(shape: &Shape) -> bool {
        (16..=128).contains(&shape.input[0]) && shape.output[0] >= 16 && tiles(shape) >= 256
    }
}
