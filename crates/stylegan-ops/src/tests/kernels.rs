//! Kernels against references over random sizes, and their answers to wrong shapes.

use candle_core::{DType, Device, Result, Tensor};
use proptest::prelude::*;

use super::{Normal, difference, on_threads};
use crate::conv::Geometry;
use crate::*;

/// References and kernels add in different orders.
const TOLERANCE: f64 = 1e-12;
const SINGLE_TOLERANCE: f64 = 2e-5;

/// The tensor at a magnitude between tiny and huge.
fn scaled(t: &Tensor, exponent: i32) -> Result<Tensor> {
    t.affine(10f64.powi(exponent), 0.0)
}

fn agree(what: &str, got: &Tensor, expected: &Tensor) {
    let tolerance = if expected.dtype() == DType::F32 {
        SINGLE_TOLERANCE
    } else {
        TOLERANCE
    };
    let error = difference(got, expected);
    assert!(error < tolerance, "{what}: {error}");
}

/// [`agree`] for sums that may cancel: errors are relative to the sums of magnitudes.
fn agree_in_sum(what: &str, got: &Tensor, expected: &Tensor, of_magnitudes: &Tensor) {
    let shifted = (got - expected).and_then(|error| error + of_magnitudes);
    agree(what, &shifted.unwrap(), of_magnitudes);
}

fn precision(single: bool) -> DType {
    if single { DType::F32 } else { DType::F64 }
}

fn reference_conv2d(
    x: &Tensor,
    w: &Tensor,
    scale: Option<&Tensor>,
    config: &Conv2d,
) -> Result<Tensor> {
    conv::reference::convolve(&Geometry::of_conv(x, w, config)?, true, x, w, scale)
}

fn reference_transpose(
    y: &Tensor,
    w: &Tensor,
    scale: Option<&Tensor>,
    size: [usize; 2],
    config: &Conv2d,
) -> Result<Tensor> {
    conv::reference::convolve(
        &Geometry::of_transpose(y, w, size, config)?,
        false,
        y,
        w,
        scale,
    )
}

