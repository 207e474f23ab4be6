//! `latent-grid`: pictures that change in two directions.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use candle_core::Tensor;
use stylegan_edit::{Direction, Unit};
use stylegan_mapping::walk::{Geometry, Interpolation, Walk};

use crate::edit::{Chosen, UnitArg};
use crate::pictures::{
    FormatArg, Latent, LatentArgs, NetworkArgs, PictureFolder, PictureMaker, SaveW, Shot, Space,
};
use crate::progress::Terminal;
use crate::seeds::GridSize;
use crate::styles::Styles;

const EXAMPLES: &str = "\
Examples:
  Everything between four pictures, which stand in the corners:
    cargo xtask latent-grid --network runs/00000-portraits-auto-batch16 \\
        --seeds 85,100,75,458 --trunc 0.7
  One picture in the middle, changed towards and away from two others:
    cargo xtask latent-grid --network ffhq.pkl --seeds 85,100,75 --x -1:1 \\
        --y -1:1
  One picture, changed in two directions that edit factorize has found:
    cargo xtask latent-grid --network ffhq.pkl --seeds 85 \\
        --directions sefa.safetensors --only sefa1,sefa6

grid.png has all pictures side by side. Every picture is also written as ROW-COLUMN.png, counted \
from 0-0 at the left top. Existing pictures of these names are replaced.";

/// Make a grid of pictures that change in two directions
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Four pictures for the corners (left top, right top, left bottom, right bottom), three for the middle and
    /// what it changes towards (to the right, down), or one that --directions change
    #[command(flatten)]
    latents: LatentArgs,

    /// Space of what is between corners: w along straight lines, z on a sphere
    #[arg(long, value_name = "SPACE", default_value = "w")]
    space: Space,

    /// How far the pictures go to the right
    /// [default: 0:1 for corners, -1:1 for three pictures, -3:3 with --directions]
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
    directions: TwoDirections,

    #[command(flatten)]
    network: NetworkArgs,
}

/// What changes to the right and down, in the place of other pictures.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Directions")]
struct TwoDirections {
    /// File of directions that edit factorize, edit pca or edit boundary wrote; two of them change the one picture
    /// that is given, with the strengths of --x and --y
    #[arg(long, value_name = "FILE", conflicts_with = "space")]
    directions: Option<PathBuf>,

    /// The direction to the right and the one down, such as sefa1,sefa6 [default: the first two of the file]
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        requires = "directions"
    )]
    only: Vec<String>,

    /// What a strength of 1 is
    #[arg(
        long,
        value_name = "UNIT",
        default_value = "sigma",
        requires = "directions"
    )]
    unit: UnitArg,

    /// Layers to change: coarse, middle, fine, several of them such as coarse,middle, or numbers of layers such
    /// as 0-5 [default: those that each direction was found in]
    #[arg(long, value_name = "LAYERS", requires = "directions")]
    layers: Option<Styles>,
}

impl TwoDirections {
    /// The directions of the option, before there is a network.
    fn read(&self) -> Result<Option<Chosen<'_>>> {
        let Some(path) = &self.directions else {
            return Ok(None);
        };
        ensure!(
            matches!(self.only.len(), 0 | 2),
            "--only: expected two directions, the one to the right and the one down, found {}",
            self.only.len()
        );
        let chosen = Chosen::read(path, &self.only, self.layers.as_ref())?;
        ensure!(
            chosen.names().len() >= 2,
            "--directions {}: expected two directions or more, found {}; edit boundary --append adds to the file",
            path.display(),
            chosen.names().join(", ")
        );
        Ok(Some(chosen))
    }
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
    let directions = args.directions.read()?;
    let check_count = |count| check_count(count, directions.is_some());
    args.latents.seeds().map_or(Ok(()), check_count)?;
    let maker = args.network.open("latent-grid", terminal)?;
    let latents = args.latents.read(&maker)?;
    check_count(latents.len())?;
    let plane = match directions {
        Some(directions) => Plane::of_directions(args, directions, &latents[0], &maker)?,
        None => Plane::new(args, &latents, &maker)?,
    };
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
            noise: latents[0].noise.clone(),
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

fn check_count(count: usize, has_directions: bool) -> Result<()> {
    ensure!(
        !has_directions || count == 1,
        "--directions: expected 1 picture to change, found {count}"
    );
    ensure!(
        has_directions || count == 3 || count == 4,
        "expected 4 pictures for the corners, 3 for the middle and two that it changes towards, or 1 \
         with --directions, found {count}"
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
    /// ws at (0, 0), and what changes them to the right and down.
    Directions {
        ws: Tensor,
        axes: [Direction; 2],
        unit: Unit,
    },
}

impl Plane {
    fn new(args: &Args, latents: &[Latent], maker: &PictureMaker) -> Result<Self> {
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

    /// The first two of the directions.
    fn of_directions(
        args: &Args,
        directions: Chosen,
        latent: &Latent,
        maker: &PictureMaker,
    ) -> Result<Self> {
        let mut directions = directions.for_network(maker.trained())?;
        directions.truncate(2);
        match <[Direction; 2]>::try_from(directions) {
            Ok(axes) => Ok(Self::Directions {
                ws: maker.ws(latent)?,
                axes,
                unit: args.directions.unit.into(),
            }),
            Err(found) => bail!("expected 2 directions, found {}", found.len()),
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
            Self::Directions { .. } => (-3., 3.),
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
            Self::Directions { ws, axes, unit } => {
                let [right, down] = axes;
                let ws = right.apply(ws, x, *unit, &right.layers)?;
                Ok(down.apply(&ws, y, *unit, &down.layers)?)
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
