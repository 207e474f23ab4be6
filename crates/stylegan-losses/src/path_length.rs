//! Path length regularization of the generator.

use candle_core::{DType, Result, Tensor, Var, bail};
use stylegan_ops::autograd::{self, Gradients};

use crate::penalty::at_least_f32;

/// The path length penalty of one batch, ready to be differentiated.
#[derive(Debug, Clone)]
pub struct PathLength {
    /// `(length - mean)^2` per sample, `[N]`, without its weight; differentiable with respect to
    /// the parameters of the synthesis network. See [`backward`](Self::backward) for the mapping
    /// network.
    pub penalty: Tensor,
    /// The path length per sample, `[N]`, differentiable alike.
    pub lengths: Tensor,
    /// The moving average of the lengths after this batch: state for the next call.
    pub mean: f64,
    ws: Tensor,
    leaf: Var,
}

/// Path length regularization, "Analyzing and Improving the Image Quality of StyleGAN" (Karras et
/// al. 2020, section 3.2 and appendix B).
///
/// With `y` the `image_noise`: `J^T y = d(sum(G(w) * y))/dw` is `[N, num_ws, w_dim]`,
/// `length = sqrt(mean over num_ws of the sum over w_dim of (J^T y)^2)`,
/// `a = mean + decay * (mean of length - mean)`, `penalty = (length - a)^2`, with `a` a constant.
///
/// - `ws`: `[N, num_ws, w_dim]`, usually from a mapping network, whose graph it may carry;
/// - `image_noise`: `[N, C, H, W]`, from [`path_length_noise`];
/// - `mean`, `decay`: the moving average before this batch (0 at first) and its rate (0.01);
/// - `synthesis`: the synthesis network as a function of ws.
///
/// # Errors
/// Where the shape of `ws`, or of the noise beside that of the images, is wrong, or where
/// `synthesis` fails or doesn't depend on its ws.
pub fn path_length(
    ws: &Tensor,
    image_noise: &Tensor,
    mean: f64,
    decay: f64,
    synthesis: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<PathLength> {
    let [_, _, _] = ws.dims() else {
        bail!(
            "path_length: expected ws of shape [N, num_ws, w_dim], got {:?}",
            ws.dims()
        );
    };
    // Only variables keep their gradients; and a leaf keeps the second-order graph to the
    // synthesis network.
    let leaf = Var::from_tensor(&ws.detach())?;
    let images = synthesis(&leaf)?;
    if images.dims() != image_noise.dims() {
        bail!(
            "path_length: expected image noise of the images' shape {:?}, got {:?}",
            images.dims(),
            image_noise.dims()
        );
    }
    let projection = (images * image_noise)?.sum_all()?;
    let mut grads = autograd::grad(&projection, &[&leaf])?;
    let Some(jacobian) = grads.pop() else {
        bail!("path_length: the images don't depend on ws");
    };
    let lengths = at_least_f32(&jacobian)?.sqr()?.sum(2)?.mean(1)?.sqrt()?;
    let mean_length: f64 = lengths
        .detach()
        .mean_all()?
        .to_dtype(DType::F64)?
        .to_scalar()?;
    let mean = mean + decay * (mean_length - mean);
    let penalty = (&lengths - mean)?.sqr()?;
    Ok(PathLength {
        penalty,
        lengths,
        mean,
        ws: ws.clone(),
        leaf,
    })
}

impl PathLength {
    /// The gradients of `weight * mean(penalty)` for those `vars` it depends on, parameters of the
    /// synthesis network and of the mapping network that made `ws` alike.
    ///
    /// The mapping network is reached by a second, first-order backward pass, of the sum of
    /// `ws * d(penalty)/d(ws)` with the second factor a constant.
    ///
    /// # Errors
    /// Where a backward pass fails.
    pub fn backward(&self, weight: f64, vars: &[&Tensor]) -> Result<Gradients> {
        let loss = (self.penalty.mean_all()? * weight)?;
        let with_leaf: Vec<&Tensor> = vars
            .iter()
            .copied()
            .chain([self.leaf.as_tensor()])
            .collect();
        let mut gradients = autograd::backward_for(&loss, &with_leaf)?;
        if self.ws.track_op() {
            let ws_grad = gradients.require("ws", &self.leaf)?.detach();
            let through_mapping = (&self.ws * ws_grad)?.sum_all()?;
            gradients.accumulate(autograd::backward_for(&through_mapping, vars)?)?;
        }
        Ok(gradients)
    }
}

/// Image noise for [`path_length`]: a standard normal `[N, C, H, W]` scaled by `1 / sqrt(H * W)`,
/// which makes the expected length independent of the resolution.
///
/// # Errors
/// Where `normal` does not have four dimensions.
pub fn path_length_noise(normal: &Tensor) -> Result<Tensor> {
    let (_, _, height, width) = normal.dims4()?;
    normal / ((height * width) as f64).sqrt()
}
