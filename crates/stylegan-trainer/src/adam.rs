//! The Adam optimizer over named parameters.

use std::collections::BTreeMap;

use candle_core::{DType, Result, Tensor, Var, bail};
use stylegan_checkpoint::ParamStore;

use crate::inplace::{AdamNumbers, adam_step};

/// Adam's hyperparameters for one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamParams {
    /// The learning rate.
    pub lr: f64,
    /// Decay of the first and of the second moment.
    pub betas: (f64, f64),
    /// Added to the root of the second moment.
    pub eps: f64,
}

/// Adam's state for one network: both moments of every trainable parameter, and the step count.
///
/// With g the gradient and t the number of steps including this one:
/// `m = beta1*m + (1-beta1)*g`, `v = beta2*v + (1-beta2)*g^2`,
/// `p -= lr * m/(1-beta1^t) / (sqrt(v/(1-beta2^t)) + eps)`. There is no weight decay.
///
/// "Adam: A Method for Stochastic Optimization" (Kingma and Ba 2015, algorithm 1). Parameters and
/// moments are f32; they are visited in the order of their names.
#[derive(Debug)]
pub struct Adam {
    m: ParamStore,
    v: ParamStore,
    steps: u64,
}

impl Adam {
    /// The state before the first step, for the trainable parameters of `params`.
    ///
    /// # Errors
    /// Where there are none, or they are not f32.
    pub fn new(params: &ParamStore) -> stylegan_checkpoint::Result<Self> {
        if params.dtype() != DType::F32 {
            let message = format!("Adam: expected f32 parameters, got {:?}", params.dtype());
            return Err(candle_core::Error::Msg(message).into());
        }
        let zeros = || {
            let zero = |(name, var): (&str, &Var)| {
                Ok((name.to_string(), var.as_detached_tensor().zeros_like()?))
            };
            let zeros: Result<BTreeMap<_, _>> = params.trainable().map(zero).collect();
            ParamStore::from_tensors(zeros?)
        };
        Ok(Self {
            m: zeros()?,
            v: zeros()?,
            steps: 0,
        })
    }

    /// How many steps were taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The moments by parameter name, `(m, v)`, sharing memory with this state.
    pub fn moments(&self) -> (BTreeMap<String, Tensor>, BTreeMap<String, Tensor>) {
        (self.m.to_tensors(), self.v.to_tensors())
    }

    /// Continues from saved moments and a saved step count.
    ///
    /// # Errors
    /// Where a moment is missing, unknown, or of another shape than its parameter.
    pub fn restore(
        &mut self,
        m: &BTreeMap<String, Tensor>,
        v: &BTreeMap<String, Tensor>,
        steps: u64,
    ) -> stylegan_checkpoint::Result<()> {
        self.m.assign(m)?;
        self.v.assign(v)?;
        self.steps = steps;
        Ok(())
    }

