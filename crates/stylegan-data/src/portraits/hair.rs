//! Hair behind and in front of the head, in the frame of the head.

use tiny_skia::Color;

use super::canvas::{Canvas, Ink, Xy, blob, curve, oval};
use super::factors::HairStyle;
use super::scene::Portrait;

/// How a style differs from the others.
struct Cut {
    /// Thickness on top and at the sides, in half heights of the head.
    top: f32,
    sides: f32,
    /// Degrees above the middle of the face where the hair begins, in the middle of the forehead.
    forehead: f32,
    /// The same at the temples and in front of the ears.
    temples: f32,
    sideburns: f32,
    /// How much lower one side of the forehead is than the other: a parting.
    slant: f32,
}

impl Cut {
    fn of(portrait: &Portrait) -> Option<Self> {
        let volume = portrait.factors.hair.volume_percent as f32 / 100.0;
        let cut = |top, sides, forehead, temples, sideburns, slant| Cut {
            top,
            sides,
            forehead,
            temples,
            sideburns,
            slant,
        };
        Some(match portrait.factors.hair.style {
            HairStyle::Bald => return None,
            HairStyle::Buzz => cut(0.035, 0.015, 42.0, 34.0, 2.0, 0.0),
            HairStyle::Short => cut(0.12 + 0.09 * volume, 0.05, 34.0, 27.0, -6.0, 9.0),
            HairStyle::Quiff => cut(0.15 + 0.08 * volume, 0.035, 41.0, 34.0, 0.0, 2.0),
            HairStyle::Curly => cut(0.17 + 0.08 * volume, 0.10, 36.0, 27.0, -8.0, 0.0),
            HairStyle::Afro => cut(0.26 + 0.12 * volume, 0.22, 39.0, 30.0, -4.0, 0.0),
            HairStyle::Bob => cut(0.14 + 0.05 * volume, 0.14, 21.0, 17.0, -48.0, 0.0),
            HairStyle::Long => cut(0.11 + 0.05 * volume, 0.12, 38.0, 22.0, -60.0, 10.0),
            HairStyle::Wavy => cut(0.15 + 0.07 * volume, 0.20, 36.0, 21.0, -60.0, -8.0),
            HairStyle::Bun => cut(0.06 + 0.03 * volume, 0.04, 41.0, 31.0, -2.0, 0.0),
        })
    }

    /// Height in degrees at which the hair begins, `right` degrees from the middle of the face.
    fn hairline(&self, right: f32, parting: f32) -> f32 {
        let away = right.abs();
        let ramp = |from: f32, to: f32| ((away - from) / (to - from)).clamp(0.0, 1.0);
        let smooth = |share: f32| share * share * (3.0 - 2.0 * share);
        let front = self.forehead - self.slant * parting * (right / 40.0).clamp(-1.0, 1.0);
        let to_temples = front + (self.temples - front) * smooth(ramp(20.0, 50.0));
        let to_ears = to_temples + (self.sideburns - to_temples) * smooth(ramp(54.0, 78.0));
        let nape = self.sideburns.min(-20.0);
        to_ears + (nape - to_ears) * smooth(ramp(84.0, 104.0))
    }
}

fn shades(portrait: &Portrait) -> [(f32, Color); 3] {
    let hair = &portrait.hair;
    [
        (0.0, hair.light.mix(hair.base, 0.45).solid()),
        (0.4, hair.base.solid()),
        (1.0, hair.dark.solid()),
    ]
}

/// Hair lit from above, the same behind and in front of the head, so that the two melt together.
fn sheen<'a>(portrait: &Portrait, shades: &'a [(f32, Color)]) -> Ink<'a> {
    let reach = (0.3 + 0.6 * portrait.light.abs()) * portrait.light.signum();
    Ink::Linear((reach, -1.2), (-reach, 0.8), shades)
}

