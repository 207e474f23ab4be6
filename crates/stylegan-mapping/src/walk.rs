//! Paths through latents, for videos.

use std::f64::consts::PI;

use candle_core::{DType, Device, Result, Tensor, bail};

/// Two directions closer than this angle, or than this to opposite, have no plane that they span.
const SMALLEST_ANGLE: f64 = 1e-6;

/// Every sweep brings the slopes of a spline at least three times closer; so many reach the last bit of f64.
const SWEEPS: usize = 40;

/// What stays of latents on the way from one to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Geometry {
    /// Nothing: along straight lines, as fits w.
    Flat,
    /// Their length: on a sphere, as fits z, whose length hardly varies in many dimensions; a straight line
    /// would lead through points that are shorter than any z a network has seen (White, "Sampling Generative
    /// Networks" (2016), section 2.1). Between lengths that differ it changes evenly.
    Sphere,
}

/// How a path goes through its keyframes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpolation {
    /// By the shortest way at a steady pace, with a bend at every keyframe.
    Linear,
    /// A cubic spline: without bends, and without a jump of speed or of its change.
    Cubic,
}

/// A path through keyframes of one shape.
///
/// Time `i` is at keyframe `i`, from 0. An open path ends at the last keyframe; a closed one goes on to the first, so
/// that `K` keyframes take the time `K`.
///
/// On the sphere, a linear path is the great circle, `(sin((1-f)θ) a + sin(fθ) b) / sin θ` between directions a and b
/// at the angle θ (Shoemake, "Animating Rotation with Quaternion Curves" (1985), section 3.3); a cubic one is the spline
/// through the directions, put back onto the sphere. Computed in f64.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use stylegan_mapping::walk::{Geometry, Interpolation, Walk};
///
/// # fn main() -> candle_core::Result<()> {
/// let keyframes = [[3f32, 0.], [0., 3.]].map(|z| Tensor::new(&[z], &Device::Cpu));
/// let keyframes = keyframes.into_iter().collect::<candle_core::Result<Vec<_>>>()?;
/// let walk = Walk::new(&keyframes, Geometry::Sphere, Interpolation::Linear, false)?;
/// let middle = walk.at(0.5)?.to_vec2::<f32>()?;
/// assert!((middle[0][0] - 4.5f32.sqrt()).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Walk {
    keyframes: Vec<Tensor>,
    geometry: Geometry,
    closed: bool,
    /// The values of every keyframe; on a sphere its direction and then its length.
    points: Vec<Vec<f64>>,
    /// Of a cubic path: the derivatives at the keyframes.
    slopes: Option<Vec<Vec<f64>>>,
}

impl Walk {
    /// A path through keyframes of one shape, data type and device.
    ///
    /// # Errors
    /// If there are fewer than two keyframes, their shapes differ, or one is 0 on a sphere and so has no direction.
    pub fn new(
        keyframes: &[Tensor],
        geometry: Geometry,
        interpolation: Interpolation,
        closed: bool,
    ) -> Result<Self> {
        let [first, _, ..] = keyframes else {
            bail!(
                "walk: expected at least 2 keyframes, got {}",
                keyframes.len()
            )
        };
        let mut points = Vec::with_capacity(keyframes.len());
        for (number, keyframe) in keyframes.iter().enumerate() {
            if keyframe.dims() != first.dims() {
                bail!(
                    "walk: expected keyframes {:?}, got {:?} for keyframe {number}",
                    first.dims(),
                    keyframe.dims()
                )
            }
            let values = keyframe.to_dtype(DType::F64)?.to_device(&Device::Cpu)?;
            let values = values.flatten_all()?.to_vec1::<f64>()?;
            points.push(match geometry {
                Geometry::Flat => values,
                Geometry::Sphere => match direction_and_length(values) {
                    Some(point) => point,
                    None => bail!("walk: keyframe {number} is 0 and has no direction"),
                },
            });
        }
        let slopes = match interpolation {
            Interpolation::Linear => None,
            Interpolation::Cubic => Some(spline_slopes(&points, closed)),
        };
        Ok(Self {
            keyframes: keyframes.to_vec(),
            geometry,
            closed,
            points,
            slopes,
        })
    }

    /// How long the path takes.
    pub fn duration(&self) -> usize {
        self.keyframes.len() - usize::from(!self.closed)
    }