fn reference_weight_gradient(
    x: &Tensor,
    y: &Tensor,
    scale: Option<Scale>,
    kernel: [usize; 2],
    config: &Conv2d,
) -> Result<Tensor> {
    conv::reference::weight_gradient(
        &Geometry::of_weight_gradient(x, y, kernel, config)?,
        x,
        y,
        scale,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn convolutions_equal_their_reference(
        seed in any::<u64>(), single in any::<bool>(), n in 1usize..4, i in 1usize..20, o in 1usize..40, h in 1usize..20, w in 1usize..20,
        k in 1usize..5, stride in 1usize..4, pad in 0usize..4, transposed_weight in any::<bool>(), scaled_input in any::<bool>(), exponent in -12i32..12,
    ) {
        let padding = pad.min(k - 1);
        prop_assume!(h + 2 * padding >= k && w + 2 * padding >= k);
        let mut normal = Normal::new(seed).of(precision(single));
        let layout = if transposed_weight { WeightLayout::XY } else { WeightLayout::YX };
        let config = Conv2d { stride, padding, gain: 0.3, layout };
        let weight = normal.tensor(&if transposed_weight { [i, o, k, k] } else { [o, i, k, k] });
        let x = scaled(&normal.tensor(&[n, i, h, w]), exponent).unwrap();
        let style = scaled_input.then(|| normal.tensor(&[n, i]));
        let y = conv2d(&x, &weight, style.as_ref(), &config).unwrap();
        agree("conv2d", &y, &reference_conv2d(&x, &weight, style.as_ref(), &config).unwrap());

        let g = normal.tensor(y.dims());
        let style = scaled_input.then(|| normal.tensor(&[n, o]));
        let dx = conv_transpose2d(&g, &weight, style.as_ref(), [h, w], &config).unwrap();
        agree("conv_transpose2d", &dx, &reference_transpose(&g, &weight, style.as_ref(), [h, w], &config).unwrap());

        let scale = style.as_ref().map(Scale::Y);
        let dw = conv2d_weight_gradient(&x, &g, scale, [k, k], &config).unwrap();
        agree("weight gradient", &dw, &reference_weight_gradient(&x, &g, scale, [k, k], &config).unwrap());
    }

    #[test]
    fn upfirdn2d_equals_its_reference(
        seed in any::<u64>(), single in any::<bool>(), h in 1usize..40, w in 1usize..40, kh in 1usize..13, kw in 1usize..13, up in 1usize..4, down in 1usize..4,
        x0 in -2i64..8, x1 in -2i64..8, y0 in -2i64..8, y1 in -2i64..8, flip_filter in any::<bool>(), separable in any::<bool>(),
    ) {
        let mut normal = Normal::new(seed).of(precision(single));
        let x = normal.tensor(&[2, 3, h, w]);
        let filter = Filter::from_tensor(&normal.tensor(&if separable { vec![kh] } else { vec![kh, kw] })).unwrap();
        let config = UpFirDn2d { up, down, padding: [x0, x1, y0, y1], flip_filter, gain: 1.7 };
        let fits = |size: usize, padding: [i64; 2], taps: usize| {
            let left = (size * up) as i64 + padding[0].min(0) + padding[1].min(0);
            left > 0 && (size * up) as i64 + padding[0] + padding[1] >= taps as i64
        };
        let [fh, fw] = filter.dims();
        prop_assume!(fits(h, [y0, y1], fh) && fits(w, [x0, x1], fw));
        let y = upfirdn2d(&x, &filter, &config).unwrap();
        let output = [y.dim(2).unwrap(), y.dim(3).unwrap()];
        agree("upfirdn2d", &y, &upfirdn2d::reference::upfirdn2d(&x, &filter, &config, output).unwrap());
    }

    #[test]
    fn bias_act_equals_its_reference(
        seed in any::<u64>(), single in any::<bool>(), n in 1usize..4, c in 1usize..9, h in 1usize..20, w in 1usize..20, lrelu in any::<bool>(),
        clamp in proptest::option::of(0.1f64..3.0), with_noise in 0usize..3, with_scale in any::<bool>(), with_bias in any::<bool>(), exponent in -3i32..3,
    ) {
        let mut normal = Normal::new(seed).of(precision(single));
        let x = scaled(&normal.tensor(&[n, c, h, w]), exponent).unwrap();
        let b = with_bias.then(|| normal.tensor(&[c]));
        let noise = [None, Some(normal.tensor(&[n, 1, h, w])), Some(normal.tensor(&[1, 1, h, w]))][with_noise].clone();
        let scale = normal.tensor(&[n, c]);
        let config = if lrelu { BiasAct::lrelu() } else { BiasAct::linear() }.with_clamp(clamp);
        let scale = with_scale.then_some(&scale);
        let y = match scale {
            Some(scale) => scaled_bias_act(&x, scale, b.as_ref(), noise.as_ref(), &config),
            None => bias_act(&x, b.as_ref(), noise.as_ref(), &config),
        };
        agree("bias_act", &y.unwrap(), &bias_act::reference::bias_act(&x, scale, b.as_ref(), noise.as_ref(), &config).unwrap());
    }

    #[test]
    fn channelwise_ops_equal_their_references(seed in any::<u64>(), single in any::<bool>(), n in 1usize..4, c in 1usize..20, h in 1usize..40, w in 1usize..40) {
        use crate::channelwise::reference;
        let mut normal = Normal::new(seed).of(precision(single));
        let (x, z) = (normal.tensor(&[n, c, h, w]), normal.tensor(&[n, c, h, w]));
        let (x_size, z_size) = (x.abs().unwrap(), z.abs().unwrap());
        let (a, b) = (normal.tensor(&[n, c]), normal.tensor(&[n, c]));
        agree("modulate", &modulate(&x, &a).unwrap(), &reference::modulate(&x, &a).unwrap());
        agree_in_sum("channel_dot", &channel_dot(&x, &z).unwrap(), &reference::channel_dot(&x, &z).unwrap(), &reference::channel_dot(&x_size, &z_size).unwrap());
        agree_in_sum("channel_sum", &channel_sum(&x).unwrap(), &reference::channel_sum(&x).unwrap(), &reference::channel_sum(&x_size).unwrap());
        agree("channel_affine", &channel_affine(&x, &a, &b).unwrap(), &reference::channel_affine(&x, &a, &b).unwrap());
        agree_in_sum("pixel_sum", &pixel_sum(&x).unwrap(), &reference::pixel_sum(&x).unwrap(), &reference::pixel_sum(&x_size).unwrap());
        let s = normal.tensor(&[n, 1, h, w]);
        agree("pixel_modulate", &pixel_modulate(&x, &s).unwrap(), &reference::pixel_modulate(&x, &s).unwrap());
        agree_in_sum("pixel_dot", &pixel_dot(&x, &z).unwrap(), &reference::pixel_dot(&x, &z).unwrap(), &reference::pixel_dot(&x_size, &z_size).unwrap());
    }

    #[test]
    fn max_pool2d_equals_its_reference(seed in any::<u64>(), single in any::<bool>(), n in 1usize..4, c in 1usize..20, h in 2usize..40, w in 2usize..40) {
        let x = Normal::new(seed).of(precision(single)).tensor(&[n, c, h, w]);
        agree("max_pool2d", &max_pool2d(&x).unwrap(), &max_pool::reference::max_pool2d(&x).unwrap());
    }

    #[test]
    fn add_noise_equals_its_reference(seed in any::<u64>(), single in any::<bool>(), n in 1usize..4, c in 1usize..20, h in 1usize..40, w in 1usize..40, shared in any::<bool>()) {
        let mut normal = Normal::new(seed).of(precision(single));
        let (x, strength) = (normal.tensor(&[n, c, h, w]), normal.tensor(&[c]));
        let noise = normal.tensor(&[if shared { 1 } else { n }, 1, h, w]);
        agree("add_noise", &add_noise(&x, &noise, &strength).unwrap(), &noise::reference::add_noise(&x, &noise, &strength).unwrap());
    }

    #[test]
    fn modulated_convolution_equals_the_textbook_form(
        seed in any::<u64>(), single in any::<bool>(), n in 1usize..4, i in 1usize..9, o in 1usize..9, h in 2usize..9, w in 2usize..9, up in 1usize..3, demodulate in any::<bool>(), pointwise in any::<bool>(),
    ) {
        let mut normal = Normal::new(seed).of(precision(single));
        let k = if pointwise { 1 } else { 3 };
        let (x, weight, s) = (normal.tensor(&[n, i, h, w]), normal.tensor(&[o, i, k, k]), normal.tensor(&[n, i]));
        let config = ModulatedConv2d { up, padding: k / 2, demodulate, gain: 0.4 };
        let filter = Filter::default();
        let y = modulated_conv2d(&x, &weight, &s, &filter, &config).unwrap();
        agree("modulated_conv2d", &y, &modulated::reference::modulated_conv2d(&x, &weight, &s, &filter, &config).unwrap());
    }
}

/// Odd sizes, single samples and pixels, and magnitudes whose squares are beside the 1e-8 that is
/// added to them or far above it.
#[test]
fn normalisations_equal_their_references() -> Result<()> {
    use crate::norm::reference;
    let shapes = [
        [1, 1, 1, 1],
        [2, 5, 1, 1],
        [1, 7, 1, 2],
        [3, 4, 7, 5],
        [1, 33, 17, 31],
        [2, 3, 33, 64],
        [1, 130, 40, 37],
    ];
    for (seed, dims) in shapes.into_iter().enumerate() {
        for (magnitude, dtype) in [1e-4, 1.0, 1e4]
            .into_iter()
            .flat_map(|m| [(m, DType::F32), (m, DType::F64)])
        {
            let mut normal = Normal::new(seed as u64).of(dtype);
            let x = normal.tensor(&dims).affine(magnitude, 0.5 * magnitude)?;
            let (y_s, y_b) = (normal.tensor(&dims[..2]), normal.tensor(&dims[..2]));
            let name = |op: &str| format!("{op} {dims:?} times {magnitude} in {dtype:?}");
            agree(
                &name("pixel_norm"),
                &pixel_norm(&x)?,
                &reference::unit_mean_square(&x, 1)?,
            );
            let normalised = reference::instance_norm(&x)?;
            agree(&name("instance_norm"), &instance_norm(&x)?, &normalised);
            let styled = channelwise::reference::channel_affine(&normalised, &y_s, &y_b)?;
            agree(&name("adain"), &adain(&x, &y_s, &y_b)?, &styled);
        }
    }
    Ok(())
}

#[test]
fn instance_norm_gives_zero_mean_and_unit_variance() -> Result<()> {
    let x = Normal::new(13).tensor(&[2, 3, 9, 7]).affine(5.0, 20.0)?;
    let y = instance_norm(&x)?;
    assert!(
        super::values(&channel_sum(&y)?)
            .iter()
            .all(|m| m.abs() < 1e-9)
    );
    let energy = super::values(&channel_dot(&y, &y)?);
    assert!(
        energy.iter().all(|e| (e / 63.0 - 1.0).abs() < 1e-8),
        "{energy:?}"
    );
    Ok(())
}

#[test]
fn pooling_inverts_nearest_upsampling_exactly() -> Result<()> {
    for dtype in [DType::F32, DType::F64] {
        let x = Normal::new(14).of(dtype).tensor(&[2, 3, 5, 3]);
        for factor in [1, 2, 8] {
            let large = nearest_upsample2d(&x, factor)?;
            assert_eq!(large.dims(), [2, 3, 5 * factor, 3 * factor]);
            let pixels = large.reshape((2, 3, 5, factor, 3, factor))?;
            for (i, j) in [(0, 0), (factor - 1, factor / 2)] {
                let copy = pixels.narrow(3, i, 1)?.narrow(5, j, 1)?;
                assert_eq!(super::values(&copy), super::values(&x), "factor {factor}");
            }
            let small = average_pool2d(&large, factor)?;
            assert_eq!(super::values(&small), super::values(&x), "factor {factor}");
        }
    }
    Ok(())
}

#[test]
fn a_blur_correlates_and_keeps_the_size() -> Result<()> {
    let mut impulse = [0f64; 25];
    impulse[12] = 1.0;
    let x = Tensor::from_slice(&impulse, (1, 1, 5, 5), &Device::Cpu)?;
    // A correlation shows its filter rotated: for each of 1 to 5 taps, the row through the impulse.
    let rows: [&[f64]; 5] = [
        &[0.0, 0.0, 1.0, 0.0, 0.0],
        &[0.0, 2.0, 1.0, 0.0, 0.0],
        &[0.0, 3.0, 2.0, 1.0, 0.0],
        &[4.0, 3.0, 2.0, 1.0, 0.0],
        &[5.0, 4.0, 3.0, 2.0, 1.0],
    ];
    for (last, expected) in rows.into_iter().enumerate() {
        let taps: Vec<f64> = (1..=last + 1).map(|tap| tap as f64).collect();
        let y = blur2d(&x, &Filter::separable(&taps)?)?;
        assert_eq!(y.dims(), x.dims());
        let row = y.sum(2)?;
        let sum: f64 = taps.iter().sum();
        for (got, expected) in super::values(&row).iter().zip(expected) {
            assert!((got * sum - expected).abs() < 1e-12, "{taps:?}: {row}");
        }
    }
    Ok(())
}

#[test]
fn a_rotated_kernel_correlates_going_up() -> Result<()> {
    let mut normal = Normal::new(15);
    let (x, w) = (normal.tensor(&[2, 3, 5, 4]), normal.tensor(&[4, 3, 3, 3]));
    assert_eq!(
        super::values(&rotate180(&w)?),
        super::values(&w.flip(&[2, 3])?)
    );
    let filter = Filter::separable(&[1.0, 1.0])?;
    let up = ConvResample {
        up: 2,
        padding: 1,
        ..Default::default()
    };
    let same = Conv2d {
        padding: 1,
        ..Default::default()
    };
    agree(
        "rotate180",
        &conv2d_resample(&x, &rotate180(&w)?, &filter, &up)?,
        &conv2d(&nearest_upsample2d(&x, 2)?, &w, None, &same)?,
    );
    Ok(())
}

/// A phase of the output grid with one tap and more rows than the input: it can't be read in place.
#[test]
fn a_transposed_convolution_may_reach_beyond_its_input() -> Result<()> {
    let mut normal = Normal::new(9);
    let config = Conv2d {
        stride: 2,
        ..Default::default()
    };
    let (y, w) = (normal.tensor(&[1, 1, 1, 1]), normal.tensor(&[1, 1, 2, 2]));
    let x = conv_transpose2d(&y, &w, None, [3, 2], &config)?;
    agree(
        "conv_transpose2d",
        &x,
        &reference_transpose(&y, &w, None, [3, 2], &config)?,
    );
    Ok(())
}

/// The compositions run on GPUs, where regularizers differentiate them twice as well.
#[test]
fn references_differentiate_twice_like_the_kernels() -> Result<()> {
    let mut normal = Normal::new(3);
    let config = Conv2d {
        stride: 2,
        padding: 1,
        gain: 0.5,
        layout: WeightLayout::YX,
    };
    let act = BiasAct::lrelu();
    let (x, w, g) = (
        normal.tensor(&[2, 3, 6, 5]),
        normal.tensor(&[4, 3, 3, 3]),
        normal.tensor(&[2, 4, 3, 3]),
    );
    let filter = Filter::default();
    let fir = UpFirDn2d {
        padding: [2, 1, 2, 1],
        ..Default::default()
    };
    let second_order = |kernels: bool| -> Result<Vec<Tensor>> {
        let x = candle_core::Var::from_tensor(&x)?;
        let w = candle_core::Var::from_tensor(&w)?;
        let y = if kernels {
            bias_act(
                &conv2d(&upfirdn2d(&x, &filter, &fir)?, &w, None, &config)?,
                None,
                None,
                &act,
            )?
        } else {
            let filtered = upfirdn2d::reference::upfirdn2d(&x, &filter, &fir, [6, 5])?;
            let y = reference_conv2d(&filtered, &w, None, &config)?;
            bias_act::reference::bias_act(&y, None, None, None, &act)?
        };
        let slope = autograd::grad(&(y.sqr()? * &g)?.sum_all()?, &[x.as_tensor()])?.remove(0);
        let gradients = autograd::backward(&slope.sqr()?.sum_all()?)?;
        [x, w]
            .iter()
            .map(|v| gradients.require("variable", v).cloned())
            .collect()
    };
    for (kernel, reference) in second_order(true)?.iter().zip(&second_order(false)?) {
        agree("second order", kernel, reference);
    }
    Ok(())
}

#[test]
fn strided_and_offset_inputs_are_accepted() -> Result<()> {
    let mut normal = Normal::new(4);
    let x = normal.tensor(&[3, 6, 5, 4]);
    let view = x.transpose(0, 1)?.narrow(0, 1, 4)?.transpose(2, 3)?;
    let w = normal.tensor(&[5, 3, 3, 3]);
    let config = Conv2d {
        padding: 1,
        ..Default::default()
    };
    agree(
        "conv2d",
        &conv2d(&view, &w, None, &config)?,
        &conv2d(&view.force_contiguous()?, &w, None, &config)?,
    );
    let f = Filter::default();
    agree(
        "upsample2d",
        &upsample2d(&view, &f)?,
        &upsample2d(&view.force_contiguous()?, &f)?,
    );
    Ok(())
}

#[test]
fn f32_stays_close_to_f64() -> Result<()> {
    let mut normal = Normal::new(6);
    let (x, w) = (
        normal.tensor(&[2, 64, 33, 31]),
        normal.tensor(&[48, 64, 3, 3]),
    );
    let config = Conv2d {
        padding: 1,
        ..Default::default()
    };
    let single = conv2d(
        &x.to_dtype(DType::F32)?,
        &w.to_dtype(DType::F32)?,
        None,
        &config,
    )?;
    let error = difference(&single, &conv2d(&x, &w, None, &config)?);
    // 1.7e-6 by Winograd's algorithm.
    assert!(error < 3e-6, "{error:e}");
    Ok(())
}

#[test]
fn nan_stays_nan() -> Result<()> {
    let x = Tensor::full(f32::NAN, (1, 1, 4, 4), &Device::Cpu)?;
    for config in [BiasAct::lrelu(), BiasAct::linear()].map(|c| c.with_clamp(Some(1.0))) {
        let y = bias_act(&x, None, None, &config)?;
        assert!(super::values(&y).iter().all(|v| v.is_nan()));
        let y = bias_act::reference::bias_act(&x, None, None, None, &config)?;
        assert!(super::values(&y).iter().all(|v| v.is_nan()));
    }
    Ok(())
}

#[test]
fn one_pixel_that_is_no_number_spoils_its_square_alone() -> Result<()> {
    for place in 0..4 {
        let mut pixels = [1f64; 16];
        pixels[[0, 1, 4, 5][place]] = f64::NAN;
        let x = Tensor::from_slice(&pixels, (1, 1, 4, 4), &Device::Cpu)?;
        let pooled = super::values(&max_pool2d(&x)?);
        assert!(pooled[0].is_nan(), "{place}");
        assert_eq!(pooled[1..], [1.; 3]);
    }
    Ok(())
}

#[test]
fn of_equal_pixels_the_first_gets_the_gradient() -> Result<()> {
    let x = candle_core::Var::ones((1, 1, 2, 3), DType::F64, &Device::Cpu)?;
    let gradients = autograd::backward(&max_pool2d(&x)?)?;
    let dx = super::values(gradients.require("x", &x)?);
    assert_eq!(dx, [1., 0., 0., 0., 0., 0.]);
    Ok(())
}

#[test]
fn the_slope_at_zero_is_that_of_negative_inputs() -> Result<()> {
    let config = BiasAct::lrelu();
    let x = candle_core::Var::zeros((1, 1, 2, 2), DType::F64, &Device::Cpu)?;
    let kernel = bias_act(&x, None, None, &config)?;
    let reference = bias_act::reference::bias_act(&x, None, None, None, &config)?;
    for y in [kernel, reference] {
        let gradients = autograd::backward(&y)?;
        let slope = super::values(gradients.require("x", &x)?)[0];
        assert!(
            (slope - 0.2 * std::f64::consts::SQRT_2).abs() < 1e-15,
            "{slope}"
        );
    }
    Ok(())
}

#[test]
fn resampling_by_two_is_exact_for_filters_of_any_length() -> Result<()> {
    let mut normal = Normal::new(10);
    let x = normal.tensor(&[1, 2, 6, 4]);
    let w = normal.tensor(&[3, 2, 3, 3]);
    for taps in 1..=6 {
        let filter = Filter::separable(&vec![1.0; taps])?;
        assert_eq!(
            upsample2d(&x, &filter)?.dims(),
            [1, 2, 12, 8],
            "{taps} taps"
        );
        assert_eq!(
            downsample2d(&x, &filter)?.dims(),
            [1, 2, 3, 2],
            "{taps} taps"
        );
        let up = ConvResample {
            up: 2,
            padding: 1,
            ..Default::default()
        };
        assert_eq!(
            conv2d_resample(&x, &w, &filter, &up)?.dims(),
            [1, 3, 12, 8],
            "{taps} taps"
        );
        let down = ConvResample {
            down: 2,
            padding: 1,
            ..Default::default()
        };
        assert_eq!(
            conv2d_resample(&x, &w, &filter, &down)?.dims(),
            [1, 3, 3, 2],
            "{taps} taps"
        );
    }
    Ok(())
}

/// The walk of `grad` runs kernels on the pool that its callers may fill.
#[test]
fn second_order_works_inside_the_thread_pool() {
    use rayon::prelude::*;
    let mut normal = Normal::new(11);
    let (x, w) = (normal.tensor(&[2, 8, 16, 16]), normal.tensor(&[8, 8, 3, 3]));
    let config = Conv2d {
        padding: 1,
        ..Default::default()
    };
    let slope = |_| -> Result<f64> {
        let x = candle_core::Var::from_tensor(&x)?;
        let y = conv2d(&x, &w, None, &config)?.sqr()?;
        super::scalar(&autograd::grad(&y, &[x.as_tensor()])?[0].sum_all()?)
    };
    let slopes: Vec<f64> = (0..64).into_par_iter().map(|i| slope(i).unwrap()).collect();
    assert!(slopes.iter().all(|s| *s == slopes[0]));
}

#[test]
fn wrong_shapes_are_errors_that_name_the_argument() {
    let mut normal = Normal::new(7);
    let x = normal.tensor(&[2, 3, 4, 4]);
    let filter = Filter::default();
    let config = ModulatedConv2d {
        up: 1,
        padding: 1,
        demodulate: true,
        gain: 1.0,
    };
    let cases: Vec<(Result<Tensor>, &str)> = vec![
        (
            modulate(&x, &normal.tensor(&[2, 4])),
            "modulate: expected s of shape [2, 3], got [2, 4]",
        ),
        (
            channel_sum(&normal.tensor(&[2, 3])),
            "channel_sum: expected x of shape [N, C, H, W], got [2, 3]",
        ),
        (
            conv2d(&x, &normal.tensor(&[5, 4, 3, 3]), None, &Conv2d::default()),
            "conv2d: weight [5, 4, 3, 3] expects 4 input channels, got x [2, 3, 4, 4]",
        ),
        (
            conv2d(&x, &normal.tensor(&[5, 3, 7, 7]), None, &Conv2d::default()),
            "conv2d: a 4x4 picture with padding 0 is smaller than the kernel [7, 7]",
        ),
        (
            bias_act(&x, Some(&normal.tensor(&[4])), None, &BiasAct::lrelu()),
            "bias_act: expected b of shape [3], got [4]",
        ),
        (
            bias_act(
                &x,
                None,
                Some(&normal.tensor(&[2, 1, 4, 5])),
                &BiasAct::lrelu(),
            ),
            "bias_act: expected noise of shape [2 or 1, 1, 4, 4], got [2, 1, 4, 5]",
        ),
        (
            modulated_conv2d(
                &x,
                &normal.tensor(&[5, 3, 3, 3]),
                &normal.tensor(&[2, 5]),
                &filter,
                &config,
            ),
            "modulated_conv2d: expected s of shape [2, 3], got [2, 5]",
        ),
        (
            minibatch_std(&normal.tensor(&[6, 3, 4, 4]), Some(4), 1),
            "minibatch_std: expected a batch that is a multiple of the group size 4, got 6 samples",
        ),
        (
            adain(&x, &normal.tensor(&[2, 3]), &normal.tensor(&[3])),
            "adain: expected y_b of shape [2, 3], got [3]",
        ),
        (
            pixel_norm(&normal.tensor(&[2, 3, 4])),
            "pixel_norm: expected x of shape [N, C] or [N, C, H, W], got [2, 3, 4]",
        ),
        (
            add_noise(&x, &normal.tensor(&[3, 1, 4, 4]), &normal.tensor(&[3])),
            "add_noise: expected noise of shape [2 or 1, 1, 4, 4], got [3, 1, 4, 4]",
        ),
        (
            add_noise(&x, &normal.tensor(&[2, 1, 4, 4]), &normal.tensor(&[2])),
            "add_noise: expected strength of shape [3], got [2]",
        ),
        (
            nearest_upsample2d(&x, 3),
            "nearest_upsample2d: expected a factor that is a power of two, got 3",
        ),
        (
            max_pool2d(&x.narrow(2, 0, 1).unwrap()),
            "max_pool2d: expected sides of at least 2, got a 1x4 picture",
        ),
        (
            average_pool2d(&x, 8),
            "average_pool2d: expected sides that 8 divides, got a 4x4 picture",
        ),
    ];
    for (result, expected) in cases {
        let message = result.unwrap_err().to_string();
        assert!(
            message.starts_with(expected),
            "expected {expected:?}, got {message:?}"
        );
    }
}

#[test]
fn other_data_types_are_errors() -> Result<()> {
    let x = Tensor::zeros((1, 2, 4, 4), DType::U32, &Device::Cpu)?;
    let message = channel_sum(&x).unwrap_err().to_string();
    assert!(
        message.contains("expected f32 or f64, got U32"),
        "{message}"
    );
    let (x, s) = (
        Tensor::zeros((1, 2, 4, 4), DType::F32, &Device::Cpu)?,
        Tensor::zeros((1, 2), DType::F64, &Device::Cpu)?,
    );
    let message = modulate(&x, &s).unwrap_err().to_string();
    assert!(message.contains("one data type"), "{message}");
    Ok(())
}

/// Every result is the same on one thread and on many.
#[test]
fn results_do_not_depend_on_the_number_of_threads() -> Result<()> {
    let mut normal = Normal::new(8);
    let x = normal.tensor(&[5, 40, 17, 19]).to_dtype(DType::F32)?;
    let w = normal.tensor(&[24, 40, 3, 3]).to_dtype(DType::F32)?;
    let config = Conv2d {
        padding: 1,
        ..Default::default()
    };
    let run = || -> Result<Vec<f64>> {
        let y = conv2d(&x, &w, None, &config)?;
        let dw = conv2d_weight_gradient(&x, &y, None, [3, 3], &config)?;
        let up = upsample2d(&y, &Filter::default())?;
        let norms = [
            channel_dot(&up, &up)?,
            instance_norm(&up)?,
            pixel_norm(&up)?,
            max_pool2d(&up)?,
        ];
        Ok([vec![y, dw], norms.to_vec()]
            .concat()
            .iter()
            .flat_map(super::values)
            .collect())
    };
    let one = on_threads(1, run)?;
    for threads in [2, 3, 7] {
        assert!(on_threads(threads, run)? == one, "{threads} threads");
    }
    Ok(())
}
