//! First and second order of every operator against central differences in f64.

use candle_core::{Result, Tensor, Var};
use candle_nn::{Module, VarBuilder};

use super::{Normal, scalar, values};
use crate::nn::{FullyConnected, FullyConnectedConfig};
use crate::*;

const STEP: f64 = 1e-5;
const TOLERANCE: f64 = 1e-6;
/// How many elements of each input are moved.
const PROBES: usize = 12;

type Op<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

/// L = sum(op(inputs) * g).
fn loss(op: Op, inputs: &[Tensor], g: &Tensor) -> Result<Tensor> {
    (op(inputs)? * g)?.sum_all()
}

/// P = sum over inputs of |dL/dinput|^2, differentiable, with the inputs it was computed for.
fn penalty(op: Op, inputs: &[Tensor], g: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
    let vars: Vec<Tensor> = inputs
        .iter()
        .map(|t| Ok(Var::from_tensor(t)?.into_inner()))
        .collect::<Result<_>>()?;
    let refs: Vec<&Tensor> = vars.iter().collect();
    let gradients = autograd::grad(&loss(op, &vars, g)?, &refs)?;
    let mut sum = Tensor::zeros((), g.dtype(), g.device())?;
    for gradient in &gradients {
        sum = (sum + gradient.sqr()?.sum_all()?)?;
    }
    Ok((sum, vars))
}

fn moved(inputs: &[Tensor], input: usize, element: usize, by: f64) -> Vec<Tensor> {
    let mut inputs = inputs.to_vec();
    let mut elements = values(&inputs[input]);
    elements[element] += by;
    inputs[input] =
        Tensor::from_vec(elements, inputs[input].dims(), inputs[input].device()).unwrap();
    inputs
}

/// Compares `gradients` with central differences of `f` at some elements of every input.
fn compare(
    what: &str,
    inputs: &[Tensor],
    gradients: &[Vec<f64>],
    f: &dyn Fn(&[Tensor]) -> Result<f64>,
) -> Result<()> {
    let largest = gradients.iter().flatten().fold(1f64, |m, v| m.max(v.abs()));
    for (i, (input, gradient)) in inputs.iter().zip(gradients).enumerate() {
        let stride = input.elem_count().div_ceil(PROBES);
        for element in (0..input.elem_count()).step_by(stride) {
            let difference = (f(&moved(inputs, i, element, STEP))?
                - f(&moved(inputs, i, element, -STEP))?)
                / (2.0 * STEP);
            let error = (difference - gradient[element]).abs() / largest;
            assert!(
                error < TOLERANCE,
                "{what}: input {i} element {element}: {difference} by differences, {} by gradient",
                gradient[element]
            );
        }
    }
    Ok(())
}

/// Each input alone as the variable, behind an operator so that candle demands its gradient, and then
/// as one of several variables of which only it is wanted: its gradient must be the same.
fn check_alone(what: &str, op: Op, inputs: &[Tensor], g: &Tensor, all: &[Vec<f64>]) -> Result<()> {
    let same = |i: usize, gradient: &Tensor| {
        let largest = all[i].iter().fold(1f64, |m, v| m.max(v.abs()));
        let errors = values(gradient)
            .into_iter()
            .zip(&all[i])
            .map(|(a, b)| (a - b).abs());
        let worst = errors.fold(0f64, f64::max) / largest;
        assert!(
            worst < 1e-12,
            "{what}: gradient of input {i} alone is off by {worst}"
        );
    };
    for i in 0..inputs.len() {
        let var = Var::from_tensor(&inputs[i])?;
        let mut mixed = inputs.to_vec();
        mixed[i] = var.affine(1.0, 0.0)?;
        same(
            i,
            autograd::backward(&loss(op, &mixed, g)?)?.require("input", &var)?,
        );

        let vars: Vec<Var> = inputs.iter().map(Var::from_tensor).collect::<Result<_>>()?;
        let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let wanted = autograd::backward_for(&loss(op, &tensors, g)?, &[&tensors[i]])?;
        same(i, wanted.require("input", &tensors[i])?);
    }
    Ok(())
}

