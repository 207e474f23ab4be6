//! Neck, shoulders and clothes, in the frame of the picture.

use super::canvas::{Canvas, Ink, Xy, blob, curve, oval, polygon};
use super::color::{BLACK, Tint, WHITE};
use super::factors::Garment;
use super::scene::Portrait;

/// Where the shoulders are, which follow the head halfway.
struct Shoulders {
    middle: f32,
    /// Height of the pit of the neck.
    top: f32,
    /// Half the width of the neck.
    neck: f32,
}

pub(super) fn draw(canvas: &mut Canvas, portrait: &Portrait) {
    let pose = &portrait.factors.pose;
    let scale = pose.scale_percent as f32 / 100.0;
    let shoulders = Shoulders {
        middle: 0.5 + (portrait.centre.0 - 0.5) * 0.6,
        top: portrait.centre.1 + 0.385 * scale.min(1.04),
        neck: 0.104 * scale * (0.86 + 0.24 * portrait.factors.face.jaw_percent as f32 / 100.0),
    };
    let cloth = &portrait.factors.clothes;
    let tint = Tint::hsl(
        cloth.hue_degrees as f32,
        cloth.saturation_percent as f32 / 100.0,
        cloth.lightness_percent as f32 / 100.0,
    );
    neck(canvas, portrait, &shoulders);
    torso(canvas, portrait, &shoulders, tint);
    neckline(canvas, portrait, &shoulders, tint);
}

fn neck(canvas: &mut Canvas, portrait: &Portrait, shoulders: &Shoulders) {
    let skin = &portrait.skin;
    let &Shoulders { middle, top, neck } = shoulders;
    let jaw = portrait.in_picture((portrait.head.turn() * 0.12, 0.55));
    let path = blob(&[
        (jaw.0 - neck, jaw.1),
        (jaw.0 + neck, jaw.1),
        (middle + neck * 1.02, top - 0.045),
        (middle + neck * 1.9, top + 0.03),
        (middle, top + 0.16),
        (middle - neck * 1.9, top + 0.03),
        (middle - neck * 1.02, top - 0.045),
    ]);
    let side = portrait.light * 0.12;
    let colors = [(0.0, skin.base.solid()), (1.0, skin.shade.solid())];
    let path = path.as_ref();
    canvas.fill(
        path,
        Ink::Linear((middle + side, top), (middle - side, top + 0.02), &colors),
    );
    // The shadow of the head.
    canvas.clip(path);
    let chin = portrait.in_picture(portrait.head.chin());
    canvas.glow(
        (chin.0 - side * 0.4, chin.1 - 0.01),
        neck * 1.9,
        skin.deep.alpha(0.75),
    );
    canvas.unclip();
}

fn torso(canvas: &mut Canvas, portrait: &Portrait, shoulders: &Shoulders, tint: Tint) {
    let &Shoulders { middle, top, neck } = shoulders;
    let side = |sign: f32| {
        [
            (middle + sign * neck * 1.45, top - 0.012),
            (middle + sign * 0.24, top + 0.055),
            (middle + sign * 0.365, top + 0.13),
            (middle + sign * 0.43, 1.12),
        ]
    };
    let mut outline: Vec<Xy> = side(1.0).into();
    outline.push((middle, 1.2));
    outline.extend(side(-1.0).into_iter().rev());
    // The neckline dips between the shoulders.
    outline.push((middle, top + 0.05));
    let path = blob(&outline);
    let reach = 0.4 * portrait.light;
    let colors = [
        (0.0, tint.mix(WHITE, 0.14).solid()),
        (0.5, tint.solid()),
        (1.0, tint.mix(BLACK, 0.36).solid()),
    ];
    let ink = Ink::Linear(
        (middle + reach, top - 0.05),
        (middle - reach, 1.05),
        &colors,
    );
    canvas.fill(path.as_ref(), ink);
    for sign in [-1.0, 1.0] {
        let fold = curve(&[
            (middle + sign * 0.27, top + 0.16),
            (middle + sign * 0.255, top + 0.22),
            (middle + sign * 0.262, 1.0),
        ]);
        canvas.stroke(fold.as_ref(), Ink::Solid(BLACK.alpha(0.14)), 0.012);
    }
}

