//! Adversarial losses on logits: logistic, Wasserstein, hinge.

use std::fmt;
use std::str::FromStr;

use candle_core::{Result, Tensor, bail};
use serde::{Deserialize, Serialize};

/// Which adversarial loss generator and discriminator play.
///
/// Every loss is a sum of a term on the logits of generated images and a term on the logits of
/// real ones, so that a training step can run the two passes one after the other and hold only
/// one graph at a time.
///
/// Written, parsed and serialised under its [`name`](Self::name).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdversarialLoss {
    /// The non-saturating logistic loss, see [`logistic`].
    #[default]
    Logistic,
    /// The Wasserstein loss, see [`wgan`]; to be used with [`wgan_gp`](crate::wgan_gp) and
    /// [`drift`](crate::drift).
    WganGp,
    /// The hinge loss, see [`hinge`].
    Hinge,
}

impl AdversarialLoss {
    /// All losses, in the order that help texts list them.
    pub const ALL: [Self; 3] = [Self::Logistic, Self::WganGp, Self::Hinge];

    /// The name in options and files: `logistic`, `wgan-gp` or `hinge`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logistic => "logistic",
            Self::WganGp => "wgan-gp",
            Self::Hinge => "hinge",
        }
    }

    /// The generator's loss per sample, `[N]`, from the logits of generated images.
    pub fn generator(self, logits_fake: &Tensor) -> Result<Tensor> {
        match self {
            Self::Logistic => logistic::generator(logits_fake),
            Self::WganGp => wgan::generator(logits_fake),
            Self::Hinge => hinge::generator(logits_fake),
        }
    }

    /// The discriminator's loss per sample, `[N]`: [`discriminator_real`](Self::discriminator_real)
    /// plus [`discriminator_fake`](Self::discriminator_fake).
    pub fn discriminator(self, logits_real: &Tensor, logits_fake: &Tensor) -> Result<Tensor> {
        self.discriminator_real(logits_real)? + self.discriminator_fake(logits_fake)?
    }

    /// The part of the discriminator's loss on real images, `[N]`.
    pub fn discriminator_real(self, logits_real: &Tensor) -> Result<Tensor> {
        match self {
            Self::Logistic => logistic::discriminator_real(logits_real),
            Self::WganGp => wgan::discriminator_real(logits_real),
            Self::Hinge => hinge::discriminator_real(logits_real),
        }
    }

    /// The part of the discriminator's loss on generated images, `[N]`.
    pub fn discriminator_fake(self, logits_fake: &Tensor) -> Result<Tensor> {
        match self {
            Self::Logistic => logistic::discriminator_fake(logits_fake),
            Self::WganGp => wgan::discriminator_fake(logits_fake),
            Self::Hinge => hinge::discriminator_fake(logits_fake),
        }
    }
}

impl fmt::Display for AdversarialLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AdversarialLoss {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|loss| loss.name() == name)
            .ok_or_else(|| {
                format!(
                    "no loss {name}; there are: {}",
                    Self::ALL.map(Self::name).join(", ")
                )
            })
    }
}

/// The non-saturating logistic loss of "Generative Adversarial Nets" (Goodfellow et al. 2014,
/// section 3), which StyleGAN (Karras et al. 2019, appendix C) and StyleGAN2 (Karras et al. 2020,
/// appendix B) train with.
///
/// With softplus(x) = ln(1 + e^x): `L_G = softplus(-D(G(z)))`,
/// `L_D = softplus(D(G(z))) + softplus(-D(x))`.
pub mod logistic {
    use super::{Result, Tensor, per_sample, softplus};

    /// `softplus(-D(G(z)))` per sample, `[N]`.
    pub fn generator(logits_fake: &Tensor) -> Result<Tensor> {
        softplus(&per_sample(logits_fake)?.neg()?)
    }

    /// The saturating form, `-softplus(D(G(z)))` per sample, `[N]`: `ln(1 - p)` with
    /// `p = 1 / (1 + e^-D(G(z)))` the probability that the discriminator gives a generated image of
    /// being real.
    ///
    /// This is the zero-sum game of Goodfellow et al. 2014 (section 3, equation 1), the negative
    /// of [`discriminator_fake`]. Its gradient vanishes where the discriminator is sure, which
    /// is why training uses [`generator`].
    pub fn generator_saturating(logits_fake: &Tensor) -> Result<Tensor> {
        discriminator_fake(logits_fake)?.neg()
    }