fn check(what: &str, op: Op, shapes: &[&[usize]]) {
    let run = || -> Result<()> {
        let mut normal = Normal::new(what.len() as u64);
        let inputs: Vec<Tensor> = shapes.iter().map(|dims| normal.tensor(dims)).collect();
        let g = normal.tensor(op(&inputs)?.dims());

        let vars: Vec<Tensor> = inputs
            .iter()
            .map(|t| Ok(Var::from_tensor(t)?.into_inner()))
            .collect::<Result<_>>()?;
        let first = autograd::backward(&loss(op, &vars, &g)?)?;
        let first: Vec<Vec<f64>> = vars
            .iter()
            .map(|v| Ok(values(first.require("input", v)?)))
            .collect::<Result<_>>()?;
        compare(&format!("{what}, first order"), &inputs, &first, &|t| {
            scalar(&loss(op, t, &g)?)
        })?;

        check_alone(what, op, &inputs, &g, &first)?;

        let (p, vars) = penalty(op, &inputs, &g)?;
        let second = if p.track_op() {
            autograd::backward(&p)?
        } else {
            Default::default()
        };
        let zeros = |v: &Tensor| vec![0.0; v.elem_count()];
        let second: Vec<Vec<f64>> = vars
            .iter()
            .map(|v| second.get(v).map_or_else(|| zeros(v), values))
            .collect();
        compare(&format!("{what}, second order"), &inputs, &second, &|t| {
            scalar(&penalty(op, t, &g)?.0)
        })
    };
    run().unwrap_or_else(|e| panic!("{what}: {e}"));
}

#[test]
fn modulation_family() {
    check(
        "modulate",
        &|t| modulate(&t[0], &t[1]),
        &[&[2, 3, 5, 4], &[2, 3]],
    );
    check(
        "channel_dot",
        &|t| channel_dot(&t[0], &t[1]),
        &[&[2, 3, 5, 4], &[2, 3, 5, 4]],
    );
    check(
        "channel_dot of one tensor",
        &|t| channel_dot(&t[0], &t[0]),
        &[&[2, 3, 3, 3]],
    );
    check(
        "channel_sum",
        &|t| channel_sum(&t[0].sqr()?),
        &[&[2, 3, 1, 7]],
    );
    check("pixel_sum", &|t| pixel_sum(&t[0].sqr()?), &[&[2, 3, 5, 4]]);
    check(
        "pixel_modulate",
        &|t| pixel_modulate(&t[0], &t[1]),
        &[&[2, 3, 5, 4], &[2, 1, 5, 4]],
    );
    check(
        "pixel_dot",
        &|t| pixel_dot(&t[0], &t[1]),
        &[&[2, 3, 5, 4], &[2, 3, 5, 4]],
    );
    check(
        "channel_affine",
        &|t| channel_affine(&t[0], &t[1], &t[2]),
        &[&[2, 3, 3, 5], &[2, 3], &[2, 3]],
    );
}

#[test]
fn convolutions_of_odd_sizes_and_strides() {
    for (h, w, k, stride, padding) in [
        (5, 7, 3, 1, 1),
        (6, 5, 3, 2, 1),
        (7, 4, 1, 1, 0),
        (5, 5, 1, 2, 0),
        (9, 8, 4, 3, 2),
        (8, 8, 3, 2, 0),
    ] {
        for layout in [WeightLayout::YX, WeightLayout::XY] {
            let config = Conv2d {
                stride,
                padding,
                gain: 0.7,
                layout,
            };
            let (inputs, outputs) = (3, 2);
            let weight = match layout {
                WeightLayout::YX => [outputs, inputs, k, k],
                WeightLayout::XY => [inputs, outputs, k, k],
            };
            let name = |op: &str| {
                format!("{op} {h}x{w} kernel {k} stride {stride} padding {padding} {layout:?}")
            };
            let (rows, columns) = (
                (h + 2 * padding - k) / stride + 1,
                (w + 2 * padding - k) / stride + 1,
            );
            let (x, y) = ([2, inputs, h, w], [2, outputs, rows, columns]);

            check(
                &name("conv2d"),
                &|t| conv2d(&t[0], &t[1], None, &config),
                &[&x, &weight],
            );
            check(
                &name("scaled conv2d"),
                &|t| conv2d(&t[0], &t[1], Some(&t[2]), &config),
                &[&x, &weight, &[2, inputs]],
            );
            let transpose = |t: &[Tensor], scale: Option<&Tensor>| {
                conv_transpose2d(&t[0], &t[1], scale, [h, w], &config)
            };
            check(
                &name("conv_transpose2d"),
                &|t| transpose(t, None),
                &[&y, &weight],
            );
            check(
                &name("scaled conv_transpose2d"),
                &|t| transpose(t, Some(&t[2])),
                &[&y, &weight, &[2, outputs]],
            );
            let gradient = |t: &[Tensor], scale: Option<Scale>| {
                conv2d_weight_gradient(&t[0], &t[1], scale, [k, k], &config)
            };
            check(&name("weight gradient"), &|t| gradient(t, None), &[&x, &y]);
            check(
                &name("weight gradient, x scaled"),
                &|t| gradient(t, Some(Scale::X(&t[2]))),
                &[&x, &y, &[2, inputs]],
            );
            check(
                &name("weight gradient, y scaled"),
                &|t| gradient(t, Some(Scale::Y(&t[2]))),
                &[&x, &y, &[2, outputs]],
            );
        }
    }
}

