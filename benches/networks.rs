//! The networks of StyleGAN2 and their parts, small enough that all of it ends within a minute:
//! `cargo bench -p stylegan-benches --bench networks`.
//!
//! `cargo xtask bench` times whole networks of any size.

use std::hint::black_box;
use std::time::Duration;

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{Module, VarBuilder};
use criterion::{Criterion, criterion_group, criterion_main};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use stylegan_checkpoint::ParamStore;
use stylegan_discriminator::Discriminator;
use stylegan_mapping::{Mapping, MappingConfig};
use stylegan_ops::nn::{
    Conv2dConfig, Conv2dLayer, FullyConnected, FullyConnectedConfig, Resampling,
};
use stylegan_ops::{BiasAct, Filter, ModulatedConv2d, autograd, modulated_layer};
use stylegan_synthesis::{Generator, NoiseMode};
use stylegan_trainer::Preset;
use stylegan_trainer::config::TrainingConfig;
use stylegan_trainer::state::TrainingState;
use stylegan_trainer::step::{Reals, Stepper, TrainingData};

const BATCH: usize = 8;

/// Channels and resolutions of the layers and blocks.
const SHAPES: [[usize; 2]; 2] = [[64, 32], [256, 16]];

fn parameters<T>(build: impl FnOnce(VarBuilder) -> Result<T>) -> Result<ParamStore> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    ParamStore::initialize(DType::F32, &Device::Cpu, &mut rng, build)
}

fn normal(dims: &[usize]) -> Result<Tensor> {
    Tensor::randn(0f32, 1., dims, &Device::Cpu)
}

/// A StyleGAN2 for 32x32 pictures.
fn config() -> TrainingConfig {
    let mut config = Preset::Auto.training(32, Some(BATCH));
    let synthesis = &mut config.generator.synthesis;
    (
        synthesis.img_resolution,
        synthesis.channel_base,
        synthesis.channel_max,
    ) = (32, 1024, 64);
    let d = &mut config.discriminator;
    (d.img_resolution, d.channel_base, d.channel_max) = (32, 1024, 64);
    config
}

fn forward_and_backward(
    c: &mut Criterion,
    name: &str,
    forward: impl Fn() -> Result<Tensor>,
) -> Result<()> {
    let mut group = c.benchmark_group(name);
    group.bench_function("forward", |b| b.iter(|| black_box(forward())));
    let backward = || autograd::backward(&forward()?.sqr()?.sum_all()?);
    // An error would be quick.
    backward()?;
    group.bench_function("forward and backward", |b| b.iter(|| black_box(backward())));
    group.finish();
    Ok(())
}

fn mapping(c: &mut Criterion) -> Result<()> {
    let config = MappingConfig::default();
    let params = parameters(|vb| Mapping::new(&config, vb))?;
    let network = Mapping::new(&config, params.var_builder())?;
    let z = normal(&[BATCH, config.z_dim])?;
    forward_and_backward(c, "mapping/8 layers of 512", || {
        network.forward(Some(&z), None)
    })
}

/// The affine map of the style, and the layer that it modulates.
fn synthesis_layers(c: &mut Criterion) -> Result<()> {
    let (filter, act) = (Filter::default(), BiasAct::lrelu());
    for [channels, resolution] in SHAPES {
        let affine = FullyConnectedConfig {
            bias_init: 1.,
            ..FullyConnectedConfig::new(512, channels)
        };
        let params = parameters(|vb| FullyConnected::new(affine, vb))?;
        let affine = FullyConnected::new(affine, params.var_builder())?;
        let weight = Var::from_tensor(&normal(&[channels, channels, 3, 3])?)?;
        let bias = Var::from_tensor(&normal(&[channels])?)?;
        let (w, noise) = (
            normal(&[BATCH, 512])?,
            normal(&[BATCH, 1, resolution, resolution])?,
        );
        for up in [1, 2] {
            let conv = ModulatedConv2d {
                up,
                padding: 1,
                demodulate: true,
                gain: 1.,
            };
            let side = resolution / up;
            let x = Var::from_tensor(&normal(&[BATCH, channels, side, side])?)?;
            let layer = || {
                let style = affine.forward(&w)?;
                let (bias, noise) = (Some(bias.as_tensor()), Some(&noise));
                modulated_layer(&x, &weight, &style, &filter, &conv, bias, noise, &act)
            };
            let name = format!("synthesis layer up{up}/{BATCH}x{channels}x{resolution}");
            forward_and_backward(c, &name, layer)?;
        }
    }
    Ok(())
}

