//! Regularizers through a discriminator that is growing.

mod differences;

use candle_core::{DType, Error, Result, Tensor, Var};
use differences::assert_gradients;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use stylegan_checkpoint::ParamStore;
use stylegan_discriminator::{Discriminator, DiscriminatorConfig, LabelHead};
use stylegan_goldens::device;
use stylegan_losses::{auxiliary_classifier, r1_penalty, wgan_gp};
use stylegan_ops::autograd::backward;
use stylegan_ops::growing::Lod;
use stylegan_ops::nearest_upsample2d;

/// Smooth numbers without symmetry.
fn wave(shape: &[usize], phase: f64) -> Result<Tensor> {
    let n: usize = shape.iter().product();
    let values: Vec<f64> = (0..n).map(|i| (i as f64 * 0.9 + phase).sin()).collect();
    Tensor::from_vec(values, shape, device())
}

fn initialize(config: &DiscriminatorConfig) -> Result<(ParamStore, Discriminator)> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let params = ParamStore::initialize(DType::F64, device(), &mut rng, |vb| {
        Discriminator::new(config, vb)
    })
    .map_err(Error::wrap)?;
    let d = Discriminator::new(config, params.var_builder())?;
    Ok((params, d))
}

#[track_caller]
fn assert_equal(what: &str, got: &Tensor, expected: &Tensor) -> Result<()> {
    let (got, expected): (Vec<f64>, Vec<f64>) = (got.to_vec1()?, expected.to_vec1()?);
    for (got, expected) in got.iter().zip(expected) {
        let error = (got / expected - 1.).abs();
        assert!(error < 1e-10, "{what}: {got} is not {expected}");
    }
    Ok(())
}

/// The original feeds full-size images, enlarged to `2^f` times their side, which the discriminator
/// pools again; their penalties can be had from the images as they are.
#[test]
fn penalties_of_enlarged_images_follow_from_those_of_the_active_size() -> Result<()> {
    let config = DiscriminatorConfig {
        img_resolution: 16,
        channel_base: 64,
        channel_max: 8,
        ..DiscriminatorConfig::stylegan1()
    };
    let (_, d) = initialize(&config)?;
    for lod in [0., 0.25, 1., 1.75, 2.].map(Lod::new) {
        let lod = lod?;
        let d = d.at_lod(lod)?;
        let side = lod.resolution(config.img_resolution);
        let (real, fake) = (
            wave(&[4, 3, side, side], 0.)?,
            wave(&[4, 3, side, side], 2.)?,
        );
        let scale = config.img_resolution / side;
        let enlarge = |x: &Tensor| nearest_upsample2d(x, scale);
        let logits = |x: &Tensor| d.forward(x, None);

        let active = r1_penalty(&real, logits)?.penalty;
        let full = r1_penalty(&enlarge(&real)?, logits)?.penalty;
        let scale = scale as f64;
        assert_equal(
            &format!("R1 at lod {lod}"),
            &full,
            &(active / scale.powi(2))?,
        )?;

        // The norm of the gradient is 2^f times smaller, so the target of the active size is larger.
        let eps = Tensor::new(&[0.1, 0.4, 0.6, 0.9], device())?.reshape((4, 1, 1, 1))?;
        let target = 1.5;
        let active = wgan_gp(&real, &fake, &eps, target * scale, logits)?.penalty;
        let full = wgan_gp(&enlarge(&real)?, &enlarge(&fake)?, &eps, target, logits)?.penalty;
        assert_equal(&format!("WGAN-GP at lod {lod}"), &full, &active)?;
    }
    Ok(())
}

#[test]
fn second_order_gradients_of_a_fading_discriminator() -> Result<()> {
    let (n, c_dim) = (4, 3);
    let families = [
        DiscriminatorConfig::stylegan1(),
        DiscriminatorConfig::progan(),
    ];
    for family in families {
        let config = DiscriminatorConfig {
            c_dim,
            img_resolution: 8,
            img_channels: 1,
            channel_base: 16,
            channel_max: 2,
            ..family
        };
        let (params, d) = initialize(&config)?;
        let d = d.at_lod(Lod::new(0.25)?)?;
        // No pixel is 0, where the leaky ReLU behind fromRGB has its corner.
        let (real, fake) = (wave(&[n, 1, 8, 8], 0.3)?, wave(&[n, 1, 8, 8], 2.)?);
        let labels = Tensor::eye(c_dim, DType::F64, device())?;
        let labels = Tensor::cat(&[&labels, &labels.narrow(0, 0, 1)?], 0)?;
        let eps = Tensor::new(&[0.1, 0.4, 0.6, 0.9], device())?.reshape((n, 1, 1, 1))?;
        let logits = |x: &Tensor| d.forward(x, Some(&labels));
        let loss = || -> Result<Tensor> {
            let r1 = r1_penalty(&real, logits)?.penalty;
            let gradient = wgan_gp(&real, &fake, &eps, 1., logits)?.penalty;
            let mut loss = (r1 + gradient)?;
            if config.label_head == LabelHead::Classifier {
                let (_, class_logits) = d.forward_with_classes(&real)?;
                loss = (loss + auxiliary_classifier(&class_logits, &labels)?)?;
            }
            loss.mean_all()
        };
        let vars: Vec<(&str, &Var)> = params.trainable().collect();
        assert_gradients(&backward(&loss()?)?, &vars, || loss()?.to_scalar())?;
    }
    Ok(())
}
