//! `latent-grid`: pictures that change in two directions.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use candle_core::Tensor;
use stylegan_mapping::walk::{Geometry, Interpolation, Walk};

use crate::pictures::{
    FormatArg, Latent, LatentArgs, NetworkArgs, PictureFolder, PictureMaker, SaveW, Shot, Space,
};
use crate::progress::Terminal;
use crate::seeds::GridSize;

const EXAMPLES: &str = "\
Examples:
  Everything between four pictures, which stand in the corners:
    cargo xtask latent-grid --network runs/00000-portraits-auto-batch16 --seeds 85,100,75,458 --trunc 0.7
  One picture in the middle, changed towards and away from two others:
    cargo xtask latent-grid --network ffhq.pkl --seeds 85,100,75 --x -1:1 --y -1:1

grid.png has all pictures side by side. Every picture is also written as ROW-COLUMN.png, counted from
0-0 at the left top. Existing pictures of these names are replaced.";

/// Make a grid of pictures that change in two directions
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Four pictures for the corners (left top, right top, left bottom, right bottom), or three for the
    /// middle and what it changes towards (to the right, down)
    #[command(flatten)]
    latents: LatentArgs,

    /// Space of what is between corners: w along straight lines, z on a sphere
    #[arg(long, value_name = "SPACE", default_value = "w")]
    space: Space,

    /// How far the pictures go to the right [default: 0:1 for corners, -1:1 for three pictures]
    #[arg(long, value_name = "FROM:TO", allow_hyphen_values = true)]
    x: Option<Range>,

    /// How far they go down, with the same defaults
    #[arg(long, value_name = "FROM:TO", allow_hyphen_values = true)]
    y: Option<Range>,

    /// Columns and rows
    #[arg(long, value_name = "CxR", default_value = "7x7")]
    grid: GridSize,

    /// Folder for the pictures, made where it is missing
    #[arg(long, value_name = "DIR", default_value = "latent-grid")]
    outdir: PathBuf,

    #[command(flatten)]
    format: FormatArg,

    #[command(flatten)]
    save_w: SaveW,

    #[command(flatten)]
    network: NetworkArgs,
}

/// From the first to the last column or row.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Range {
    from: f64,
    to: f64,
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse().ok().filter(|n: &f64| n.is_finite());
        let parse = || {
            let (from, to) = text.split_once(':')?;
            Some(Self {
                from: number(from)?,
                to: number(to)?,
            })
        };
        parse().ok_or_else(|| "expected FROM:TO, such as -1:1".to_string())
    }
}

impl Range {
    /// The value of a column or row; a single one is in the middle.
    fn at(self, number: usize, count: usize) -> f64 {
        let (before, after) = match count {
            1 => (1., 1.),
            _ => ((count - 1 - number) as f64, number as f64),
        };
        (self.from * before + self.to * after) / (before + after)
    }
}

/// Runs `latent-grid`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    args.save_w.check()?;
    if let Some(count) = args.latents.seeds() {
        check_count(count)?;
    }
    let maker = args.network.open("latent-grid", terminal)?;
    let latents = args.latents.read(&maker)?;
    let plane = Plane::new(args, &latents, &maker)?;
    let [x, y] = [args.x, args.y].map(|range| range.unwrap_or(plane.usual_range()));
    plane.check_range("--x", x)?;
    plane.check_range("--y", y)?;
    let GridSize { cols, rows } = args.grid;
    let mut sheet = maker.sheet(cols, rows).context("--grid")?;
    let mut ws = Vec::with_capacity(cols * rows);
    for row in 0..rows {
        for column in 0..cols {
            ws.push(plane.at(x.at(column, cols), y.at(row, rows), &maker)?);
        }
    }
    let mut folder = PictureFolder::create(&args.outdir, args.format)?;
    let shot = |number: usize| {
        Ok(Shot {
            ws: ws[number].clone(),
            // The detail is the same everywhere.
            noise_seed: latents[0].noise_seed,
        })
    };
    maker.pictures(ws.len(), shot, |number, picture| {
        folder.save(&picture, &format!("{}-{}", number / cols, number % cols))?;
        Ok(sheet.push(&picture)?)
    })?;
    folder.save(&sheet.into_image(), "grid")?;
    folder.finish(terminal);
    args.save_w.write(&ws, terminal)
}

