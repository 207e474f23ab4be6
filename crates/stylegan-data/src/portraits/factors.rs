//! What varies between portraits, and how it is drawn at random.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Seed of the portrait set; another one would be another set.
const SEED: u64 = 2019;

/// Everything that a portrait is drawn from. All numbers are whole, all "left" and "right" are as
/// seen by the viewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factors {
    /// How the head is held and where it is.
    pub pose: Pose,
    /// Shape and colour of the face.
    pub face: Face,
    /// Eyes and brows.
    pub eyes: Eyes,
    /// Mouth.
    pub mouth: Mouth,
    /// Hair.
    pub hair: Hair,
    /// Beard.
    pub beard: Beard,
    /// Glasses.
    pub glasses: Glasses,
    /// Whether there are earrings; long hair may hide them.
    pub earrings: bool,
    /// Clothes.
    pub clothes: Clothes,
    /// Background and light.
    pub scenery: Scenery,
}

impl Factors {
    /// Class for conditional training: the position of the hair style in [`HairStyle::ALL`].
    pub fn class(&self) -> usize {
        self.hair.style as usize
    }
}

/// How the head is held and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pose {
    /// Turn about the vertical axis in degrees, -36 (to the left) to 36.
    pub turn_degrees: i32,
    /// Nod in degrees, -10 (up) to 12 (down).
    pub nod_degrees: i32,
    /// Tilt in the picture plane in degrees, -12 to 12 (clockwise).
    pub tilt_degrees: i32,
    /// Shift to the right in percent of the width, -6 to 6.
    pub right_percent: i32,
    /// Shift down in percent of the height, -3 to 3.
    pub down_percent: i32,
    /// Size of the head in percent, 88 to 112.
    pub scale_percent: i32,
}

/// Shape and colour of the face.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Face {
    /// Width in percent of the usual one, 91 to 109.
    pub width_percent: i32,
    /// Jaw from 0 (pointed) to 100 (broad).
    pub jaw_percent: i32,
    /// Chin from 0 (short) to 100 (long).
    pub chin_percent: i32,
    /// Nose from 0 (small) to 100 (large).
    pub nose_percent: i32,
    /// Skin from 0 (light) to 100 (dark).
    pub skin_percent: i32,
    /// Undertone of the skin from 0 (rosy) to 100 (golden).
    pub undertone_percent: i32,
    /// Blush on the cheeks from 0 to 100.
    pub blush_percent: i32,
}

/// Eyes and brows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eyes {
    /// Colour of the iris.
    pub iris: IrisColor,
    /// Horizontal gaze from -100 (left) to 100 (right).
    pub gaze_right_percent: i32,
    /// Vertical gaze from -100 (up) to 100 (down).
    pub gaze_down_percent: i32,
    /// How far the eyes are open, 55 to 100.
    pub open_percent: i32,
    /// How far the brows are raised, -100 (frown) to 100.
    pub brow_percent: i32,
    /// Thickness of the brows, 0 (thin) to 100.
    pub brow_thickness_percent: i32,
}

/// Mouth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mouth {
    /// Smile from -30 (corners down) to 100.
    pub smile_percent: i32,
    /// Opening from 0 (closed) to 100.
    pub open_percent: i32,
    /// Fullness of the lips from 0 to 100.
    pub lips_percent: i32,
    /// Lipstick from 0 (none) to 100 (red).
    pub red_percent: i32,
}

/// Hair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hair {
    /// Cut.
    pub style: HairStyle,
    /// Colour.
    pub color: HairColor,
    /// Lightness within the colour, -100 to 100.
    pub lightness_percent: i32,
    /// Volume from 0 (flat) to 100.
    pub volume_percent: i32,
    /// Whether the parting is on the right.
    pub parted_right: bool,
}

/// Clothes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clothes {
    /// Kind of garment.
    pub garment: Garment,
    /// Hue in degrees of the colour circle, 0 (red) to 359.
    pub hue_degrees: i32,
    /// Saturation, 8 to 70.
    pub saturation_percent: i32,
    /// Lightness, 22 to 78.
    pub lightness_percent: i32,
}

/// Background and light.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenery {
    /// Kind of background.
    pub background: Background,
    /// Main hue in degrees of the colour circle, 0 (red) to 359.
    pub hue_degrees: i32,
    /// Distance to the second hue in degrees, -60 to 60.
    pub hue_step_degrees: i32,
    /// Saturation, 10 to 46.
    pub saturation_percent: i32,
    /// Lightness, 30 to 80.
    pub lightness_percent: i32,
    /// Where the light comes from, -100 (left) to 100 (right); always from above.
    pub light_right_percent: i32,
}

/// An enumeration of unit variants with a list of them all.
macro_rules! choices {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// All variants, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];
        }
    };
}

choices! {
    /// Cut of the hair.
    HairStyle {
        /// None at all.
        Bald,
        /// A few millimetres.
        Buzz,
        /// Short, brushed to one side.
        Short,
        /// Swept up from the forehead.
        Quiff,
        /// Short curls.
        Curly,
        /// A large round afro.
        Afro,
        /// To the chin, with a fringe.
        Bob,
        /// Over the shoulders, parted.
        Long,
        /// Long and wavy.
        Wavy,
        /// Drawn back into a bun on top.
        Bun,
    }
}

choices! {
    /// Colour of the hair.
    HairColor {
        /// Black.
        Black,
        /// Dark brown.
        DarkBrown,
        /// Chestnut.
        Chestnut,
        /// Auburn.
        Auburn,
        /// Ginger.
        Ginger,
        /// Dark blond.
        DarkBlond,
        /// Blond.
        Blond,
        /// Gray.
        Gray,
        /// White.
        White,
    }
}

