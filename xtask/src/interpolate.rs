//! `interpolate`: a video that leads from picture to picture.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use candle_core::Tensor;
use stylegan_mapping::walk::{self, Geometry, Walk};

use crate::pictures::{
    Latent, LatentArgs, NetworkArgs, PictureMaker, PictureNoise, Shot, Space, VideoArgs,
};
use crate::progress::Terminal;
use crate::seeds::{GridSize, Numbers};

/// The most frames between two keyframes.
const MOST_FRAMES: usize = 100_000;

const EXAMPLES: &str = "\
Examples:
  From seed to seed and back to the first, two seconds each, as a video for any browser:
    cargo xtask interpolate --network runs/00000-portraits-auto-batch16 \\
        --seeds 85,100,75,458 --loop --trunc 0.7 --out walk.mp4
  Six walks beside each other, each through four of the seeds, without bends:
    cargo xtask interpolate --network ffhq.pkl --seeds 0-23 --grid 3x2 --loop \\
        --interpolation cubic
  From one projected picture to another, as a GIF:
    cargo xtask interpolate --network ffhq.pkl \\
        --latents me/projected_w.npz you/projected_w.npz --out morph.gif \\
        --fps 20
  One seed through the classes of a network with labels:
    cargo xtask interpolate --network cifar10.pkl --seeds 3,3,3 \\
        --classes 0,1,2 --loop

Seeds and z are joined on the sphere that z are from, ws along straight lines. The noise is the \
same in all frames of a walk, also with --noise-mode random. The name decides the format: .mp4 \
(H.264), .webp, .gif, or that of a folder for numbered frames. An existing file is replaced.";

/// Make a video that leads from picture to picture
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    latents: LatentArgs,

    /// Where the way leads through: z on a sphere, w along straight lines
    /// [default: z for seeds and z, w for files of w]
    #[arg(long, value_name = "SPACE")]
    space: Option<Space>,

    /// How it passes the pictures given: linear with a bend at each, cubic without
    #[arg(long, value_name = "WAY", default_value = "linear")]
    interpolation: Interpolation,

    /// Frames from one picture given to the next
    #[arg(
        long,
        visible_alias = "w-frames",
        value_name = "N",
        default_value_t = 60
    )]
    frames: usize,

    /// Go on from the last to the first, so that the video can be repeated without a jump
    #[arg(long = "loop")]
    is_loop: bool,

    /// Several walks beside each other, in columns and rows such as 4x2; the pictures given are divided among
    /// them, row by row
    #[arg(long, value_name = "CxR", default_value = "1x1")]
    grid: GridSize,

    /// The class of each picture given, such as 0,3,3, in the place of --class
    #[arg(long, value_name = "LIST", conflicts_with = "class")]
    classes: Option<Numbers>,

    /// Video to write: .mp4, .webp, .gif, or a folder for frames
    #[arg(
        long,
        visible_alias = "output",
        value_name = "FILE|DIR",
        default_value = "walk.mp4"
    )]
    out: PathBuf,

    #[command(flatten)]
    video: VideoArgs,

    #[command(flatten)]
    network: NetworkArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Interpolation {
    Linear,
    Cubic,
}

impl From<Interpolation> for walk::Interpolation {
    fn from(interpolation: Interpolation) -> Self {
        match interpolation {
            Interpolation::Linear => Self::Linear,
            Interpolation::Cubic => Self::Cubic,
        }
    }
}

/// Runs `interpolate`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    ensure!(
        (1..=MOST_FRAMES).contains(&args.frames),
        "--frames {}: must be from 1 to {MOST_FRAMES}",
        args.frames
    );
    if let Some(count) = args.latents.seeds() {
        args.keyframes_of_a_walk(count)?;
    }
    let mut video = args.video.create(&args.out)?;
    let maker = args.network.open("interpolate", terminal)?;
    let latents = args.latents.read(&maker)?;
    let space = space(args.space, &latents)?;
    let of_each = args.keyframes_of_a_walk(latents.len())?;
    let keyframes = keyframes(args, &latents, &maker)?;
    let cells = keyframes.chunks(of_each);
    let walks = cells.map(|keyframes| CellWalk::new(args, space, keyframes, &maker));
    let walks: Vec<CellWalk> = walks.collect::<Result<_>>()?;
    let mut frames = walks[0].duration() * args.frames;
    if !args.is_loop {
        // The last of the pictures given.
        frames += 1;
    }
    let GridSize { cols, rows } = args.grid;
    let blank = maker.sheet(cols, rows)?;
    let mut sheet = blank.clone();
    let shot = |number: usize| {
        let (frame, cell) = (number / walks.len(), number % walks.len());
        walks[cell].shot(frame as f64 / args.frames as f64, &maker)
    };
    maker.pictures(frames * walks.len(), shot, |number, picture| {
        sheet.push(&picture)?;
        if (number + 1) % walks.len() == 0 {
            let frame = std::mem::replace(&mut sheet, blank.clone());
            video.add(&frame.into_image())?;
        }
        Ok(())
    })?;
    video.finish(terminal)
}

