//! A linear boundary between two classes of latents.

use candle_core::Tensor;
use nalgebra::{DMatrix, DVector};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::direction::{Direction, Method, check_name};
use crate::error::{EditError, Result};
use crate::linalg;
use crate::logistic::Logistic;
use crate::statistics::WStatistics;

/// The least number of latents of each class.
const LEAST: usize = 10;

/// How a boundary is fitted, and what its direction is for.
#[derive(Debug, Clone)]
pub struct BoundaryOptions<'a> {
    /// The direction's name.
    pub name: String,
    /// The layers that it is meant for.
    pub layers: Vec<usize>,
    /// Directions that must not change with it: it is made orthogonal to them (conditional manipulation).
    pub orthogonal_to: Vec<&'a Direction>,
    /// The part of the latents that is left out of the fit to measure the accuracy, above 0 and below 1.
    pub held_out: f64,
    /// Which ones: the seed of the draw.
    pub seed: u64,
}

impl BoundaryOptions<'_> {
    /// A direction with 3 of 10 latents held out, as in the paper's code.
    pub fn new(name: impl Into<String>, layers: Vec<usize>) -> Self {
        Self {
            name: name.into(),
            layers,
            orthogonal_to: Vec::new(),
            held_out: 0.3,
            seed: 0,
        }
    }
}

/// The direction from one class of latents to the other: the normal of the plane that separates them best.
///
/// `w` is `[N, w_dim]`, `labels` says which latents are of the class that the direction leads to. The plane is that
/// of a logistic regression with a little ridge, where the paper has a support vector machine; both are linear and
/// differ in the loss only.
///
/// Source: Shen et al., "Interpreting the Latent Space of GANs for Semantic Face Editing" (2020), sections 2.2 and
/// 2.3 (conditional manipulation).
///
/// # Errors
/// If there are fewer than 10 latents of a class, or other numbers of labels, or nothing is left of the direction.
pub fn boundary(w: &Tensor, labels: &[bool], options: &BoundaryOptions) -> Result<Direction> {
    let BoundaryOptions {
        name,
        layers,
        orthogonal_to,
        held_out,
        seed,
    } = options;
    check_name(name)?;
    if !(*held_out > 0. && *held_out < 1.) {
        return Err(EditError::OutOfRange {
            name: "held-out",
            expected: "more than 0 and less than 1",
            found: *held_out,
        });
    }
    let &[latents, _] = w.dims() else {
        return Err(EditError::Shape {
            expected: "[N, w_dim]".to_string(),
            found: w.dims().to_vec(),
        });
    };
    if latents != labels.len() {
        return Err(EditError::Labels {
            latents,
            labels: labels.len(),
        });
    }
    let latents = linalg::matrix(w, "the latents")?;
    let split = Split::draw(labels, *held_out, *seed)?;
    let plane = Logistic::fit(&latents, labels, &split.fitted)?;
    let vector = without(&plane.normal, orthogonal_to).ok_or_else(|| EditError::NothingLeft {
        name: name.clone(),
        others: names(orthogonal_to).join(", "),
    })?;
    let mut statistics = WStatistics::new(latents.ncols());
    statistics.push(w)?;
    Ok(Direction {
        name: name.clone(),
        sigma: statistics.sigma(vector.as_slice())?,
        vector: vector.as_slice().to_vec(),
        layers: layers.clone(),
        method: Method::Boundary {
            accuracy: accuracy(&plane, &latents, labels, &split.held_out),
            chance: split.chance(labels),
            samples: split.fitted.len(),
            orthogonal_to: names(orthogonal_to),
        },
    })
}