choices! {
    /// Colour of the iris.
    IrisColor {
        /// Dark brown.
        DarkBrown,
        /// Brown.
        Brown,
        /// Hazel.
        Hazel,
        /// Green.
        Green,
        /// Blue.
        Blue,
        /// Gray.
        Gray,
    }
}

choices! {
    /// Beard.
    Beard {
        /// Shaven or none.
        None,
        /// A few days old.
        Stubble,
        /// A moustache.
        Moustache,
        /// Chin and moustache.
        Goatee,
        /// A full beard.
        Full,
    }
}

choices! {
    /// Glasses.
    Glasses {
        /// No glasses.
        None,
        /// Round frames.
        Round,
        /// Rectangular frames.
        Square,
        /// Dark glasses.
        Sun,
    }
}

choices! {
    /// Kind of garment.
    Garment {
        /// Round neckline.
        Crew,
        /// Neckline with a point.
        Vneck,
        /// Shirt with a collar.
        Shirt,
        /// Turtleneck.
        Turtleneck,
        /// Jacket over a shirt.
        Jacket,
    }
}

choices! {
    /// Kind of background.
    Background {
        /// A slanted gradient.
        Gradient,
        /// A bright spot behind the head.
        Spot,
        /// Sky over a horizon.
        Horizon,
        /// Lights out of focus.
        Bokeh,
    }
}

/// The factors of portrait `index`; every index has some, the embedded dataset holds the first
/// [`COUNT`](super::COUNT).
pub fn factors(index: usize) -> Factors {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    rng.set_stream(index as u64);
    let mut draws = Draws(rng);
    Factors {
        pose: draws.pose(),
        face: draws.face(),
        eyes: draws.eyes(),
        mouth: draws.mouth(),
        hair: draws.hair(),
        beard: draws.weighted(Beard::ALL, &[68, 10, 6, 6, 10]),
        glasses: draws.weighted(Glasses::ALL, &[70, 13, 12, 5]),
        earrings: draws.chance(20),
        clothes: draws.clothes(),
        scenery: draws.scenery(),
    }
}

struct Draws(ChaCha8Rng);

impl Draws {
    /// Uniform, both ends included.
    fn uniform(&mut self, from: i32, to: i32) -> i32 {
        self.0.random_range(from..=to)
    }

    /// The mean of two uniform draws: values in the middle are likelier.
    fn central(&mut self, from: i32, to: i32) -> i32 {
        (self.uniform(from, to) + self.uniform(from, to)) / 2
    }

    fn chance(&mut self, percent: i32) -> bool {
        self.uniform(1, 100) <= percent
    }

    fn weighted<T: Copy>(&mut self, choices: &[T], weights: &[i32]) -> T {
        let mut left = self.uniform(1, weights.iter().sum());
        let chosen = weights.iter().position(|&weight| {
            left -= weight;
            left <= 0
        });
        choices[chosen.unwrap_or(0)]
    }

    fn pose(&mut self) -> Pose {
        Pose {
            turn_degrees: self.central(-36, 36),
            nod_degrees: self.central(-10, 12),
            tilt_degrees: self.central(-12, 12),
            right_percent: self.central(-6, 6),
            down_percent: self.central(-3, 3),
            scale_percent: self.central(88, 112),
        }
    }

    fn face(&mut self) -> Face {
        Face {
            width_percent: self.central(91, 109),
            jaw_percent: self.uniform(0, 100),
            chin_percent: self.uniform(0, 100),
            nose_percent: self.uniform(0, 100),
            skin_percent: self.uniform(0, 100),
            undertone_percent: self.uniform(0, 100),
            blush_percent: self.uniform(0, 100),
        }
    }

    fn eyes(&mut self) -> Eyes {
        Eyes {
            iris: self.weighted(IrisColor::ALL, &[30, 24, 12, 10, 16, 8]),
            gaze_right_percent: self.central(-100, 100),
            gaze_down_percent: self.central(-100, 100),
            open_percent: self.uniform(55, 100),
            brow_percent: self.central(-100, 100),
            brow_thickness_percent: self.uniform(0, 100),
        }
    }

    fn mouth(&mut self) -> Mouth {
        Mouth {
            smile_percent: self.uniform(-30, 100),
            open_percent: match self.chance(38) {
                true => self.uniform(25, 100),
                false => 0,
            },
            lips_percent: self.uniform(0, 100),
            red_percent: match self.chance(30) {
                true => self.uniform(30, 100),
                false => 0,
            },
        }
    }

    fn hair(&mut self) -> Hair {
        Hair {
            style: self.weighted(HairStyle::ALL, &[5, 8, 14, 11, 11, 8, 12, 13, 11, 7]),
            color: self.weighted(HairColor::ALL, &[20, 19, 15, 8, 8, 8, 11, 7, 4]),
            lightness_percent: self.uniform(-100, 100),
            volume_percent: self.uniform(0, 100),
            parted_right: self.chance(50),
        }
    }

    fn clothes(&mut self) -> Clothes {
        Clothes {
            garment: self.weighted(Garment::ALL, &[28, 18, 20, 16, 18]),
            hue_degrees: self.uniform(0, 359),
            saturation_percent: self.uniform(8, 70),
            lightness_percent: self.uniform(22, 78),
        }
    }

    fn scenery(&mut self) -> Scenery {
        Scenery {
            background: self.weighted(Background::ALL, &[36, 30, 16, 18]),
            hue_degrees: self.uniform(0, 359),
            hue_step_degrees: self.uniform(-60, 60),
            saturation_percent: self.uniform(10, 46),
            lightness_percent: self.uniform(30, 80),
            light_right_percent: self.uniform(-100, 100),
        }
    }
}
