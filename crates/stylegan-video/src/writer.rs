//! One writer for all formats.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use image::imageops::{self, FilterType};
use image::{DynamicImage, RgbImage};
use stylegan_data::grid::on_paper;
use stylegan_data::{DataError, PictureFormat, write_file};

use crate::VideoError;
use crate::gif::{self, Gif};
use crate::mp4::Mp4;
use crate::webp::Webp;

/// Small frames are enlarged as many times as this side has room for.
const SHOWN_SIDE: u32 = 256;

/// The largest factor that frames are enlarged by.
const LARGEST_SCALE: u32 = 64;

/// The most frames per second.
const MOST_FPS: u32 = 240;

/// The quality that is hard to tell from the best.
const QUALITY: u8 = 80;

/// What a video is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoFormat {
    /// H.264 in MP4.
    Mp4,
    /// Animated WebP.
    Webp,
    /// Animated GIF.
    Gif,
    /// A folder of numbered PNGs.
    Frames,
}

impl VideoFormat {
    /// The format that a name asks for: `.mp4`, `.webp`, `.gif`, or none of a folder for frames.
    ///
    /// # Errors
    /// If the name has another extension and there is no such folder.
    pub fn of(path: &Path) -> Result<Self, VideoError> {
        let extension = path.extension().and_then(OsStr::to_str);
        match extension.map(str::to_ascii_lowercase).as_deref() {
            _ if path.is_dir() => Ok(Self::Frames),
            Some("mp4") => Ok(Self::Mp4),
            Some("webp") => Ok(Self::Webp),
            Some("gif") => Ok(Self::Gif),
            None if path.file_name().is_some() && !path.exists() => Ok(Self::Frames),
            _ => Err(VideoError::Name {
                path: path.to_path_buf(),
            }),
        }
    }
}

/// How frames become a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoOptions {
    /// Frames per second, 1 to 240, for GIF to 50. Frames in a folder have no times.
    pub fps: u32,
    /// From 1 to 100; 80 where not given. In an MP4 and a WebP what is lost, in a GIF how carefully its colours
    /// are chosen. Frames in a folder lose nothing and take none.
    pub quality: Option<u8>,
    /// How often every pixel is repeated, 1 to 64. Where not given, frames in files are enlarged as often as
    /// fits into 256 pixels, and those in a folder not at all.
    pub scale: Option<u32>,
}

impl VideoOptions {
    /// Checks that a video of that name can have these options; its format.
    ///
    /// # Errors
    /// If the name says no format, or an option is out of its range or means nothing to the format.
    pub fn check(&self, path: &Path) -> Result<VideoFormat, VideoError> {
        let format = VideoFormat::of(path)?;
        check(self, format).map_err(|reason| VideoError::Options {
            path: path.to_path_buf(),
            reason,
        })?;
        Ok(format)
    }
}

impl Default for VideoOptions {
    fn default() -> Self {
        Self {
            fps: 30,
            quality: None,
            scale: None,
        }
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The file or folder.
    pub path: PathBuf,
    /// How many frames the video has.
    pub frames: usize,
    /// How many files took the places of others.
    pub replaced: usize,
    /// How many frames of a longer video still are in the folder.
    pub left_over: usize,
    fps: u32,
}

impl Written {
    /// How long the video is.
    pub fn seconds(&self) -> f64 {
        self.frames as f64 / f64::from(self.fps)
    }
}

/// Writes a video frame by frame. [`finish`](Self::finish) makes it a file; without it there is none.
pub struct VideoWriter {
    path: PathBuf,
    options: VideoOptions,
    coder: Coder,
    size: Option<(u32, u32)>,
    frames: usize,
    replaced: usize,
}

/// The formats at work.
enum Coder {
    Mp4(Box<Mp4>),
    Webp(Box<Webp>),
    Gif(Gif),
    Frames,
}

impl VideoWriter {
    /// Starts a video of the format that the name asks for. Nothing is written yet; the folder for frames is made for the
    /// first of them.
    ///
    /// # Errors
    /// If the name says no format, its folder isn't there, or an option is out of its range or means nothing to the
    /// format.
    pub fn create(path: &Path, options: &VideoOptions) -> Result<Self, VideoError> {
        let format = options.check(path)?;
        let wrong = |reason: String| VideoError::Options {
            path: path.to_path_buf(),
            reason,
        };
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        if let Some(parent) = parent
            && format != VideoFormat::Frames
            && !parent.is_dir()
        {
            let parent = parent.display();
            return Err(wrong(format!("there is no folder {parent}; make it first")));
        }
        let (fps, quality) = (options.fps, options.quality.unwrap_or(QUALITY));
        let coder = match format {
            VideoFormat::Mp4 => Coder::Mp4(Box::new(Mp4::new(fps, quality).map_err(wrong)?)),
            VideoFormat::Webp => Coder::Webp(Box::new(Webp::new(fps, quality))),
            VideoFormat::Gif => Coder::Gif(Gif::new(fps, quality)),
            VideoFormat::Frames => Coder::Frames,
        };
        Ok(Self {
            path: path.to_path_buf(),
            options: *options,
            coder,
            size: None,
            frames: 0,
            replaced: 0,
        })
    }

