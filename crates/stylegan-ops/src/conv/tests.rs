//! The parts of the convolution family that its public functions do not show.

use std::fmt::Debug;

use candle_core::{DType, Device, Result, Tensor};

use super::cpu::{
    as_transposed_winograd, as_winograd, as_winograd_gradient, convolve, weight_gradient,
};
use super::winograd::Source;
use super::{Conv2d, Derivative, Epilogue, Geometry, Plain, Precision, WeightLayout, winograd};
use crate::kernel::Float;
use crate::simd::Level;
use crate::tests::on_threads;

/// Not the identity when applied twice, and different for every pixel of so many channels of so many pixels.
pub(super) struct Numbered(pub(super) [usize; 2]);

impl Numbered {
    /// What becomes of the value at an index of the result.
    fn of<T: Float>(value: T, at: usize) -> T {
        T::from_f64(2.0) * value + T::from_f64(at as f64)
    }
}

impl<T: Float> Epilogue<T> for Numbered {
    fn finish(&self, sample: usize, channel: usize, first_pixel: usize, row: &mut [T]) {
        let first = (sample * self.0[0] + channel) * self.0[1] + first_pixel;
        for (i, value) in row.iter_mut().enumerate() {
            *value = Self::of(*value, first + i);
        }
    }
}

/// Checks that [`Numbered`] has finished every one of the `plain` results once.
pub(super) fn finished_once<T: Float + Debug>(case: &dyn Debug, plain: &[T], finished: &[T]) {
    assert_eq!(plain.len(), finished.len(), "{case:?}");
    for (at, (&plain, &finished)) in plain.iter().zip(finished).enumerate() {
        assert_eq!(finished, Numbered::of(plain, at), "{case:?} at {at}");
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
            let epilogue = Numbered([to[0], to[1] * to[2]]);
            convolve(&g, by, &input, &weight, None, &epilogue, &mut finished);
            finished_once(&(by, &g), &plain, &finished);
        }
    }
    Ok(())
}

