//! What a projection writes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use candle_core::Tensor;
use image::DynamicImage;
use stylegan_checkpoint::arrays;
use stylegan_data::PictureFormat;
use stylegan_data::grid::{self, Sheet};
use stylegan_projection::{Projection, Projector};
use stylegan_synthesis::NoiseMap;

use crate::pictures::{FormatArg, Video, VideoArgs, map_name};
use crate::print_result;
use crate::progress::Terminal;

/// Frames of a video, besides that of the beginning.
const MOST_FRAMES: usize = 300;

/// What the video of a target is called.
pub const VIDEO: &str = "proj.mp4";

/// The files of one target.
pub struct Output<'a> {
    folder: &'a Path,
    format: PictureFormat,
    replaced: usize,
}

impl<'a> Output<'a> {
    /// Makes the folder where it is missing.
    pub fn create(folder: &'a Path, format: FormatArg) -> Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("--outdir {}: cannot make the folder", folder.display()))?;
        Ok(Self {
            folder,
            format: format.into(),
            replaced: 0,
        })
    }

    /// Writes everything but the video, and returns the picture that was found. `maps` are the noise maps that it
    /// takes to make this picture again.
    pub fn write(
        &mut self,
        target: &DynamicImage,
        found: &Projection,
        maps: &[NoiseMap],
    ) -> Result<DynamicImage> {
        let picture = grid::to_image(&found.picture, 1, 1)?;
        self.save(target, "target")?;
        self.save(&picture, "proj")?;
        self.save(&side_by_side(target, &picture)?, "comparison")?;
        let w = ("w".to_string(), found.ws.clone());
        self.save_arrays("projected_w.npz", std::slice::from_ref(&w))?;
        let maps = maps
            .iter()
            .map(|NoiseMap { layer, map }| (map_name(layer), map.clone()));
        let all: Vec<(String, Tensor)> = maps.chain([w]).collect();
        self.save_arrays("projected.safetensors", &all)?;
        Ok(picture)
    }

    fn save(&mut self, picture: &DynamicImage, name: &str) -> Result<()> {
        let path = self.place(&format!("{name}.{}", self.format.extension()));
        self.format.save(picture, &path)?;
        print_result(path.display())
    }

    fn save_arrays(&mut self, name: &str, all: &[(String, Tensor)]) -> Result<()> {
        let path = self.place(name);
        let all: Vec<(&str, &Tensor)> = all.iter().map(|(name, t)| (name.as_str(), t)).collect();
        arrays::write(&path, &all)?;
        print_result(path.display())
    }

    fn place(&mut self, name: &str) -> PathBuf {
        let path = self.folder.join(name);
        self.replaced += usize::from(path.exists());
        path
    }

    /// Says whether files took the places of others.
    pub fn finish(&self, terminal: &Terminal) {
        if self.replaced > 0 {
            terminal.line(&format!(
                "note: replaced the projection that was in {} before",
                self.folder.display()
            ));
        }
    }
}

/// A video of the way there: the target beside what the search has come to.
pub struct Film<'a> {
    video: Video,
    target: &'a DynamicImage,
    frames: usize,
    steps: usize,
}

impl<'a> Film<'a> {
    /// A video for a search of so many steps.
    pub fn create(
        folder: &Path,
        args: &VideoArgs,
        target: &'a DynamicImage,
        steps: usize,
    ) -> Result<Self> {
        Ok(Self {
            video: args.create(&folder.join(VIDEO))?,
            target,
            frames: steps.min(MOST_FRAMES),
            steps,
        })
    }

    /// Adds a frame where it is time for one after that many steps.
    pub fn follow(&mut self, projector: &Projector, taken: usize) -> Result<()> {
        if is_shown(taken, self.steps, self.frames) {
            let picture = projector.picture(&projector.ws()?)?;
            let picture = grid::to_image(&picture, 1, 1)?;
            self.video.add(&side_by_side(self.target, &picture)?)?;
        }
        Ok(())
    }

    /// Writes the file.
    pub fn finish(self, terminal: &Terminal) -> Result<()> {
        self.video.finish(terminal)
    }
}

/// Whether there is a frame after that many steps: at the beginning, then evenly spread, the last at the end.
fn is_shown(taken: usize, steps: usize, frames: usize) -> bool {
    taken == 0 || taken * frames / steps > (taken - 1) * frames / steps
}

fn side_by_side(left: &DynamicImage, right: &DynamicImage) -> Result<DynamicImage> {
    let mut sheet = Sheet::new(2, 1, left)?;
    sheet.push(left)?;
    sheet.push(right)?;
    Ok(sheet.into_image())
}

/// The root of the mean squared difference of two pictures of one size, in levels of 255.
pub fn difference(a: &DynamicImage, b: &DynamicImage) -> f64 {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let squares = a
        .iter()
        .zip(b)
        .map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
    (squares.sum::<f64>() / a.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_spread_over_the_steps_and_end_with_the_last() {
        let shown = |steps, frames| -> Vec<usize> {
            (0..=steps)
                .filter(|&taken| is_shown(taken, steps, frames))
                .collect()
        };
        assert_eq!(shown(5, 5), [0, 1, 2, 3, 4, 5]);
        assert_eq!(shown(10, 4), [0, 3, 5, 8, 10]);
        let long = shown(1000, MOST_FRAMES);
        assert_eq!((long.len(), long.last()), (1 + MOST_FRAMES, Some(&1000)));
    }

    #[test]
    fn the_difference_is_in_levels() {
        let grey =
            |level| DynamicImage::from(image::GrayImage::from_pixel(4, 2, image::Luma([level])));
        assert_eq!(difference(&grey(100), &grey(103)), 3.);
        assert_eq!(difference(&grey(9), &grey(9)), 0.);
    }
}