    /// Adds a frame; what is transparent lies on white.
    ///
    /// # Errors
    /// If the frame has another size than the first, the format has no room for it, or a file can't be written.
    pub fn add(&mut self, frame: &DynamicImage) -> Result<(), VideoError> {
        let found = (frame.width(), frame.height());
        let size = *self.size.get_or_insert(found);
        if found != size || size.0 == 0 || size.1 == 0 {
            return Err(self.wrong_frame(format!(
                "expected {}x{} pixels like the first, found {}x{}",
                size.0.max(1),
                size.1.max(1),
                found.0,
                found.1
            )));
        }
        let frame = self.enlarged(on_paper(frame));
        let added = match &mut self.coder {
            Coder::Mp4(mp4) => mp4.add(&frame),
            Coder::Webp(webp) => webp.add(&frame),
            Coder::Gif(gif) => gif.add(&frame),
            Coder::Frames => {
                fs::create_dir_all(&self.path).map_err(|error| {
                    self.wrong_frame(format!("cannot make the folder: {error}"))
                })?;
                let path = self.path.join(frame_name(self.frames));
                self.replaced += usize::from(path.exists());
                PictureFormat::Png.save(&frame.into(), &path)?;
                Ok(())
            }
        };
        added.map_err(|reason| self.wrong_frame(reason))?;
        self.frames += 1;
        Ok(())
    }

    /// Writes the file.
    ///
    /// # Errors
    /// If there were no frames, or the file can't be written.
    pub fn finish(self) -> Result<Written, VideoError> {
        let Self { path, frames, .. } = self;
        if frames == 0 {
            return Err(VideoError::Empty { path });
        }
        let file = match self.coder {
            Coder::Mp4(mp4) => Some(mp4.finish()),
            Coder::Webp(webp) => Some(webp.finish()),
            Coder::Gif(gif) => Some(gif.finish()),
            Coder::Frames => None,
        };
        let mut replaced = self.replaced;
        let mut left_over = 0;
        match file {
            Some(file) => {
                replaced += usize::from(path.exists());
                let file = file.map_err(|reason| DataError::Write {
                    path: path.clone(),
                    reason,
                })?;
                write_file(&path, &file)?;
            }
            None => left_over = frames_from(&path, frames),
        }
        Ok(Written {
            path,
            frames,
            replaced,
            left_over,
            fps: self.options.fps,
        })
    }

    fn wrong_frame(&self, reason: String) -> VideoError {
        VideoError::Frame {
            path: self.path.clone(),
            frame: self.frames,
            reason,
        }
    }

    /// Every pixel as often as the options say.
    fn enlarged(&self, frame: RgbImage) -> RgbImage {
        let (width, height) = frame.dimensions();
        let by_itself = match self.coder {
            Coder::Frames => 1,
            _ => (SHOWN_SIDE / width.max(height)).max(1),
        };
        match self.options.scale.unwrap_or(by_itself) {
            1 => frame,
            scale => {
                let (width, height) = (width.saturating_mul(scale), height.saturating_mul(scale));
                imageops::resize(&frame, width, height, FilterType::Nearest)
            }
        }
    }
}

fn check(options: &VideoOptions, format: VideoFormat) -> Result<(), String> {
    let &VideoOptions {
        fps,
        quality,
        scale,
    } = options;
    if !(1..=MOST_FPS).contains(&fps) {
        return Err(format!(
            "expected 1 to {MOST_FPS} frames per second, found {fps}"
        ));
    }
    if format == VideoFormat::Gif && fps > gif::MOST_FPS {
        return Err(format!(
            "browsers show a GIF with at most {} frames per second, found {fps}; use fewer, or .mp4 or .webp",
            gif::MOST_FPS
        ));
    }
    if let Some(quality) = quality {
        if !(1..=100).contains(&quality) {
            return Err(format!("expected a quality from 1 to 100, found {quality}"));
        }
        if format == VideoFormat::Frames {
            return Err(format!(
                "frames in a folder lose nothing, found a quality of {quality}; leave it out"
            ));
        }
    }
    if let Some(scale) = scale
        && !(1..=LARGEST_SCALE).contains(&scale)
    {
        return Err(format!(
            "expected a scale from 1 to {LARGEST_SCALE}, found {scale}"
        ));
    }
    Ok(())
}

/// `frame00012.png`.
fn frame_name(number: usize) -> String {
    format!("frame{number:05}.png")
}

/// How many frames there are from a number on, without a gap.
fn frames_from(folder: &Path, first: usize) -> usize {
    let is_there = |number: &usize| folder.join(frame_name(*number)).exists();
    (first..).take_while(is_there).count()
}
