//! The auxiliary classifier's loss.

use candle_core::{D, Result, Tensor, bail};

/// The auxiliary classifier's loss, the cross entropy between labels and predicted classes per
/// sample, `[N]`: `-sum over classes of c * ln(softmax(class_logits))`.
///
/// - `class_logits`: `[N, c_dim]`, what a discriminator with a classifier head predicts beside its
///   logit;
/// - `labels`: `[N, c_dim]`, usually one-hot; a row of zeros has no class, and a loss of 0.
///
/// Generator and discriminator both minimise it: the generator on its images under the labels that
/// they were generated from, the discriminator on generated and real images. The weight (1 in
/// ProGAN) is the caller's.
///
/// The softmax is taken of the logits less their maximum, so that no magnitude overflows.
///
/// "Conditional Image Synthesis with Auxiliary Classifier GANs" (Odena et al. 2017, section 3, L_C).
///
/// # Errors
/// Where the class logits are not two-dimensional or the labels have another shape.
pub fn auxiliary_classifier(class_logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    if !matches!(class_logits.dims(), &[_, c_dim] if c_dim > 0) {
        bail!(
            "auxiliary_classifier: expected class logits of shape [N, c_dim], got {:?}",
            class_logits.dims()
        );
    }
    if labels.dims() != class_logits.dims() {
        bail!(
            "auxiliary_classifier: expected labels of the class logits' shape {:?}, got {:?}",
            class_logits.dims(),
            labels.dims()
        );
    }
    // The maximum cancels out of value and gradients, so it may be a constant.
    let maximum = class_logits.detach().max_keepdim(D::Minus1)?;
    let shifted = class_logits.broadcast_sub(&maximum)?;
    let log_sum = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    let log_softmax = shifted.broadcast_sub(&log_sum)?;
    (log_softmax * labels)?.sum(D::Minus1)?.neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};
    use stylegan_ops::autograd::backward;

    fn tensor<const C: usize, const N: usize>(rows: &[[f64; C]; N]) -> Tensor {
        Tensor::new(rows, &Device::Cpu).expect("a matrix")
    }

    #[test]
    fn the_loss_is_the_surprise_about_the_label() -> Result<()> {
        let class_logits = [[0.3, -1.2, 2.], [0.5, 0.5, 0.5], [1., 2., 3.]];
        let labels = tensor(&[[0., 1., 0.], [0., 0., 1.], [0., 0., 0.]]);
        let got: Vec<f64> = auxiliary_classifier(&tensor(&class_logits), &labels)?.to_vec1()?;
        let sum: f64 = class_logits[0].map(f64::exp).iter().sum();
        let expected = [sum.ln() + 1.2, 3f64.ln(), 0.];
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-12, "{got} is not {expected}");
        }
        Ok(())
    }

    #[test]
    fn loss_and_gradient_are_finite_at_extreme_logits() -> Result<()> {
        let x = Var::from_tensor(&tensor(&[[1000., -1000.], [1000., -1000.]]))?;
        let loss = auxiliary_classifier(&x, &tensor(&[[1., 0.], [0., 1.]]))?;
        assert_eq!(loss.to_vec1::<f64>()?, [0., 2000.]);
        let gradients = backward(&loss.sum_all()?)?;
        let slope: Vec<Vec<f64>> = gradients.require("x", &x)?.to_vec2()?;
        assert_eq!(slope, [[0., 0.], [1., -1.]]);
        Ok(())
    }

    #[test]
    fn wrong_shapes_are_refused_by_name() {
        let (two, three) = (tensor(&[[0., 1.]]), tensor(&[[0., 1., 0.]]));
        let message = |logits: &Tensor, labels: &Tensor| {
            let error = auxiliary_classifier(logits, labels).expect_err("an error");
            error.to_string()
        };
        let labels = message(&two, &three);
        assert!(labels.contains("shape [1, 2], got [1, 3]"), "{labels}");
        let flat = two.flatten_all().expect("a vector");
        let class_logits = message(&flat, &two);
        assert!(class_logits.contains("[N, c_dim]"), "{class_logits}");
    }
}
