use candle_core::{DType, Device, Result, Tensor};

use super::{convolve, weight_gradient};
use crate::conv::tests::{
    Numbered, error, finished_once, same_on_any_number_of_threads, waves, wide,
};
use crate::conv::{Conv2d, Derivative, Geometry, Plain, WeightLayout, cpu};
use crate::simd::Level;

/// Pictures that are read in place and not; tiles of rows and of samples, the last one smaller; panels of every width
/// and several of them; phases that no tap reaches; gradients of one part of the tiles and of two, in groups of tiles
/// and not.
fn geometries() -> Result<Vec<Geometry>> {
    let cases = [
        ([2, 3, 9, 11], 4, [3, 3], 2, 0),
        ([5, 2, 8, 6], 20, [3, 3], 2, 1),
        ([1, 70, 33, 41], 33, [3, 3], 2, 0),
        ([3, 70, 5, 4], 40, [3, 3], 2, 1),
        ([16, 9, 17, 17], 65, [3, 3], 2, 0),
        ([16, 65, 4, 4], 64, [3, 3], 1, 1),
        ([2, 3, 12, 7], 5, [2, 5], 2, 1),
        ([2, 3, 12, 9], 5, [4, 4], 3, 2),
        ([3, 2, 10, 8], 3, [1, 2], 3, 0),
        ([2, 5, 7, 13], 6, [5, 3], 1, 2),
        ([2, 90, 23, 30], 17, [1, 1], 1, 0),
        ([1, 3, 1, 5], 2, [1, 3], 2, 0),
        ([2, 20, 16, 16], 130, [3, 3], 1, 1),
        ([1, 2, 121, 120], 70, [3, 3], 1, 1),
        ([7, 3, 32, 32], 32, [1, 1], 1, 0),
    ];
    let mut geometries = Vec::new();
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
        geometries.push(Geometry::of_conv(&picture, &weight, &config)?);
    }
    Ok(geometries)
}

fn size(g: &Geometry, dims: [usize; 3]) -> usize {
    g.n * dims.iter().product::<usize>()
}

fn weights(g: &Geometry) -> usize {
    g.weight_shape().iter().product()
}

/// Both directions at every level, with and without a scale. 7e-7 is the largest error here.
#[test]
fn convolutions_stay_close_to_f64() -> Result<()> {
    for g in geometries()? {
        let w = waves(2, weights(&g));
        for (by, from, to) in [(Derivative::Y, g.x, g.y), (Derivative::X, g.y, g.x)] {
            let input = waves(1, size(&g, from));
            let style = waves(3, g.n * from[0]);
            for scale in [None, Some(&style[..])] {
                let mut expected = vec![f64::NAN; size(&g, to)];
                let wide_scale = scale.map(wide);
                let (scale_of, input_of) = (wide_scale.as_deref(), wide(&input));
                cpu::convolve(
                    &g,
                    by,
                    &input_of,
                    &wide(&w),
                    scale_of,
                    &Plain,
                    &mut expected,
                );
                for &level in Level::available() {
                    let mut got = vec![f32::NAN; expected.len()];
                    convolve(level, &g, by, &input, &w, scale, &Plain, &mut got);
                    let error = error(&got, &expected);
                    assert!(error < 2e-6, "{level:?} {by:?} {g:?}: {error:e}");
                }
            }
        }
    }
    Ok(())
}

/// At every level, with a scale on either side and without. 7e-7 is the largest error here.
#[test]
fn weight_gradients_stay_close_to_f64() -> Result<()> {
    for g in geometries()? {
        let [x, y] = [g.x, g.y].map(|dims| waves(dims[0], size(&g, dims)));
        let [style_x, style_y] = [g.x, g.y].map(|dims| waves(3, g.n * dims[0]));
        for scales in [
            [None, None],
            [Some(&style_x[..]), None],
            [None, Some(&style_y[..])],
        ] {
            let mut expected = vec![f64::NAN; weights(&g)];
            let wide_scales = scales.map(|scale| scale.map(wide));
            let scales_of = wide_scales.each_ref().map(Option::as_deref);
            cpu::weight_gradient(&g, &wide(&x), &wide(&y), scales_of, &mut expected);
            for &level in Level::available() {
                let mut got = vec![f32::NAN; expected.len()];
                weight_gradient(level, &g, [&x, &y], scales, &mut got);
                let error = error(&got, &expected);
                assert!(error < 2e-6, "{level:?} {g:?}: {error:e}");
            }
        }
    }
    Ok(())
}

#[test]
fn results_have_the_same_bits_on_any_number_of_threads() -> Result<()> {
    for g in geometries()? {
        let [x, y] = [g.x, g.y].map(|dims| waves(dims[0], size(&g, dims)));
        let w = waves(2, weights(&g));
        same_on_any_number_of_threads(&g, || {
            let level = Level::available()[0];
            let [mut by_x, mut by_y, mut by_w] =
                [x.len(), y.len(), w.len()].map(|len| vec![f32::NAN; len]);
            convolve(level, &g, Derivative::Y, &x, &w, None, &Plain, &mut by_y);
            convolve(level, &g, Derivative::X, &y, &w, None, &Plain, &mut by_x);
            weight_gradient(level, &g, [&x, &y], [None, None], &mut by_w);
            [by_x, by_y, by_w].concat()
        });
    }
    Ok(())
}

#[test]
fn the_epilogue_finishes_every_pixel_once() -> Result<()> {
    for g in geometries()? {
        let w = waves(2, weights(&g));
        let level = Level::available()[0];
        for (by, from, to) in [(Derivative::Y, g.x, g.y), (Derivative::X, g.y, g.x)] {
            let input = waves(1, size(&g, from));
            let [mut plain, mut finished] = [(); 2].map(|()| vec![f32::NAN; size(&g, to)]);
            convolve(level, &g, by, &input, &w, None, &Plain, &mut plain);
            let epilogue = Numbered([to[0], to[1] * to[2]]);
            convolve(level, &g, by, &input, &w, None, &epilogue, &mut finished);
            finished_once(&(by, &g), &plain, &finished);
        }
    }
    Ok(())
}