#[test]
fn upfirdn2d_of_odd_factors_and_paddings() -> Result<()> {
    let mut normal = Normal::new(5);
    let separable = Filter::separable(&[1.0, 3.0, 3.0, 1.0])?;
    let free = Filter::from_tensor(&normal.tensor(&[3, 5]))?;
    for filter in [separable, free] {
        for (up, down, padding) in [
            (1, 1, [1, 2, 0, 3]),
            (2, 1, [2, 1, 2, 1]),
            (1, 2, [1, 1, 2, 1]),
            (3, 2, [4, 3, 2, 5]),
            (2, 3, [-1, 4, 3, -1]),
        ] {
            for flip_filter in [false, true] {
                let config = UpFirDn2d {
                    up,
                    down,
                    padding,
                    flip_filter,
                    gain: 1.3,
                };
                let name = format!("upfirdn2d {config:?}");
                check(
                    &name,
                    &|t| upfirdn2d(&t[0].sqr()?, &filter, &config),
                    &[&[2, 2, 5, 7]],
                );
            }
        }
    }
    check(
        "upsample2d",
        &|t| upsample2d(&t[0].sqr()?, &Filter::default()),
        &[&[1, 2, 3, 5]],
    );
    check(
        "downsample2d",
        &|t| downsample2d(&t[0].sqr()?, &Filter::default()),
        &[&[1, 2, 6, 4]],
    );
    Ok(())
}

#[test]
fn bias_act_with_everything() {
    let (x, b, noise, shared): (&[usize], &[usize], &[usize], &[usize]) =
        (&[2, 3, 4, 5], &[3], &[2, 1, 4, 5], &[1, 1, 4, 5]);
    for config in [
        BiasAct::linear(),
        BiasAct::lrelu(),
        BiasAct::lrelu().with_clamp(Some(0.9)),
        BiasAct::linear().scaled(0.5),
    ] {
        let name = |what: &str| format!("bias_act {what} {config:?}");
        check(
            &name("alone"),
            &|t| bias_act(&t[0].sqr()?, None, None, &config),
            &[x],
        );
        check(
            &name("bias"),
            &|t| bias_act(&t[0].sqr()?, Some(&t[1]), None, &config),
            &[x, b],
        );
        check(
            &name("rank 2"),
            &|t| bias_act(&t[0].sqr()?, Some(&t[1]), None, &config),
            &[&[4, 3], b],
        );
        check(
            &name("noise"),
            &|t| bias_act(&t[0], Some(&t[1]), Some(&t[2]), &config),
            &[x, b, noise],
        );
        check(
            &name("shared noise"),
            &|t| bias_act(&t[0], Some(&t[1]), Some(&t[2]), &config),
            &[x, b, shared],
        );
        check(
            &name("scaled"),
            &|t| scaled_bias_act(&t[0], &t[1], Some(&t[2]), Some(&t[3]), &config),
            &[x, &[2, 3], b, noise],
        );
        check(
            &name("scaled, no bias"),
            &|t| scaled_bias_act(&t[0], &t[1], None, None, &config),
            &[x, &[2, 3]],
        );
    }
}

#[test]
fn resampled_convolutions() {
    for (up, down, k) in [(1, 1, 3), (1, 2, 3), (1, 2, 1), (2, 1, 3), (2, 1, 1)] {
        let config = ConvResample {
            up,
            down,
            padding: k / 2,
            gain: 0.6,
        };
        let name = format!("conv2d_resample {config:?} kernel {k}");
        check(
            &name,
            &|t| conv2d_resample(&t[0], &t[1], &Filter::default(), &config),
            &[&[2, 3, 6, 5], &[2, 3, k, k]],
        );
    }
}

