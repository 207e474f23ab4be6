//! The pictures that a command writes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use image::DynamicImage;
use stylegan_data::PictureFormat;

use crate::print_result;
use crate::progress::Terminal;

/// `--format`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct FormatArg {
    /// Format of the pictures: png and webp lose nothing, jpeg is smaller
    #[arg(long, value_name = "FORMAT", default_value = "png")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Png,
    Webp,
    #[value(alias = "jpg")]
    Jpeg,
}

impl From<FormatArg> for PictureFormat {
    fn from(arg: FormatArg) -> Self {
        match arg.format {
            Format::Png => Self::Png,
            Format::Webp => Self::Webp,
            Format::Jpeg => Self::Jpeg,
        }
    }
}

/// The folder that a command writes pictures to.
pub struct PictureFolder<'a> {
    path: &'a Path,
    format: PictureFormat,
    replaced: usize,
}

impl<'a> PictureFolder<'a> {
    /// Makes the folder of `--outdir` where it is missing.
    pub fn create(path: &'a Path, format: FormatArg) -> Result<Self> {
        fs::create_dir_all(path)
            .with_context(|| format!("--outdir {}: cannot make the folder", path.display()))?;
        Ok(Self {
            path,
            format: format.into(),
            replaced: 0,
        })
    }

    /// Writes a picture under a name, to which the format's extension is added, and prints its path.
    pub fn save(&mut self, picture: &DynamicImage, name: &str) -> Result<()> {
        let path = self
            .path
            .join(format!("{name}.{}", self.format.extension()));
        self.replaced += usize::from(path.exists());
        self.format.save(picture, &path)?;
        print_result(path.display())
    }

    /// Says how many pictures took the places of others.
    pub fn finish(self, terminal: &Terminal) {
        note_replaced(self.replaced, terminal);
    }
}

/// Says how many pictures took the places of others.
pub(super) fn note_replaced(count: usize, terminal: &Terminal) {
    let pictures = match count {
        0 => return,
        1 => "1 picture that was".to_string(),
        count => format!("{count} pictures that were"),
    };
    terminal.line(&format!("note: replaced {pictures} there before"));
}