/// The classes of scores: the highest `share` of them are of the class, the lowest of the other, and those between
/// of none.
///
/// Equal scores at a threshold are taken in their order.
///
/// # Errors
/// If the share is not above 0 and at most a half, or a score is not a number.
pub fn classes_of_scores(scores: &[f64], share: f64) -> Result<Vec<Option<bool>>> {
    if !(share > 0. && share <= 0.5) {
        return Err(EditError::OutOfRange {
            name: "share",
            expected: "more than 0 and at most 0.5",
            found: share,
        });
    }
    if !scores.iter().all(|score| score.is_finite()) {
        return Err(EditError::NotFinite { what: "the scores" });
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let taken = (share * scores.len() as f64).floor() as usize;
    let mut classes = vec![None; scores.len()];
    for (&low, &high) in order.iter().zip(order.iter().rev()).take(taken) {
        classes[low] = Some(false);
        classes[high] = Some(true);
    }
    Ok(classes)
}

fn names(directions: &[&Direction]) -> Vec<String> {
    directions.iter().map(|it| it.name.clone()).collect()
}

/// Which latents the plane is fitted to, and which measure it.
struct Split {
    fitted: Vec<usize>,
    held_out: Vec<usize>,
}

impl Split {
    /// Each class is split in the same proportion.
    fn draw(labels: &[bool], held_out: f64, seed: u64) -> Result<Self> {
        let of_class = |class| (0..labels.len()).filter(move |&i| labels[i] == class);
        let mut classes: [Vec<usize>; 2] = [of_class(true).collect(), of_class(false).collect()];
        if classes.iter().any(|class| class.len() < LEAST) {
            return Err(EditError::OneSided {
                expected: LEAST,
                positive: classes[0].len(),
                negative: classes[1].len(),
            });
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut split = Self {
            fitted: Vec::new(),
            held_out: Vec::new(),
        };
        for class in &mut classes {
            class.shuffle(&mut rng);
            let count = (held_out * class.len() as f64).round() as usize;
            let count = count.clamp(1, class.len() - 1);
            split.held_out.extend(&class[..count]);
            split.fitted.extend(&class[count..]);
        }
        Ok(split)
    }

    /// What always guessing the commoner class gets right of those held out.
    fn chance(&self, labels: &[bool]) -> f64 {
        let positive = self.held_out.iter().filter(|&&i| labels[i]).count() as f64;
        let share = positive / self.held_out.len() as f64;
        share.max(1. - share)
    }
}

fn accuracy(plane: &Logistic, w: &DMatrix<f64>, labels: &[bool], chosen: &[usize]) -> f64 {
    let is_right = |&&i: &&usize| (plane.score(w, i) > 0.) == labels[i];
    chosen.iter().filter(is_right).count() as f64 / chosen.len() as f64
}

/// The unit vector of what is left of a vector without its parts along others; `None` where that is nothing.
fn without(vector: &DVector<f64>, others: &[&Direction]) -> Option<DVector<f64>> {
    // The others need not be orthogonal to each other: first they get a basis that is.
    let mut basis: Vec<DVector<f64>> = Vec::new();
    for other in others {
        let other = DVector::from_row_slice(&other.vector);
        basis.extend(remainder(&other, &basis));
    }
    remainder(vector, &basis)
}

/// The unit vector of what is left of a vector without its parts along an orthonormal basis.
fn remainder(vector: &DVector<f64>, basis: &[DVector<f64>]) -> Option<DVector<f64>> {
    const NOTHING: f64 = 1e-6;
    let mut rest = vector / vector.norm();
    // Twice, for what rounding leaves over.
    for _ in 0..2 {
        for part in basis {
            rest -= part * part.dot(&rest);
        }
    }
    let norm = rest.norm();
    (norm > NOTHING).then(|| rest / norm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use rand::RngExt;

    const W_DIM: usize = 6;

    /// Uniform latents, and on which side of the plane `w . normal = 0.1` they are.
    fn labelled(normal: [f64; W_DIM], count: usize) -> (Tensor, Vec<bool>) {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut values = Vec::new();
        let mut labels = Vec::new();
        for _ in 0..count {
            let w: [f64; W_DIM] = std::array::from_fn(|_| rng.random_range(-1f64..1.));
            labels.push(dot(&w, &normal) > 0.1);
            values.extend(w);
        }
        let w = Tensor::from_vec(values, (count, W_DIM), &Device::Cpu).unwrap();
        (w, labels)
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn a_planted_direction_is_recovered() {
        let planted = [0.6, 0., -0.8, 0., 0., 0.];
        let (w, labels) = labelled(planted, 2000);
        let found = boundary(&w, &labels, &BoundaryOptions::new("planted", vec![0, 1])).unwrap();
        assert!(dot(&found.vector, &planted) > 0.995, "{found:?}");
        assert!((dot(&found.vector, &found.vector) - 1.).abs() < 1e-12);
        // Uniform numbers from -1 to 1 have a standard deviation of sqrt(1/3) along any direction.
        assert!((found.sigma - (1f64 / 3.).sqrt()).abs() < 0.02, "{found:?}");
        let Method::Boundary {
            accuracy,
            chance,
            samples,
            ..
        } = found.method
        else {
            panic!("{found:?}")
        };
        assert!(accuracy > 0.98 && chance < 0.65, "{accuracy} {chance}");
        assert_eq!(samples, 1400);
    }

    #[test]
    fn labels_without_a_reason_are_no_better_than_chance() {
        let (w, _) = labelled([1., 0., 0., 0., 0., 0.], 2000);
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let labels: Vec<bool> = (0..2000).map(|_| rng.random_bool(0.5)).collect();
        let found = boundary(&w, &labels, &BoundaryOptions::new("none", vec![0])).unwrap();
        let Method::Boundary { accuracy, .. } = found.method else {
            panic!("{found:?}")
        };
        assert!((accuracy - 0.5).abs() < 0.06, "{accuracy}");
    }

    #[test]
    fn other_directions_can_be_taken_out() {
        let (w, labels) = labelled([0.6, 0., -0.8, 0., 0., 0.], 2000);
        let fit = |options: &BoundaryOptions| boundary(&w, &labels, options);
        let plain = BoundaryOptions::new("planted", vec![0]);
        // Two that are not orthogonal to each other.
        let along = |vector: [f64; W_DIM], name: &str| Direction {
            vector: vector.to_vec(),
            name: name.to_string(),
            ..fit(&plain).unwrap()
        };
        let a = along([1., 0., 0., 0., 0., 0.], "a");
        let b = along([0.6, 0.8, 0., 0., 0., 0.], "b");
        let found = fit(&BoundaryOptions {
            orthogonal_to: vec![&a, &b],
            ..plain.clone()
        })
        .unwrap();
        for other in [&a, &b] {
            assert!(dot(&found.vector, &other.vector).abs() < 1e-12, "{found:?}");
        }
        assert!(found.vector[2] < -0.99, "{found:?}");
        let Method::Boundary { orthogonal_to, .. } = &found.method else {
            panic!("{found:?}")
        };
        assert_eq!(orthogonal_to, &["a", "b"]);

        let itself = fit(&plain).unwrap();
        let nothing = fit(&BoundaryOptions {
            orthogonal_to: vec![&a, &itself],
            ..plain
        });
        assert_eq!(
            nothing.unwrap_err().to_string(),
            "direction planted lies within those that it is made orthogonal to (a, planted); leave one out"
        );
    }

    #[test]
    fn scores_make_classes_of_their_ends() {
        let scores = [5., 1., 3., 2., 4., 3.];
        let (low, high) = (Some(false), Some(true));
        assert_eq!(
            classes_of_scores(&scores, 0.34).unwrap(),
            [high, low, None, low, high, None]
        );
        assert_eq!(classes_of_scores(&scores, 0.1).unwrap(), [None; 6]);
        // All of them; of two equal ones in the middle one is low and one high.
        assert_eq!(
            classes_of_scores(&scores, 0.5).unwrap(),
            [high, low, low, low, high, high]
        );
        let error = |share| classes_of_scores(&scores, share).unwrap_err().to_string();
        assert_eq!(
            error(0.6),
            "share: expected more than 0 and at most 0.5, found 0.6"
        );
        let error = classes_of_scores(&[f64::NAN], 0.5).unwrap_err().to_string();
        assert!(
            error.starts_with("the scores hold values that are not finite"),
            "{error}"
        );
    }

    #[test]
    fn one_sided_and_missing_labels_are_errors() {
        let (w, labels) = labelled([1., 0., 0., 0., 0., 0.], 30);
        let fit = |labels: &[bool], held_out| {
            let options = BoundaryOptions {
                held_out,
                ..BoundaryOptions::new("a", vec![0])
            };
            boundary(&w, labels, &options).unwrap_err().to_string()
        };
        assert_eq!(
            fit(&[true; 30], 0.3),
            "expected at least 10 latents of each class, found 30 of the class and 0 of the other"
        );
        assert_eq!(
            fit(&labels[1..], 0.3),
            "expected a label for each of the 30 latents, found 29"
        );
        assert_eq!(
            fit(&labels, 1.),
            "held-out: expected more than 0 and less than 1, found 1"
        );
    }
}
