//! The head as a turned ellipsoid: where its parts come to lie in the picture.

use super::canvas::Xy;
use super::factors::{Factors, Pose};

/// The frame of a head: its centre is the origin, the half height of the skull is 1.
pub(super) struct Head {
    turn_sin: f32,
    turn_cos: f32,
    nod_sin: f32,
    nod_cos: f32,
    /// Half width.
    pub(super) half_width: f32,
    jaw: f32,
    chin: f32,
}

impl Head {
    pub(super) fn of(factors: &Factors) -> Self {
        let Pose {
            turn_degrees,
            nod_degrees,
            ..
        } = factors.pose;
        let (turn_sin, turn_cos) = (turn_degrees as f32).to_radians().sin_cos();
        let (nod_sin, nod_cos) = (nod_degrees as f32).to_radians().sin_cos();
        Self {
            turn_sin,
            turn_cos,
            nod_sin,
            nod_cos,
            half_width: 0.76 * factors.face.width_percent as f32 / 100.0,
            jaw: factors.face.jaw_percent as f32 / 100.0,
            chin: factors.face.chin_percent as f32 / 100.0,
        }
    }

    /// Sine of the turn: positive to the right.
    pub(super) fn turn(&self) -> f32 {
        self.turn_sin
    }

    /// A point of the surface and its depth (1 towards the viewer, negative behind).
    ///
    /// `right` and `up` are degrees from the middle of the face; `lift` scales the distance from
    /// the centre of the head.
    pub(super) fn point_and_depth(&self, right: f32, up: f32, lift: f32) -> (Xy, f32) {
        let (right_sin, right_cos) = right.to_radians().sin_cos();
        let (up_sin, up_cos) = up.to_radians().sin_cos();
        let (x, y, z) = (up_cos * right_sin, -up_sin, up_cos * right_cos);
        let (x, z) = (
            x * self.turn_cos + z * self.turn_sin,
            z * self.turn_cos - x * self.turn_sin,
        );
        let (y, z) = (
            y * self.nod_cos + z * self.nod_sin,
            z * self.nod_cos - y * self.nod_sin,
        );
        ((x * self.half_width * lift, y * lift), z)
    }

    /// A point of the surface.
    pub(super) fn at(&self, right: f32, up: f32) -> Xy {
        self.point_and_depth(right, up, 1.0).0
    }

    /// A point above the surface, like the tip of the nose.
    pub(super) fn above(&self, right: f32, up: f32, lift: f32) -> Xy {
        self.point_and_depth(right, up, lift).0
    }

    /// The outline of skull, cheeks and jaw.
    pub(super) fn outline(&self) -> Vec<Xy> {
        let width = self.half_width;
        // The chin swings further than the skull, whose axis is further back.
        let swing = self.turn_sin * width;
        let nod = self.nod_sin * 0.25;
        let jaw_half = width * (0.66 + 0.13 * self.jaw);
        let chin_half = width * (0.27 + 0.13 * self.jaw);
        let chin_y = 0.98 + 0.10 * self.chin + nod;
        let side = |sign: f32| {
            [
                (sign * width * 0.72, -0.72),
                (sign * width * 1.0, -0.18),
                (sign * width * 0.97 + swing * 0.06, 0.22),
                (sign * jaw_half + swing * 0.26, 0.68 + nod * 0.8),
                (sign * chin_half + swing * 0.40, chin_y - 0.05),
            ]
        };
        let mut points = vec![(0.0, -1.0)];
        points.extend(side(1.0));
        points.push((swing * 0.42, chin_y));
        points.extend(side(-1.0).into_iter().rev());
        points
    }

    /// The lowest point of the chin.
    pub(super) fn chin(&self) -> Xy {
        (
            self.turn_sin * self.half_width * 0.42,
            0.98 + 0.10 * self.chin + self.nod_sin * 0.25,
        )
    }
}
