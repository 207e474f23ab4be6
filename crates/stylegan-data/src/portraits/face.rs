//! Ears, the face itself and its shading, and the beard, in the frame of the head.

use tiny_skia::Path;

use super::canvas::{Canvas, Ink, blob, curve, oval};
use super::color::{Tint, WHITE};
use super::factors::Beard;
use super::scene::Portrait;

pub(super) fn draw(canvas: &mut Canvas, portrait: &Portrait) {
    for side in [-1.0, 1.0] {
        if ear_depth(portrait, side) < 0.05 {
            ear(canvas, portrait, side);
        }
    }
    let outline = blob(&portrait.head.outline());
    let Some(outline) = outline else { return };
    skin(canvas, portrait, &outline);
    beard(canvas, portrait, &outline);
    for side in [-1.0, 1.0] {
        if ear_depth(portrait, side) >= 0.05 {
            ear(canvas, portrait, side);
        }
    }
}

const EAR_RIGHT: f32 = 86.0;

fn ear_depth(portrait: &Portrait, side: f32) -> f32 {
    let (_, depth) = portrait.head.point_and_depth(side * EAR_RIGHT, -6.0, 1.0);
    depth
}

fn ear(canvas: &mut Canvas, portrait: &Portrait, side: f32) {
    let depth = ear_depth(portrait, side);
    if depth < -0.35 {
        return;
    }
    let skin = &portrait.skin;
    let (x, y) = portrait.head.above(side * EAR_RIGHT, -6.0, 1.03);
    let (width, height) = (0.10 + 0.05 * depth.max(0.0), 0.20);
    let lit = 0.5 + 0.5 * portrait.light * side;
    let outer = oval((x, y), width, height);
    canvas.fill(
        outer.as_ref(),
        Ink::Solid(skin.shade.mix(skin.base, 0.35 + 0.65 * lit).solid()),
    );
    let inner = oval((x - side * 0.01, y), width * 0.55, height * 0.62);
    canvas.fill(
        inner.as_ref(),
        Ink::Solid(skin.shade.mix(skin.blush, 0.25).alpha(0.8)),
    );
    if portrait.factors.earrings {
        let drop = oval((x, y + height + 0.03), 0.04, 0.05);
        canvas.fill(
            drop.as_ref(),
            Ink::Solid(Tint::bytes(240, 204, 110).solid()),
        );
    }
}

fn skin(canvas: &mut Canvas, portrait: &Portrait, outline: &Path) {
    let (skin, light, head) = (&portrait.skin, portrait.light, &portrait.head);
    let colors = [
        (0.0, skin.light.solid()),
        (0.45, skin.base.solid()),
        (1.0, skin.shade.solid()),
    ];
    let reach = head.half_width * (0.25 + 0.75 * light.abs()) * light.signum();
    let ink = Ink::Linear((reach, -0.8), (-reach, 0.95), &colors);
    canvas.fill(Some(outline), ink);
    canvas.clip(Some(outline));
    // The face turns away from the viewer at its edges, most of all away from the light.
    let middle = head.at(10.0 * light, 0.0);
    let rim = [
        (0.0, skin.shade.alpha(0.0)),
        (0.62, skin.shade.alpha(0.0)),
        (1.0, skin.deep.alpha(0.55)),
    ];
    canvas.fill(
        Some(outline),
        Ink::Radial((middle.0, middle.1 - 0.05), 1.16, &rim),
    );
    canvas.glow(head.at(22.0 * light, 38.0), 0.5, WHITE.alpha(0.16));
    let blush = 0.10 + 0.40 * portrait.factors.face.blush_percent as f32 / 100.0;
    for side in [-1.0, 1.0] {
        let (cheek, depth) = head.point_and_depth(side * 38.0, -24.0, 0.98);
        canvas.glow(cheek, 0.30, skin.blush.alpha(blush * depth.clamp(0.2, 1.0)));
        canvas.glow(head.at(side * 24.0, 2.0), 0.25, skin.shade.alpha(0.40));
    }
    canvas.glow(head.at(0.0, -52.0), 0.16, skin.shade.alpha(0.35));
    canvas.unclip();
}

fn beard(canvas: &mut Canvas, portrait: &Portrait, outline: &Path) {
    let (hair, head) = (&portrait.hair, &portrait.head);
    let kind = portrait.factors.beard;
    let jaw = |lift: f32, top: f32| {
        let mut points = Vec::new();
        for right in [-80.0, -62.0, -44.0, -22.0, 0.0, 22.0, 44.0, 62.0, 80.0f32] {
            // From the sideburns down along the cheeks, under the lip in the middle.
            let share = (right.abs() / 80.0).powi(2);
            points.push(head.at(right, top + (8.0 - top) * share));
        }
        let chin = head.chin();
        let half = head.half_width;
        points.push((half * 1.05, 0.5));
        points.push((chin.0 + half * 0.75 * lift, chin.1 - 0.10));
        points.push((chin.0, chin.1 + 0.16 * (lift - 0.9)));
        points.push((chin.0 - half * 0.75 * lift, chin.1 - 0.10));
        points.push((-half * 1.05, 0.5));
        blob(&points)
    };
    let shades = [(0.0, hair.base.solid()), (1.0, hair.dark.solid())];
    let ink = Ink::Linear(
        (portrait.light * 0.6, 0.2),
        (-portrait.light * 0.6, 1.1),
        &shades,
    );
    match kind {
        Beard::None => {}
        Beard::Stubble => {
            canvas.clip(Some(outline));
            let shadow = hair.dark.mix(portrait.skin.deep, 0.4);
            let fade = [(0.0, shadow.alpha(0.0)), (1.0, shadow.alpha(0.42))];
            let ink = Ink::Linear(head.at(0.0, -12.0), head.at(0.0, -50.0), &fade);
            canvas.fill(jaw(1.0, -22.0).as_ref(), ink);
            canvas.unclip();
        }
        Beard::Moustache => {}
        Beard::Goatee => {
            let (x, y) = head.at(0.0, -58.0);
            let tuft = blob(&[
                (x - 0.20, y - 0.06),
                (x, y - 0.01),
                (x + 0.20, y - 0.06),
                (x + 0.17, y + 0.17),
                (x, y + 0.27),
                (x - 0.17, y + 0.17),
            ]);
            canvas.fill(tuft.as_ref(), ink);
        }
        Beard::Full => canvas.fill(jaw(1.12, -27.0).as_ref(), ink),
    }
    if matches!(kind, Beard::Moustache | Beard::Goatee | Beard::Full) {
        let bar = curve(&[
            head.above(-20.0, -35.0, 1.02),
            head.above(-9.0, -29.5, 1.04),
            head.above(0.0, -28.5, 1.05),
            head.above(9.0, -29.5, 1.04),
            head.above(20.0, -35.0, 1.02),
        ]);
        canvas.stroke(bar.as_ref(), ink, 0.085);
    }
}
