//! Regularizers on small functions whose derivatives are known.

mod differences;

use candle_core::{DType, Result, Tensor, Var};
use differences::assert_gradients;
use stylegan_goldens::device;
use stylegan_losses::{drift, path_length, path_length_noise, r1_penalty, r2_penalty, wgan_gp};
use stylegan_ops::autograd::backward;

/// Smooth numbers without symmetry.
fn wave(shape: &[usize], phase: f64) -> Result<Tensor> {
    let n: usize = shape.iter().product();
    let values: Vec<f64> = (0..n).map(|i| (i as f64 * 0.9 + phase).sin()).collect();
    Tensor::from_vec(values, shape, device())
}

fn number(t: &Tensor) -> f64 {
    t.sum_all()
        .and_then(|t| t.to_scalar())
        .expect("a finite sum")
}

/// `D(x) = sum(w * x^3)`, whose gradient is `3 w x^2`.
fn cubic(w: &Tensor, x: &Tensor) -> Result<Tensor> {
    w.broadcast_mul(&(x.sqr()? * x)?)?
        .flatten_from(1)?
        .sum_keepdim(1)
}

#[test]
fn r1_and_r2_are_the_squared_gradient_norm_per_sample() -> Result<()> {
    let x = wave(&[3, 2, 2, 2], 0.3)?;
    let w = Var::from_tensor(&wave(&[1, 2, 2, 2], 1.)?)?;
    let slope = (w.broadcast_mul(&x.sqr()?)? * 3.)?;
    let expected: Vec<f64> = slope.sqr()?.flatten_from(1)?.sum(1)?.to_vec1()?;
    for result in [
        r1_penalty(&x, |x| cubic(&w, x))?,
        r2_penalty(&x, |x| cubic(&w, x))?,
    ] {
        let penalty: Vec<f64> = result.penalty.to_vec1()?;
        for (got, expected) in penalty.iter().zip(&expected) {
            assert!((got - expected).abs() < 1e-12);
        }
        // d/dw of sum(9 w^2 x^4) is 18 w x^4.
        let got = backward(&result.penalty.sum_all()?)?;
        let x4 = x.sqr()?.sqr()?.sum_keepdim(0)?;
        let expected = (w.as_tensor() * x4)? * 18.;
        let difference = (got.require("w", &w)? - expected?)?;
        assert!(number(&difference.abs()?) < 1e-10);
    }
    Ok(())
}

#[test]
fn wgan_gp_measures_the_slope_between_real_and_fake_against_the_target() -> Result<()> {
    let (real, fake) = (wave(&[2, 1, 2, 2], 0.)?, wave(&[2, 1, 2, 2], 2.)?);
    let eps = Tensor::new(&[0.25f64, 0.75], device())?.reshape((2, 1, 1, 1))?;
    let w = wave(&[1, 1, 2, 2], 1.)?;
    let target = 2.;
    let got = wgan_gp(&real, &fake, &eps, target, |x| cubic(&w, x))?;
    let mixed = (real.broadcast_mul(&eps)? + fake.broadcast_mul(&(1. - &eps)?)?)?;
    let slope = (w.broadcast_mul(&mixed.sqr()?)? * 3.)?;
    let norms: Vec<f64> = slope.sqr()?.flatten_from(1)?.sum(1)?.sqrt()?.to_vec1()?;
    for (got, norm) in got.penalty.to_vec1::<f64>()?.iter().zip(norms) {
        assert!((got - ((norm - target) / target).powi(2)).abs() < 1e-9);
    }
    Ok(())
}

#[test]
fn wgan_gp_of_a_flat_discriminator_has_a_finite_gradient() -> Result<()> {
    let real = Tensor::zeros((2, 1, 2, 2), DType::F32, device())?;
    let eps = Tensor::zeros((2, 1, 1, 1), DType::F32, device())?;
    let w = Var::zeros((1, 1, 2, 2), DType::F32, device())?;
    let penalty = wgan_gp(&real, &real, &eps, 1., |x| {
        x.broadcast_mul(&w)?.flatten_from(1)?.sum_keepdim(1)
    })?;
    let gradients = backward(&penalty.penalty.mean_all()?)?;
    let gradient: Vec<f32> = gradients.require("w", &w)?.flatten_all()?.to_vec1()?;
    assert_eq!(gradient, [0.; 4]);
    Ok(())
}

