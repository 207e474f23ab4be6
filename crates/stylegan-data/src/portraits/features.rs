//! Eyes, brows, nose, mouth and glasses, in the frame of the head.

use tiny_skia::Path;

use super::canvas::{Canvas, Ink, Xy, blob, curve, oval, polygon};
use super::color::{BLACK, Tint, WHITE, iris};
use super::factors::Glasses;
use super::scene::Portrait;

/// Degrees from the middle of the face to the middle of an eye.
const EYE_RIGHT: f32 = 25.0;
const EYE_UP: f32 = -1.0;

pub(super) fn draw(canvas: &mut Canvas, portrait: &Portrait) {
    for side in [-1.0, 1.0] {
        eye(canvas, portrait, side);
        brow(canvas, portrait, side);
    }
    mouth(canvas, portrait);
    nose(canvas, portrait);
    glasses(canvas, portrait);
}

fn eye(canvas: &mut Canvas, portrait: &Portrait, side: f32) {
    let (eyes, head, skin) = (&portrait.factors.eyes, &portrait.head, &portrait.skin);
    let open = eyes.open_percent as f32 / 100.0;
    let at = |right: f32, up: f32| head.at(side * EYE_RIGHT + right, EYE_UP + up);
    let (left, right) = (at(-10.5, -0.6), at(10.5, -0.6));
    let (upper, lower) = (7.6 * open, -5.2 * open);
    let lids = [
        left,
        at(-5.5, upper * 0.82),
        at(0.5, upper),
        at(6.0, upper * 0.76),
        right,
        at(5.0, lower * 0.8),
        at(0.0, lower),
        at(-5.0, lower * 0.8),
    ];
    let opening = blob(&lids);
    canvas.fill(
        opening.as_ref(),
        Ink::Solid(Tint::bytes(246, 242, 238).solid()),
    );
    canvas.clip(opening.as_ref());
    let (x, y) = at(
        3.6 * eyes.gaze_right_percent as f32 / 100.0,
        0.8 - 1.8 * eyes.gaze_down_percent as f32 / 100.0,
    );
    let color = iris(eyes.iris);
    let rings = [
        (0.0, color.mix(WHITE, 0.22).solid()),
        (0.7, color.solid()),
        (1.0, color.mix(BLACK, 0.55).solid()),
    ];
    canvas.fill(
        oval((x, y), 0.088, 0.092).as_ref(),
        Ink::Radial((x, y + 0.03), 0.1, &rings),
    );
    canvas.fill(
        oval((x, y), 0.042, 0.044).as_ref(),
        Ink::Solid(Tint::bytes(14, 10, 12).solid()),
    );
    let lid_shadow = curve(&lids[0..5]);
    canvas.stroke(lid_shadow.as_ref(), Ink::Solid(BLACK.alpha(0.22)), 0.075);
    let glint = (x + 0.032 * portrait.light.signum(), y - 0.036);
    canvas.fill(
        oval(glint, 0.024, 0.024).as_ref(),
        Ink::Solid(WHITE.alpha(0.95)),
    );
    canvas.unclip();
    let lash = skin.deep.mix(Tint::bytes(24, 14, 14), 0.75);
    canvas.stroke(curve(&lids[0..5]).as_ref(), Ink::Solid(lash.solid()), 0.036);
    let crease = curve(&[
        at(-9.0, upper * 0.5 + 4.0),
        at(0.0, upper + 3.4),
        at(9.0, upper * 0.5 + 4.0),
    ]);
    canvas.stroke(crease.as_ref(), Ink::Solid(skin.deep.alpha(0.40)), 0.02);
    let below = curve(&[
        at(-7.0, lower - 2.0),
        at(0.0, lower - 3.6),
        at(7.0, lower - 2.0),
    ]);
    canvas.stroke(below.as_ref(), Ink::Solid(skin.shade.alpha(0.55)), 0.03);
}

fn brow(canvas: &mut Canvas, portrait: &Portrait, side: f32) {
    let (eyes, head) = (&portrait.factors.eyes, &portrait.head);
    let raise = eyes.brow_percent as f32 / 100.0;
    let inner_up = 15.5 + 2.5 * raise;
    let line = [
        head.at(side * 12.0, inner_up + raise.min(0.0)),
        head.at(side * 24.0, inner_up + 2.6),
        head.at(side * 37.0, inner_up - 0.6),
    ];
    let color = portrait.hair.dark.mix(portrait.skin.deep, 0.3);
    let width = 0.04 + 0.04 * eyes.brow_thickness_percent as f32 / 100.0;
    canvas.stroke(curve(&line).as_ref(), Ink::Solid(color.alpha(0.9)), width);
}

