//! The gradient of the weight: a product whose rows are the taps of the input channels, summed over the pixels of
//! the upstream gradient.

use std::ops::Range;

use rayon::prelude::*;

use super::product::{self, Distances, Panel, panels};
use super::window::Window;
use super::{DEPTH, TASKS, parts, tile_pixels};
use crate::conv::grid::Grid;
use crate::conv::{Derivative, Geometry};
use crate::gather::{Picture, Tap, Tile, tiles};
use crate::parallel::SharedOut;
use crate::simd::{Lanes, Level, Scope, Scratch, WithLanes, Work, dispatch};

/// Input channels of a task.
const INPUTS: usize = 8;
/// What the upstream gradient of a part of the tiles takes, in bytes.
const PART: usize = 4 << 20;

/// Computes all of `out` from the picture `x` and the upstream gradient `y`, each with an optional scale of its
/// channels.
pub(crate) fn weight_gradient(
    level: Level,
    g: &Geometry,
    [x, y]: [&[f32]; 2],
    [scale_x, scale_y]: [Option<&[f32]>; 2],
    out: &mut [f32],
) {
    let picture = |data, dims, scale| Picture { data, dims, scale };
    dispatch(
        level,
        WeightGradient {
            grid: &Grid::new(g, Derivative::Y),
            n: g.n,
            x: picture(x, g.x, scale_x),
            y: picture(y, g.y, scale_y),
            gain: g.config.gain as f32,
            strides: g.strides().into(),
            out,
        },
    );
}

struct WeightGradient<'a> {
    grid: &'a Grid,
    n: usize,
    x: Picture<'a, f32>,
    y: Picture<'a, f32>,
    gain: f32,
    /// From kernel to kernel, by outputs and inputs.
    strides: [usize; 2],
    out: &'a mut [f32],
}

impl WithLanes for WeightGradient<'_> {
    type Output = ();

    fn with<L: Lanes>(self, l: L) {
        let Self { grid, x, y, .. } = self;
        let (inputs, outputs) = (x.dims[0], y.dims[0]);
        let taps: Vec<Tap> = grid.phases.iter().flatten().map(|(_, tap)| *tap).collect();
        let vectors = outputs.div_ceil(L::LANES);
        let panels = panels::<L>(vectors);
        let pixels = self.n * grid.size[0] * grid.size[1];
        let tiles = tiles(self.n, grid.size, tile_pixels(pixels, INPUTS.max(outputs)));
        let Some(largest) = tiles.first() else {
            return self.out.fill(0.0);
        };
        let blocks: Vec<Range<usize>> = parts(inputs, INPUTS).collect();
        let tasks: Vec<(Range<usize>, Panel)> = blocks
            .iter()
            .flat_map(|block| panels.iter().map(|&panel| (block.clone(), panel)))
            .collect();
        let of_block = blocks[0].len();
        let window = Window::new(&x, grid, of_block, largest);
        let of_channel = |channel| taps.iter().map(move |tap| (channel, tap));
        let rows = (0..of_block).flat_map(of_channel);
        let rows: Vec<usize> = rows
            .map(|(channel, tap)| window.tap(channel, tap))
            .collect();
        let cells = window.cells(largest);

        // A part of the tiles at a time; where there are few tasks, groups of tiles of a part are tasks of their
        // own, whose sums are added up in the end.
        let largest = largest.pixels();
        let at_once = (PART / (size_of::<L::Vector>() * vectors * largest)).clamp(1, tiles.len());
        let groups = TASKS.div_ceil(tasks.len()).min(at_once);
        let widest = panels.iter().map(|panel| panel.width).max().unwrap_or(0);
        let of_task = rows.len().next_multiple_of(product::ROWS) * widest;
        let sums = of_task * tasks.len() * groups;
        let of_tile = largest * vectors;
        let mut scratch = Scratch::new(l, Scope::Call, sums + at_once * of_tile);
        let (sums, gradients) = scratch.vectors(l).split_at_mut(sums);
        let gradients = &mut gradients[..at_once * of_tile];
        for (part, tiles) in tiles.chunks(at_once).enumerate() {
            let of_tiles = gradients.par_chunks_mut(of_tile).zip(tiles);
            of_tiles.for_each(|(out, tile)| {
                l.run(BringTogether {
                    l,
                    picture: y,
                    tile,
                    panels: &panels,
                    out,
                });
            });
            let gradients = &*gradients;
            sums.par_chunks_mut(of_task)
                .enumerate()
                .for_each(|(i, sums)| {
                    let (inputs, panel) = &tasks[i / groups];
                    l.run(Sum {
                        l,
                        picture: x,
                        window: &window,
                        inputs: inputs.clone(),
                        rows: &rows[..inputs.len() * taps.len()],
                        cells: &cells,
                        panel: *panel,
                        tiles: parts(tiles.len(), tiles.len().div_ceil(groups)).nth(i % groups),
                        all: tiles,
                        gradients,
                        of_tile,
                        accumulate: part > 0,
                        sums,
                    });
                });
        }
        let out = SharedOut::new(self.out);
        let sums = sums.par_chunks_mut(of_task * groups).zip(&tasks);
        sums.for_each(|(sums, (inputs, panel))| {
            l.run(Finish {
                l,
                sums,
                of_group: of_task,
                inputs: inputs.clone(),
                taps: taps.len(),
                panel: *panel,
                outputs,
                gain: self.gain,
                strides: self.strides,
                out: &out,
            });
        });
    }
}

