//! A portrait from back to front.

use image::RgbImage;
use tiny_skia::Transform;

use super::canvas::{Canvas, Ink, Xy, oval, polygon};
use super::color::{BLACK, HairTints, Skin, Tint, WHITE};
use super::factors::{Background, Factors, Scenery};
use super::head::Head;
use super::{body, face, features, hair};
use crate::{DataError, is_valid_resolution};

/// Half the height of a head of usual size, in heights of the picture.
const HEAD_HALF_HEIGHT: f32 = 0.29;

/// What all parts of a portrait are drawn from.
pub(super) struct Portrait<'a> {
    pub(super) factors: &'a Factors,
    pub(super) head: Head,
    pub(super) skin: Skin,
    pub(super) hair: HairTints,
    /// Where the light comes from, -1 (left) to 1 (right).
    pub(super) light: f32,
    /// Centre of the head in the unit square.
    pub(super) centre: Xy,
    /// Maps the frame of the head to the unit square.
    pub(super) head_frame: Transform,
}

impl<'a> Portrait<'a> {
    fn new(factors: &'a Factors) -> Self {
        let pose = &factors.pose;
        let centre = (
            0.5 + pose.right_percent as f32 / 100.0,
            0.475 + pose.down_percent as f32 / 100.0,
        );
        let scale = HEAD_HALF_HEIGHT * pose.scale_percent as f32 / 100.0;
        Self {
            head: Head::of(factors),
            skin: Skin::of(&factors.face),
            hair: HairTints::of(&factors.hair),
            light: factors.scenery.light_right_percent as f32 / 100.0,
            centre,
            head_frame: Transform::from_rotate(pose.tilt_degrees as f32)
                .post_scale(scale, scale)
                .post_translate(centre.0, centre.1),
            factors,
        }
    }

    /// A point of the head's frame in the unit square.
    pub(super) fn in_picture(&self, (x, y): Xy) -> Xy {
        let frame = &self.head_frame;
        (
            x * frame.sx + y * frame.kx + frame.tx,
            x * frame.ky + y * frame.sy + frame.ty,
        )
    }
}

/// Draws a portrait of `resolution` x `resolution` pixels, a power of two from 4 to 1024.
///
/// Up to 128 pixels it is drawn at twice the size and averaged down, so that details stay soft.
///
/// # Errors
/// If the resolution is another.
pub fn draw(factors: &Factors, resolution: usize) -> Result<RgbImage, DataError> {
    let invalid = DataError::InvalidResolution { resolution };
    if !is_valid_resolution(resolution) {
        return Err(invalid);
    }
    draw_unchecked(factors, resolution as u32).ok_or(invalid)
}

/// `None` where the side is 0 or too large for memory.
fn draw_unchecked(factors: &Factors, side: u32) -> Option<RgbImage> {
    let oversampling = if side <= 128 { 2 } else { 1 };
    let mut canvas = Canvas::new(side * oversampling)?;
    let portrait = Portrait::new(factors);
    background(&mut canvas, &factors.scenery, portrait.centre);
    canvas.set_frame(portrait.head_frame);
    hair::draw_back(&mut canvas, &portrait);
    canvas.set_frame(Transform::identity());
    body::draw(&mut canvas, &portrait);
    canvas.set_frame(portrait.head_frame);
    face::draw(&mut canvas, &portrait);
    features::draw(&mut canvas, &portrait);
    hair::draw_front(&mut canvas, &portrait);
    canvas.into_rgb(side)
}

fn background(canvas: &mut Canvas, scenery: &Scenery, head: Xy) {
    let hue = scenery.hue_degrees as f32;
    let second_hue = hue + scenery.hue_step_degrees as f32;
    let saturation = scenery.saturation_percent as f32 / 100.0;
    let lightness = scenery.lightness_percent as f32 / 100.0;
    let light = scenery.light_right_percent as f32 / 100.0;
    let main = Tint::hsl(hue, saturation, lightness);
    let second = Tint::hsl(second_hue, saturation, lightness * 0.72);
    let everywhere = polygon(&[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]);
    let lit_corner = (0.5 + 0.5 * light, 0.0);
    let far_corner = (0.5 - 0.5 * light, 1.0);
    let slanted = [(0.0, main.mix(WHITE, 0.16).solid()), (1.0, second.solid())];
    let fill = |canvas: &mut Canvas, ink: Ink| canvas.fill(everywhere.as_ref(), ink);
    match scenery.background {
        Background::Gradient => fill(canvas, Ink::Linear(lit_corner, far_corner, &slanted)),
        Background::Spot => {
            let colors = [
                (0.0, main.mix(WHITE, 0.38).solid()),
                (0.45, main.solid()),
                (1.0, second.mix(BLACK, 0.22).solid()),
            ];
            fill(canvas, Ink::Radial((head.0, head.1 - 0.04), 0.82, &colors));
        }
        Background::Horizon => {
            let sky = [(0.0, second.solid()), (0.62, main.mix(WHITE, 0.45).solid())];
            fill(canvas, Ink::Linear((0.5, 0.0), (0.5, 1.0), &sky));
            let hills = polygon(&[(0.0, 0.60), (1.0, 0.56), (1.0, 1.0), (0.0, 1.0)]);
            let ground = [
                (0.0, second.mix(main, 0.3).solid()),
                (1.0, second.mix(BLACK, 0.4).solid()),
            ];
            canvas.fill(
                hills.as_ref(),
                Ink::Linear((0.5, 0.55), (0.5, 1.0), &ground),
            );
        }
        Background::Bokeh => {
            let dim = [
                (0.0, main.mix(BLACK, 0.25).solid()),
                (1.0, second.mix(BLACK, 0.45).solid()),
            ];
            fill(canvas, Ink::Linear(lit_corner, far_corner, &dim));
            lights(canvas, hue, second_hue);
        }
    }
}

/// Discs of light; their places follow from the hues, so that they differ between portraits.
fn lights(canvas: &mut Canvas, hue: f32, second_hue: f32) {
    for disc in 0..9 {
        let number = disc as f32;
        let x = (hue / 97.0 + number * 0.618).rem_euclid(1.0);
        let y = (second_hue / 131.0 + number * 0.371).rem_euclid(0.8);
        let radius = 0.05 + 0.06 * (hue / 41.0 + number * 0.29).rem_euclid(1.0);
        let tint = Tint::hsl(if disc % 2 == 0 { hue } else { second_hue }, 0.7, 0.72);
        canvas.fill(
            oval((x, y), radius, radius).as_ref(),
            Ink::Radial(
                (x, y),
                radius,
                &[(0.0, tint.alpha(0.35)), (1.0, tint.alpha(0.55))],
            ),
        );
    }
}