    /// The latent at a time, of the shape, data type and device of the keyframes; at whole times a keyframe itself. A
    /// closed path goes round and round.
    ///
    /// # Errors
    /// If the time is not finite, or an open path isn't there yet or has ended.
    pub fn at(&self, time: f64) -> Result<Tensor> {
        let count = self.keyframes.len();
        let duration = self.duration() as f64;
        let time = match self.closed {
            true => time.rem_euclid(duration),
            false => time,
        };
        if !(0. ..=duration).contains(&time) {
            bail!("walk: expected a time from 0 to {duration}, got {time}")
        }
        let before = time.floor() as usize;
        let fraction = time - time.floor();
        if fraction == 0. {
            return Ok(self.keyframes[before % count].clone());
        }
        let (before, after) = (before % count, (before + 1) % count);
        let (a, b) = (&self.points[before], &self.points[after]);
        let point = match &self.slopes {
            Some(slopes) => hermite([a, b], [&slopes[before], &slopes[after]], fraction),
            None if self.geometry == Geometry::Sphere => {
                let dimensions = a.len() - 1;
                let mut point = great_circle(&a[..dimensions], &b[..dimensions], fraction);
                point.push(a[dimensions] + fraction * (b[dimensions] - a[dimensions]));
                point
            }
            None => mixed([(1. - fraction, a), (fraction, b)]),
        };
        let values = match self.geometry {
            Geometry::Flat => point,
            Geometry::Sphere => on_sphere(point),
        };
        let like = &self.keyframes[0];
        Tensor::from_vec(values, like.dims(), &Device::Cpu)?
            .to_dtype(like.dtype())?
            .to_device(like.device())
    }
}

/// `[direction, length]`; `None` for 0.
fn direction_and_length(mut values: Vec<f64>) -> Option<Vec<f64>> {
    let length = norm(&values);
    if length == 0. {
        return None;
    }
    values.iter_mut().for_each(|value| *value /= length);
    values.push(length);
    Some(values)
}