pub(super) fn draw_back(canvas: &mut Canvas, portrait: &Portrait) {
    let half = portrait.head.half_width;
    let turn = portrait.head.turn();
    let volume = portrait.factors.hair.volume_percent as f32 / 100.0;
    let hair = &portrait.hair;
    let back = -turn * 0.12;
    let shades = shades(portrait);
    let ink = sheen(portrait, &shades);
    match portrait.factors.hair.style {
        HairStyle::Afro => {
            let radius = half + 0.22 + 0.14 * volume;
            tufts(canvas, (back, -0.18), radius, radius * 1.08, 18, 0.20, ink);
            canvas.fill(oval((back, -0.18), radius, radius * 1.08).as_ref(), ink);
        }
        HairStyle::Curly => {
            tufts(canvas, (back, -0.10), half + 0.06, 0.95, 14, 0.17, ink);
        }
        HairStyle::Bun => {
            let centre = (back * 2.0, -1.20);
            canvas.fill(oval(centre, 0.30, 0.27).as_ref(), ink);
            canvas.glow(
                (centre.0 + 0.1 * portrait.light, -1.28),
                0.2,
                hair.light.alpha(0.5),
            );
        }
        HairStyle::Bob => {
            let width = half + 0.16 + 0.08 * volume;
            let path = blob(&[
                (back, -1.0),
                (back + width * 0.9, -0.6),
                (back + width * 1.04, 0.2),
                (back + width * 0.98, 0.82),
                (back + width * 0.55, 0.95),
                (back - width * 0.55, 0.95),
                (back - width * 0.98, 0.82),
                (back - width * 1.04, 0.2),
                (back - width * 0.9, -0.6),
            ]);
            canvas.fill(path.as_ref(), Ink::Solid(hair.dark.solid()));
        }
        HairStyle::Long | HairStyle::Wavy => {
            let wavy = portrait.factors.hair.style == HairStyle::Wavy;
            let width = half + if wavy { 0.24 } else { 0.13 } + 0.08 * volume;
            let wave = if wavy { 0.09 } else { 0.0 };
            let side = |sign: f32| {
                [
                    (back + sign * width * 0.85, -0.62),
                    (back + sign * width, 0.0),
                    (back + sign * (width + wave), 0.42),
                    (back + sign * (width - wave), 0.85),
                    (back + sign * (width + wave), 1.25),
                    (back + sign * width * 0.8, 1.75),
                ]
            };
            let mut points = vec![(back, -1.0)];
            points.extend(side(1.0));
            points.extend(side(-1.0).into_iter().rev());
            canvas.fill(blob(&points).as_ref(), Ink::Solid(hair.dark.solid()));
        }
        HairStyle::Bald | HairStyle::Buzz | HairStyle::Short | HairStyle::Quiff => {}
    }
}

/// Round tufts on the upper part of an ellipse.
fn tufts(
    canvas: &mut Canvas,
    centre: Xy,
    width: f32,
    height: f32,
    count: usize,
    size: f32,
    ink: Ink,
) {
    for step in 0..count {
        let share = step as f32 / (count - 1) as f32;
        let (sin, cos) = (std::f32::consts::PI * (1.12 - 1.24 * share)).sin_cos();
        let size = size * (0.85 + 0.3 * (step * 7 % 5) as f32 / 4.0);
        let tuft = oval(
            (centre.0 + width * cos, centre.1 - height * sin),
            size,
            size,
        );
        canvas.fill(tuft.as_ref(), ink);
    }
}

pub(super) fn draw_front(canvas: &mut Canvas, portrait: &Portrait) {
    let Some(cut) = Cut::of(portrait) else { return };
    let (hair, light) = (&portrait.hair, portrait.light);
    let parting = if portrait.factors.hair.parted_right {
        1.0
    } else {
        -1.0
    };
    let style = portrait.factors.hair.style;
    let (line, crown) = cap(portrait, &cut, parting);
    let mut points = line.clone();
    points.extend(&crown);
    let Some(path) = blob(&points) else { return };
    // A soft shadow on the forehead.
    let shadow: Vec<Xy> = points.iter().map(|&(x, y)| (x * 0.98, y + 0.05)).collect();
    let face = blob(&portrait.head.outline());
    canvas.clip(face.as_ref());
    canvas.fill(
        blob(&shadow).as_ref(),
        Ink::Solid(portrait.skin.deep.alpha(0.35)),
    );
    canvas.unclip();
    let shades = shades(portrait);
    let ink = sheen(portrait, &shades);
    match style {
        HairStyle::Buzz => {
            canvas.fill(
                Some(&path),
                Ink::Solid(hair.base.mix(portrait.skin.deep, 0.3).alpha(0.85)),
            );
        }
        _ => canvas.fill(Some(&path), ink),
    }
    if matches!(style, HairStyle::Long | HairStyle::Wavy) {
        locks(canvas, portrait, ink, style == HairStyle::Wavy);
    }
    if matches!(style, HairStyle::Curly | HairStyle::Afro) {
        for (step, &(x, y)) in line.iter().enumerate().skip(2).step_by(2) {
            let size = 0.10 + 0.03 * (step % 3) as f32;
            if y < -0.1 {
                canvas.fill(oval((x, y - 0.03), size, size).as_ref(), ink);
            }
        }
    }
    canvas.clip(Some(&path));
    strands(canvas, portrait, &line, &crown);
    let shine = (0.42 * light, -0.98 - cut.top * 0.4);
    canvas.glow(shine, 0.52, hair.light.alpha(0.55));
    canvas.unclip();
}

