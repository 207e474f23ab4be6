//! First and second derivatives of the losses on logits, against finite differences in f64.

mod differences;

use candle_core::{Result, Tensor, Var};
use differences::assert_gradients;
use stylegan_goldens::device;
use stylegan_losses::{auxiliary_classifier, hinge, logistic, wgan};
use stylegan_ops::autograd::{backward, grad};

/// Logits or class logits, none of them where the hinge loss has its corner.
fn logits(classes: usize) -> Result<Var> {
    let values: Vec<f64> = (0..3 * classes)
        .map(|i| 3. * (i as f64 * 0.9 + 0.2).sin())
        .collect();
    Var::from_vec(values, (3, classes), device())
}

/// Checks the gradient of `loss`, which is per sample, and that of the gradient's squared norm.
fn check(name: &str, x: &Var, loss: impl Fn(&Tensor) -> Result<Tensor>) -> Result<()> {
    // Unequal weights, so that no sample can stand in for another.
    let weights = Tensor::new(&[0.7, -1.3, 2.], device())?;
    let first = || (loss(x)? * &weights)?.sum_all();
    let vars = [(name, x)];
    assert_gradients(&backward(&first()?)?, &vars, || first()?.to_scalar())?;

    let second = || grad(&first()?, &[x])?.remove(0).sqr()?.sum_all();
    assert_gradients(&backward(&second()?)?, &vars, || second()?.to_scalar())
}

#[test]
fn logistic_losses() -> Result<()> {
    let x = logits(1)?;
    check("generator", &x, logistic::generator)?;
    check("saturating", &x, logistic::generator_saturating)?;
    check("real", &x, logistic::discriminator_real)?;
    check("fake", &x, logistic::discriminator_fake)
}

#[test]
fn auxiliary_classifier_with_one_hot_soft_and_absent_labels() -> Result<()> {
    let labels = Tensor::new(
        &[[0., 1., 0., 0.], [0.1, 0.2, 0.3, 0.4], [0., 0., 0., 0f64]],
        device(),
    )?;
    check("class logits", &logits(4)?, |x| {
        auxiliary_classifier(x, &labels)
    })
}

type Loss = fn(&Tensor) -> Result<Tensor>;

/// Their second derivative is zero, so only the first is differentiated.
#[test]
fn piecewise_linear_losses() -> Result<()> {
    let x = logits(1)?;
    let losses: [(&str, Loss); 6] = [
        ("wgan generator", wgan::generator),
        ("wgan real", wgan::discriminator_real),
        ("wgan fake", wgan::discriminator_fake),
        ("hinge generator", hinge::generator),
        ("hinge real", hinge::discriminator_real),
        ("hinge fake", hinge::discriminator_fake),
    ];
    for (name, loss) in losses {
        let sum = || loss(&x)?.sum_all();
        let gradients = backward(&sum()?)?;
        assert_gradients(&gradients, &[(name, &x)], || sum()?.to_scalar())?;
    }
    Ok(())
}
