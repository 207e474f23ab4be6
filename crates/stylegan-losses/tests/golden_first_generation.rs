//! The losses of ProGAN and StyleGAN on whole networks, at every given level of detail, against the
//! reference values: scores, penalties, losses, and the gradients of every parameter.

mod common;
mod tensorflow;

use std::collections::BTreeMap;

use candle_core::{DType, Result, Tensor, bail};
use common::{FORWARD_TOLERANCE, check_gradients, in_both_precisions};
use serde::Deserialize;
use stylegan_discriminator::Discriminator;
use stylegan_goldens::{Case, assert_close};
use stylegan_import::tensorflow::Kwargs;
use stylegan_losses::{
    auxiliary_classifier, drift, hinge, logistic, r1_penalty, r2_penalty, wgan, wgan_gp,
};
use stylegan_ops::autograd::backward_for;
use stylegan_ops::growing::Lod;
use stylegan_synthesis::{Generator, NoiseMode};
use tensorflow::Networks;

#[derive(Deserialize)]
struct Params {
    generator: Kwargs,
    discriminator: Kwargs,
    layout: String,
    lods: Vec<f64>,
    loss_functions: BTreeMap<String, LossKwargs>,
    #[serde(default)]
    gradients_that_are_all_zero_and_not_stored: BTreeMap<String, Vec<String>>,
}

/// Arguments of a loss function, with the original defaults.
#[derive(Deserialize)]
#[serde(default)]
struct LossKwargs {
    /// The function; that of the loss's own name where not given.
    function: Option<String>,
    wgan_lambda: f64,
    wgan_epsilon: f64,
    wgan_target: f64,
    r1_gamma: f64,
    r2_gamma: f64,
    cond_weight: f64,
}

impl Default for LossKwargs {
    fn default() -> Self {
        Self {
            function: None,
            wgan_lambda: 10.,
            wgan_epsilon: 0.001,
            wgan_target: 1.,
            r1_gamma: 10.,
            r2_gamma: 0.,
            cond_weight: 1.,
        }
    }
}

/// What a loss function returned.
struct Loss {
    /// Terms that TensorFlow has as `[N, 1]`, here `[N]`.
    scores: Tensor,
    /// The sum of the terms that it has as `[N]`, where the function has any.
    penalties: Option<Tensor>,
    /// Intermediate values, by their names in the golden files.
    values: BTreeMap<&'static str, Tensor>,
}

impl Loss {
    fn new(scores: Tensor) -> Self {
        Self {
            scores,
            penalties: None,
            values: BTreeMap::new(),
        }
    }

    fn add_penalty(&mut self, penalty: &Tensor, weight: f64) -> Result<()> {
        let penalty = (penalty * weight)?;
        self.penalties = Some(match &self.penalties {
            Some(sum) => (sum + penalty)?,
            None => penalty,
        });
        Ok(())
    }

    /// The loss as TensorFlow broadcasts it: `[N, 1]`, or `[N, N]` where `[N]` is added to it.
    fn broadcast(&self) -> Result<Tensor> {
        let scores = self.scores.unsqueeze(1)?;
        match &self.penalties {
            Some(penalties) => scores.broadcast_add(penalties),
            None => Ok(scores),
        }
    }
}

/// The networks of a case at a level of detail, and what goes into them.
struct Step<'a> {
    g: Generator,
    d: Discriminator,
    case: &'a Case<Params>,
    /// Images of the generator, constants.
    fakes: Tensor,
}

impl<'a> Step<'a> {
    fn new(case: &'a Case<Params>, networks: &Networks, lod: f64) -> Result<Self> {
        let lod = Lod::new(lod)?;
        let (g, d) = (networks.g.at_lod(lod)?, networks.d.at_lod(lod)?);
        let fakes = images(&g, case)?.detach();
        Ok(Self { g, d, case, fakes })
    }

    fn g_labels(&self) -> Option<&Tensor> {
        labels(self.case)
    }

    fn d_labels(&self) -> Option<&Tensor> {
        self.g_labels().filter(|_| self.d.config().c_dim > 0)
    }

    fn logits(&self, images: &Tensor) -> Result<Tensor> {
        self.d.forward(images, self.d_labels())
    }

    /// Logits, and the auxiliary classifier's loss where there are labels.
    fn classify(&self, images: &Tensor) -> Result<(Tensor, Option<Tensor>)> {
        let Some(labels) = self.d_labels() else {
            return Ok((self.logits(images)?, None));
        };
        let (logits, class_logits) = self.d.forward_with_classes(images)?;
        Ok((logits, Some(auxiliary_classifier(&class_logits, labels)?)))
    }

