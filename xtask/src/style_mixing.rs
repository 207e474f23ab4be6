//! `style-mixing`: pictures that take some of their styles from others.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use candle_core::Tensor;
use stylegan_data::grid::{Place, Table};

use crate::pictures::{
    FormatArg, Latent, NetworkArgs, PictureFolder, PictureMaker, PictureNoise, Shot, Sources,
    Space, check_options,
};
use crate::progress::Terminal;
use crate::styles::{Band, Scale, Styles};

const EXAMPLES: &str = "\
Examples:
  Where pictures of two rows meet those of three columns, the styles of 16x16 and 32x32:
    cargo xtask style-mixing --network runs/00000-portraits-stylegan1-batch16 \\
        --rows 85,100 --cols 55,821,1789 --styles middle
  The figure of the StyleGAN paper, all scales one under the other:
    cargo xtask style-mixing --network runs/00000-portraits-stylegan1-batch16 \\
        --rows 85,100 --cols 55,821,1789 --styles coarse,middle,fine

grid.png has the pictures of --rows at the left (A), those of --cols at the top (B), and where \
they meet the picture of A with the styles of B at the layers of --styles: coarse ones are pose \
and shape (4x4 and 8x8), middle ones features (16x16 and 32x32), fine ones colours and texture \
(64x64 and up). Several scales have a band of rows each. Every picture is also written as \
ROW-COLUMN.png, with several scales as ROW-COLUMN-SCALE.png, the sources as SEED-SEED.png; latents \
of files are called row0, row1, ... and column0, column1, ... Existing pictures of these names are \
replaced.";

/// Make a figure of pictures that take some of their styles from others
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The pictures that are changed: seeds as numbers and ranges, such as 85,100,75, or a file of latents as
    /// generate takes it (.npz, .npy, .safetensors)
    #[arg(long, visible_alias = "row-seeds", value_name = "LIST|FILE")]
    rows: Sources,

    /// The pictures that styles are taken from, given in the same way
    #[arg(long, visible_alias = "col-seeds", value_name = "LIST|FILE")]
    cols: Sources,

    /// What the latents of files are where it doesn't show
    #[arg(long, value_name = "SPACE")]
    latents_space: Option<Space>,

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
    format: FormatArg,

    #[command(flatten)]
    network: NetworkArgs,
}

/// A picture that others are made from.
struct Source {
    name: String,
    noise: PictureNoise,
    ws: Tensor,
}

/// Runs `style-mixing`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    let maker = args.network.open("style-mixing", terminal)?;
    ensure!(
        maker.synthesis().config().has_styles(),
        "the network has no styles to mix: it makes a picture from the latent alone, as ProGAN does; \
         give a StyleGAN or a StyleGAN2"
    );
    let bands = args.styles.bands("--styles", maker.synthesis())?;
    let rows = args.rows.read("row", args.latents_space, &maker)?;
    let columns = args.cols.read("column", args.latents_space, &maker)?;
    check_options(&[&rows[..], &columns[..]].concat(), &maker)?;
    let mut table = table(columns.len(), rows.len(), &maker, bands.len())?;
    let sources = |latents: Vec<Latent>| {
        let source = |latent: Latent| {
            Ok(Source {
                ws: maker.ws(&latent)?,
                name: latent.name,
                noise: latent.noise,
            })
        };
        latents.into_iter().map(source).collect::<Result<Vec<_>>>()
    };
    let figure = Figure::new(&sources(rows)?, &sources(columns)?, &bands)?;
    let mut folder = PictureFolder::create(&args.outdir, args.format)?;
    let shot = |number: usize| Ok(figure.pictures[number].shot.clone());
    maker.pictures(figure.pictures.len(), shot, |number, picture| {
        let Picture { name, places, .. } = &figure.pictures[number];
        folder.save(&picture, name)?;
        for &place in places {
            table.paint(place, &picture)?;
        }
        Ok(())
    })?;
    folder.save(&table.into_image(), "grid")?;
    folder.finish(terminal);
    Ok(())
}

/// The figure before anything is painted on it; too many pictures are an error before any is made.
fn table(columns: usize, rows: usize, maker: &PictureMaker, bands: usize) -> Result<Table> {
    let side = maker.synthesis().config().img_resolution.try_into()?;
    Table::new(columns, &vec![rows; bands], (side, side)).context("--rows and --cols")
}

/// A picture of the figure, once, however often the figure shows it.
struct Picture {
    name: String,
    shot: Shot,
    places: Vec<Place>,
}

/// All pictures in the order that they are made in.
#[derive(Default)]
struct Figure {
    pictures: Vec<Picture>,
    by_name: HashMap<String, usize>,
}

impl Figure {
    fn new(rows: &[Source], columns: &[Source], bands: &[Band]) -> Result<Self> {
        let mut figure = Self::default();
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
        Ok(figure)
    }

    fn add_source(&mut self, place: Place, source: &Source) -> Result<()> {
        let name = format!("{0}-{0}", source.name);
        self.add(place, name, &source.noise, || Ok(source.ws.clone()))
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
            _ if a.name == b.name => return self.add_source(place, a),
            Some(scale) => format!("{}-{}-{}", a.name, b.name, scale.name()),
            None => format!("{}-{}", a.name, b.name),
        };
        self.add(place, name, &a.noise, || mix(&a.ws, &b.ws, layers))
    }

    /// Adds the picture of that name, where there is none yet, and the place that shows it.
    fn add(
        &mut self,
        place: Place,
        name: String,
        noise: &PictureNoise,
        ws: impl FnOnce() -> Result<Tensor>,
    ) -> Result<()> {
        if let Some(&number) = self.by_name.get(&name) {
            self.pictures[number].places.push(place);
            return Ok(());
        }
        let shot = Shot {
            ws: ws()?,
            noise: noise.clone(),
        };
        self.by_name.insert(name.clone(), self.pictures.len());
        self.pictures.push(Picture {
            name,
            shot,
            places: vec![place],
        });
        Ok(())
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