/// The three derivatives of the form that the module defines, summed pixel by pixel: all phases of grids of
/// odd and even sizes, tiles of rows and of samples, kernels that are smaller than the stride.
#[test]
fn the_direct_form_sums_what_its_definition_says() -> Result<()> {
    let cases = [
        ([2, 3, 9, 11], 4, [3, 3], 2, 0),
        ([5, 2, 8, 6], 20, [3, 3], 2, 1),
        ([1, 70, 33, 41], 33, [3, 3], 2, 0),
        ([3, 70, 5, 4], 40, [3, 3], 2, 1),
        ([2, 3, 12, 7], 5, [2, 5], 2, 1),
        ([2, 3, 12, 9], 5, [4, 4], 3, 2),
        ([3, 2, 10, 8], 3, [1, 2], 3, 0),
        ([2, 5, 7, 13], 6, [5, 3], 1, 2),
        ([2, 90, 23, 30], 17, [1, 1], 1, 0),
        ([1, 3, 1, 5], 2, [1, 3], 2, 0),
    ];
    for (case, ([n, i, h, w], o, [kh, kw], stride, padding)) in cases.into_iter().enumerate() {
        let config = Conv2d {
            stride,
            padding,
            gain: 0.7,
            layout: [WeightLayout::YX, WeightLayout::XY][case % 2],
        };
        let (a, b) = [(o, i), (i, o)][case % 2];
        let weight = Tensor::zeros((a, b, kh, kw), DType::F64, &Device::Cpu)?;
        let picture = Tensor::zeros((n, i, h, w), DType::F64, &Device::Cpu)?;
        let g = Geometry::of_conv(&picture, &weight, &config)?;
        let [_, y_h, y_w] = g.y;
        let x = wide(&waves(1, n * i * h * w));
        let y = wide(&waves(2, n * o * y_h * y_w));
        let weight = wide(&waves(3, o * i * kh * kw));
        let (x_scale, y_scale) = (wide(&waves(4, n * i)), wide(&waves(5, n * o)));
        let mut by_y = vec![0.0; y.len()];
        let mut by_x = vec![0.0; x.len()];
        let mut by_w = vec![0.0; weight.len()];
        for (n, o, i) in
            (0..n).flat_map(|n| (0..o).flat_map(move |o| (0..i).map(move |i| (n, o, i))))
        {
            let (x_plane, y_plane) = (n * g.x[0] + i, n * g.y[0] + o);
            let kernel = [o * g.x[0] + i, i * g.y[0] + o][case % 2];
            for at in 0..y_h * y_w * kh * kw {
                let (p, k) = (at / (kh * kw), at % (kh * kw));
                let row = (p / y_w * stride + k / kw).checked_sub(padding);
                let column = (p % y_w * stride + k % kw).checked_sub(padding);
                let (Some(row), Some(column)) = (row, column) else {
                    continue;
                };
                if row >= h || column >= w {
                    continue;
                }
                let q = x_plane * h * w + row * w + column;
                let p = y_plane * y_h * y_w + p;
                let k = kernel * kh * kw + k;
                by_y[p] += 0.7 * weight[k] * x_scale[x_plane] * x[q];
                by_x[q] += 0.7 * weight[k] * y_scale[y_plane] * y[p];
                by_w[k] += 0.7 * x_scale[x_plane] * x[q] * y[p];
            }
        }
        let check = |name: &str, got: &[f64], expected: &[f64]| {
            let largest = expected.iter().fold(0.0, |m: f64, e| m.max(e.abs()));
            for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
                let error = (got - expected).abs();
                assert!(
                    error <= 1e-13 * largest,
                    "{name} {g:?} at {at}: {got} instead of {expected}"
                );
            }
        };
        let mut got = vec![f64::NAN; y.len()];
        convolve(
            &g,
            Derivative::Y,
            &x,
            &weight,
            Some(&x_scale),
            &Plain,
            &mut got,
        );
        check("y", &got, &by_y);
        let mut got = vec![f64::NAN; x.len()];
        convolve(
            &g,
            Derivative::X,
            &y,
            &weight,
            Some(&y_scale),
            &Plain,
            &mut got,
        );
        check("x", &got, &by_x);
        let mut got = vec![f64::NAN; weight.len()];
        weight_gradient(&g, &x, &y, [Some(&x_scale), None], &mut got);
        check("weight", &got, &by_w);
    }
    Ok(())
}

pub(super) fn waves(seed: usize, count: usize) -> Vec<f32> {
    let wave = |i: usize| ((i * i % 8191) as f64 * 0.37 + (i + seed) as f64).sin() as f32;
    (0..count).map(wave).collect()
}

/// The largest difference from the direct form in f64, relative to the largest magnitude.
pub(super) fn error(got: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let largest = expected.iter().fold(0.0, |m: f64, e| m.max(e.abs()));
    let difference = |(g, e): (&f32, &f64)| {
        let difference = (*g as f64 - e).abs();
        if difference.is_nan() {
            f64::INFINITY
        } else {
            difference
        }
    };
    got.iter().zip(expected).map(difference).fold(0.0, f64::max) / largest
}

/// Checks that results are finite, and the same bits on one, two and three threads.
pub(super) fn same_on_any_number_of_threads(case: &dyn Debug, run: impl Fn() -> Vec<f32> + Sync) {
    let one = on_threads(1, &run);
    assert!(one.iter().all(|y| y.is_finite()), "{case:?}");
    for threads in [2, 3] {
        assert_eq!(
            one,
            on_threads(threads, &run),
            "{case:?} on {threads} threads"
        );
    }
}

pub(super) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| v as f64).collect()
}

/// A 3x3 convolution of stride 1.
#[derive(Debug, Clone, Copy)]
struct Case {
    n: usize,
    inputs: usize,
    outputs: usize,
    size: [usize; 2],
    padding: usize,
    layout: WeightLayout,
}