/// The values of `[direction, length]`, the direction of any length.
fn on_sphere(mut point: Vec<f64>) -> Vec<f64> {
    let length = point.pop().unwrap_or_default();
    // A spline through opposite directions can come close to 0, which has none; it then stays 0.
    let scale = length / norm(&point).max(f64::MIN_POSITIVE);
    point.iter_mut().for_each(|value| *value *= scale);
    point
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn mixed<const N: usize>(parts: [(f64, &Vec<f64>); N]) -> Vec<f64> {
    let length = parts.first().map_or(0, |(_, values)| values.len());
    let sum = |i: usize| {
        parts
            .iter()
            .map(|(weight, values)| weight * values[i])
            .sum()
    };
    (0..length).map(sum).collect()
}

/// A part of the way between two directions along their great circle.
fn great_circle(from: &[f64], to: &[f64], part: f64) -> Vec<f64> {
    let cosine: f64 = from.iter().zip(to).map(|(a, b)| a * b).sum();
    let angle = cosine.clamp(-1., 1.).acos();
    let weights = if angle < SMALLEST_ANGLE {
        // As good as the same: the straight line is the circle.
        [1. - part, part]
    } else if PI - angle < SMALLEST_ANGLE {
        // Opposite: half a circle through a direction that is at right angles to both.
        let between = perpendicular(from);
        return match 2. * part {
            part if part < 1. => great_circle(from, &between, part),
            part => great_circle(&between, to, part - 1.),
        };
    } else {
        [(1. - part) * angle, part * angle].map(|part| part.sin() / angle.sin())
    };
    let directions = from.iter().zip(to);
    directions
        .map(|(from, to)| weights[0] * from + weights[1] * to)
        .collect()
}

/// A direction at right angles to another: the axis that is the least along it, without what is.
fn perpendicular(direction: &[f64]) -> Vec<f64> {
    let least = (0..direction.len())
        .min_by(|&i, &j| direction[i].abs().total_cmp(&direction[j].abs()))
        .unwrap_or(0);
    let along = direction.get(least).copied().unwrap_or(0.);
    let mut axis: Vec<f64> = direction.iter().map(|value| -along * value).collect();
    if let Some(value) = axis.get_mut(least) {
        *value += 1.;
    }
    let length = norm(&axis);
    axis.iter_mut().for_each(|value| *value /= length);
    axis
}

/// The cubic with given values and derivatives at 0 and 1.
fn hermite(ends: [&Vec<f64>; 2], slopes: [&Vec<f64>; 2], t: f64) -> Vec<f64> {
    let (t2, t3) = (t * t, t * t * t);
    mixed([
        (2. * t3 - 3. * t2 + 1., ends[0]),
        (t3 - 2. * t2 + t, slopes[0]),
        (3. * t2 - 2. * t3, ends[1]),
        (t3 - t2, slopes[1]),
    ])
}

/// The derivatives `s` at the points `p` with which the second derivative is continuous, and 0 at the ends of an
/// open path (a natural spline):
///
/// `s[i-1] + 4 s[i] + s[i+1] = 3 (p[i+1] - p[i-1])`, at the ends `2 s[0] + s[1] = 3 (p[1] - p[0])`.
///
/// The diagonal dominates, so the method of Gauss and Seidel converges fast.
fn spline_slopes(points: &[Vec<f64>], closed: bool) -> Vec<Vec<f64>> {
    let count = points.len();
    let dimensions = points.first().map_or(0, Vec::len);
    let mut slopes = vec![vec![0.; dimensions]; count];
    for _ in 0..SWEEPS {
        for i in 0..count {
            let (before, after) = match closed {
                true => ((i + count - 1) % count, (i + 1) % count),
                false => (i.saturating_sub(1), (i + 1).min(count - 1)),
            };
            for d in 0..dimensions {
                let rise = 3. * (points[after][d] - points[before][d]);
                slopes[i][d] = if i == before {
                    (rise - slopes[after][d]) / 2.
                } else if i == after {
                    (rise - slopes[before][d]) / 2.
                } else {
                    (rise - slopes[before][d] - slopes[after][d]) / 4.
                };
            }
        }
    }
    slopes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyframes(values: &[&[f64]]) -> Vec<Tensor> {
        let tensor = |values: &&[f64]| Tensor::new(*values, &Device::Cpu)?.unsqueeze(0);
        values
            .iter()
            .map(|values| tensor(values).unwrap())
            .collect()
    }

    fn values(tensor: Tensor) -> Vec<f64> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// Behind it is a backtrace, where these are asked for.
    fn first_line(error: &candle_core::Error) -> String {
        let message = error.to_string();
        message.lines().next().unwrap_or_default().to_string()
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-12, "{found:?}, {expected:?}");
        }
    }

    const SQUARE: [&[f64]; 4] = [&[0., 0.], &[1., 0.], &[1., 2.], &[0., 2.]];

    #[test]
    fn whole_times_are_the_keyframes_themselves() {
        for geometry in [Geometry::Flat, Geometry::Sphere] {
            for interpolation in [Interpolation::Linear, Interpolation::Cubic] {
                for closed in [false, true] {
                    let points = [&[0.1, -0.7][..], &[0.3, 0.2], &[-1.3, 0.5]];
                    let walk =
                        Walk::new(&keyframes(&points), geometry, interpolation, closed).unwrap();
                    assert_eq!(walk.duration(), if closed { 3 } else { 2 });
                    for (time, point) in points.iter().enumerate() {
                        assert_eq!(values(walk.at(time as f64).unwrap()), *point);
                    }
                    if closed {
                        assert_eq!(values(walk.at(3.).unwrap()), points[0]);
                        assert_eq!(values(walk.at(-1.).unwrap()), points[2]);
                    }
                    // From both sides a path comes to its keyframes.
                    for time in 1..2 {
                        for step in [-1e-9, 1e-9] {
                            let near = values(walk.at(f64::from(time) + step).unwrap());
                            let difference = near.iter().zip(points[1]).map(|(a, b)| (a - b).abs());
                            assert!(difference.fold(0., f64::max) < 1e-7);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn straight_lines_are_walked_evenly() {
        let walk = |closed| {
            Walk::new(
                &keyframes(&SQUARE),
                Geometry::Flat,
                Interpolation::Linear,
                closed,
            )
            .unwrap()
        };
        assert_close(&values(walk(false).at(1.25).unwrap()), &[1., 0.5]);
        assert_close(&values(walk(true).at(3.5).unwrap()), &[0., 1.]);
    }

    #[test]
    fn on_the_sphere_angles_and_lengths_change_evenly() {
        let points: [&[f64]; 2] = [&[2., 0., 0.], &[0., 4., 0.]];
        let walk = Walk::new(
            &keyframes(&points),
            Geometry::Sphere,
            Interpolation::Linear,
            false,
        )
        .unwrap();
        for part in [0.1, 0.5, 0.8] {
            let angle = part * PI / 2.;
            let length = 2. + 2. * part;
            let expected = [length * angle.cos(), length * angle.sin(), 0.];
            assert_close(&values(walk.at(part).unwrap()), &expected);
        }
        let cubic = Walk::new(
            &keyframes(&[&[2., 0.], &[0., 2.], &[-1.2, -1.6]]),
            Geometry::Sphere,
            Interpolation::Cubic,
            true,
        )
        .unwrap();
        for step in 0..30 {
            let point = values(cubic.at(f64::from(step) / 10.).unwrap());
            assert!((norm(&point) - 2.).abs() < 1e-12, "{point:?}");
        }
    }

    #[test]
    fn opposite_and_equal_directions_have_a_path_too() {
        let points: [&[f64]; 3] = [&[1., 0., 0.], &[-1., 0., 0.], &[-1., 0., 0.]];
        let walk = Walk::new(
            &keyframes(&points),
            Geometry::Sphere,
            Interpolation::Linear,
            false,
        )
        .unwrap();
        let mut last = values(walk.at(0.).unwrap());
        for step in 1..=10 {
            let next = values(walk.at(f64::from(step) / 10.).unwrap());
            assert!((norm(&next) - 1.).abs() < 1e-12);
            let cosine: f64 = next.iter().zip(&last).map(|(a, b)| a * b).sum();
            assert!((cosine.acos() - PI / 10.).abs() < 1e-6, "{cosine}");
            last = next;
        }
        assert_close(&values(walk.at(1.5).unwrap()), points[2]);
    }

    #[test]
    fn a_spline_follows_cubics_and_has_no_bends() {
        // A straight line is its own natural spline.
        let line: [&[f64]; 4] = [&[1.], &[3.], &[5.], &[7.]];
        let walk = Walk::new(
            &keyframes(&line),
            Geometry::Flat,
            Interpolation::Cubic,
            false,
        )
        .unwrap();
        assert_close(&values(walk.at(1.3).unwrap()), &[3.6]);

        for closed in [false, true] {
            let walk = Walk::new(
                &keyframes(&SQUARE),
                Geometry::Flat,
                Interpolation::Cubic,
                closed,
            )
            .unwrap();
            let at = |time: f64| values(walk.at(time).unwrap());
            let h = 1e-4;
            let keyframes = if closed { 0..4 } else { 1..3 };
            for time in keyframes.map(f64::from) {
                let [a, b, c] = [-2. * h, -h, 0.].map(|step| at(time + step));
                let [d, e] = [h, 2. * h].map(|step| at(time + step));
                for i in 0..2 {
                    let slopes = [(c[i] - b[i]) / h, (d[i] - c[i]) / h];
                    assert!((slopes[0] - slopes[1]).abs() < 3e-3, "{closed} {time}");
                    let bends = [a[i] - 2. * b[i] + c[i], c[i] - 2. * d[i] + e[i]];
                    let bends = bends.map(|bend| bend / (h * h));
                    assert!((bends[0] - bends[1]).abs() < 1e-2, "{closed} {time}");
                }
            }
            if !closed {
                let bend = at(0.)[1] - 2. * at(h)[1] + at(2. * h)[1];
                assert!(bend.abs() / (h * h) < 1e-2, "natural at the ends");
            }
        }
    }

    #[test]
    fn two_keyframes_can_be_a_closed_path() {
        let points: [&[f64]; 2] = [&[0.], &[1.]];
        let walk = Walk::new(
            &keyframes(&points),
            Geometry::Flat,
            Interpolation::Cubic,
            true,
        )
        .unwrap();
        // There and back in the same way.
        assert_close(
            &values(walk.at(0.25).unwrap()),
            &values(walk.at(1.75).unwrap()),
        );
        assert_close(&values(walk.at(0.5).unwrap()), &[0.5]);
    }

    #[test]
    fn f32_latents_stay_f32() {
        let key = Tensor::new(&[[1f32, 2.]], &Device::Cpu).unwrap();
        let walk = Walk::new(
            &[key.clone(), key],
            Geometry::Sphere,
            Interpolation::Linear,
            false,
        )
        .unwrap();
        let between = walk.at(0.5).unwrap();
        assert_eq!((between.dims(), between.dtype()), (&[1, 2][..], DType::F32));
    }

    #[test]
    fn wrong_keyframes_and_times_are_errors() {
        let error = |points: &[&[f64]], geometry| {
            let walk = Walk::new(&keyframes(points), geometry, Interpolation::Linear, false);
            first_line(&walk.unwrap_err())
        };
        assert_eq!(
            error(&SQUARE[..1], Geometry::Flat),
            "walk: expected at least 2 keyframes, got 1"
        );
        assert_eq!(
            error(&SQUARE, Geometry::Sphere),
            "walk: keyframe 0 is 0 and has no direction"
        );
        assert_eq!(
            error(&[&[1.], &[1., 2.]], Geometry::Flat),
            "walk: expected keyframes [1, 1], got [1, 2] for keyframe 1"
        );
        let walk = Walk::new(
            &keyframes(&SQUARE),
            Geometry::Flat,
            Interpolation::Linear,
            false,
        )
        .unwrap();
        for (time, shown) in [(-0.5, "-0.5"), (3.5, "3.5"), (f64::NAN, "NaN")] {
            let error = first_line(&walk.at(time).unwrap_err());
            assert_eq!(
                error,
                format!("walk: expected a time from 0 to 3, got {shown}")
            );
        }
    }
}
