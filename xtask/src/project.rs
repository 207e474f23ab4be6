//! `project`: the latent of a given picture.

mod distance;
mod output;
mod search;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use image::DynamicImage;
use stylegan_data::{Mode, read_picture, to_tensor};
use stylegan_projection::{NoiseMaps, Projection, ProjectionConfig, Projector};
use stylegan_synthesis::NoiseMap;

use self::distance::{DistanceArgs, Measure};
use self::output::{Film, Output, VIDEO};
use self::search::SearchArgs;
use crate::interrupt::stop_on_interrupt;
use crate::pictures::{FormatArg, Trained, TrainedArgs, VideoArgs};
use crate::progress::Terminal;

const EXAMPLES: &str = "\
Examples:
  The latent of a photo, and a video of the way there:
    cargo xtask project --network ffhq.pkl --target photo.jpg --outdir out
  Closer to pictures that the network can't make, with LPIPS as the distance:
    cargo xtask project --network ffhq.pkl --target photo.jpg --space w+ \\
        --lpips vgg16.safetensors
  The picture that was found once more, and the same latent with the network's own noise:
    cargo xtask generate --network ffhq.pkl --latents out/projected.safetensors
    cargo xtask generate --network ffhq.pkl --latents out/projected_w.npz

Writes projected_w.npz (w [1, layers, w_dim], which the public tools read too), \
projected.safetensors (w, and the noise maps that the picture was found with unless they are the \
network's own), target.png, proj.png, comparison.png (target and result side by side) and \
proj.mp4. Of several targets, each has a folder of its own, named like the picture. Existing files \
of these names are replaced. Ctrl-C ends the search and writes what it has come to. \
docs/projection.md says how well it works, and how to make the file of --lpips.";

/// Find the latent of a picture
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Pictures to find (PNG, JPEG or WebP), cropped to the centre square and resized to the network's size
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    target: Vec<PathBuf>,

    /// Folder for the results, made where it is missing
    #[arg(long, value_name = "DIR", default_value = "out")]
    outdir: PathBuf,

    #[command(flatten)]
    format: FormatArg,

    /// Whether to make a video of the way there: true or false
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        default_value = "true",
        default_missing_value = "true",
        value_parser = truth_value,
        action = clap::ArgAction::Set
    )]
    save_video: bool,

    #[command(flatten)]
    search: SearchArgs,

    #[command(flatten)]
    distance: DistanceArgs,

    #[command(flatten)]
    video: VideoArgs,

    #[command(flatten)]
    network: TrainedArgs,
}

/// The words for true and false that the public projector takes.
fn truth_value(text: &str) -> Result<bool, &'static str> {
    match text.to_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Ok(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Ok(false),
        _ => Err("expected true or false"),
    }
}

/// Runs `project`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    args.search.check()?;
    args.distance.check()?;
    let folders = folders(&args.target, &args.outdir)?;
    if args.save_video {
        let mut videos = folders.iter().map(|folder| folder.join(VIDEO));
        videos.try_for_each(|video| args.video.check(&video))?;
    }
    let (trained, discriminator) = match args.distance.takes_discriminator() {
        true => args.network.open_with_discriminator("project", terminal)?,
        false => (args.network.open("project", terminal)?, None),
    };
    let label = trained.label()?;
    let config = args.search.config(&trained.generator.config.synthesis)?;
    let targets = read_targets(&args.target, &trained)?;
    let measure = args.distance.open(discriminator, &trained, terminal)?;
    let stop = stop_on_interrupt(
        terminal,
        "stopping: writing what was found so far; Ctrl-C again ends at once, without writing",
    )?;
    let work = Work {
        args,
        config,
        trained,
        label,
        measure,
        stop: &stop,
        terminal,
    };
    for ((path, folder), target) in args.target.iter().zip(&folders).zip(&targets) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        work.project(path, folder, target)?;
    }
    Ok(())
}

/// What all targets share.
struct Work<'a> {
    args: &'a Args,
    config: ProjectionConfig,
    trained: Trained,
    label: Option<Tensor>,
    measure: Measure,
    stop: &'a AtomicBool,
    terminal: &'a Terminal,
}

