//! The operators of the layers of StyleGAN2, and the normalisations of StyleGAN and ProGAN, on the shapes of its networks: `cargo bench -p stylegan-benches`.
//!
//! Throughput is in multiplications and additions of the direct form, so elements per second read as
//! operations per second.

use std::hint::black_box;
use std::time::Duration;

use candle_core::{Device, Result, Tensor, Var};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use stylegan_ops::{
    BiasAct, Conv2d, Filter, ModulatedConv2d, Precision, PreparedLayer, UpFirDn2d, adain,
    add_noise, autograd, bias_act, channel_dot, conv_transpose2d, conv2d, conv2d_weight_gradient,
    downsample2d, modulate, modulated_layer, pixel_norm, upfirdn2d, upsample2d,
};

/// Batch, channels and resolution of a square layer: the widest layers of the presets, and those of
/// the small network of the documents.
const LAYERS: [[usize; 3]; 5] = [
    [16, 64, 16],
    [16, 32, 32],
    [8, 512, 8],
    [4, 256, 64],
    [1, 64, 256],
];

fn tensor(dims: &[usize], seed: u32) -> Result<Tensor> {
    let count: usize = dims.iter().product();
    let hash = |i: u32| (i ^ seed).wrapping_mul(0x9E37_79B9).rotate_left(15);
    let values: Vec<f32> = (0..count as u32)
        .map(|i| hash(hash(i)) as f32 / u32::MAX as f32 - 0.5)
        .collect();
    Tensor::from_vec(values, dims, &Device::Cpu)
}

fn convolutions(c: &mut Criterion) -> Result<()> {
    let config = Conv2d {
        padding: 1,
        ..Default::default()
    };
    for [n, channels, resolution] in LAYERS {
        let mut group = c.benchmark_group(format!("conv3x3/{n}x{channels}x{resolution}"));
        group.throughput(Throughput::Elements(
            (n * channels * channels * 18 * resolution * resolution) as u64,
        ));
        let x = tensor(&[n, channels, resolution, resolution], 1)?;
        let y = tensor(&[n, channels, resolution, resolution], 2)?;
        let w = tensor(&[channels, channels, 3, 3], 3)?;
        group.bench_function("forward", |b| {
            b.iter(|| black_box(conv2d(&x, &w, None, &config)))
        });
        let size = [resolution, resolution];
        group.bench_function("input gradient", |b| {
            b.iter(|| black_box(conv_transpose2d(&y, &w, None, size, &config)))
        });
        group.bench_function("weight gradient", |b| {
            b.iter(|| black_box(conv2d_weight_gradient(&x, &y, None, [3, 3], &config)))
        });
        let [x, y, w] = [x, y, w].map(|t| Var::from_tensor(&t));
        let (x, y, w) = (x?, y?, w?);
        // The gradient of the input, and its gradients.
        let twice = || {
            let projection = (conv2d(&x, &w, None, &config)? * y.as_tensor())?;
            let slope = autograd::grad(&projection, &[x.as_tensor()])?.remove(0);
            autograd::backward(&slope.sqr()?.sum_all()?)
        };
        twice()?;
        group.bench_function("second order", |b| b.iter(|| black_box(twice())));
        group.finish();
    }
    Ok(())
}

fn layers(c: &mut Criterion) -> Result<()> {
    let filter = Filter::default();
    let act = BiasAct::lrelu().with_clamp(Some(256.0));
    for [n, channels, resolution] in LAYERS {
        for up in [1, 2] {
            let size = resolution / up;
            let mut group = c.benchmark_group(format!("layer up{up}/{n}x{channels}x{resolution}"));
            group.throughput(Throughput::Elements(
                (n * channels * channels * 18 * size * size) as u64,
            ));
            let config = ModulatedConv2d {
                up,
                padding: 1,
                demodulate: true,
                gain: 0.1,
            };
            let x = Var::from_tensor(&tensor(&[n, channels, size, size], 1)?)?;
            let w = Var::from_tensor(&tensor(&[channels, channels, 3, 3], 2)?)?;
            let s = Var::from_tensor(&tensor(&[n, channels], 3)?)?;
            let b = Var::from_tensor(&tensor(&[channels], 4)?)?;
            let noise = tensor(&[n, 1, resolution, resolution], 5)?;
            let forward =
                || modulated_layer(&x, &w, &s, &filter, &config, Some(&b), Some(&noise), &act);
            group.bench_function("forward", |bench| bench.iter(|| black_box(forward())));
            group.bench_function("forward and backward", |bench| {
                bench.iter(|| black_box(forward().and_then(|y| autograd::backward(&y))))
            });
            let twice = || {
                let slope = autograd::grad(&forward()?, &[x.as_tensor()])?.remove(0);
                autograd::backward(&slope.sqr()?.sum_all()?)
            };
            twice()?;
            group.bench_function("second order", |bench| bench.iter(|| black_box(twice())));
            let [x, s, b] = [&x, &s, &b].map(|v| v.as_detached_tensor());
            let layer =
                PreparedLayer::new(&w.as_detached_tensor(), &filter, &config, Precision::F32)?;
            let prepared = || layer.forward(&x, &s, Some(&b), Some(&noise), &act);
            prepared()?;
            group.bench_function("prepared", |bench| bench.iter(|| black_box(prepared())));
            group.finish();
        }
    }
    Ok(())
}