fn nose(canvas: &mut Canvas, portrait: &Portrait) {
    let (head, skin, light) = (&portrait.head, &portrait.skin, portrait.light);
    let size = 0.85 + 0.35 * portrait.factors.face.nose_percent as f32 / 100.0;
    let shadow_side = if light > 0.0 { -1.0 } else { 1.0 };
    let wing = 8.0 * size;
    let tip = head.above(0.0, -15.0, 1.0 + 0.13 * size);
    let side = polygon(&[
        head.above(shadow_side * 2.0, 10.0, 1.02),
        tip,
        head.above(shadow_side * wing, -20.0, 1.04),
        head.above(shadow_side * wing * 0.8, -8.0, 1.0),
    ]);
    canvas.fill(side.as_ref(), Ink::Solid(skin.shade.alpha(0.55)));
    canvas.glow((tip.0, tip.1 + 0.10), 0.17 * size, skin.deep.alpha(0.40));
    let base = curve(&[
        head.above(-wing, -17.5, 1.03),
        head.above(-wing * 0.8, -21.0, 1.05),
        head.above(0.0, -21.5, 1.0 + 0.10 * size),
        head.above(wing * 0.8, -21.0, 1.05),
        head.above(wing, -17.5, 1.03),
    ]);
    canvas.stroke(base.as_ref(), Ink::Solid(skin.deep.alpha(0.65)), 0.032);
    for side in [-1.0, 1.0] {
        let nostril = head.above(side * 3.6 * size, -20.5, 1.08);
        canvas.fill(
            oval(nostril, 0.030, 0.018).as_ref(),
            Ink::Solid(skin.deep.mix(BLACK, 0.4).alpha(0.7)),
        );
    }
    canvas.glow(
        (tip.0 + 0.03 * light, tip.1 - 0.01),
        0.09,
        WHITE.alpha(0.42),
    );
    let bridge = curve(&[
        head.above(2.0 * light, 9.0, 1.02),
        head.above(2.0 * light, -6.0, 1.07),
    ]);
    canvas.stroke(bridge.as_ref(), Ink::Solid(skin.light.alpha(0.45)), 0.05);
}

fn mouth(canvas: &mut Canvas, portrait: &Portrait) {
    let (mouth, head, skin) = (&portrait.factors.mouth, &portrait.head, &portrait.skin);
    let smile = mouth.smile_percent as f32 / 100.0;
    let open = mouth.open_percent as f32 / 100.0;
    // In degrees on the face, like `reach` and `corner`; the jaw drops in units of the head.
    let full = 2.6 + 2.6 * mouth.lips_percent as f32 / 100.0;
    let (reach, corner) = (17.5 + 4.5 * smile.max(0.0), 4.2 * smile);
    let at = |right: f32, up: f32| head.above(right, -37.5 + up, 1.01);
    let dropped = |(x, y): Xy, share: f32| (x, y + 0.14 * open * share);

    // The upper and lower edge of the opening, from left to right; one line when closed.
    let upper_edge = [
        at(-reach, corner),
        at(-reach * 0.5, open),
        at(0.0, open * 0.7),
        at(reach * 0.5, open),
        at(reach, corner),
    ];
    let drops = [0.0, 0.75, 1.0, 0.75, 0.0];
    let lower_edge: [Xy; 5] = std::array::from_fn(|index| dropped(upper_edge[index], drops[index]));
    let mut upper_lip = vec![
        at(-reach, corner),
        at(-reach * 0.45, full * 0.75 + open),
        at(-reach * 0.18, full * 1.15 + open * 0.7),
        at(0.0, full * 0.85 + open * 0.7),
        at(reach * 0.18, full * 1.15 + open * 0.7),
        at(reach * 0.45, full * 0.75 + open),
    ];
    upper_lip.extend(upper_edge.iter().rev());
    let below = |right: f32, share: f32| dropped(at(right, -full * 1.5 * share), share);
    let mut lower_lip = lower_edge.to_vec();
    lower_lip.extend([
        below(reach * 0.5, 0.8),
        below(0.0, 1.0),
        below(-reach * 0.5, 0.8),
    ]);

    if open > 0.0 {
        let inside: Vec<Xy> = (upper_edge.iter().chain(lower_edge.iter().rev()))
            .copied()
            .collect();
        let inside = blob(&inside);
        let teeth = Ink::Solid(Tint::bytes(248, 244, 238).solid());
        canvas.fill(inside.as_ref(), Ink::Solid(Tint::bytes(92, 26, 30).solid()));
        canvas.clip(inside.as_ref());
        canvas.stroke(curve(&upper_edge).as_ref(), teeth, 0.07 + 0.028 * open);
        canvas.unclip();
    }
    let red = mouth.red_percent as f32 / 100.0;
    let lip = (skin.base)
        .mix(Tint::bytes(176, 62, 66), 0.42)
        .mix(Tint::bytes(190, 24, 44), 0.8 * red);
    let (light_lip, dark_lip) = (lip.mix(WHITE, 0.08), lip.mix(BLACK, 0.14));
    canvas.fill(blob(&lower_lip).as_ref(), Ink::Solid(light_lip.solid()));
    canvas.fill(blob(&upper_lip).as_ref(), Ink::Solid(dark_lip.solid()));
    canvas.glow(below(3.0 * portrait.light, 0.5), 0.07, WHITE.alpha(0.35));
    if open == 0.0 {
        let line = Ink::Solid(lip.mix(BLACK, 0.55).alpha(0.9));
        canvas.stroke(curve(&upper_edge).as_ref(), line, 0.026);
    }
    for side in [-1.0, 1.0] {
        let dimple = at(side * (reach + 1.5), corner + 0.4);
        canvas.glow(dimple, 0.06, skin.deep.alpha(0.30 + 0.25 * smile.max(0.0)));
    }
}