#[test]
fn modulated_convolutions() {
    for (up, k, demodulate) in [
        (1, 3, true),
        (2, 3, true),
        (1, 1, false),
        (1, 3, false),
        (2, 1, true),
    ] {
        let config = ModulatedConv2d {
            up,
            padding: k / 2,
            demodulate,
            gain: 0.8,
        };
        let name = format!("modulated_conv2d {config:?} kernel {k}");
        let shapes: [&[usize]; 3] = [&[2, 3, 4, 5], &[4, 3, k, k], &[2, 3]];
        check(
            &name,
            &|t| modulated_conv2d(&t[0], &t[1], &t[2], &Filter::default(), &config),
            &shapes,
        );
        let noise = [2, 1, 4 * up, 5 * up];
        let act = BiasAct::lrelu().with_clamp(Some(2.0));
        let layer = |t: &[Tensor]| {
            modulated_layer(
                &t[0],
                &t[1],
                &t[2],
                &Filter::default(),
                &config,
                Some(&t[3]),
                Some(&t[4]),
                &act,
            )
        };
        check(
            &format!("layer of {name}"),
            &layer,
            &[shapes[0], shapes[1], shapes[2], &[4], &noise],
        );
    }
}

#[test]
fn fully_connected_layers() {
    for act in [BiasAct::linear(), BiasAct::lrelu()] {
        let layer = FullyConnectedConfig {
            act,
            lr_multiplier: 0.3,
            ..FullyConnectedConfig::new(5, 4)
        };
        let forward = |t: &[Tensor]| {
            let parameters = [("weight", &t[1]), ("bias", &t[2])];
            let parameters = parameters.map(|(name, tensor)| (name.to_string(), tensor.clone()));
            let vb = VarBuilder::from_tensors(parameters.into(), t[1].dtype(), t[1].device());
            FullyConnected::new(layer, vb)?.forward(&t[0])
        };
        check(
            &format!("fully connected {act:?}"),
            &forward,
            &[&[3, 5], &[4, 5], &[4]],
        );
    }
}

#[test]
fn normalisations() {
    check(
        "normalize_2nd_moment",
        &|t| normalize_2nd_moment(&t[0]),
        &[&[3, 7]],
    );
    check(
        "minibatch_std",
        &|t| minibatch_std(&t[0], Some(2), 1),
        &[&[4, 3, 2, 3]],
    );
    check(
        "minibatch_std of the whole batch",
        &|t| minibatch_std(&t[0], None, 2),
        &[&[3, 4, 3, 1]],
    );
}

#[test]
fn instance_norm_and_adain() {
    // The magnitudes put the variance beside and far above the 1e-8 that is added to it.
    for (dims, magnitude) in [
        ([2, 3, 3, 5], 1.0),
        ([1, 2, 1, 3], 1.0),
        ([2, 2, 1, 1], 1.0),
        ([2, 2, 4, 3], 1e-4),
        ([1, 2, 5, 1], 1e4),
    ] {
        let style = [dims[0], dims[1]];
        let name = |op: &str| format!("{op} {dims:?} times {magnitude}");
        check(
            &name("instance_norm"),
            &|t| instance_norm(&t[0].affine(magnitude, 0.3)?),
            &[&dims],
        );
        check(
            &name("adain"),
            &|t| adain(&t[0].affine(magnitude, 0.3)?, &t[1], &t[2]),
            &[&dims, &style, &style],
        );
    }
}

#[test]
fn pixel_norms() {
    for (dims, magnitude) in [
        (&[2, 3, 3, 5][..], 1.0),
        (&[1, 1, 2, 2], 1.0),
        (&[3, 7], 1.0),
        (&[2, 4, 1, 3], 1e-4),
        (&[1, 3, 2, 2], 1e4),
    ] {
        check(
            &format!("pixel_norm {dims:?} times {magnitude}"),
            &|t| pixel_norm(&t[0].affine(magnitude, 0.0)?),
            &[dims],
        );
    }
}

#[test]
fn noise_inputs() {
    for samples in [1, 2] {
        check(
            &format!("add_noise with {samples} maps"),
            &|t| add_noise(&t[0], &t[1], &t[2]),
            &[&[2, 3, 5, 4], &[samples, 1, 5, 4], &[3]],
        );
    }
}

#[test]
fn first_generation_resampling() {
    let filter = Filter::separable(&[1.0, 2.0, 3.0]).unwrap();
    check(
        "blur2d",
        &|t| blur2d(&t[0].sqr()?, &filter),
        &[&[2, 3, 4, 5]],
    );
    check(
        "nearest_upsample2d",
        &|t| nearest_upsample2d(&t[0].sqr()?, 4),
        &[&[1, 2, 3, 2]],
    );
    check(
        "average_pool2d",
        &|t| average_pool2d(&t[0].sqr()?, 4),
        &[&[1, 2, 8, 4]],
    );
    check("rotate180", &|t| rotate180(&t[0].sqr()?), &[&[2, 3, 3, 4]]);
    check(
        "cross_fade",
        &|t| growing::cross_fade(&t[0], &t[1].sqr()?, 0.3),
        &[&[2, 3, 2, 2], &[2, 3, 2, 2]],
    );
}

