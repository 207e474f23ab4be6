//! A direction, and how it is applied.

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{EditError, Result};

/// A direction in w that changes pictures in some way.
#[derive(Debug, Clone, PartialEq)]
pub struct Direction {
    /// What it is called, e.g. `sefa0` or `smile`: 1 to 64 letters, digits, `-` and `_`.
    pub name: String,
    /// `[w_dim]`, of length 1.
    pub vector: Vec<f64>,
    /// The layers that it is meant for, by the numbers of their w.
    pub layers: Vec<usize>,
    /// The standard deviation of the network's w along the direction.
    pub sigma: f64,
    /// How it was found.
    pub method: Method,
}

/// How a direction was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Method {
    /// [`factorize`](crate::factorize()).
    Factorization {
        /// How much a step of length 1 changes the styles: the sum of the squares.
        eigenvalue: f64,
        /// The eigenvalue's part of the sum of all.
        share: f64,
    },
    /// [`principal_components`](crate::principal_components).
    PrincipalComponent {
        /// The part of the variance of w that is along it.
        share: f64,
        /// How many w it was found from.
        samples: usize,
    },
    /// [`boundary`](crate::boundary()).
    Boundary {
        /// The part of the latents that were held out which the boundary puts on the right side.
        accuracy: f64,
        /// The part that always guessing the commoner class gets right.
        chance: f64,
        /// How many latents the boundary was fitted to.
        samples: usize,
        /// The directions that were taken out of it.
        orthogonal_to: Vec<String>,
    },
    /// [`random_directions`](crate::random_directions).
    Random {
        /// Of the draw.
        seed: u64,
    },
}

/// What a strength of 1 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// A standard deviation of w along the direction, its [`sigma`](Direction::sigma).
    #[default]
    Sigma,
    /// A length of 1 in w.
    Length,
}

impl Direction {
    /// The length of a strength of 1.
    pub fn length_of(&self, unit: Unit) -> f64 {
        match unit {
            Unit::Sigma => self.sigma,
            Unit::Length => 1.,
        }
    }

    /// `ws + strength * unit * vector` on some layers of ws `[N, num_ws, w_dim]`, of any floating point type and
    /// on any device. A strength of 0 changes nothing.
    ///
    /// # Errors
    /// If ws has another shape, a layer isn't there or is named twice, or the strength isn't finite.
    pub fn apply(
        &self,
        ws: &Tensor,
        strength: f64,
        unit: Unit,
        layers: &[usize],
    ) -> Result<Tensor> {
        let w_dim = self.vector.len();
        let &[_, num_ws, width] = ws.dims() else {
            return Err(self.wrong_shape(ws));
        };
        if width != w_dim {
            return Err(self.wrong_shape(ws));
        }
        check_layers(layers, num_ws)?;
        if !strength.is_finite() {
            return Err(EditError::OutOfRange {
                name: "strength",
                expected: "a finite number",
                found: strength,
            });
        }
        let length = strength * self.length_of(unit);
        let mut steps = vec![0.; num_ws * w_dim];
        for &layer in layers {
            let step = &mut steps[layer * w_dim..][..w_dim];
            for (step, component) in step.iter_mut().zip(&self.vector) {
                *step = length * component;
            }
        }
        let steps = Tensor::from_vec(steps, (1, num_ws, w_dim), &Device::Cpu)?;
        let steps = steps.to_dtype(ws.dtype())?.to_device(ws.device())?;
        Ok(ws.broadcast_add(&steps)?)
    }

    fn wrong_shape(&self, ws: &Tensor) -> EditError {
        EditError::Shape {
            expected: format!("[N, num_ws, {}]", self.vector.len()),
            found: ws.dims().to_vec(),
        }
    }

    /// Checks that everything is in its range, for a network of so many layers.
    pub(crate) fn validate(&self, num_ws: usize) -> Result<()> {
        check_name(&self.name)?;
        check_layers(&self.layers, num_ws)?;
        let norm = self.vector.iter().map(|x| x * x).sum::<f64>().sqrt();
        if (norm - 1.).is_nan() || (norm - 1.).abs() > 1e-6 {
            return Err(EditError::OutOfRange {
                name: "length",
                expected: "a direction of length 1",
                found: norm,
            });
        }
        if !(self.sigma.is_finite() && self.sigma >= 0.) {
            return Err(EditError::OutOfRange {
                name: "sigma",
                expected: "0 or more",
                found: self.sigma,
            });
        }
        Ok(())
    }
}

/// Every direction may become a file and a tensor's name.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match (1..=64).contains(&name.len()) && name.chars().all(is_plain) {
        true => Ok(()),
        false => Err(EditError::Name {
            name: name.to_string(),
        }),
    }
}