/// The outline of a lens; none without glasses.
fn lens(portrait: &Portrait, side: f32) -> Option<Path> {
    let at = |right: f32, up: f32| {
        let right = side * (EYE_RIGHT + 0.5 + right);
        portrait.head.above(right, EYE_UP + up, 1.05)
    };
    match portrait.factors.glasses {
        Glasses::None => None,
        Glasses::Round => blob(&std::array::from_fn::<Xy, 8, _>(|step| {
            let (sin, cos) = (step as f32 * std::f32::consts::FRAC_PI_4).sin_cos();
            at(15.5 * cos, -0.5 + 12.0 * sin)
        })),
        Glasses::Square | Glasses::Sun => blob(&[
            at(-14.5, 8.0),
            at(0.0, 9.5),
            at(16.0, 9.0),
            at(17.0, 0.0),
            at(14.0, -9.5),
            at(0.0, -11.0),
            at(-12.5, -9.5),
            at(-15.0, 0.0),
        ]),
    }
}

fn glasses(canvas: &mut Canvas, portrait: &Portrait) {
    let kind = portrait.factors.glasses;
    if kind == Glasses::None {
        return;
    }
    let head = &portrait.head;
    // Black, brown or in the colour of the clothes, as their hue has it.
    let hue = portrait.factors.clothes.hue_degrees;
    let frame = match hue % 3 {
        0 => Tint::bytes(30, 28, 32),
        1 => Tint::bytes(94, 56, 34),
        _ => Tint::hsl(hue as f32, 0.4, 0.30),
    };
    for side in [-1.0, 1.0] {
        let shape = lens(portrait, side);
        let shape = shape.as_ref();
        let top = head.above(side * EYE_RIGHT, EYE_UP + 10.0, 1.05);
        let bottom = head.above(side * EYE_RIGHT, EYE_UP - 11.0, 1.05);
        let (over, under) = match kind {
            Glasses::Sun => (BLACK.alpha(0.92), frame.mix(WHITE, 0.25).alpha(0.80)),
            _ => (WHITE.alpha(0.26), WHITE.alpha(0.04)),
        };
        canvas.fill(
            shape,
            Ink::Linear(top, bottom, &[(0.0, over), (1.0, under)]),
        );
        canvas.stroke(shape, Ink::Solid(frame.solid()), 0.042);
        let arm = curve(&[
            head.above(side * (EYE_RIGHT + 17.0), EYE_UP + 4.0, 1.05),
            head.above(side * 66.0, EYE_UP + 4.0, 1.03),
            head.above(side * 86.0, EYE_UP + 3.0, 1.0),
        ]);
        let (_, depth) = head.point_and_depth(side * 66.0, 0.0, 1.0);
        if depth > 0.12 {
            canvas.stroke(arm.as_ref(), Ink::Solid(frame.solid()), 0.042);
        }
    }
    let bridge = curve(&[
        head.above(-10.5, EYE_UP + 1.5, 1.06),
        head.above(0.0, EYE_UP + 4.0, 1.09),
        head.above(10.5, EYE_UP + 1.5, 1.06),
    ]);
    canvas.stroke(bridge.as_ref(), Ink::Solid(frame.solid()), 0.040);
}
