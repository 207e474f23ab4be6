//! Colours of skin, hair, eyes and cloth.

use tiny_skia::Color;

use super::factors::{Face, Hair, HairColor, IrisColor};

/// Red, green and blue from 0 to 1, not premultiplied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tint([f32; 3]);

pub(super) const WHITE: Tint = Tint([1.0; 3]);
pub(super) const BLACK: Tint = Tint([0.0; 3]);

impl Tint {
    pub(super) const fn bytes(red: u8, green: u8, blue: u8) -> Self {
        Self([
            red as f32 / 255.0,
            green as f32 / 255.0,
            blue as f32 / 255.0,
        ])
    }

    /// From hue in degrees, and saturation and lightness from 0 to 1.
    pub(super) fn hsl(hue: f32, saturation: f32, lightness: f32) -> Self {
        let amplitude = saturation * lightness.min(1.0 - lightness);
        let channel = |offset: f32| {
            let k = (offset + hue / 30.0).rem_euclid(12.0);
            lightness - amplitude * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0)
        };
        Self([channel(0.0), channel(8.0), channel(4.0)])
    }

    /// This colour at `share` 0, the other at 1.
    pub(super) fn mix(self, other: Self, share: f32) -> Self {
        Self(std::array::from_fn(|channel| {
            self.0[channel] + share * (other.0[channel] - self.0[channel])
        }))
    }

    pub(super) fn times(self, other: Self) -> Self {
        Self(std::array::from_fn(|channel| {
            self.0[channel] * other.0[channel]
        }))
    }

    /// As an opaque colour.
    pub(super) fn solid(self) -> Color {
        self.alpha(1.0)
    }

    pub(super) fn alpha(self, alpha: f32) -> Color {
        let [red, green, blue] = self.0.map(|value| value.clamp(0.0, 1.0));
        Color::from_rgba(red, green, blue, alpha.clamp(0.0, 1.0)).unwrap_or(Color::TRANSPARENT)
    }
}

/// The shades of one skin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Skin {
    pub(super) base: Tint,
    pub(super) light: Tint,
    pub(super) shade: Tint,
    pub(super) deep: Tint,
    pub(super) blush: Tint,
}

/// From light to dark, evenly spaced.
const SKIN_SCALE: [Tint; 5] = [
    Tint::bytes(250, 222, 203),
    Tint::bytes(241, 201, 172),
    Tint::bytes(222, 170, 132),
    Tint::bytes(172, 119, 85),
    Tint::bytes(106, 69, 50),
];

impl Skin {
    pub(super) fn of(face: &Face) -> Self {
        let position = face.skin_percent as f32 / 100.0 * 4.0;
        let step = (position as usize).min(3);
        let plain = SKIN_SCALE[step].mix(SKIN_SCALE[step + 1], position - step as f32);
        let undertone = face.undertone_percent as f32 / 100.0;
        let base = plain
            .times(Tint([1.0, 0.965, 0.97]))
            .mix(plain.times(Tint([1.0, 0.99, 0.92])), undertone);
        Self {
            base,
            light: base.mix(Tint::bytes(255, 240, 222), 0.30),
            shade: base.times(Tint([0.80, 0.68, 0.66])),
            deep: base.times(Tint([0.55, 0.40, 0.40])),
            blush: base.mix(Tint::bytes(226, 84, 88), 0.55),
        }
    }
}

/// The shades of one head of hair.
#[derive(Debug, Clone, Copy)]
pub(super) struct HairTints {
    pub(super) base: Tint,
    pub(super) light: Tint,
    pub(super) dark: Tint,
}

impl HairTints {
    pub(super) fn of(hair: &Hair) -> Self {
        let plain = match hair.color {
            HairColor::Black => Tint::bytes(38, 32, 36),
            HairColor::DarkBrown => Tint::bytes(70, 46, 34),
            HairColor::Chestnut => Tint::bytes(112, 68, 42),
            HairColor::Auburn => Tint::bytes(132, 52, 34),
            HairColor::Ginger => Tint::bytes(196, 98, 42),
            HairColor::DarkBlond => Tint::bytes(168, 128, 78),
            HairColor::Blond => Tint::bytes(226, 186, 112),
            HairColor::Gray => Tint::bytes(150, 148, 150),
            HairColor::White => Tint::bytes(226, 222, 216),
        };
        let lightness = hair.lightness_percent as f32 / 100.0;
        let base = match lightness > 0.0 {
            true => plain.mix(WHITE, 0.08 * lightness),
            false => plain.mix(BLACK, -0.16 * lightness),
        };
        Self {
            base,
            light: base.mix(Tint::bytes(255, 226, 186), 0.34),
            dark: base.times(Tint([0.58, 0.54, 0.56])),
        }
    }
}

pub(super) fn iris(color: IrisColor) -> Tint {
    match color {
        IrisColor::DarkBrown => Tint::bytes(58, 36, 26),
        IrisColor::Brown => Tint::bytes(108, 66, 36),
        IrisColor::Hazel => Tint::bytes(140, 108, 54),
        IrisColor::Green => Tint::bytes(84, 130, 84),
        IrisColor::Blue => Tint::bytes(70, 126, 176),
        IrisColor::Gray => Tint::bytes(122, 138, 148),
    }
}