    fn generator_loss(&self, function: &str, kwargs: &LossKwargs) -> Result<Loss> {
        let fakes = images(&self.g, self.case)?;
        match function {
            "g_wgan" => Ok(Loss::new(wgan::generator(&self.logits(&fakes)?)?)),
            "g_logistic_nonsaturating" => {
                Ok(Loss::new(logistic::generator(&self.logits(&fakes)?)?))
            }
            "g_logistic_saturating" => {
                let scores = logistic::generator_saturating(&self.logits(&fakes)?)?;
                Ok(Loss::new(scores))
            }
            "g_wgan_acgan" => {
                let (logits, label_penalty) = self.classify(&fakes)?;
                let mut loss = Loss::new(wgan::generator(&logits)?);
                if let Some(label_penalty) = label_penalty {
                    loss.add_penalty(&label_penalty, kwargs.cond_weight)?;
                }
                Ok(loss)
            }
            other => bail!("{}: no loss function {other}", self.case.name),
        }
    }

    fn discriminator_loss(&self, function: &str, kwargs: &LossKwargs) -> Result<Loss> {
        let (reals, fakes) = (self.case.get("reals")?, &self.fakes);
        let (scores_real, scores_fake) = (self.logits(reals)?, self.logits(fakes)?);
        let scores = match function {
            "d_logistic" | "d_logistic_simplegp" => {
                logistic::discriminator(&scores_real, &scores_fake)?
            }
            "d_hinge" | "d_hinge_gp" => hinge::discriminator(&scores_real, &scores_fake)?,
            "d_wgan" | "d_wgan_gp" | "d_wgangp_acgan" => {
                wgan::discriminator(&scores_real, &scores_fake)?
            }
            other => bail!("{}: no loss function {other}", self.case.name),
        };
        let mut loss = Loss::new(scores);

        if matches!(function, "d_wgan" | "d_wgan_gp" | "d_wgangp_acgan") {
            let drift = drift(&scores_real)?;
            loss.scores = (loss.scores + (&drift * kwargs.wgan_epsilon)?)?;
            loss.values.insert("epsilon_penalty", drift.unsqueeze(1)?);
        }
        if matches!(function, "d_wgan_gp" | "d_hinge_gp" | "d_wgangp_acgan") {
            // Theirs is the weight of the fakes, ours of the reals.
            let eps = self.case.get("mixing_factors")?.affine(-1., 1.)?;
            let target = kwargs.wgan_target;
            let penalty = wgan_gp(reals, fakes, &eps, target, |x| self.logits(x))?;
            loss.add_penalty(&penalty.penalty, kwargs.wgan_lambda)?;
            let norms = penalty.input_grad.flatten_from(1)?.sqr()?.sum(1)?.sqrt()?;
            loss.values.insert("mixed_norms", norms);
            loss.values.insert("scores_mixed", penalty.logits);
        }
        if function == "d_logistic_simplegp" && kwargs.r1_gamma != 0. {
            let penalty = r1_penalty(reals, |x| self.logits(x))?.penalty;
            loss.add_penalty(&penalty, kwargs.r1_gamma / 2.)?;
            loss.values.insert("r1_penalty", penalty);
        }
        if function == "d_logistic_simplegp" && kwargs.r2_gamma != 0. {
            let penalty = r2_penalty(fakes, |x| self.logits(x))?.penalty;
            loss.add_penalty(&penalty, kwargs.r2_gamma / 2.)?;
            loss.values.insert("r2_penalty", penalty);
        }
        if function == "d_wgangp_acgan" {
            for (name, images) in [
                ("label_penalty_reals", reals),
                ("label_penalty_fakes", fakes),
            ] {
                if let (_, Some(label_penalty)) = self.classify(images)? {
                    loss.add_penalty(&label_penalty, kwargs.cond_weight)?;
                    loss.values.insert(name, label_penalty);
                }
            }
        }
        loss.values.insert("scores_real", scores_real);
        loss.values.insert("scores_fake", scores_fake);
        Ok(loss)
    }
}

fn labels(case: &Case<Params>) -> Option<&Tensor> {
    case.tensors.get("labels")
}

fn images(g: &Generator, case: &Case<Params>) -> Result<Tensor> {
    g.forward(
        case.get("z")?,
        labels(case),
        1.,
        None,
        &mut NoiseMode::Const,
    )
}

