//! How a convolution is split into tasks.

use std::ops::Range;

use super::Shape;
use super::scheme::{KERNEL, Scheme};
use crate::simd::Lanes;

/// What the second-level cache holds of a task's buffers, in bytes.
const CACHE: usize = 1 << 20;
/// What the tasks share of transformed pictures at once, in bytes: enough to keep all threads busy.
const SHARED: usize = 8 << 20;
/// Transformed weights larger than this, in bytes, are not worth their memory traffic.
const TRANSFORMED: usize = 4 << 20;
/// The most inputs whose products are summed in the registers: a panel of so many is in the first-level
/// cache.
const DEPTH: usize = 128;
/// Outputs that are computed together, by a task with transformed pictures of its own and by those that
/// share them, where a tile has sixteen results; where it has more, as many fewer.
const OUTPUTS: [usize; 2] = [16, 128];
/// Tiles of a block: with fewer, weights are read too often for the products; more gain nothing.
const TILES: [usize; 2] = [48, 96];
/// Fewer tasks than this are split further by output channels.
const TASKS: usize = 8;

/// A rectangle of tiles.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Rows of tiles, counted over all samples.
    pub(super) rows: Range<usize>,
    /// Columns of tiles.
    pub(super) columns: Range<usize>,
}

impl Block {
    /// How many vectors hold a value per tile.
    pub(super) fn vectors<L: Lanes>(&self) -> usize {
        (self.rows.len() * self.columns.len()).div_ceil(L::LANES)
    }
}

/// The split; it depends on the sizes and the width of vectors only.
#[derive(Debug)]
pub(super) struct Plan {
    /// Rows and columns of tiles of one sample.
    pub(super) tiles: [usize; 2],
    pub(super) blocks: Vec<Block>,
    /// How many blocks are transformed before their products are computed, by tasks that share them;
    /// 0 if every task transforms what it needs.
    pub(super) shared: usize,
    /// Panels of outputs of a task, and those computed together.
    pub(super) panels_per_task: usize,
    pub(super) group: usize,
    /// Inputs per product.
    pub(super) depth: usize,
    /// Whether weights are transformed once and not by every task.
    pub(super) transformed: bool,
}

impl Plan {
    pub(super) fn new<S: Scheme, L: Lanes>(shape: &Shape) -> Self {
        let tiles = [shape.output[1], shape.output[2]].map(S::tiles);
        let [inputs, outputs] = [shape.input[0], shape.output[0]];
        let panels = outputs.div_ceil(L::LANES);
        let own = 4 * S::PRODUCTS * S::PRODUCTS * inputs;
        let shared = own * TILES[0] > CACHE;
        let group = OUTPUTS[shared as usize] * 16 / (S::RESULTS * S::RESULTS);
        let group = (group / L::LANES).max(1);
        let sums = 4 * S::PRODUCTS * (1 + S::RESULTS) * group * L::LANES;
        let target = CACHE / if shared { sums } else { own + sums };
        let target = target.min(SHARED / own);
        let blocks = blocks::<L>(shape.n, tiles, target.min(TILES[1]));
        let count = blocks.len().max(1);
        let (shared, group, panels_per_task) = if shared {
            let largest = blocks.iter().map(|b| b.rows.len() * b.columns.len()).max();
            let at_once = (SHARED / (own * largest.unwrap_or(1))).clamp(1, count);
            let group = group.min(panels.div_ceil(TASKS.div_ceil(at_once))).max(1);
            (at_once, group, group)
        } else {
            (0, group, panels.div_ceil(TASKS.div_ceil(count)).max(1))
        };
        Self {
            tiles,
            transformed: blocks.len() >= 3 && pays_transformed(inputs, outputs),
            blocks,
            shared,
            panels_per_task,
            group,
            // Even, for pairs of inputs.
            depth: inputs
                .div_ceil(inputs.div_ceil(DEPTH).max(1))
                .next_multiple_of(2)
                .max(2),
        }
    }
}

/// Whether transformed weights are small enough for their memory traffic.
pub(super) fn pays_transformed(inputs: usize, outputs: usize) -> bool {
    4 * KERNEL * KERNEL * inputs * outputs <= TRANSFORMED
}

/// Blocks of about `target` tiles.
fn blocks<L: Lanes>(n: usize, [rows, columns]: [usize; 2], target: usize) -> Vec<Block> {
    let target = target.max(L::LANES);
    let all = n * rows;
    if columns > 2 * target {
        let width = columns
            .div_ceil(columns.div_ceil(target))
            .next_multiple_of(L::LANES);
        let of_row = |row| {
            let starts = (0..columns).step_by(width);
            starts.map(move |c| Block {
                rows: row..row + 1,
                columns: c..(c + width).min(columns),
            })
        };
        return (0..all).flat_map(of_row).collect();
    }
    let height = ((target + columns / 2) / columns.max(1)).max(1);
    let height = all.div_ceil(all.div_ceil(height).max(1)).max(1);
    let starts = (0..all).step_by(height);
    starts
        .map(|r| Block {
            rows: r..(r + height).min(all),
            columns: 0..columns,
        })
        .collect()
}