impl Args {
    /// How many of the pictures given each walk has.
    fn keyframes_of_a_walk(&self, count: usize) -> Result<usize> {
        let GridSize { cols, rows } = self.grid;
        let cells = cols * rows;
        if count >= 2 * cells && count.is_multiple_of(cells) {
            return Ok(count / cells);
        }
        if cells == 1 {
            bail!("expected at least 2 pictures to lead from one to another, found {count}")
        }
        bail!(
            "--grid {cols}x{rows}: expected as many pictures for each of {cells} walks, 2 or more, \
             found {count} for all"
        )
    }
}

/// The space that the way leads through.
fn space(asked: Option<Space>, latents: &[Latent]) -> Result<Space> {
    let have_z = latents.iter().all(|latent| latent.z().is_some());
    match (asked, have_z) {
        (None, true) => Ok(Space::Z),
        (None, false) => Ok(Space::W),
        (Some(Space::Z), false) => {
            bail!("--space z: the w of files have no z; leave the option out")
        }
        (Some(space), _) => Ok(space),
    }
}

/// A picture given, and the label that its z is mapped with; `None` without labels, and of a w.
struct Keyframe<'a> {
    latent: &'a Latent,
    label: Option<Tensor>,
}

/// The pictures given, each with its class.
fn keyframes<'a>(
    args: &Args,
    latents: &'a [Latent],
    maker: &PictureMaker,
) -> Result<Vec<Keyframe<'a>>> {
    let trained = maker.trained();
    let labels = match &args.classes {
        Some(Numbers(classes)) => {
            ensure!(
                classes.len() == latents.len(),
                "--classes: expected one for each of {} pictures, found {}",
                latents.len(),
                classes.len()
            );
            let label = |&class: &u32| trained.label_of("--classes", class as usize);
            Some(classes.iter().map(label).collect::<Result<Vec<_>>>()?)
        }
        None => None,
    };
    let keyframes = latents.iter().enumerate().map(|(number, latent)| {
        let label = match (&labels, latent.z()) {
            (Some(_), None) => {
                bail!("--classes: the w of files have no class; leave the option out")
            }
            (None, None) => None,
            (Some(labels), Some(_)) => Some(labels[number].clone()),
            (None, Some(_)) => trained.label()?,
        };
        Ok(Keyframe { latent, label })
    });
    keyframes.collect()
}

/// What one cell of the video shows.
struct CellWalk {
    way: Way,
    noise: PictureNoise,
}

enum Way {
    /// Through z, and through the labels that they are mapped with.
    Z {
        z: Walk,
        label: Option<Walk>,
    },
    W(Walk),
}

impl CellWalk {
    fn new(
        args: &Args,
        space: Space,
        keyframes: &[Keyframe],
        maker: &PictureMaker,
    ) -> Result<Self> {
        let interpolation = args.interpolation.into();
        let way = match space {
            Space::Z => {
                let z = keyframes
                    .iter()
                    .filter_map(|keyframe| keyframe.latent.z().cloned());
                let z: Vec<Tensor> = z.collect();
                let labels = keyframes
                    .iter()
                    .filter_map(|keyframe| keyframe.label.clone());
                let labels: Vec<Tensor> = labels.collect();
                let label = match labels.is_empty() {
                    true => None,
                    false => Some(Walk::new(
                        &labels,
                        Geometry::Flat,
                        walk::Interpolation::Linear,
                        args.is_loop,
                    )?),
                };
                let z = Walk::new(&z, Geometry::Sphere, interpolation, args.is_loop)?;
                Way::Z { z, label }
            }
            Space::W => {
                let ws = keyframes.iter().map(|keyframe| match keyframe.latent.z() {
                    Some(z) => maker.ws_of_z(z, keyframe.label.as_ref()),
                    None => maker.ws(keyframe.latent),
                });
                let ws: Vec<Tensor> = ws.collect::<Result<_>>()?;
                Way::W(Walk::new(&ws, Geometry::Flat, interpolation, args.is_loop)?)
            }
        };
        Ok(Self {
            way,
            noise: keyframes[0].latent.noise.clone(),
        })
    }

    fn duration(&self) -> usize {
        match &self.way {
            Way::Z { z: walk, .. } | Way::W(walk) => walk.duration(),
        }
    }

    /// The picture at a time.
    fn shot(&self, time: f64, maker: &PictureMaker) -> Result<Shot> {
        let ws = match &self.way {
            Way::Z { z, label } => {
                let label = match label {
                    Some(label) => Some(label.at(time)?),
                    None => None,
                };
                maker.ws_of_z(&z.at(time)?, label.as_ref())?
            }
            Way::W(walk) => walk.at(time)?,
        };
        Ok(Shot {
            ws,
            noise: self.noise.clone(),
        })
    }
}