/// An operator on its inputs.
type Op<'a> = &'a dyn Fn() -> Result<Tensor>;

/// An operator by itself, with its gradients, and with the gradients of its gradient.
///
/// The gradients are those of the sum of `op() * g`: both of them are variables, so that the second order is
/// there where the operator is linear.
fn orders(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    x: &Var,
    g: &Var,
    op: Op,
) -> Result<()> {
    group.bench_function(name, |b| b.iter(|| black_box(op())));
    let projection = || op()? * g.as_tensor();
    let backward = || autograd::backward(&projection()?);
    group.bench_function(format!("{name} and backward"), |b| {
        b.iter(|| black_box(backward()))
    });
    let twice = || {
        let slope = autograd::grad(&projection()?, &[x.as_tensor()])?.remove(0);
        autograd::backward(&slope.sqr()?.sum_all()?)
    };
    // An error would be quick.
    twice()?;
    group.bench_function(format!("{name}, second order"), |b| {
        b.iter(|| black_box(twice()))
    });
    Ok(())
}

fn elementwise(c: &mut Criterion) -> Result<()> {
    let filter = Filter::default();
    let blur = UpFirDn2d {
        padding: [2, 1, 2, 1],
        ..Default::default()
    };
    let act = BiasAct::lrelu();
    for [n, channels, resolution] in LAYERS {
        let mut group = c.benchmark_group(format!("elementwise/{n}x{channels}x{resolution}"));
        let variable = |side, seed| Var::from_tensor(&tensor(&[n, channels, side, side], seed)?);
        let x = variable(resolution, 1)?;
        let b = Var::from_tensor(&tensor(&[channels], 2)?)?;
        let s = Var::from_tensor(&tensor(&[n, channels], 3)?)?;
        let [same, large, small] = [resolution, 2 * resolution, resolution / 2];
        let [same, large, small] = [variable(same, 4)?, variable(large, 5)?, variable(small, 6)?];
        let sums = Var::from_tensor(&tensor(&[n, channels], 7)?)?;
        group.throughput(Throughput::Elements(x.elem_count() as u64));
        let ops: [(&str, &Var, Op); 6] = [
            ("bias_act", &same, &|| bias_act(&x, Some(&b), None, &act)),
            ("blur", &same, &|| upfirdn2d(&x, &filter, &blur)),
            ("up", &large, &|| upsample2d(&x, &filter)),
            ("down", &small, &|| downsample2d(&x, &filter)),
            ("modulate", &same, &|| modulate(&x, &s)),
            ("channel_dot", &sums, &|| channel_dot(&x, &same)),
        ];
        for (name, g, op) in ops {
            orders(&mut group, name, &x, g, op)?;
        }
        group.bench_function("candle affine", |bench| {
            bench.iter(|| black_box(x.affine(2.0, 1.0)))
        });
        group.finish();
    }
    Ok(())
}

fn normalisations(c: &mut Criterion) -> Result<()> {
    for [n, channels, resolution] in LAYERS {
        let mut group = c.benchmark_group(format!("normalisation/{n}x{channels}x{resolution}"));
        let dims = [n, channels, resolution, resolution];
        let x = Var::from_tensor(&tensor(&dims, 1)?)?;
        let g = Var::from_tensor(&tensor(&dims, 2)?)?;
        let y_s = Var::from_tensor(&tensor(&[n, channels], 3)?)?;
        let y_b = Var::from_tensor(&tensor(&[n, channels], 4)?)?;
        let noise = tensor(&[n, 1, resolution, resolution], 5)?;
        let strength = Var::from_tensor(&tensor(&[channels], 6)?)?;
        group.throughput(Throughput::Elements(x.elem_count() as u64));
        let ops: [(&str, Op); 3] = [
            ("adain", &|| adain(&x, &y_s, &y_b)),
            ("pixel_norm", &|| pixel_norm(&x)),
            ("add_noise", &|| add_noise(&x, &noise, &strength)),
        ];
        for (name, op) in ops {
            orders(&mut group, name, &x, &g, op)?;
        }
        group.finish();
    }
    Ok(())
}

fn benchmarks(c: &mut Criterion) {
    for group in [convolutions, layers, elementwise, normalisations] {
        group(c).unwrap_or_else(|e| panic!("a benchmark could not be set up: {e}"));
    }
}

criterion_group! {
    name = kernels;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = benchmarks
}
criterion_main!(kernels);