impl Work<'_> {
    fn project(&self, path: &Path, folder: &Path, target: &DynamicImage) -> Result<()> {
        let tensor = to_tensor(target, &self.trained.device)?;
        let distance = self.measure.distance_from(&tensor)?;
        let network = &self.trained.generator.network;
        let mut output = Output::create(folder, self.args.format)?;
        let mut film = match self.args.save_video {
            true => Some(Film::create(
                folder,
                &self.args.video,
                target,
                self.config.steps,
            )?),
            false => None,
        };
        let mut projector = Projector::new(network, self.label.as_ref(), distance, &self.config)?;
        if let Some(film) = &mut film {
            film.follow(&projector, 0)?;
        }
        let name = path.file_name().unwrap_or(path.as_os_str());
        let name = name.to_string_lossy();
        let bar = self.terminal.bar(self.config.steps, &name);
        while let Some(step) = projector.step()? {
            bar.say(format!("{name}: distance {:.4}", step.distance));
            bar.advance();
            if let Some(film) = &mut film {
                film.follow(&projector, step.number)?;
            }
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
        }
        drop(bar);
        let found = projector.projection()?;
        let picture = output.write(target, &found, &self.maps(&found)?)?;
        let taken = match (found.history.len(), self.config.steps) {
            (taken, all) if taken < all => format!("{taken} of {all} steps"),
            (_, 1) => "1 step".to_string(),
            (_, all) => format!("{all} steps"),
        };
        output.finish(self.terminal);
        self.terminal.line(&format!(
            "{name}: distance {:.4} after {taken}, {:.1} of 255 levels apart (rms)",
            found.distance,
            output::difference(target, &picture)
        ));
        match film {
            Some(film) => film.finish(self.terminal),
            None => Ok(()),
        }
    }

    /// The noise maps to keep with a latent, so that its picture can be made again: nothing but zeros where it was found
    /// without noise, none where the noise is the network's own.
    fn maps(&self, found: &Projection) -> Result<Vec<NoiseMap>> {
        let NoiseMaps::None = self.config.noise_maps else {
            return Ok(found.noise_maps.clone());
        };
        let mut maps = self.trained.generator.network.synthesis().noise_maps();
        for NoiseMap { map, .. } in &mut maps {
            *map = map.zeros_like()?;
        }
        Ok(maps)
    }
}

/// The folders that the results of the targets go to.
fn folders(targets: &[PathBuf], outdir: &Path) -> Result<Vec<PathBuf>> {
    if targets.len() == 1 {
        return Ok(vec![outdir.to_path_buf()]);
    }
    let mut seen: BTreeMap<&OsStr, &Path> = BTreeMap::new();
    let mut folders = Vec::new();
    for target in targets {
        let Some(stem) = target.file_stem() else {
            bail!("--target {}: expected a file", target.display())
        };
        let folder = outdir.join(stem);
        if let Some(other) = seen.insert(stem, target) {
            bail!(
                "--target: the results of {} and {} would both be in {}; rename one of them",
                other.display(),
                target.display(),
                folder.display()
            )
        }
        folders.push(folder);
    }
    Ok(folders)
}

/// The targets as the network makes its pictures.
fn read_targets(paths: &[PathBuf], trained: &Trained) -> Result<Vec<DynamicImage>> {
    let config = &trained.generator.config.synthesis;
    let mode = match config.img_channels {
        1 => Mode::Grayscale,
        4 => Mode::Rgba,
        _ => Mode::Rgb,
    };
    let read = |path: &PathBuf| read_picture(path, config.img_resolution, mode);
    let targets = paths.iter().map(read).collect::<Result<_, _>>();
    targets.context("--target")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_values_are_those_of_the_public_projector() {
        for text in ["1", "true", "T", "yes", "y", "on"] {
            assert_eq!(truth_value(text), Ok(true), "{text}");
        }
        for text in ["0", "False", "f", "no", "N", "off"] {
            assert_eq!(truth_value(text), Ok(false), "{text}");
        }
        assert_eq!(truth_value("maybe"), Err("expected true or false"));
    }

    #[test]
    fn several_targets_have_folders_of_their_own() {
        let of = |targets: &[&str]| {
            let targets: Vec<PathBuf> = targets.iter().map(PathBuf::from).collect();
            folders(&targets, Path::new("out")).map_err(|error| error.to_string())
        };
        assert_eq!(of(&["a/x.png"]), Ok(vec![PathBuf::from("out")]));
        let expected = ["out/x", "out/y"].map(PathBuf::from).to_vec();
        assert_eq!(of(&["a/x.png", "y.jpg"]), Ok(expected));
        let error = of(&["a/x.png", "b/x.jpg"]).unwrap_err();
        let expected = "--target: the results of a/x.png and b/x.jpg would both be in out/x; rename one of them";
        assert_eq!(
            error,
            expected.replace("out/x", &Path::new("out").join("x").display().to_string())
        );
    }
}