fn check_count(count: usize) -> Result<()> {
    ensure!(
        count == 3 || count == 4,
        "expected 4 pictures for the corners, or 3 for the middle and two that it changes towards, \
         found {count}"
    );
    Ok(())
}

/// The latents that a grid shows a part of.
enum Plane {
    /// ws at (0, 0), (1, 0), (0, 1) and (1, 1).
    Corners([Tensor; 4]),
    /// The ways from corner to corner at the top and at the bottom, through z.
    CornersOnSphere([Walk; 2]),
    /// ws at (0, 0), (1, 0) and (0, 1).
    Axes([Tensor; 3]),
}

impl Plane {
    fn new(args: &Args, latents: &[Latent], maker: &PictureMaker) -> Result<Self> {
        check_count(latents.len())?;
        if args.space == Space::Z {
            return Self::on_sphere(latents);
        }
        let ws = latents.iter().map(|latent| maker.ws(latent));
        let ws = ws.collect::<Result<Vec<_>>>()?;
        match <[Tensor; 4]>::try_from(ws) {
            Ok(corners) => Ok(Self::Corners(corners)),
            Err(ws) => match <[Tensor; 3]>::try_from(ws) {
                Ok(axes) => Ok(Self::Axes(axes)),
                Err(ws) => bail!("expected 3 or 4 pictures, found {}", ws.len()),
            },
        }
    }

    fn on_sphere(latents: &[Latent]) -> Result<Self> {
        let z = latents.iter().map(|latent| latent.z().cloned());
        let z: Option<Vec<Tensor>> = z.collect();
        let z = z.context("--space z: the w of files have no z; leave the option out")?;
        ensure!(
            z.len() == 4,
            "--space z: is for four corners, but there are {} pictures; leave the option out",
            z.len()
        );
        let walk =
            |ends: &[Tensor]| Walk::new(ends, Geometry::Sphere, Interpolation::Linear, false);
        Ok(Self::CornersOnSphere([walk(&z[..2])?, walk(&z[2..])?]))
    }

    fn usual_range(&self) -> Range {
        let (from, to) = match self {
            Self::Corners(_) | Self::CornersOnSphere(_) => (0., 1.),
            Self::Axes(_) => (-1., 1.),
        };
        Range { from, to }
    }

    /// On the sphere there is nothing outside of the corners.
    fn check_range(&self, option: &str, Range { from, to }: Range) -> Result<()> {
        let is_inside = [from, to].iter().all(|end| (0. ..=1.).contains(end));
        ensure!(
            is_inside || !matches!(self, Self::CornersOnSphere(_)),
            "{option} {from}:{to}: with --space z must be from 0 to 1"
        );
        Ok(())
    }

    /// The ws `[1, num_ws, w_dim]` of a place.
    fn at(&self, x: f64, y: f64, maker: &PictureMaker) -> Result<Tensor> {
        match self {
            Self::Corners([a, b, c, d]) => {
                let (top, bottom) = (between(a, b, x)?, between(c, d, x)?);
                Ok(between(&top, &bottom, y)?)
            }
            Self::CornersOnSphere(sides) => {
                let [top, bottom] = sides;
                let ends = [top.at(x)?, bottom.at(x)?];
                let down = Walk::new(&ends, Geometry::Sphere, Interpolation::Linear, false)?;
                maker.ws_of_z(&down.at(y)?, maker.trained().label()?.as_ref())
            }
            Self::Axes([origin, right, down]) => {
                let step = |end: &Tensor, part: f64| (end - origin)? * part;
                Ok(((origin + step(right, x)?)? + step(down, y)?)?)
            }
        }
    }
}

/// `(1 - part) a + part b`
fn between(a: &Tensor, b: &Tensor, part: f64) -> candle_core::Result<Tensor> {
    (a * (1. - part))? + (b * part)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_spread_evenly_and_one_is_in_the_middle() {
        let range: Range = "-1:2".parse().unwrap();
        let columns = |count| (0..count).map(|n| range.at(n, count)).collect::<Vec<_>>();
        assert_eq!(columns(4), [-1., 0., 1., 2.]);
        assert_eq!(columns(1), [0.5]);
        for wrong in ["", "1", "1:", "a:1", "0:inf", "1:2:3"] {
            assert!(wrong.parse::<Range>().is_err(), "{wrong}");
        }
    }
}
