//! Progressive growing: the level of detail, and the cross-fade between two resolutions.
//!
//! Training starts at a low resolution. Each doubling is faded in: while the level of detail falls
//! from `l + 1` to `l`, the pictures of the new resolution are mixed with enlarged ones of the old.
//! Source: Karras et al. 2018 (ProGAN), section 2 and figure 2.

use std::fmt;

use candle_core::{Error, Result, Tensor, bail};
use serde::{Deserialize, Serialize};

use crate::check::dims4;
use crate::upfirdn2d::{average_pool2d, nearest_upsample2d};

/// The level of detail: how many times the full resolution is halved, in fractions while a
/// resolution fades in.
///
/// With a full resolution of 64, `Lod` 2 trains 16x16; from there it falls to 1 while 32x32 fades
/// in: at 1.25 the active resolution is 32 and the older one has a weight of 0.25.
/// It is serialised as a plain number.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Lod(f64);

impl Lod {
    /// The full resolution: nothing is halved or faded.
    pub const FULL: Self = Self(0.0);

    /// A level of detail of `lod` halvings.
    ///
    /// # Errors
    /// If `lod` is negative or not finite.
    pub fn new(lod: f64) -> Result<Self> {
        if !(lod.is_finite() && lod >= 0.0) {
            bail!("level of detail: expected a finite lod of at least 0, got {lod}");
        }
        // Clears the sign of a negative zero.
        Ok(Self(lod.abs()))
    }

    /// The level of detail as a number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// How many whole halvings lie between the full and the active resolution.
    pub fn halvings(self) -> usize {
        self.0.floor() as usize
    }

    /// The weight in [0, 1) of the resolution below the active one.
    pub fn fade(self) -> f64 {
        self.0.fract()
    }

    /// The active resolution of pictures with `full` pixels a side; 0 where they are halved away.
    pub fn resolution(self, full: usize) -> usize {
        u32::try_from(self.halvings())
            .ok()
            .and_then(|halvings| full.checked_shr(halvings))
            .unwrap_or(0)
    }
}

impl fmt::Display for Lod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl TryFrom<f64> for Lod {
    type Error = Error;

    fn try_from(lod: f64) -> Result<Self> {
        Self::new(lod)
    }
}

impl From<Lod> for f64 {
    fn from(lod: Lod) -> Self {
        lod.0
    }
}

/// Mixes the result of a new resolution with that of the old one: `y = new + (old - new) t`.
///
/// Both have one shape; `t` in [0, 1] is the weight of `old`, usually a [`Lod::fade`]. With `t = 0` the
/// result is `new` itself.
///
/// # Errors
/// On shapes or data types that differ, and on a weight outside of [0, 1].
pub fn cross_fade(new: &Tensor, old: &Tensor, t: f64) -> Result<Tensor> {
    if !(0.0..=1.0).contains(&t) {
        bail!("cross_fade: expected a weight t in [0, 1], got {t}");
    }
    if new.dims() != old.dims() {
        bail!(
            "cross_fade: expected pictures of one shape, got new {:?} and old {:?}",
            new.dims(),
            old.dims()
        );
    }
    if t == 0.0 {
        return Ok(new.clone());
    }
    new + (old - new)?.affine(t, 0.0)?
}

/// Real pictures `[N,C,H,W]` while their resolution fades in: mixed with weight `t` with themselves at
/// half the resolution.
///
/// The [`cross_fade`] of `x` and the nearest-neighbour enlarged means of its 2x2 pixels, so that a
/// discriminator sees reals and fakes of the same sharpness.
/// Source: Karras et al. 2018 (ProGAN), section 2.
///
/// # Errors
/// If `x` is not `[N,C,H,W]`, its sides are odd where `t` is above 0, or `t` is outside of [0, 1].
pub fn fade_images(x: &Tensor, t: f64) -> Result<Tensor> {
    dims4("fade_images", "x", x)?;
    if t == 0.0 {
        return Ok(x.clone());
    }
    cross_fade(x, &nearest_upsample2d(&average_pool2d(x, 2)?, 2)?, t)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn a_level_of_detail_splits_into_halvings_and_fade() -> Result<()> {
        let lod = Lod::new(2.25)?;
        assert_eq!((lod.halvings(), lod.fade()), (2, 0.25));
        assert_eq!((lod.resolution(64), lod.resolution(2)), (16, 0));
        assert_eq!(Lod::new(1e30)?.resolution(1024), 0);
        assert_eq!(Lod::default(), Lod::FULL);
        assert_eq!(Lod::FULL.resolution(64), 64);
        assert_eq!(lod.to_string(), "2.25");
        Ok(())
    }

    #[test]
    fn levels_of_detail_out_of_range_are_errors() {
        for lod in [-0.5, f64::NAN, f64::INFINITY] {
            let error = Lod::new(lod).unwrap_err().to_string();
            assert!(error.contains(&format!("at least 0, got {lod}")), "{error}");
        }
        assert_eq!(Lod::new(-0.0).unwrap().to_string(), "0");
    }

    #[test]
    fn a_level_of_detail_is_stored_as_a_number() {
        let lod = Lod::new(1.75).unwrap();
        assert_eq!(serde_json::to_string(&lod).unwrap(), "1.75");
        assert_eq!(serde_json::from_str::<Lod>("1.75").unwrap(), lod);
        let error = serde_json::from_str::<Lod>("-1").unwrap_err().to_string();
        assert!(error.contains("at least 0, got -1"), "{error}");
    }

    #[test]
    fn pictures_fade_towards_their_means() -> Result<()> {
        let x = Tensor::new(&[[[[1f64, 3.0], [5.0, 7.0]]]], &Device::Cpu)?;
        let y = fade_images(&x, 0.5)?.flatten_all()?.to_vec1::<f64>()?;
        assert_eq!(y, [2.5, 3.5, 4.5, 5.5]);
        let same = fade_images(&x, 0.0)?.flatten_all()?.to_vec1::<f64>()?;
        assert_eq!(same, [1.0, 3.0, 5.0, 7.0]);
        let error = fade_images(&x, 1.5).unwrap_err().to_string();
        assert!(error.contains("t in [0, 1], got 1.5"), "{error}");
        let error = cross_fade(&x, &x.squeeze(0)?, 0.5).unwrap_err().to_string();
        assert!(error.contains("pictures of one shape"), "{error}");
        Ok(())
    }
}