/// The pixels of a tile of all channels, scaled: of every panel, `[pixel][vector]`.
struct BringTogether<'a, L: Lanes> {
    l: L,
    picture: Picture<'a, f32>,
    tile: &'a Tile,
    panels: &'a [Panel],
    out: &'a mut [L::Vector],
}

impl<L: Lanes> Work for BringTogether<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self {
            l, picture, tile, ..
        } = self;
        let [channels, _, w] = picture.dims;
        let of_sample = tile.rows.len() * w;
        let pixels = tile.pixels();
        for panel in self.panels {
            let lanes = panel.width * L::LANES;
            let out = &mut self.out[panel.first * pixels..][..panel.width * pixels];
            let out = l.floats_mut(out);
            for (i, sample) in tile.samples.clone().enumerate() {
                let out = &mut out[i * of_sample * lanes..][..of_sample * lanes];
                for first in (0..lanes).step_by(4) {
                    let row = |i: usize| {
                        let channel = panel.first * L::LANES + first + i;
                        (channel < channels).then(|| {
                            let (plane, scale) = picture.plane(sample, channel);
                            (&plane[tile.rows.start * w..][..of_sample], scale)
                        })
                    };
                    four(
                        l,
                        [row(0), row(1), row(2), row(3)],
                        lanes,
                        &mut out[first..],
                    );
                }
            }
        }
    }
}

/// Puts the pixels of four channels, which may be missing, into four neighbouring lanes of every `lanes`.
#[inline(always)]
fn four<L: Lanes>(l: L, rows: [Option<(&[f32], f32)>; 4], lanes: usize, out: &mut [f32]) {
    let mut done = 0;
    if let [Some(a), Some(b), Some(c), Some(d)] = rows {
        let rows = [a, b, c, d];
        while done + L::LANES <= a.0.len() {
            let mut v = [l.splat(0.0); 4];
            for (v, (row, scale)) in v.iter_mut().zip(&rows) {
                *v = l.mul(l.splat(*scale), l.load(&row[done..]));
            }
            // Four channels of every fourth pixel, from the first, second, third and fourth on.
            let v = l.transpose4(v);
            for (i, quad) in l.floats(&v).as_chunks::<4>().0.iter().enumerate() {
                let pixel = i % (L::LANES / 4) * 4 + i / (L::LANES / 4);
                out[(done + pixel) * lanes..][..4].copy_from_slice(quad);
            }
            done += L::LANES;
        }
    }
    for (lane, row) in rows.into_iter().enumerate() {
        let to = out.iter_mut().skip(done * lanes + lane).step_by(lanes);
        match row {
            Some((row, scale)) => {
                for (to, &pixel) in to.zip(&row[done..]) {
                    *to = pixel * scale;
                }
            }
            None => to.for_each(|to| *to = 0.0),
        }
    }
}

