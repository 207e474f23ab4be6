//! The videos that a command writes.

use std::path::Path;

use anyhow::Result;
use image::DynamicImage;
use stylegan_video::{VideoFormat, VideoOptions, VideoWriter, Written};

use super::folder::note_replaced;
use crate::print_result;
use crate::progress::Terminal;

/// How frames become a video.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Video")]
pub struct VideoArgs {
    /// Frames per second
    #[arg(long, value_name = "N", default_value_t = 30)]
    fps: u32,

    /// From 1 to 100: what an MP4 or WebP may lose, how carefully the colours of a GIF are chosen
    /// [default: 80]
    #[arg(long, value_name = "Q")]
    quality: Option<u8>,

    /// Enlarge every pixel to a square of that side [default: as often as fits into 256 pixels; frames in a
    /// folder stay as they are]
    #[arg(long, value_name = "N")]
    scale: Option<u32>,
}

impl VideoArgs {
    /// Starts a video; the name decides its format. What is wrong with the options is said before any picture
    /// is made.
    pub fn create(&self, path: &Path) -> Result<Video> {
        let is_folder = self.options().check(path)? == VideoFormat::Frames;
        let writer = VideoWriter::create(path, &self.options())?;
        Ok(Video { writer, is_folder })
    }

    /// What is wrong with the options for a video of that name, before there is a folder for it.
    pub fn check(&self, path: &Path) -> Result<()> {
        self.options().check(path)?;
        Ok(())
    }

    fn options(&self) -> VideoOptions {
        let &Self {
            fps,
            quality,
            scale,
        } = self;
        VideoOptions {
            fps,
            quality,
            scale,
        }
    }
}

/// A video that is being written.
pub struct Video {
    writer: VideoWriter,
    is_folder: bool,
}

impl Video {
    /// Adds a frame of the size of the first.
    pub fn add(&mut self, frame: &DynamicImage) -> Result<()> {
        Ok(self.writer.add(frame)?)
    }

    /// Writes the file, prints its path, and says what it replaced.
    pub fn finish(self, terminal: &Terminal) -> Result<()> {
        let Written {
            path,
            replaced,
            left_over,
            ..
        } = self.writer.finish()?;
        match self.is_folder {
            true => note_replaced(replaced, terminal),
            false if replaced > 0 => {
                terminal.line("note: replaced the file that was there before");
            }
            false => (),
        }
        if left_over > 0 {
            let frames = match left_over {
                1 => "1 frame after these is".to_string(),
                count => format!("{count} frames after these are"),
            };
            terminal.line(&format!(
                "note: {frames} of a longer video that was there before"
            ));
        }
        print_result(path.display())
    }
}