/// The pixels are far enough apart that no step changes which of them is the largest.
#[test]
fn pooling() {
    check("max_pool2d", &|t| max_pool2d(&t[0]), &[&[2, 3, 5, 4]]);
    check(
        "max_pool2d of squares",
        &|t| max_pool2d(&t[0].sqr()?),
        &[&[1, 2, 4, 6]],
    );
}

/// The compositions that run on GPUs, through the same checks as the kernels.
#[test]
fn references_have_the_same_gradients() -> Result<()> {
    use crate::conv::{Geometry, reference};
    for layout in [WeightLayout::YX, WeightLayout::XY] {
        let config = Conv2d {
            stride: 2,
            padding: 1,
            gain: 0.7,
            layout,
        };
        let (x, y): ([usize; 4], [usize; 4]) = ([2, 3, 6, 5], [2, 2, 3, 3]);
        let w = match layout {
            WeightLayout::YX => [2, 3, 3, 3],
            WeightLayout::XY => [3, 2, 3, 3],
        };
        let conv = |t: &[Tensor]| {
            let geometry = Geometry::of_conv(&t[0], &t[1], &config)?;
            reference::convolve(&geometry, true, &t[0], &t[1], Some(&t[2]))
        };
        check(
            &format!("reference conv2d {layout:?}"),
            &conv,
            &[&x, &w, &[2, 3]],
        );
        let transpose = |t: &[Tensor]| {
            let geometry = Geometry::of_transpose(&t[0], &t[1], [6, 5], &config)?;
            reference::convolve(&geometry, false, &t[0], &t[1], Some(&t[2]))
        };
        check(
            &format!("reference conv_transpose2d {layout:?}"),
            &transpose,
            &[&y, &w, &[2, 2]],
        );
        for on_x in [true, false] {
            let gradient = |t: &[Tensor]| {
                let geometry = Geometry::of_weight_gradient(&t[0], &t[1], [3, 3], &config)?;
                let scale = if on_x {
                    Scale::X(&t[2])
                } else {
                    Scale::Y(&t[2])
                };
                reference::weight_gradient(&geometry, &t[0], &t[1], Some(scale))
            };
            let scale = [2, if on_x { 3 } else { 2 }];
            check(
                &format!("reference weight gradient {layout:?}"),
                &gradient,
                &[&x, &y, &scale],
            );
        }
    }
    let fir = UpFirDn2d {
        up: 3,
        down: 2,
        padding: [-1, 4, 3, -1],
        flip_filter: false,
        gain: 1.3,
    };
    let filter = Filter::default();
    let output = upfirdn2d(
        &Tensor::ones(
            (1, 2, 5, 7),
            candle_core::DType::F64,
            &candle_core::Device::Cpu,
        )?,
        &filter,
        &fir,
    )?;
    let output = [output.dim(2)?, output.dim(3)?];
    let resample =
        |t: &[Tensor]| crate::upfirdn2d::reference::upfirdn2d(&t[0].sqr()?, &filter, &fir, output);
    check("reference upfirdn2d", &resample, &[&[1, 2, 5, 7]]);
    for config in [
        BiasAct::lrelu().with_clamp(Some(0.9)),
        BiasAct::linear().with_clamp(Some(0.7)),
    ] {
        let act = |t: &[Tensor]| {
            crate::bias_act::reference::bias_act(
                &t[0],
                Some(&t[1]),
                Some(&t[2]),
                Some(&t[3]),
                &config,
            )
        };
        let shapes: [&[usize]; 4] = [&[2, 3, 4, 5], &[2, 3], &[3], &[1, 1, 4, 5]];
        check(&format!("reference bias_act {config:?}"), &act, &shapes);
    }
    check(
        "reference instance_norm",
        &|t| crate::norm::reference::instance_norm(&t[0]),
        &[&[2, 3, 3, 5]],
    );
    check(
        "reference pixel_norm",
        &|t| crate::norm::reference::unit_mean_square(&t[0], 1),
        &[&[2, 3, 3, 5]],
    );
    check(
        "reference max_pool2d",
        &|t| crate::max_pool::reference::max_pool2d(&t[0].sqr()?),
        &[&[1, 2, 5, 4]],
    );
    check(
        "reference add_noise",
        &|t| crate::noise::reference::add_noise(&t[0], &t[1], &t[2]),
        &[&[2, 3, 5, 4], &[1, 1, 5, 4], &[3]],
    );
    Ok(())
}