    /// Forgets all steps: the state is as before the first one.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn reset(&mut self) -> Result<()> {
        for (_, moment) in self.m.iter().chain(self.v.iter()) {
            moment.set(&moment.as_detached_tensor().zeros_like()?)?;
        }
        self.steps = 0;
        Ok(())
    }

    /// Takes one step: updates `params` in place, the trainable parameters that take part in training.
    ///
    /// `gradients` has an entry for each of them; nothing is skipped. Other parameters of the network are
    /// left as they are, and so are their moments.
    ///
    /// # Errors
    /// Where a gradient is missing or has another shape than its parameter. Nothing has changed
    /// then.
    pub fn step<'a>(
        &mut self,
        params: impl IntoIterator<Item = (&'a str, &'a Var)>,
        gradients: &BTreeMap<String, Tensor>,
        hyper: &AdamParams,
    ) -> Result<()> {
        let mut updates = Vec::new();
        for (name, var) in params {
            let Some(gradient) = gradients.get(name) else {
                bail!("Adam: no gradient for {name}");
            };
            if gradient.dims() != var.dims() || gradient.dtype() != var.dtype() {
                bail!(
                    "Adam: expected a gradient of {:?} {:?} for {name}, got {:?} {:?}",
                    var.dtype(),
                    var.dims(),
                    gradient.dtype(),
                    gradient.dims()
                );
            }
            let (Some(m), Some(v)) = (self.m.get(name), self.v.get(name)) else {
                bail!("Adam: no moments for {name}, which was not there when training began");
            };
            updates.push((var, gradient, m, v));
        }
        self.steps += 1;
        let (beta1, beta2) = hyper.betas;
        let t = self.steps as f64;
        let numbers = AdamNumbers {
            beta1,
            beta2,
            step: hyper.lr / (1. - beta1.powf(t)),
            v_scale: 1. / (1. - beta2.powf(t)).sqrt(),
            eps: hyper.eps,
        };
        for (var, gradient, m, v) in updates {
            adam_step(var, m, v, gradient, numbers)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn store(tensors: &[(&str, Tensor)]) -> ParamStore {
        let tensors = tensors.iter().map(|(n, t)| (n.to_string(), t.clone()));
        ParamStore::from_tensors(tensors.collect()).expect("store")
    }

    /// A smooth deterministic sequence without symmetry.
    fn wave(i: usize, t: u64) -> f32 {
        ((i as f32 * 0.7 + t as f32 * 1.3).sin() * 3.).powi(3) * 0.1
    }

    #[test]
    fn steps_agree_with_the_algorithm_written_plainly_in_f64() -> Result<()> {
        for betas in [(0., 0.99), (0.9, 0.999)] {
            let hyper = AdamParams {
                lr: 0.01,
                betas,
                eps: 1e-8,
            };
            // Longer than one task of the parallel kernels, and not a multiple of it.
            let n = 70_001;
            let start: Vec<f32> = (0..n).map(|i| wave(i, 100)).collect();
            let params = store(&[("p", Tensor::new(start.as_slice(), &Device::Cpu)?)]);
            let mut adam = Adam::new(&params).map_err(candle_core::Error::wrap)?;
            let mut p: Vec<f64> = start.iter().map(|&x| f64::from(x)).collect();
            let (mut m, mut v) = (vec![0f64; n], vec![0f64; n]);
            for t in 1..=20 {
                let g: Vec<f32> = (0..n).map(|i| wave(i, t)).collect();
                for i in 0..n {
                    let g = f64::from(g[i]);
                    m[i] = betas.0 * m[i] + (1. - betas.0) * g;
                    v[i] = betas.1 * v[i] + (1. - betas.1) * g * g;
                    let m_hat = m[i] / (1. - betas.0.powi(t as i32));
                    let v_hat = v[i] / (1. - betas.1.powi(t as i32));
                    p[i] -= hyper.lr * m_hat / (v_hat.sqrt() + hyper.eps);
                }
                let g = Tensor::new(g.as_slice(), &Device::Cpu)?;
                adam.step(
                    params.trainable(),
                    &BTreeMap::from([("p".to_string(), g)]),
                    &hyper,
                )?;
            }
            let got: Vec<f32> = params.get("p").expect("p").to_vec1()?;
            for (got, expected) in got.iter().zip(&p) {
                assert!(
                    (f64::from(*got) - expected).abs() < 1e-5,
                    "{got} {expected}"
                );
            }
        }
        Ok(())
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() -> Result<()> {
        let run = |threads: usize| -> Result<Vec<f32>> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.map_err(candle_core::Error::wrap)?.install(|| {
                let values: Vec<f32> = (0..200_000).map(|i| wave(i, 0)).collect();
                let params = store(&[("p", Tensor::new(values.as_slice(), &Device::Cpu)?)]);
                let mut adam = Adam::new(&params).map_err(candle_core::Error::wrap)?;
                let hyper = AdamParams {
                    lr: 0.002,
                    betas: (0., 0.99),
                    eps: 1e-8,
                };
                let g = Tensor::new(values.as_slice(), &Device::Cpu)?;
                adam.step(
                    params.trainable(),
                    &BTreeMap::from([("p".to_string(), g)]),
                    &hyper,
                )?;
                params.get("p").expect("p").to_vec1()
            })
        };
        assert_eq!(run(1)?, run(3)?);
        Ok(())
    }

    #[test]
    fn buffers_have_no_moments_and_are_not_moved() -> Result<()> {
        let one = Tensor::new(&[1f32, 2.], &Device::Cpu)?;
        let params = store(&[
            ("mapping.fc0.weight", one.clone()),
            ("mapping.w_avg", one.clone()),
        ]);
        let mut adam = Adam::new(&params).map_err(candle_core::Error::wrap)?;
        assert_eq!(adam.moments().0.len(), 1);
        let hyper = AdamParams {
            lr: 0.5,
            betas: (0., 0.99),
            eps: 1e-8,
        };
        let gradients = BTreeMap::from([("mapping.fc0.weight".to_string(), one)]);
        adam.step(params.trainable(), &gradients, &hyper)?;
        let read = |name| -> Result<Vec<f32>> { params.get(name).expect("var").to_vec1() };
        assert_eq!(read("mapping.w_avg")?, [1., 2.]);
        assert_eq!(read("mapping.fc0.weight")?, [0.5, 1.5]);
        Ok(())
    }

    #[test]
    fn a_missing_or_misshaped_gradient_changes_nothing() -> Result<()> {
        let one = Tensor::new(&[1f32, 2.], &Device::Cpu)?;
        let params = store(&[("a", one.clone()), ("b", one.clone())]);
        let mut adam = Adam::new(&params).map_err(candle_core::Error::wrap)?;
        let hyper = AdamParams {
            lr: 0.5,
            betas: (0., 0.99),
            eps: 1e-8,
        };
        let mut gradients = BTreeMap::from([("a".to_string(), one.clone())]);
        let missing = adam
            .step(params.trainable(), &gradients, &hyper)
            .expect_err("missing");
        assert!(missing.to_string().contains("no gradient for b"));
        gradients.insert("b".to_string(), one.narrow(0, 0, 1)?);
        let shape = adam
            .step(params.trainable(), &gradients, &hyper)
            .expect_err("shape");
        assert!(shape.to_string().contains("for b, got F32 [1]"), "{shape}");
        assert_eq!(adam.steps(), 0);
        assert_eq!(params.get("a").expect("a").to_vec1::<f32>()?, [1., 2.]);
        Ok(())
    }

    #[test]
    fn parameters_that_take_no_part_stay_as_they_are() -> Result<()> {
        let one = Tensor::new(&[1f32, 2.], &Device::Cpu)?;
        let params = store(&[("a", one.clone()), ("b", one.clone())]);
        let mut adam = Adam::new(&params).map_err(candle_core::Error::wrap)?;
        let hyper = AdamParams {
            lr: 0.5,
            betas: (0., 0.99),
            eps: 1e-8,
        };
        let gradients = BTreeMap::from([("a".to_string(), one)]);
        let active = || params.trainable().filter(|(name, _)| *name == "a");
        adam.step(active(), &gradients, &hyper)?;
        let read = |name| -> Result<Vec<f32>> { params.get(name).expect("var").to_vec1() };
        assert_eq!(read("a")?, [0.5, 1.5]);
        assert_eq!(read("b")?, [1., 2.]);
        let moment = |adam: &Adam, name| -> Result<Vec<f32>> { adam.moments().0[name].to_vec1() };
        assert_eq!(moment(&adam, "a")?, [1., 2.]);
        assert_eq!(moment(&adam, "b")?, [0., 0.]);

        adam.reset()?;
        assert_eq!((adam.steps(), moment(&adam, "a")?), (0, vec![0., 0.]));
        assert_eq!(read("a")?, [0.5, 1.5]);
        Ok(())
    }
}