fn neckline(canvas: &mut Canvas, portrait: &Portrait, shoulders: &Shoulders, tint: Tint) {
    let &Shoulders { middle, top, neck } = shoulders;
    let skin = &portrait.skin;
    let dark = tint.mix(BLACK, 0.34);
    let bare = [(0.0, skin.shade.solid()), (1.0, skin.base.solid())];
    let bare = Ink::Linear((middle, top - 0.03), (middle, top + 0.08), &bare);
    match portrait.factors.clothes.garment {
        Garment::Crew => {
            let hem = curve(&[
                (middle - neck * 1.5, top - 0.012),
                (middle - neck * 0.9, top + 0.035),
                (middle, top + 0.052),
                (middle + neck * 0.9, top + 0.035),
                (middle + neck * 1.5, top - 0.012),
            ]);
            canvas.stroke(hem.as_ref(), Ink::Solid(dark.solid()), 0.018);
        }
        Garment::Vneck => {
            let opening = [
                (middle - neck * 1.4, top - 0.012),
                (middle, top + 0.135),
                (middle + neck * 1.4, top - 0.012),
            ];
            canvas.fill(polygon(&opening).as_ref(), bare);
            let hem = polygon(&[opening[0], opening[1], opening[2], opening[1]]);
            canvas.stroke(hem.as_ref(), Ink::Solid(dark.solid()), 0.014);
        }
        Garment::Shirt => {
            collar(canvas, shoulders, tint.mix(WHITE, 0.55), bare);
            let buttons = curve(&[(middle, top + 0.09), (middle, 1.0)]);
            canvas.stroke(buttons.as_ref(), Ink::Solid(dark.alpha(0.7)), 0.008);
        }
        Garment::Turtleneck => {
            let roll = blob(&[
                (middle - neck * 1.16, top - 0.062),
                (middle, top - 0.040),
                (middle + neck * 1.16, top - 0.062),
                (middle + neck * 1.5, top + 0.02),
                (middle, top + 0.055),
                (middle - neck * 1.5, top + 0.02),
            ]);
            let reach = neck * 1.5 * portrait.light;
            let colors = [(0.0, tint.mix(WHITE, 0.2).solid()), (1.0, dark.solid())];
            let ink = Ink::Linear(
                (middle + reach, top - 0.06),
                (middle - reach, top + 0.05),
                &colors,
            );
            canvas.fill(roll.as_ref(), ink);
        }
        Garment::Jacket => {
            let shirt = polygon(&[
                (middle - neck * 1.3, top - 0.01),
                (middle + neck * 1.3, top - 0.01),
                (middle + 0.02, 1.02),
                (middle - 0.02, 1.02),
            ]);
            canvas.fill(
                shirt.as_ref(),
                Ink::Solid(Tint::bytes(236, 234, 230).solid()),
            );
            collar(canvas, shoulders, Tint::bytes(250, 249, 246), bare);
            for sign in [-1.0, 1.0] {
                let lapel = polygon(&[
                    (middle + sign * neck * 1.42, top - 0.016),
                    (middle + sign * neck * 2.1, top + 0.10),
                    (middle + sign * neck * 1.5, top + 0.12),
                    (middle + sign * 0.02, 1.02),
                ]);
                canvas.fill(lapel.as_ref(), Ink::Solid(dark.solid()));
            }
        }
    }
}

/// Two points of a collar around an open neck.
fn collar(canvas: &mut Canvas, shoulders: &Shoulders, tint: Tint, bare: Ink) {
    let &Shoulders { middle, top, neck } = shoulders;
    let opening = polygon(&[
        (middle - neck * 1.2, top - 0.02),
        (middle, top + 0.095),
        (middle + neck * 1.2, top - 0.02),
    ]);
    canvas.fill(opening.as_ref(), bare);
    for sign in [-1.0, 1.0] {
        let wing = polygon(&[
            (middle + sign * neck * 1.12, top - 0.05),
            (middle + sign * neck * 1.52, top - 0.005),
            (middle + sign * neck * 0.95, top + 0.115),
            (middle + sign * 0.004, top + 0.085),
            (middle + sign * neck * 0.9, top + 0.015),
        ]);
        canvas.fill(wing.as_ref(), Ink::Solid(tint.solid()));
        canvas.stroke(wing.as_ref(), Ink::Solid(BLACK.alpha(0.18)), 0.005);
    }
    let knot = oval((middle, top + 0.10), 0.006, 0.006);
    canvas.fill(knot.as_ref(), Ink::Solid(BLACK.alpha(0.25)));
}