/// The hairline from left to right, and the outline of the hair from right to left.
fn cap(portrait: &Portrait, cut: &Cut, parting: f32) -> (Vec<Xy>, Vec<Xy>) {
    const STEPS: usize = 16;
    let head = &portrait.head;
    let turn = portrait.factors.pose.turn_degrees as f32;
    let line: Vec<Xy> = (0..=STEPS)
        .map(|step| {
            let right = -86.0 - turn + 172.0 * step as f32 / STEPS as f32;
            head.at(right, cut.hairline(right, parting))
        })
        .collect();
    let centre = (-head.turn() * 0.08, -0.06);
    let width = head.half_width + 0.03 + cut.sides;
    let height = 0.97 + cut.top;
    let angle = |y: f32| ((y - centre.1) / height).clamp(-0.6, 0.6).asin();
    let (from, to) = (angle(line[STEPS].1), angle(line[0].1));
    let crown = (0..=STEPS)
        .map(|step| {
            let share = step as f32 / STEPS as f32;
            let turned = from + (-std::f32::consts::PI - to - from) * share;
            let (sin, cos) = turned.sin_cos();
            // A quiff stands up over the forehead on the side away from the parting.
            let lift = match portrait.factors.hair.style {
                HairStyle::Quiff => 0.10 * (-sin).max(0.0) * (1.0 - 0.9 * parting * cos),
                _ => 0.0,
            };
            (centre.0 + width * cos, centre.1 + (height + lift) * sin)
        })
        .collect();
    (line, crown)
}

/// Lines from the crown to the hairline.
fn strands(canvas: &mut Canvas, portrait: &Portrait, line: &[Xy], crown: &[Xy]) {
    let hair = &portrait.hair;
    if matches!(
        portrait.factors.hair.style,
        HairStyle::Buzz | HairStyle::Afro
    ) {
        return;
    }
    let last = line.len() - 1;
    for step in (1..last).step_by(2) {
        let (low, high) = (line[step], crown[last - step]);
        let middle = (
            (low.0 + high.0) * 0.5 + 0.1 * (high.0 - low.0),
            low.1 * 0.4 + high.1 * 0.6,
        );
        let color = match step % 4 {
            1 => hair.dark.alpha(0.22),
            _ => hair.light.alpha(0.16),
        };
        canvas.stroke(
            curve(&[high, middle, low]).as_ref(),
            Ink::Solid(color),
            0.035,
        );
    }
}

/// Long hair that falls in front of the shoulders.
fn locks(canvas: &mut Canvas, portrait: &Portrait, ink: Ink, wavy: bool) {
    let half = portrait.head.half_width;
    let turn = portrait.head.turn();
    let wave = if wavy { 0.07 } else { 0.0 };
    let width = if wavy { 0.24 } else { 0.17 };
    for side in [-1.0, 1.0] {
        // The near lock follows the back of the head, the far one leaves the face free.
        let far = turn * side > 0.0;
        let edge = side * (half + 0.02) + turn * if far { 0.06 } else { -0.10 };
        let at = |outwards: f32, y: f32| (edge + side * outwards, y);
        let lock = blob(&[
            at(-0.06, -0.45),
            at(width * 0.7, -0.1),
            at(width + wave, 0.40),
            at(width - wave, 0.85),
            at(width + wave, 1.30),
            at(width * 0.4, 1.62),
            at(-0.02 - wave, 1.30),
            at(-0.02 + wave, 0.85),
            at(-0.03 - wave * 0.3, 0.40),
            at(-0.08, -0.1),
        ]);
        canvas.fill(lock.as_ref(), ink);
        let line = curve(&[
            at(0.05, 0.0),
            at(width * 0.5 + wave, 0.45),
            at(width * 0.5 - wave, 0.9),
            at(width * 0.5, 1.4),
        ]);
        canvas.stroke(
            line.as_ref(),
            Ink::Solid(portrait.hair.dark.alpha(0.35)),
            0.05,
        );
    }
}