/// At least one layer, each once, and all there.
pub(crate) fn check_layers(layers: &[usize], num_ws: usize) -> Result<()> {
    if let Some(&layer) = layers.iter().find(|&&layer| layer >= num_ws) {
        return Err(EditError::NoSuchLayer { layer, num_ws });
    }
    let is_repeated = |(index, layer)| layers[..index].contains(layer);
    if layers.is_empty() || layers.iter().enumerate().any(is_repeated) {
        return Err(EditError::Layers {
            found: layers.to_vec(),
        });
    }
    Ok(())
}

/// ws `[N, num_ws, w_dim]` as w `[N, w_dim]`, where all layers of a picture have the same.
///
/// # Errors
/// If they differ, since directions are found in the space of w, or ws has another shape.
pub fn shared_w(ws: &Tensor) -> Result<Tensor> {
    if ws.rank() != 3 {
        return Err(EditError::Shape {
            expected: "[N, num_ws, w_dim]".to_string(),
            found: ws.dims().to_vec(),
        });
    }
    let w = ws.narrow(1, 0, 1)?;
    let differ = ws
        .broadcast_sub(&w)?
        .abs()?
        .max_all()?
        .to_dtype(DType::F64)?;
    if differ.to_scalar::<f64>()? != 0. {
        return Err(EditError::LayersDiffer);
    }
    Ok(w.squeeze(1)?.contiguous()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direction() -> Direction {
        Direction {
            name: "smile".to_string(),
            vector: vec![0.6, 0.8],
            layers: vec![0, 1],
            sigma: 10.,
            method: Method::Factorization {
                eigenvalue: 1.,
                share: 1.,
            },
        }
    }

    fn ws() -> Tensor {
        let w = [[[1f32, 2.], [3., 4.], [5., 6.]]];
        Tensor::new(&w, &Device::Cpu).unwrap()
    }

    #[test]
    fn a_direction_is_added_to_the_chosen_layers_in_its_unit() {
        let apply = |strength, unit, layers: &[usize]| {
            let ws = direction().apply(&ws(), strength, unit, layers).unwrap();
            ws.to_vec3::<f32>().unwrap()
        };
        let sigma = apply(2., Unit::Sigma, &[0, 2]);
        assert_eq!(sigma, [[[13., 18.], [3., 4.], [17., 22.]]]);
        let length = apply(-5., Unit::Length, &[1]);
        assert_eq!(length, [[[1., 2.], [0., 0.], [5., 6.]]]);
        assert_eq!(apply(0., Unit::Sigma, &[0]), ws().to_vec3::<f32>().unwrap());
    }

    #[test]
    fn layers_strengths_and_shapes_that_do_not_fit_are_errors() {
        let error = |ws: &Tensor, strength, layers: &[usize]| {
            let applied = direction().apply(ws, strength, Unit::Sigma, layers);
            applied.unwrap_err().to_string()
        };
        assert_eq!(
            error(&ws(), 1., &[0, 3]),
            "layer 3: the network has the layers 0 to 2"
        );
        assert_eq!(
            error(&ws(), 1., &[]),
            "expected at least one layer and each once, found []"
        );
        assert_eq!(
            error(&ws(), 1., &[1, 1]),
            "expected at least one layer and each once, found [1, 1]"
        );
        assert_eq!(
            error(&ws(), f64::INFINITY, &[0]),
            "strength: expected a finite number, found inf"
        );
        let wide = Tensor::zeros((1, 3, 4), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(
            error(&wide, 1., &[0]),
            "expected latents [N, num_ws, 2], found [1, 3, 4]"
        );
    }

    #[test]
    fn names_are_those_of_files() {
        for name in ["a", "smile-2", "A_b"] {
            check_name(name).unwrap();
        }
        for name in ["", "a b", "../a", "ä", &"a".repeat(65)] {
            let error = check_name(name).unwrap_err().to_string();
            let expected = format!(
                "direction {name:?}: expected a name of 1 to 64 letters, digits, - and _, which is also the name of files"
            );
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn one_w_for_all_layers_is_found_and_several_are_an_error() {
        let same = ws().narrow(1, 0, 1).unwrap().repeat((2, 3, 1)).unwrap();
        let w = shared_w(&same).unwrap();
        assert_eq!(w.to_vec2::<f32>().unwrap(), [[1., 2.]; 2]);
        assert_eq!(
            shared_w(&ws()).unwrap_err().to_string(),
            "expected latents with the same w for all layers of a picture, found some whose layers differ"
        );
    }
}