    /// `softplus(D(G(z))) + softplus(-D(x))` per sample, `[N]`.
    pub fn discriminator(logits_real: &Tensor, logits_fake: &Tensor) -> Result<Tensor> {
        discriminator_real(logits_real)? + discriminator_fake(logits_fake)?
    }

    /// `softplus(-D(x))` per sample, `[N]`.
    pub fn discriminator_real(logits_real: &Tensor) -> Result<Tensor> {
        softplus(&per_sample(logits_real)?.neg()?)
    }

    /// `softplus(D(G(z)))` per sample, `[N]`.
    pub fn discriminator_fake(logits_fake: &Tensor) -> Result<Tensor> {
        softplus(&per_sample(logits_fake)?)
    }
}

/// The Wasserstein loss of "Wasserstein GAN" (Arjovsky et al. 2017, section 3).
///
/// `L_G = -D(G(z))`, `L_D = D(G(z)) - D(x)`. It needs a discriminator kept near slope one:
/// add [`wgan_gp`](crate::wgan_gp) and [`drift`](crate::drift).
pub mod wgan {
    use super::{Result, Tensor, per_sample};

    /// `-D(G(z))` per sample, `[N]`.
    pub fn generator(logits_fake: &Tensor) -> Result<Tensor> {
        per_sample(logits_fake)?.neg()
    }

    /// `D(G(z)) - D(x)` per sample, `[N]`.
    pub fn discriminator(logits_real: &Tensor, logits_fake: &Tensor) -> Result<Tensor> {
        discriminator_real(logits_real)? + discriminator_fake(logits_fake)?
    }

    /// `-D(x)` per sample, `[N]`.
    pub fn discriminator_real(logits_real: &Tensor) -> Result<Tensor> {
        per_sample(logits_real)?.neg()
    }

    /// `D(G(z))` per sample, `[N]`.
    pub fn discriminator_fake(logits_fake: &Tensor) -> Result<Tensor> {
        per_sample(logits_fake)
    }
}

/// The hinge loss of "Geometric GAN" (Lim and Ye 2017, section 3.2).
///
/// `L_G = -D(G(z))`, `L_D = max(0, 1 + D(G(z))) + max(0, 1 - D(x))`.
pub mod hinge {
    use super::{Result, Tensor, per_sample};

    /// `-D(G(z))` per sample, `[N]`.
    pub fn generator(logits_fake: &Tensor) -> Result<Tensor> {
        per_sample(logits_fake)?.neg()
    }

    /// `max(0, 1 + D(G(z))) + max(0, 1 - D(x))` per sample, `[N]`.
    pub fn discriminator(logits_real: &Tensor, logits_fake: &Tensor) -> Result<Tensor> {
        discriminator_real(logits_real)? + discriminator_fake(logits_fake)?
    }

    /// `max(0, 1 - D(x))` per sample, `[N]`.
    pub fn discriminator_real(logits_real: &Tensor) -> Result<Tensor> {
        per_sample(logits_real)?.affine(-1., 1.)?.relu()
    }

    /// `max(0, 1 + D(G(z)))` per sample, `[N]`.
    pub fn discriminator_fake(logits_fake: &Tensor) -> Result<Tensor> {
        per_sample(logits_fake)?.affine(1., 1.)?.relu()
    }
}

/// `ln(1 + e^x)` as `max(x, 0) + ln(1 + e^-|x|)`: no overflow, and a gradient that is exact at
/// any magnitude.
fn softplus(x: &Tensor) -> Result<Tensor> {
    x.relu()? + (x.abs()?.neg()?.exp()? + 1.)?.log()?
}