#[test]
fn drift_is_the_square_of_the_logit() -> Result<()> {
    let logits = Tensor::new(&[[3f64], [-2.]], device())?;
    assert_eq!(drift(&logits)?.to_vec1::<f64>()?, [9., 4.]);
    Ok(())
}

/// A synthesis network `sum over layers of tanh(w s_layer)`, as images of one channel.
fn synthesis(ws: &Tensor, s: &Tensor) -> Result<Tensor> {
    let (n, _, _) = ws.dims3()?;
    let images = ws.broadcast_matmul(s)?.tanh()?.sum(1)?;
    images.reshape((n, 1, 2, 2))
}

#[test]
fn path_length_gradients_reach_synthesis_and_mapping() -> Result<()> {
    let z = wave(&[3, 5], 0.)?;
    let noise = path_length_noise(&wave(&[3, 1, 2, 2], 0.5)?)?;
    let mapping = Var::from_tensor(&wave(&[5, 4], 1.)?)?;
    let style = Var::from_tensor(&wave(&[4, 4], 2.)?)?;
    let (mean, weight) = (0.4, 1.7);
    // Without decay the moving average is a constant of the finite difference too.
    let run = || -> Result<_> {
        let w = z.matmul(&mapping)?.tanh()?;
        let ws = w.unsqueeze(1)?.broadcast_as((3, 2, 4))?.contiguous()?;
        path_length(&ws, &noise, mean, 0., |ws| synthesis(ws, &style))
    };
    let gradients = run()?.backward(weight, &[&mapping, &style])?;
    let vars = [("mapping", &mapping), ("style", &style)];
    assert_gradients(&gradients, &vars, || {
        Ok(weight * number(&run()?.penalty.mean_all()?))
    })
}

#[test]
fn path_length_moves_the_mean_by_the_decay() -> Result<()> {
    let ws = wave(&[3, 2, 4], 0.)?;
    let noise = wave(&[3, 1, 2, 2], 0.5)?;
    let style = wave(&[4, 4], 2.)?;
    let result = path_length(&ws, &noise, 0.4, 0.25, |ws| synthesis(ws, &style))?;
    let mean_length = number(&result.lengths) / 3.;
    assert!((result.mean - (0.75 * 0.4 + 0.25 * mean_length)).abs() < 1e-12);
    let penalty: Vec<f64> = result.penalty.to_vec1()?;
    for (penalty, length) in penalty.iter().zip(result.lengths.to_vec1::<f64>()?) {
        assert!((penalty - (length - result.mean).powi(2)).abs() < 1e-12);
    }
    Ok(())
}

#[test]
fn path_length_noise_has_the_standard_deviation_of_one_pixel_of_the_image() -> Result<()> {
    let noise = path_length_noise(&Tensor::ones((1, 3, 4, 16), DType::F32, device())?)?;
    assert_eq!(noise.flatten_all()?.to_vec1::<f32>()?, [0.125; 192]);
    Ok(())
}

#[test]
fn wrong_shapes_and_constants_are_refused_by_name() -> Result<()> {
    let x = wave(&[2, 1, 2, 2], 0.)?;
    let eps = wave(&[2, 1, 1, 1], 0.)?;
    let w = wave(&[1, 1, 2, 2], 1.)?;
    let message = |result: Result<Tensor>| result.expect_err("an error").to_string();
    let gp = |fake: &Tensor, eps: &Tensor, target| {
        message(wgan_gp(&x, fake, eps, target, |x| cubic(&w, x)).map(|gp| gp.penalty))
    };
    assert!(gp(&x.narrow(0, 0, 1)?, &eps, 1.).contains("fake images"));
    assert!(gp(&x, &eps.flatten_all()?, 1.).contains("eps"));
    assert!(gp(&x, &eps, 0.).contains("target"));
    let constant = message(r1_penalty(&x, |_| wave(&[2, 1], 0.)).map(|r1| r1.penalty));
    assert!(constant.contains("does not depend"), "{constant}");

    let ws = wave(&[2, 2, 4], 0.)?;
    let style = wave(&[4, 4], 2.)?;
    let pl = |ws: &Tensor, noise: &Tensor| {
        message(path_length(ws, noise, 0., 0.01, |ws| synthesis(ws, &style)).map(|pl| pl.penalty))
    };
    assert!(pl(&ws.sum(1)?, &x).contains("[N, num_ws, w_dim]"));
    assert!(pl(&ws, &eps).contains("image noise"));
    Ok(())
}
