use candle_core::{Result, Tensor, bail};

/// How far ws are pulled towards the average, and on how many layers; see [`truncate`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truncation {
    /// 1 for none, 0 for the average picture.
    pub psi: f64,
    /// The first layers, to which it is limited; all of them where not given.
    pub cutoff: Option<usize>,
}

impl Truncation {
    /// No truncation.
    pub const NONE: Self = Self {
        psi: 1.,
        cutoff: None,
    };

    /// What StyleGAN makes its pictures with where nothing else is asked for (Karras et al. 2019,
    /// appendix B).
    pub const STYLEGAN: Self = Self {
        psi: 0.7,
        cutoff: Some(8),
    };
}

/// Repeats w `[N, w_dim]` for every layer of a synthesis network: `[N, num_ws, w_dim]`.
///
/// # Errors
/// If w has another rank.
pub fn broadcast(w: &Tensor, num_ws: usize) -> Result<Tensor> {
    let &[n, w_dim] = w.dims() else {
        bail!("broadcast: expected w [N, w_dim], got {:?}", w.dims())
    };
    // Owned memory: candle's index_select, for example, takes no strided tensors.
    w.unsqueeze(1)?
        .broadcast_as((n, num_ws, w_dim))?
        .contiguous()
}

/// Truncation: `w_avg + psi * (w - w_avg)` on the first `cutoff` layers of ws `[N, num_ws, w_dim]`,
/// or on all of them without a cutoff or with one above `num_ws`.
///
/// A psi of 1 changes nothing, a psi of 0 gives the average picture.
///
/// # Errors
/// If ws is not `[N, num_ws, w_dim]`, w_avg is not `[w_dim]`, or psi is not finite.
pub fn truncate(ws: &Tensor, w_avg: &Tensor, psi: f64, cutoff: Option<usize>) -> Result<Tensor> {
    let &[_, num_ws, w_dim] = ws.dims() else {
        bail!(
            "truncate: expected ws [N, num_ws, w_dim], got {:?}",
            ws.dims()
        )
    };
    if w_avg.dims() != [w_dim] {
        bail!("truncate: expected w_avg [{w_dim}], got {:?}", w_avg.dims())
    }
    if !psi.is_finite() {
        bail!("truncate: expected a finite psi, got {psi}")
    }
    let cutoff = cutoff.unwrap_or(num_ws).min(num_ws);
    if psi == 1. || cutoff == 0 {
        return Ok(ws.clone());
    }
    let truncated = (ws.narrow(1, 0, cutoff)? * psi)?.broadcast_add(&(w_avg * (1. - psi))?)?;
    if cutoff == num_ws {
        return Ok(truncated);
    }
    Tensor::cat(&[truncated, ws.narrow(1, cutoff, num_ws - cutoff)?], 1)
}

/// The next moving average of w, `beta * w_avg + (1 - beta) * mean(w)`, as a constant.
///
/// w is `[N, w_dim]`, w_avg is `[w_dim]`. beta is 0.995 in the ADA family of checkpoints.
///
/// # Errors
/// If the shapes don't agree.
pub fn update_w_avg(w_avg: &Tensor, w: &Tensor, beta: f64) -> Result<Tensor> {
    if w.rank() != 2 || w_avg.dims() != &w.dims()[1..] {
        bail!(
            "update_w_avg: expected w_avg [w_dim] and w [N, w_dim], got {:?} and {:?}",
            w_avg.dims(),
            w.dims()
        )
    }
    let mean = w.detach().mean(0)?;
    (w_avg.detach() * beta)? + (mean * (1. - beta))?
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    fn ws() -> Tensor {
        let w = Tensor::new(&[[1f64, 2.], [3., 4.]], &Device::Cpu).unwrap();
        broadcast(&w, 3).unwrap()
    }

    fn w_avg() -> Tensor {
        Tensor::new(&[10f64, 20.], &Device::Cpu).unwrap()
    }

    #[test]
    fn broadcast_gives_every_layer_the_same_w() {
        let expected = [[[1., 2.]; 3], [[3., 4.]; 3]];
        assert_eq!(ws().to_vec3::<f64>().unwrap(), expected);
        assert!(broadcast(&w_avg(), 3).is_err());
    }

    #[test]
    fn truncation_moves_the_first_layers_towards_the_average() -> Result<()> {
        let half = [5.5, 11.];
        let all = truncate(&ws(), &w_avg(), 0.5, None)?;
        assert_eq!(all.to_vec3::<f64>()?[0], [half; 3]);
        let two = truncate(&ws(), &w_avg(), 0.5, Some(2))?;
        assert_eq!(two.to_vec3::<f64>()?[0], [half, half, [1., 2.]]);
        let far = truncate(&ws(), &w_avg(), 0.5, Some(100))?;
        assert_eq!(far.to_vec3::<f64>()?, all.to_vec3::<f64>()?);
        let none = truncate(&ws(), &w_avg(), 0.5, Some(0))?;
        assert_eq!(none.to_vec3::<f64>()?, ws().to_vec3::<f64>()?);
        Ok(())
    }

    #[test]
    fn psi_1_leaves_ws_as_they_are() -> Result<()> {
        let same = truncate(&ws(), &w_avg(), 1., None)?;
        assert_eq!(same.to_vec3::<f64>()?, ws().to_vec3::<f64>()?);
        Ok(())
    }

    #[test]
    fn truncation_refuses_other_shapes_and_a_psi_that_is_no_number() {
        let wrong = Tensor::new(&[1f64, 2., 3.], &Device::Cpu).unwrap();
        let error = truncate(&ws(), &wrong, 0.5, None).unwrap_err().to_string();
        assert!(error.contains("expected w_avg [2], got [3]"), "{error}");
        let error = truncate(&ws(), &w_avg(), f64::NAN, None)
            .unwrap_err()
            .to_string();
        assert!(error.contains("finite psi"), "{error}");
    }

    #[test]
    fn the_average_of_w_moves_by_one_minus_beta_and_is_a_constant() -> Result<()> {
        let w = Var::new(&[[1f64, 2.], [3., 4.]], &Device::Cpu)?;
        let next = update_w_avg(&w_avg(), &w, 0.75)?;
        assert_eq!(next.to_vec1::<f64>()?, [8., 15.75]);
        assert!(!next.track_op());
        assert!(update_w_avg(&w_avg(), &w_avg(), 0.75).is_err());
        Ok(())
    }
}