/// The sums of some inputs and one panel of outputs over some tiles: `[input][tap][vector]`.
struct Sum<'a, L: Lanes> {
    l: L,
    picture: Picture<'a, f32>,
    window: &'a Window,
    inputs: Range<usize>,
    rows: &'a [usize],
    /// Of the largest tile, with which those of every other one begin.
    cells: &'a [usize],
    panel: Panel,
    /// Which of all tiles of the part; none if there are fewer than groups.
    tiles: Option<Range<usize>>,
    all: &'a [Tile],
    gradients: &'a [L::Vector],
    of_tile: usize,
    accumulate: bool,
    sums: &'a mut [L::Vector],
}

impl<L: Lanes> Work for Sum<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (l, panel) = (self.l, self.panel);
        let Some(tiles) = self.tiles else {
            if !self.accumulate {
                self.sums.fill(l.splat(0.0));
            }
            return;
        };
        let copy = self.window.scratch();
        let mut scratch = Scratch::new(l, Scope::Task, copy.div_ceil(L::LANES));
        let copy_of = &mut l.floats_mut(scratch.vectors(l))[..copy];
        let mut accumulate = self.accumulate;
        for tile in tiles {
            let gradients = &self.gradients[tile * self.of_tile..][..self.of_tile];
            let tile = &self.all[tile];
            let count = tile.pixels();
            let gradients = &gradients[panel.first * count..][..panel.width * count];
            let pixels = self
                .window
                .pixels(&self.picture, tile, self.inputs.clone(), copy_of);
            for part in parts(count, DEPTH) {
                let gradients = &gradients[part.start * panel.width..part.end * panel.width];
                let places = (self.rows, Distances::new(&self.cells[part]));
                product::multiply(
                    l,
                    pixels,
                    places,
                    (gradients, panel.width),
                    self.sums,
                    accumulate,
                );
                accumulate = true;
            }
        }
    }
}

/// The kernels of some inputs and one panel of outputs from their sums.
struct Finish<'a, L: Lanes> {
    l: L,
    /// `[group][input][tap][vector]`.
    sums: &'a mut [L::Vector],
    of_group: usize,
    inputs: Range<usize>,
    taps: usize,
    panel: Panel,
    outputs: usize,
    gain: f32,
    strides: [usize; 2],
    out: &'a SharedOut<'a, f32>,
}

impl<L: Lanes> Work for Finish<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { l, panel, taps, .. } = self;
        let rows = self.inputs.len() * taps;
        let (sums, groups) = self.sums.split_at_mut(self.of_group);
        for group in groups.chunks_exact(self.of_group) {
            for (sum, &part) in sums[..rows * panel.width].iter_mut().zip(group) {
                *sum = l.add(*sum, part);
            }
        }
        let pitch = rows.next_multiple_of(4);
        let first = panel.first * L::LANES;
        let channels = (panel.width * L::LANES).min(self.outputs - first);
        let mut scratch = Scratch::new(l, Scope::Task, (channels * pitch).div_ceil(L::LANES));
        let kernels = &mut l.floats_mut(scratch.vectors(l))[..channels * pitch];
        product::spread(l, sums, panel.width, channels, pitch, kernels);
        for (i, kernels) in kernels.chunks_exact(pitch).enumerate() {
            for (input, kernel) in self.inputs.clone().zip(kernels.chunks_exact(taps)) {
                let start = (first + i) * self.strides[0] + input * self.strides[1];
                let to = self.out.at(start, taps);
                for (tap, value) in kernel.iter().enumerate() {
                    // SAFETY: `at` checked the elements of the kernel of one output and one input, which one
                    // task writes.
                    unsafe { *to.add(tap) = self.gain * value };
                }
            }
        }
    }
}
