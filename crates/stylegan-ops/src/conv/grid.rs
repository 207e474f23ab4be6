//! The pixels of a result as cells of phases.

use super::{Derivative, Geometry};
use crate::gather::Tap;

/// Output pixels as cells of `step * step` phases: phase `(a, b)` of cell `j` is pixel `step * j + (a, b)`.
pub(super) struct Grid {
    pub(super) step: usize,
    /// Rows and columns of cells.
    pub(super) size: [usize; 2],
    /// Input pixels from cell to cell.
    pub(super) stride: usize,
    /// What each phase sums: taps by their index within the kernel.
    pub(super) phases: Vec<Vec<(usize, Tap)>>,
}

impl Grid {
    pub(super) fn new(g: &Geometry, by: Derivative) -> Self {
        let (stride, padding) = (g.config.stride, g.config.padding as isize);
        let (step, [_, rows, columns]) = match by {
            Derivative::Y => (1, g.y),
            Derivative::X => (stride, g.x),
        };
        // Output pixel a + stride * j is reached by tap k from input pixel j + (a + padding - k) / stride.
        let offset = |a: usize, k: usize| match by {
            Derivative::Y => Some(k as isize - padding),
            Derivative::X => {
                let distance = a as isize + padding - k as isize;
                let whole = distance.rem_euclid(stride as isize) == 0;
                whole.then(|| distance.div_euclid(stride as isize))
            }
        };
        let of_phase = |[a, b]: [usize; 2]| {
            let tap = |(index, [ky, kx]): (usize, [usize; 2])| {
                let (dy, dx) = (offset(a, ky)?, offset(b, kx)?);
                Some((index, Tap { dy, dx }))
            };
            let taps = pairs(g.kernel).enumerate().filter_map(tap);
            taps.collect()
        };
        Self {
            step,
            size: [rows.div_ceil(step), columns.div_ceil(step)],
            stride: match by {
                Derivative::Y => stride,
                Derivative::X => 1,
            },
            phases: pairs([step, step]).map(of_phase).collect(),
        }
    }

    /// Rows of cells from `rows` on that have a pixel of that phase in a picture of a height.
    pub(super) fn reached(
        &self,
        phase: usize,
        rows: &std::ops::Range<usize>,
        height: usize,
    ) -> usize {
        let reached = (height - (phase / self.step).min(height)).div_ceil(self.step);
        reached.min(rows.end).saturating_sub(rows.start)
    }
}

/// All pairs of indices below the sizes, row by row.
pub(super) fn pairs([rows, columns]: [usize; 2]) -> impl Iterator<Item = [usize; 2]> {
    (0..rows).flat_map(move |row| (0..columns).map(move |column| [row, column]))
}
