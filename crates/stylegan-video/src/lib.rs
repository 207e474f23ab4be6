//! Videos of generated pictures: H.264 in MP4 that plays in a browser, animated WebP and GIF, and folders of
//! numbered frames. Nothing has to be installed: the encoders are built with the crate.
//!
//! The end of the name decides ([`VideoFormat::of`]). All formats are written frame by frame by one
//! [`VideoWriter`]; a file is whole or not there. The same frames give the same bytes.
//!
//! ```
//! use image::RgbImage;
//! use stylegan_video::{VideoOptions, VideoWriter};
//!
//! # fn main() -> Result<(), stylegan_video::VideoError> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("fade.mp4");
//! let mut video = VideoWriter::create(&path, &VideoOptions::default())?;
//! for level in 0..30 {
//!     let frame = RgbImage::from_pixel(32, 32, image::Rgb([8 * level, 90, 160]));
//!     video.add(&frame.into())?;
//! }
//! let written = video.finish()?;
//! assert_eq!((written.frames, written.seconds()), (30, 1.0));
//! # Ok(())
//! # }
//! ```
//!
//! # Building
//!
//! H.264 is encoded by Cisco's [OpenH264](https://github.com/cisco/openh264) (BSD 2-clause), WebP by Google's
//! libwebp (BSD 3-clause). Both are compiled from the sources in their crates, which takes a C and a C++
//! compiler; where `nasm` is installed, OpenH264 is faster.
//!
//! # Patents
//!
//! H.264 is covered by patents of the MPEG LA (Via LA) pool in some countries. Cisco pays the royalties for the
//! binaries that it distributes itself, not for code that is compiled from source as here. Whoever
//! distributes an encoder or sells videos may need a licence; WebP, GIF and frames are free of this.

mod error;
mod gif;
mod mp4;
mod webp;
mod writer;
mod yuv;

pub use error::VideoError;
pub use writer::{VideoFormat, VideoOptions, VideoWriter, Written};