/// The name of a value in ProGAN's repository, in StyleGAN's.
fn stylegan_name(name: &str) -> &str {
    match name {
        "real_scores" => "scores_real",
        "fake_scores" => "scores_fake",
        "mixed_scores" => "scores_mixed",
        other => other,
    }
}

/// Checks the loss `what`, e.g. `lod0.5.r1`, that `function` computes: values and gradients.
fn check_loss(
    case: &Case<Params>,
    networks: &Networks,
    step: &Step,
    what: &str,
    function: &str,
    kwargs: &LossKwargs,
) -> Result<()> {
    let trains_generator = function.starts_with("g_");
    let mut loss = match trains_generator {
        true => step.generator_loss(function, kwargs)?,
        false => step.discriminator_loss(function, kwargs)?,
    };
    let broadcast = loss.broadcast()?;
    let mean = broadcast.mean_all()?;
    loss.values.insert("loss", broadcast);
    loss.values.insert("loss_mean", mean.clone());
    case.get(&format!("{what}.loss_mean"))?;
    for (name, expected) in case.with_prefix(&format!("{what}.")) {
        let what = format!("{} {what}.{name}", case.name);
        match loss.values.get(stylegan_name(&name)) {
            Some(got) => assert_close(&what, got, &expected, FORWARD_TOLERANCE),
            None => panic!("{what}: the loss has no such value"),
        }
    }

    let (prefix, params) = match trains_generator {
        true => ("G.", &networks.g_params),
        false => ("D.", &networks.d_params),
    };
    let expected = stored_gradients(case, what, prefix)?;
    if expected.is_empty() {
        return Ok(());
    }
    let expected = match trains_generator {
        true => networks.of_generator(&expected)?,
        false => networks.of_discriminator(&expected)?,
    };
    let vars: Vec<&Tensor> = params.trainable().map(|(_, var)| var.as_tensor()).collect();
    let gradients = backward_for(&mean, &vars)?;
    let what = format!("{} {what}_grad.*", case.name);
    check_gradients(&what, &expected, params, &gradients);
    Ok(())
}

/// The stored gradients of the loss `what`, and zeros for those that the file says are zero; nothing
/// where no gradients of that loss are stored. `prefix` is that of the trained network's variables.
fn stored_gradients(
    case: &Case<Params>,
    what: &str,
    prefix: &str,
) -> Result<BTreeMap<String, Tensor>> {
    let mut gradients = BTreeMap::from_iter(case.with_prefix(&format!("{what}_grad.")));
    if !gradients.is_empty() {
        let zero = &case.params.gradients_that_are_all_zero_and_not_stored;
        for name in zero.get(what).into_iter().flatten() {
            let zeros = case.get(&format!("{prefix}{name}"))?.zeros_like()?;
            gradients.insert(name.clone(), zeros);
        }
    }
    Ok(gradients)
}

fn check_losses(dtype: DType) -> Result<()> {
    for case in stylegan_goldens::load::<Params>("stylegan1", "losses", dtype)? {
        let params = &case.params;
        let networks = Networks::new(
            &case,
            &params.layout,
            &params.generator,
            &params.discriminator,
            dtype,
        )?;
        let mut prefixes = Vec::new();
        for &lod in &case.params.lods {
            let step = Step::new(&case, &networks, lod)?;
            let fakes = format!("lod{lod}.fakes");
            // ProGAN's own repository has no such tensor; its scores tell as much.
            if let Some(expected) = case.tensors.get(&fakes) {
                let what = format!("{} {fakes}", case.name);
                assert_close(&what, &step.fakes, expected, FORWARD_TOLERANCE);
            }
            prefixes.push(fakes);
            for (name, kwargs) in &case.params.loss_functions {
                let function = kwargs.function.as_ref().unwrap_or(name).to_lowercase();
                let what = format!("lod{lod}.{name}");
                check_loss(&case, &networks, &step, &what, &function, kwargs)?;
                prefixes.extend([format!("{what}."), format!("{what}_grad.")]);
            }
        }
        let mut results = case.tensors.keys().filter(|name| name.starts_with("lod"));
        let unchecked = results.find(|name| !prefixes.iter().any(|p| name.starts_with(p)));
        assert_eq!(unchecked, None, "{}: not compared", case.name);
    }
    Ok(())
}

in_both_precisions! {
    check_losses => golden_first_generation_losses_f32, golden_first_generation_losses_f64;
}