impl Case {
    fn geometry(&self) -> Result<Geometry> {
        let Self {
            n,
            inputs,
            outputs,
            size: [h, w],
            padding,
            layout,
        } = *self;
        let config = Conv2d {
            stride: 1,
            padding,
            gain: 0.3,
            layout,
        };
        let dims = match layout {
            WeightLayout::YX => (outputs, inputs, 3, 3),
            WeightLayout::XY => (inputs, outputs, 3, 3),
        };
        let weight = Tensor::zeros(dims, DType::F64, &Device::Cpu)?;
        let x = Tensor::zeros((n, inputs, h, w), DType::F64, &Device::Cpu)?;
        Geometry::of_conv(&x, &weight, &config)
    }

    /// Odd sizes, sizes beside multiples of a tile and of the lanes, one task and many, transforms that are
    /// shared and not.
    fn all() -> Vec<Self> {
        let case = |[n, inputs, outputs, h, w, padding]: [usize; 6]| Self {
            n,
            inputs,
            outputs,
            size: [h, w],
            padding,
            layout: if (h + outputs) % 2 == 0 {
                WeightLayout::YX
            } else {
                WeightLayout::XY
            },
        };
        [
            [1, 1, 1, 1, 1, 1],
            [1, 1, 1, 1, 1, 2],
            [2, 3, 5, 4, 4, 1],
            [1, 4, 1, 3, 5, 0],
            [2, 20, 33, 9, 7, 1],
            [5, 17, 16, 8, 8, 1],
            [1, 16, 16, 17, 16, 1],
            [3, 5, 40, 13, 33, 0],
            [17, 9, 20, 4, 4, 1],
            [1, 33, 31, 64, 65, 1],
            [2, 130, 20, 8, 70, 2],
            [1, 3, 2, 5, 611, 1],
            [1, 200, 70, 16, 16, 1],
            [9, 300, 33, 12, 11, 1],
        ]
        .map(case)
        .to_vec()
    }
}

/// Both directions at every level, with and without a scale. 4.9e-6 is the largest error here.
#[test]
fn winograd_stays_close_to_f64() -> Result<()> {
    for case in Case::all() {
        let g = case.geometry()?;
        let w = waves(1, case.inputs * case.outputs * 9);
        for (by, from, to) in [(Derivative::Y, g.x, g.y), (Derivative::X, g.y, g.x)] {
            let x = waves(2, g.n * from.iter().product::<usize>());
            let style = waves(3, g.n * from[0]);
            for style in [None, Some(&style[..])] {
                let mut expected = vec![0.0; g.n * to.iter().product::<usize>()];
                let wide_style = style.map(wide);
                convolve(
                    &g,
                    by,
                    &wide(&x),
                    &wide(&w),
                    wide_style.as_deref(),
                    &Plain,
                    &mut expected,
                );
                let (shape, kernels) = as_winograd(&g, by, &w).expect("3x3, stride 1");
                for &level in Level::available() {
                    let mut got = vec![f32::NAN; expected.len()];
                    winograd::convolve(
                        level,
                        &shape,
                        &x,
                        Source::Stored(kernels),
                        style,
                        &Plain,
                        &mut got,
                    );
                    let packed = winograd::packed(level, &shape, false, kernels, Precision::F32);
                    let mut again = vec![f32::NAN; expected.len()];
                    let weight = Source::Packed(&packed);
                    winograd::convolve(level, &shape, &x, weight, style, &Plain, &mut again);
                    assert!(got == again, "{level:?} {by:?} {case:?} packed");
                    let error = error(&got, &expected);
                    assert!(error < 8e-6, "{level:?} {by:?} {case:?}: {error:e}");
                }
            }
        }
    }
    Ok(())
}

/// Powers of two change no digit, up to near the ends of the range.
#[test]
fn winograd_takes_extreme_magnitudes() -> Result<()> {
    let case = Case::all()[4];
    let g = case.geometry()?;
    let (x, w) = (
        waves(1, g.n * g.x.iter().product::<usize>()),
        waves(2, 20 * 33 * 9),
    );
    let (shape, kernels) = as_winograd(&g, Derivative::Y, &w).expect("3x3, stride 1");
    let run = |x: &[f32]| {
        let mut y = vec![f32::NAN; g.n * g.y.iter().product::<usize>()];
        winograd::convolve(
            Level::available()[0],
            &shape,
            x,
            Source::Stored(kernels),
            None,
            &Plain,
            &mut y,
        );
        y
    };
    let plain = run(&x);
    for exponent in [-80, -40, 40, 100] {
        let factor = 2f32.powi(exponent);
        let scaled: Vec<f32> = x.iter().map(|x| x * factor).collect();
        let expected: Vec<f32> = plain.iter().map(|y| y * factor).collect();
        assert_eq!(run(&scaled), expected, "2^{exponent}");
    }
    Ok(())
}

