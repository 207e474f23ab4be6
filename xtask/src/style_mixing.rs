//! `style-mixing`: pictures that take some of their styles from others.

mod styles;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;

use anyhow::{Context, Result};
use candle_core::Tensor;
use image::DynamicImage;
use stylegan_data::grid::{self, Place, Table};

use self::styles::{Scale, Styles};
use crate::pictures::{NetworkArgs, PictureFolder, PictureMaker};
use crate::progress::Terminal;
use crate::seeds::Seeds;

const EXAMPLES: &str = "\
Examples:
  Where pictures of two rows meet those of three columns, the styles of 16x16 and 32x32:
    cargo xtask style-mixing --network runs/00000-portraits-stylegan1-batch16 --rows 85,100 \\
        --cols 55,821,1789 --styles middle
  The figure of the StyleGAN paper, all scales one under the other:
    cargo xtask style-mixing --network runs/00000-portraits-stylegan1-batch16 --rows 85,100 \\
        --cols 55,821,1789 --styles coarse,middle,fine

grid.png has the pictures of --rows at the left (A), those of --cols at the top (B), and where they
meet the picture of A with the styles of B at the layers of --styles: coarse ones are pose and
shape (4x4 and 8x8), middle ones features (16x16 and 32x32), fine ones colours and texture (64x64
and up). Several scales have a band of rows each. Every picture is also written as ROW-COLUMN.png,
with several scales as ROW-COLUMN-SCALE.png, the sources as SEED-SEED.png. Existing pictures of
these names are replaced.";

/// Make a figure of pictures that take some of their styles from others
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Seeds of the pictures that are changed: numbers and ranges, such as 85,100,75
    #[arg(long, visible_alias = "row-seeds", value_name = "LIST")]
    rows: Seeds,

    /// Seeds of the pictures that styles are taken from
    #[arg(long, visible_alias = "col-seeds", value_name = "LIST")]
    cols: Seeds,

    /// Styles to take: coarse, middle, fine, several of them such as coarse,middle, or numbers of layers
    /// such as 0-6
    #[arg(
        long,
        visible_alias = "col-styles",
        value_name = "STYLES",
        default_value = "coarse"
    )]
    styles: Styles,

    /// Folder for the pictures, made where it is missing
    #[arg(long, value_name = "DIR", default_value = "mix")]
    outdir: PathBuf,

    #[command(flatten)]
    network: NetworkArgs,
}

/// A picture that others are made from.
struct Source {
    seed: u32,
    ws: Tensor,
}

/// Runs `style-mixing`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    let maker = args.network.open("style-mixing", terminal)?;
    let bands = args.styles.bands(maker.synthesis())?;
    let table = table(args, &maker, bands.len())?;
    let sources = |Seeds(seeds): &Seeds| {
        let source = |&seed| maker.ws(seed).map(|ws| Source { seed, ws });
        seeds.iter().map(source).collect::<Result<Vec<_>>>()
    };
    let (rows, columns) = (sources(&args.rows)?, sources(&args.cols)?);
    let mut figure = Figure {
        maker: &maker,
        table,
        folder: PictureFolder::create(&args.outdir)?,
        made: HashMap::new(),
    };
    for (column, b) in columns.iter().enumerate() {
        figure.add_source(Place::Column(column), b)?;
    }
    for (number, band) in bands.iter().enumerate() {
        // Without another there is nothing to tell its pictures from.
        let scale = band.scale.filter(|_| bands.len() > 1);
        for (row, a) in rows.iter().enumerate() {
            let row = number * rows.len() + row;
            figure.add_source(Place::Row(row), a)?;
            for (column, b) in columns.iter().enumerate() {
                let place = Place::Cell { row, column };
                figure.add_mix(place, a, b, scale, &band.layers)?;
            }
        }
    }
    let mut folder = figure.folder;
    folder.save(&figure.table.into_image(), "grid.png")?;
    folder.finish(terminal);
    Ok(())
}

/// The figure before anything is painted on it; too many pictures are an error before any is made.
fn table(args: &Args, maker: &PictureMaker, bands: usize) -> Result<Table> {
    let side = maker.synthesis().config().img_resolution.try_into()?;
    let (columns, rows) = (args.cols.0.len(), args.rows.0.len());
    Table::new(columns, &vec![rows; bands], (side, side)).context("--rows and --cols")
}

/// The figure and the single pictures.
struct Figure<'a> {
    maker: &'a PictureMaker,
    table: Table,
    folder: PictureFolder<'a>,
    /// By their names: pictures that the figure has several times are made once.
    made: HashMap<String, DynamicImage>,
}

impl Figure<'_> {
    fn add_source(&mut self, place: Place, source: &Source) -> Result<()> {
        let name = format!("{0}-{0}.png", source.seed);
        self.add(place, name, source.seed, || Ok(source.ws.clone()))
    }

    /// Adds a picture of `a` with the styles of `b` at some layers; its noise is that of `a`.
    fn add_mix(
        &mut self,
        place: Place,
        a: &Source,
        b: &Source,
        scale: Option<Scale>,
        layers: &[usize],
    ) -> Result<()> {
        let name = match scale {
            _ if a.seed == b.seed => return self.add_source(place, a),
            Some(scale) => format!("{}-{}-{}.png", a.seed, b.seed, scale.name()),
            None => format!("{}-{}.png", a.seed, b.seed),
        };
        self.add(place, name, a.seed, || mix(&a.ws, &b.ws, layers))
    }

    /// Makes and saves the picture of that name, where there is none yet, and paints it.
    fn add(
        &mut self,
        place: Place,
        name: String,
        noise_seed: u32,
        ws: impl FnOnce() -> Result<Tensor>,
    ) -> Result<()> {
        let picture = match self.made.entry(name) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(vacant) => {
                let picture = self.maker.picture(&ws()?, noise_seed)?;
                let picture = grid::to_image(&picture, 1, 1)?;
                self.folder.save(&picture, vacant.key())?;
                vacant.insert(picture)
            }
        };
        Ok(self.table.paint(place, picture)?)
    }
}

/// ws `[1, num_ws, w_dim]` of `a`, at some layers those of `b`.
fn mix(a: &Tensor, b: &Tensor, layers: &[usize]) -> Result<Tensor> {
    let of_layer = |layer| {
        let source = if layers.contains(&layer) { b } else { a };
        source.narrow(1, layer, 1)
    };
    let ws: Vec<Tensor> = (0..a.dim(1)?)
        .map(of_layer)
        .collect::<candle_core::Result<_>>()?;
    Ok(Tensor::cat(&ws, 1)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn chosen_layers_come_from_the_column_and_the_others_from_the_row() {
        let ws = |first: f32| {
            let values: Vec<f32> = (0..8).map(|i| first + i as f32).collect();
            Tensor::from_vec(values, (1, 4, 2), &Device::Cpu).unwrap()
        };
        let mixed = mix(&ws(0.), &ws(10.), &[0, 2]).unwrap();
        let expected = [[[10., 11.], [2., 3.], [14., 15.], [6., 7.]]];
        assert_eq!(mixed.to_vec3::<f32>().unwrap(), expected);
    }
}