/// Two convolutions, the second of which halves the resolution, and the branch beside them.
fn discriminator_blocks(c: &mut Criterion) -> Result<()> {
    for [channels, resolution] in SHAPES {
        let gain = 0.5f64.sqrt();
        let conv0 = Conv2dConfig {
            act: BiasAct::lrelu(),
            ..Conv2dConfig::new(channels, channels, 3)
        };
        let down = |kernel_size, act, bias| Conv2dConfig {
            act,
            bias,
            down: 2,
            resampling: Resampling::Fir(Filter::default()),
            ..Conv2dConfig::new(channels, channels, kernel_size)
        };
        let conv1 = down(3, BiasAct::lrelu().scaled(gain), true);
        let skip = down(1, BiasAct::linear().scaled(gain), false);
        let build = |vb: VarBuilder| {
            let conv0 = Conv2dLayer::new(conv0.clone(), vb.pp("conv0"))?;
            let conv1 = Conv2dLayer::new(conv1.clone(), vb.pp("conv1"))?;
            Ok([conv0, conv1, Conv2dLayer::new(skip.clone(), vb.pp("skip"))?])
        };
        let params = parameters(build)?;
        let [conv0, conv1, skip] = build(params.var_builder())?;
        let x = Var::from_tensor(&normal(&[BATCH, channels, resolution, resolution])?)?;
        let block = || skip.forward(&x)? + conv1.forward(&conv0.forward(&x)?)?;
        let name = format!("discriminator block/{BATCH}x{channels}x{resolution}");
        forward_and_backward(c, &name, block)?;
    }
    Ok(())
}

fn networks(c: &mut Criterion) -> Result<()> {
    let config = config();
    let params = parameters(|vb| Generator::new(&config.generator, vb))?;
    let generator = Generator::new(&config.generator, params.var_builder())?;
    let z = normal(&[BATCH, config.generator.z_dim])?;
    forward_and_backward(c, &format!("generator/{BATCH}x32x32"), || {
        generator.forward(&z, None, 1., None, &mut NoiseMode::Const)
    })?;
    let params = parameters(|vb| Discriminator::new(&config.discriminator, vb))?;
    let discriminator = Discriminator::new(&config.discriminator, params.var_builder())?;
    let images = Var::from_tensor(&normal(&[BATCH, 3, 32, 32])?)?;
    forward_and_backward(c, &format!("discriminator/{BATCH}x32x32"), || {
        discriminator.forward(&images, None)
    })
}

/// The same pictures in every step.
struct SameReals(Tensor);

impl TrainingData for SameReals {
    fn reals(&mut self, n: usize) -> Result<Reals> {
        let images = self.0.narrow(0, 0, n)?;
        Ok(Reals {
            images,
            labels: None,
        })
    }

    fn labels(&mut self, _n: usize, _rng: &mut dyn Rng) -> Result<Option<Tensor>> {
        Ok(None)
    }
}

/// Steps with all four phases, and with the two that every step has.
fn training_steps(c: &mut Criterion) -> Result<()> {
    let mut group = c.benchmark_group(format!("training step/{BATCH}x32x32"));
    for (name, interval) in [("all phases", 1), ("Gmain and Dmain", 1 << 16)] {
        let mut config = config();
        config.loss.g_reg_interval = Some(interval);
        config.loss.d_reg_interval = Some(interval);
        let state = TrainingState::new(&config, &Device::Cpu).map_err(candle_core::Error::wrap)?;
        let mut stepper = Stepper::new(config, state)?;
        let mut reals = SameReals(normal(&[BATCH, 3, 32, 32])?);
        // The first has all phases.
        stepper.step(&mut reals)?;
        group.bench_function(name, |b| b.iter(|| black_box(stepper.step(&mut reals))));
    }
    group.finish();
    Ok(())
}

fn benchmarks(c: &mut Criterion) {
    for group in [
        mapping,
        synthesis_layers,
        discriminator_blocks,
        networks,
        training_steps,
    ] {
        group(c).unwrap_or_else(|e| panic!("a benchmark could not be set up: {e}"));
    }
}

criterion_group! {
    name = all;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = benchmarks
}
criterion_main!(all);