/// What the direct form makes of a value that is not finite is not finite here, either.
#[test]
fn winograd_hides_no_value_that_is_not_finite() -> Result<()> {
    let case = Case::all()[4];
    let g = case.geometry()?;
    let w = waves(2, 20 * 33 * 9);
    let (shape, kernels) = as_winograd(&g, Derivative::Y, &w).expect("3x3, stride 1");
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for at in [0, 31, 62, 1000] {
            let mut x = waves(1, g.n * g.x.iter().product::<usize>());
            x[at] = value;
            let mut expected = vec![0.0; g.n * g.y.iter().product::<usize>()];
            convolve(
                &g,
                Derivative::Y,
                &wide(&x),
                &wide(&w),
                None,
                &Plain,
                &mut expected,
            );
            let mut got = vec![0.0; expected.len()];
            winograd::convolve(
                Level::available()[0],
                &shape,
                &x,
                Source::Stored(kernels),
                None,
                &Plain,
                &mut got,
            );
            assert!(expected.iter().any(|e| !e.is_finite()));
            for (got, expected) in got.iter().zip(&expected) {
                assert!(expected.is_finite() || !got.is_finite(), "{value} at {at}");
            }
            let other = g.y.iter().product::<usize>();
            assert!(
                got[other..].iter().all(|y| y.is_finite()) || at >= 20 * 63,
                "the other sample"
            );
        }
    }
    Ok(())
}

#[test]
fn winograd_gives_the_same_bits_on_any_number_of_threads() -> Result<()> {
    for case in Case::all() {
        let g = case.geometry()?;
        let x = waves(1, g.n * g.x.iter().product::<usize>());
        let w = waves(2, case.inputs * case.outputs * 9);
        let (shape, kernels) = as_winograd(&g, Derivative::Y, &w).expect("3x3, stride 1");
        same_on_any_number_of_threads(&case, || {
            let mut y = vec![f32::NAN; g.n * g.y.iter().product::<usize>()];
            let (level, weight) = (Level::available()[0], Source::Stored(kernels));
            winograd::convolve(level, &shape, &x, weight, None, &Plain, &mut y);
            y
        });
    }
    Ok(())
}

/// The cases of [`Case::all`], and one whose transformed tiles are taken in two parts.
fn gradient_cases() -> Vec<Case> {
    let large = Case {
        size: [260, 261],
        ..Case::all()[2]
    };
    let large = Case { n: 1, ..large };
    [Case::all(), vec![large]].concat()
}

/// At every level, with a scale on either side and without. 1.7e-6 is the largest error here.
#[test]
fn weight_gradients_by_winograd_stay_close_to_f64() -> Result<()> {
    for case in gradient_cases() {
        let g = case.geometry()?;
        let [x, y] = [g.x, g.y].map(|dims| waves(dims[0], g.n * dims.iter().product::<usize>()));
        let [style_x, style_y] = [g.x, g.y].map(|dims| waves(3, g.n * dims[0]));
        for (scale_x, scale_y) in [
            (None, None),
            (Some(&style_x[..]), None),
            (None, Some(&style_y[..])),
        ] {
            let mut expected = vec![f64::NAN; case.inputs * case.outputs * 9];
            let (wide_x, wide_y) = (scale_x.map(wide), scale_y.map(wide));
            let scales = [wide_x.as_deref(), wide_y.as_deref()];
            weight_gradient(&g, &wide(&x), &wide(&y), scales, &mut expected);
            let (shape, strides) = as_winograd_gradient(&g).expect("3x3, stride 1");
            for &level in Level::available() {
                let mut got = vec![f32::NAN; expected.len()];
                let (x, y) = ((&x[..], scale_x), (&y[..], scale_y));
                winograd::weight_gradient(level, &shape, x, y, strides, &mut got);
                let error = error(&got, &expected);
                assert!(error < 4e-6, "{level:?} {case:?}: {error:e}");
            }
        }
    }
    Ok(())
}