/// The logits `[N, 1]` (or `[N]`) of a discriminator as `[N]`.
pub(crate) fn per_sample(logits: &Tensor) -> Result<Tensor> {
    match logits.dims() {
        [_] => Ok(logits.clone()),
        [_, 1] => logits.squeeze(1),
        other => bail!("adversarial loss: expected logits of shape [N, 1] or [N], got {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn logits(values: &[f64]) -> Tensor {
        Tensor::new(values, &Device::Cpu)
            .and_then(|t| t.unsqueeze(1))
            .expect("logits")
    }

    fn values(t: Result<Tensor>) -> Vec<f64> {
        t.and_then(|t| t.to_vec1()).expect("values")
    }

    fn assert_near(got: &[f64], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        for (g, e) in got.iter().zip(expected) {
            assert!((g - e).abs() <= 1e-12 * e.abs().max(1.), "{g} is not {e}");
        }
    }

    #[test]
    fn logistic_loss_is_softplus_of_the_logits() {
        let (real, fake) = (logits(&[0., 2., -3.]), logits(&[1., -1., 0.5]));
        let softplus = |x: f64| x.exp().ln_1p();
        let expected: Vec<f64> = [(0., 1.), (2., -1.), (-3., 0.5)]
            .map(|(r, f): (f64, f64)| softplus(-r) + softplus(f))
            .to_vec();
        assert_near(&values(logistic::discriminator(&real, &fake)), &expected);
        let expected = [-1., 1., -0.5].map(softplus);
        assert_near(&values(logistic::generator(&fake)), &expected);
    }

    #[test]
    fn logistic_loss_and_gradient_are_finite_at_extreme_logits() -> Result<()> {
        let x = Var::new(&[-1000., -20., 0., 20., 1000.], &Device::Cpu)?;
        let loss = logistic::discriminator_fake(&x)?;
        let loss_values: Vec<f64> = loss.to_vec1()?;
        assert_near(&loss_values[3..], &[20. + (-20f64).exp().ln_1p(), 1000.]);
        let grads = loss.sum_all()?.backward()?;
        let slope: Vec<f64> = grads.get(&x).expect("gradient").to_vec1()?;
        let sigmoid = |x: f64| 1. / (1. + (-x).exp());
        assert_near(&slope, &[-1000., -20., 0., 20., 1000.].map(sigmoid));
        assert!(slope[1] > 2e-9, "the tail keeps its relative precision");
        Ok(())
    }

    #[test]
    fn saturating_loss_is_the_log_probability_of_being_recognised_as_generated() {
        let fake = logits(&[1., -1., 0.5]);
        let expected = [1., -1., 0.5].map(|x: f64| (1. - 1. / (1. + (-x).exp())).ln());
        assert_near(&values(logistic::generator_saturating(&fake)), &expected);
        // The plain formula is ln(0) where the discriminator is sure that an image is real.
        let sure = values(logistic::generator_saturating(&logits(&[1000., -1000.])));
        assert_near(&sure, &[-1000., 0.]);
    }

    #[test]
    fn wgan_loss_is_the_difference_of_the_logits() {
        let (real, fake) = (logits(&[3., 1.]), logits(&[1., 4.]));
        assert_near(&values(wgan::discriminator(&real, &fake)), &[-2., 3.]);
        assert_near(&values(wgan::generator(&fake)), &[-1., -4.]);
    }

    #[test]
    fn hinge_loss_ignores_logits_beyond_the_margin() {
        let (real, fake) = (logits(&[2., 0.5, -1.]), logits(&[-2., -0.5, 1.]));
        assert_near(&values(hinge::discriminator(&real, &fake)), &[0., 1., 4.]);
        assert_near(&values(hinge::generator(&fake)), &[2., 0.5, -1.]);
    }

    #[test]
    fn the_enum_dispatches_to_the_module_of_its_name() {
        let (real, fake) = (logits(&[0.3, -0.7]), logits(&[0.2, 1.5]));
        let cases = [
            (
                AdversarialLoss::Logistic,
                logistic::discriminator(&real, &fake),
                logistic::generator(&fake),
            ),
            (
                AdversarialLoss::WganGp,
                wgan::discriminator(&real, &fake),
                wgan::generator(&fake),
            ),
            (
                AdversarialLoss::Hinge,
                hinge::discriminator(&real, &fake),
                hinge::generator(&fake),
            ),
        ];
        for (loss, d, g) in cases {
            assert_eq!(values(loss.discriminator(&real, &fake)), values(d));
            assert_eq!(values(loss.generator(&fake)), values(g));
        }
    }

    #[test]
    fn losses_are_written_and_parsed_under_one_name() -> Result<()> {
        let names = AdversarialLoss::ALL.map(AdversarialLoss::name);
        assert_eq!(names, ["logistic", "wgan-gp", "hinge"]);
        for loss in AdversarialLoss::ALL {
            let json = serde_json::to_string(&loss).map_err(candle_core::Error::wrap)?;
            assert_eq!(json, format!("\"{loss}\""));
            assert_eq!(loss.to_string().parse(), Ok(loss));
        }
        let message = "wgan".parse::<AdversarialLoss>().expect_err("no such loss");
        assert_eq!(message, "no loss wgan; there are: logistic, wgan-gp, hinge");
        Ok(())
    }

    #[test]
    fn logits_of_another_shape_are_refused() {
        let wide = logits(&[1., 2.]).t().expect("transpose");
        let message = logistic::generator(&wide).expect_err("shape").to_string();
        assert!(message.contains("[1, 2]"), "{message}");
    }
}
