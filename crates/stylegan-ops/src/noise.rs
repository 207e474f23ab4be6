//! The noise inputs of StyleGAN.

use candle_core::{Result, Shape, Tensor, bail};

use crate::check::{dims4, expect_shape};
use crate::conv::{Conv2d, conv2d, conv2d_weight_gradient};
use crate::kernel::{Float, Kernel, apply3};
use crate::parallel::runs;

/// Adds noise with a strength per channel: `y[n,c,p] = x[n,c,p] + strength[c] noise[n,0,p]`.
///
/// `x` is `[N,C,H,W]`, `noise` is `[N,1,H,W]`, or `[1,1,H,W]` where all samples share it, and
/// `strength` is `[C]`. Source: Karras et al. 2019 (StyleGAN), section 2 and figure 1 ("B").
///
/// # Errors
/// On other shapes, and on data types that differ.
pub fn add_noise(x: &Tensor, noise: &Tensor, strength: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = dims4("add_noise", "x", x)?;
    expect_shape("add_noise", "strength", strength, &[c])?;
    match *noise.dims() {
        [m, 1, nh, nw] if (m == n || m == 1) && [nh, nw] == [h, w] => {}
        ref got => bail!("add_noise: expected noise of shape [{n} or 1, 1, {h}, {w}], got {got:?}"),
    }
    if !x.device().is_cpu() {
        return reference::add_noise(x, noise, strength);
    }
    apply3(AddNoise { dims: [n, c, h, w] }, x, noise, strength)
}

struct AddNoise {
    dims: [usize; 4],
}

impl Kernel<3> for AddNoise {
    const NAME: &'static str = "add_noise";

    fn shape(&self) -> Shape {
        self.dims.as_slice().into()
    }

    fn cpu<T: Float>(&self, [x, noise, strength]: [&[T]; 3], out: &mut [T]) {
        let [_, c, h, w] = self.dims;
        let pixels = h * w;
        runs(
            out,
            pixels,
            #[inline(always)]
            |plane, first, out| {
                let strength = strength[plane % c];
                let noise = &noise[plane / c * pixels % noise.len() + first..];
                let x = &x[plane * pixels + first..];
                for ((y, &x), &noise) in out.iter_mut().zip(x).zip(noise) {
                    *y = x + strength * noise;
                }
            },
        );
    }

    /// Noise and strength meet in an outer product, which is a convolution of the noise with 1x1
    /// kernels: its gradients are of that family.
    fn gradients(
        &self,
        [_, noise, strength]: [&Tensor; 3],
        _: &Tensor,
        dy: &Tensor,
        needs: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let [n, c, h, w] = self.dims;
        let config = Conv2d::default();
        let d_noise = || {
            let d_noise = conv2d(dy, &strength.reshape((1, c, 1, 1))?, None, &config)?;
            match noise.dim(0)? == n {
                true => Ok(d_noise),
                false => d_noise.sum_keepdim(0),
            }
        };
        let d_strength = || {
            let noise = noise.broadcast_as((n, 1, h, w))?;
            conv2d_weight_gradient(&noise, dy, None, [1, 1], &config)?.flatten_all()
        };
        Ok([
            needs[0].then(|| dy.clone()),
            needs[1].then(d_noise).transpose()?,
            needs[2].then(d_strength).transpose()?,
        ])
    }
}

pub(crate) mod reference {
    //! The same from candle's own ops: the reference of the tests, and what runs on devices without a
    //! kernel.

    use candle_core::{Result, Tensor};

    pub(crate) fn add_noise(x: &Tensor, noise: &Tensor, strength: &Tensor) -> Result<Tensor> {
        let strength = strength.reshape((1, (), 1, 1))?;
        x.broadcast_add(&noise.broadcast_mul(&strength)?)
    }
}