#[test]
fn weight_gradients_have_the_same_bits_on_any_number_of_threads() -> Result<()> {
    for case in gradient_cases() {
        let g = case.geometry()?;
        let [x, y] = [g.x, g.y].map(|dims| waves(dims[0], g.n * dims.iter().product::<usize>()));
        let (shape, strides) = as_winograd_gradient(&g).expect("3x3, stride 1");
        same_on_any_number_of_threads(&case, || {
            let mut out = vec![f32::NAN; case.inputs * case.outputs * 9];
            let (level, x, y) = (Level::available()[0], (&x[..], None), (&y[..], None));
            winograd::weight_gradient(level, &shape, x, y, strides, &mut out);
            out
        });
    }
    Ok(())
}

#[test]
fn the_epilogue_of_winograd_finishes_every_pixel_once() -> Result<()> {
    for case in Case::all() {
        let g = case.geometry()?;
        let x = waves(1, g.n * g.x.iter().product::<usize>());
        let w = waves(2, case.inputs * case.outputs * 9);
        let (shape, kernels) = as_winograd(&g, Derivative::Y, &w).expect("3x3, stride 1");
        let size = g.n * g.y.iter().product::<usize>();
        let (mut plain, mut finished) = (vec![f32::NAN; size], vec![f32::NAN; size]);
        let level = Level::available()[0];
        winograd::convolve(
            level,
            &shape,
            &x,
            Source::Stored(kernels),
            None,
            &Plain,
            &mut plain,
        );
        let epilogue = Numbered([g.y[0], g.y[1] * g.y[2]]);
        winograd::convolve(
            level,
            &shape,
            &x,
            Source::Stored(kernels),
            None,
            &epilogue,
            &mut finished,
        );
        finished_once(&case, &plain, &finished);
    }
    Ok(())
}

/// Odd and even sizes, with and without a border that no tile computes, one task and many, at every level; and the
/// same from packed weights. 3.4e-6 is the largest error here.
#[test]
fn transposed_winograd_stays_close_to_f64() -> Result<()> {
    let cases = [
        ([1, 1, 1], [1, 1]),
        ([2, 3, 5], [4, 3]),
        ([1, 20, 33], [9, 19]),
        ([3, 17, 18], [8, 8]),
        ([2, 40, 20], [16, 5]),
        ([1, 150, 70], [13, 16]),
        ([1, 300, 16], [12, 11]),
        ([1, 4, 3], [5, 300]),
    ];
    for ([n, i, o], [h, w]) in cases {
        let layout = if h % 2 == 0 {
            WeightLayout::XY
        } else {
            WeightLayout::YX
        };
        let config = Conv2d {
            stride: 2,
            padding: 0,
            gain: 0.3,
            layout,
        };
        let dims = if layout == WeightLayout::XY {
            (o, i, 3, 3)
        } else {
            (i, o, 3, 3)
        };
        let weight = waves(1, o * i * 9);
        let x = waves(2, n * i * h * w);
        let style = waves(3, n * i);
        let size = [2 * h + 1, 2 * w + 1];
        let of = |dims: &[usize]| Tensor::zeros(dims, DType::F64, &Device::Cpu);
        let kernel = Tensor::zeros(dims, DType::F64, &Device::Cpu)?;
        let g = Geometry::of_transpose(&of(&[n, i, h, w])?, &kernel, size, &config)?;
        let count = n * o * size[0] * size[1];
        let mut expected = vec![0.0; count];
        let (wide_x, wide_w, wide_style) = (wide(&x), wide(&weight), wide(&style));
        let by = Derivative::X;
        convolve(
            &g,
            by,
            &wide_x,
            &wide_w,
            Some(&wide_style),
            &Plain,
            &mut expected,
        );
        let (shape, kernels) = as_transposed_winograd(&g, by, &weight).expect("3x3, stride 2");
        for &level in Level::available() {
            let run = |weight: Source| {
                let mut got = vec![f32::NAN; count];
                let style = Some(&style[..]);
                winograd::convolve_transposed(level, &shape, &x, weight, style, &Plain, &mut got);
                got
            };
            let got = run(Source::Stored(kernels));
            let error = error(&got, &expected);
            assert!(error < 8e-6, "{level:?} {n}x{i}x{h}x{w} to {o}: {error:e}");
            let packed = winograd::packed(level, &shape, true, kernels, Precision::F32);
            assert!(
                run(Source::Packed(&packed)) == got,
                "{n}x{i}x{h}x{w} packed"
            );
            let mut finished = vec![f32::NAN; count];
            let (weight, epilogue) = (Source::Stored(kernels), Numbered([o, size[0] * size[1]]));
            let style = Some(&style[..]);
            winograd::convolve_transposed(
                level,
                &shape,
                &x,
                weight,
                style,
                &epilogue,
                &mut finished,
            );
            finished_once(&shape, &got, &finished);
        }
    }
    Ok(())
}

