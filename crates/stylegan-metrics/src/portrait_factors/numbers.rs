//! Factors of portraits as single numbers.

use stylegan_data::portraits::{Background, Beard, Factors, Glasses, HairColor, HairStyle};

/// A factor's name and its number.
pub(super) type Number = (&'static str, fn(&Factors) -> f64);

/// What a picture of few pixels may show. Factors that are choices become 1 for some of them and 0 for the others;
/// hues, which have no order, the differences of their channels.
pub(super) const NUMBERS: &[Number] = &[
    ("turn", |f| f.pose.turn_degrees.into()),
    ("nod", |f| f.pose.nod_degrees.into()),
    ("tilt", |f| f.pose.tilt_degrees.into()),
    ("right", |f| f.pose.right_percent.into()),
    ("down", |f| f.pose.down_percent.into()),
    ("head-size", |f| f.pose.scale_percent.into()),
    ("skin-dark", |f| f.face.skin_percent.into()),
    ("smile", |f| f.mouth.smile_percent.into()),
    ("mouth-open", |f| f.mouth.open_percent.into()),
    ("glasses", |f| truth(f.glasses != Glasses::None)),
    ("beard", |f| {
        truth(matches!(
            f.beard,
            Beard::Moustache | Beard::Goatee | Beard::Full
        ))
    }),
    ("hair-light", hair_lightness),
    ("hair-long", |f| {
        truth(matches!(
            f.hair.style,
            HairStyle::Bob | HairStyle::Long | HairStyle::Wavy
        ))
    }),
    ("hair-none", |f| {
        truth(matches!(f.hair.style, HairStyle::Bald | HairStyle::Buzz))
    }),
    ("hair-afro", |f| truth(f.hair.style == HairStyle::Afro)),
    ("clothes-light", |f| f.clothes.lightness_percent.into()),
    ("clothes-red", |f| clothes(f).red_minus_blue()),
    ("clothes-green", |f| clothes(f).green_minus_others()),
    ("back-light", |f| f.scenery.lightness_percent.into()),
    ("back-red", |f| background(f).red_minus_blue()),
    ("back-green", |f| background(f).green_minus_others()),
    ("horizon", |f| {
        truth(f.scenery.background == Background::Horizon)
    }),
    ("spot", |f| truth(f.scenery.background == Background::Spot)),
    ("bokeh", |f| {
        truth(f.scenery.background == Background::Bokeh)
    }),
    ("light-right", |f| f.scenery.light_right_percent.into()),
];

fn truth(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

/// From dark to light; colours that are drawn alike in lightness share a number.
fn hair_lightness(factors: &Factors) -> f64 {
    match factors.hair.color {
        HairColor::Black => 0.13,
        HairColor::DarkBrown => 0.2,
        HairColor::Auburn => 0.28,
        HairColor::Chestnut => 0.31,
        HairColor::Ginger => 0.47,
        HairColor::DarkBlond => 0.53,
        HairColor::Gray => 0.58,
        HairColor::Blond => 0.74,
        HairColor::White => 0.87,
    }
}

/// A hue and how far it is from grey: what the channels of the colour differ by.
struct Chroma {
    hue_degrees: f64,
    strength: f64,
}

impl Chroma {
    fn new(hue_degrees: i32, saturation_percent: i32, lightness_percent: i32) -> Self {
        let lightness = f64::from(lightness_percent) / 100.;
        let saturation = f64::from(saturation_percent) / 100.;
        Self {
            hue_degrees: hue_degrees.into(),
            strength: saturation * (1. - (2. * lightness - 1.).abs()),
        }
    }

    /// The most where the hue is orange, the least where it is azure.
    fn red_minus_blue(&self) -> f64 {
        self.strength * (self.hue_degrees - 30.).to_radians().cos()
    }

    /// The most where the hue is green, the least where it is magenta.
    fn green_minus_others(&self) -> f64 {
        self.strength * (self.hue_degrees - 120.).to_radians().cos()
    }
}

fn clothes(factors: &Factors) -> Chroma {
    let clothes = &factors.clothes;
    Chroma::new(
        clothes.hue_degrees,
        clothes.saturation_percent,
        clothes.lightness_percent,
    )
}

fn background(factors: &Factors) -> Chroma {
    let scenery = &factors.scenery;
    Chroma::new(
        scenery.hue_degrees,
        scenery.saturation_percent,
        scenery.lightness_percent,
    )
}
