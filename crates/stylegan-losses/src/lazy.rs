//! Lazy regularization.

/// Adam's hyperparameters under lazy regularization, from [`lazy_adam`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LazyAdam {
    /// The learning rate.
    pub lr: f64,
    /// The decay rates of the first and the second moment.
    pub betas: (f64, f64),
}

/// Adam's hyperparameters where a regularizer runs on its own every `interval` minibatches.
///
/// The optimizer then takes `interval + 1` steps where it took `interval`. With
/// `c = interval / (interval + 1)`: `lr * c`, `beta1^c`, `beta2^c`. The regularization term itself
/// is multiplied by `interval`.
///
/// "Analyzing and Improving the Image Quality of StyleGAN" (Karras et al. 2020, appendix B, "Lazy
/// regularization").
pub fn lazy_adam(lr: f64, betas: (f64, f64), interval: usize) -> LazyAdam {
    let c = interval as f64 / (interval as f64 + 1.);
    LazyAdam {
        lr: lr * c,
        betas: (betas.0.powf(c), betas.1.powf(c)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_minibatches_scale_by_sixteen_seventeenths() {
        let lazy = lazy_adam(0.0025, (0., 0.99), 16);
        assert!((lazy.lr - 0.0025 * 16. / 17.).abs() < 1e-18);
        assert_eq!(lazy.betas.0, 0.);
        assert!((lazy.betas.1.ln() - 0.99f64.ln() * 16. / 17.).abs() < 1e-15);
    }
}