/// Blocks of four and five pixels, parts of blocks, panels with and without gaps, at every level.
#[test]
fn a_few_pixels_from_packed_weights_stay_close_to_f64() -> Result<()> {
    let sizes = [[1, 1], [4, 4], [5, 7], [8, 8], [9, 16], [13, 3]];
    let channels = [[1, 1, 1], [2, 3, 5], [1, 20, 33], [3, 16, 16]];
    let cases = sizes
        .iter()
        .flat_map(|s| channels.iter().map(move |c| (*s, *c)));
    for (([h, w], [n, i, o]), transposed) in cases.flat_map(|case| [(case, false), (case, true)]) {
        let of = |dims: &[usize]| Tensor::zeros(dims, DType::F64, &Device::Cpu);
        let (x, kernel) = (of(&[n, i, h, w])?, of(&[o, i, 3, 3])?);
        let config = Conv2d {
            padding: 1,
            gain: 0.3,
            ..Conv2d::default()
        };
        let (g, by) = match transposed {
            false => (Geometry::of_conv(&x, &kernel, &config)?, Derivative::Y),
            true => {
                let config = Conv2d {
                    stride: 2,
                    padding: 0,
                    layout: WeightLayout::XY,
                    ..config
                };
                let size = [2 * h + 1, 2 * w + 1];
                (
                    Geometry::of_transpose(&x, &kernel, size, &config)?,
                    Derivative::X,
                )
            }
        };
        let [x, weight, style] = [(1, n * i * h * w), (2, o * i * 9), (3, n * i)]
            .map(|(seed, count)| waves(seed, count));
        let [_, rows, columns] = g.output(by);
        let count = n * o * rows * columns;
        let mut expected = vec![0.0; count];
        let (wide_x, wide_w, wide_style) = (wide(&x), wide(&weight), wide(&style));
        convolve(
            &g,
            by,
            &wide_x,
            &wide_w,
            Some(&wide_style),
            &Plain,
            &mut expected,
        );
        let (shape, kernels) = match transposed {
            false => as_winograd(&g, by, &weight).expect("3x3, stride 1"),
            true => as_transposed_winograd(&g, by, &weight).expect("3x3, stride 2"),
        };
        for &level in Level::available() {
            let packed = winograd::packed(level, &shape, transposed, kernels, Precision::F32);
            let (mut got, mut finished) = (vec![f32::NAN; count], vec![f32::NAN; count]);
            let style = Some(&style[..]);
            winograd::convolve_few(
                level, &shape, transposed, &x, &packed, style, &Plain, &mut got,
            );
            let error = error(&got, &expected);
            assert!(error < 2e-6, "{level:?} {transposed} {shape:?}: {error:e}");
            let plane = Numbered([o, rows * columns]);
            winograd::convolve_few(
                level,
                &shape,
                transposed,
                &x,
                &packed,
                style,
                &plane,
                &mut finished,
            );
            finished_once(&shape, &got, &finished);
        }
    }
    Ok(())
}
