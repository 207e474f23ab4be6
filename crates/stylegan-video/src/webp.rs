//! Animated WebP with libwebp, lossy, repeated for ever.

use image::{DynamicImage, RgbImage};
use webp_animation::{Encoder, EncoderOptions, EncodingConfig};

/// The largest side of a frame.
const LARGEST: u32 = 16383;

pub(crate) struct Webp {
    fps: u32,
    quality: u8,
    encoder: Option<Encoder>,
    frames: u32,
}

impl Webp {
    pub(crate) fn new(fps: u32, quality: u8) -> Self {
        Self {
            fps,
            quality,
            encoder: None,
            frames: 0,
        }
    }

    pub(crate) fn add(&mut self, frame: &RgbImage) -> Result<(), String> {
        let (width, height) = frame.dimensions();
        if width.max(height) > LARGEST {
            return Err(format!(
                "a WebP has room for {LARGEST}x{LARGEST} pixels, found {width}x{height}"
            ));
        }
        let start = self.milliseconds()?;
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => {
                let options = EncoderOptions {
                    encoding_config: Some(EncodingConfig::new_lossy(self.quality.into())),
                    ..Default::default()
                };
                let new = Encoder::new_with_options((width, height), options);
                none.insert(new.map_err(|error| error.to_string())?)
            }
        };
        let pixels = DynamicImage::from(frame.clone()).into_rgba8();
        encoder
            .add_frame(&pixels, start)
            .map_err(|error| error.to_string())?;
        self.frames += 1;
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>, String> {
        let end = self.milliseconds()?;
        let encoder = self.encoder.ok_or("no frames")?;
        let file = encoder.finalize(end).map_err(|error| error.to_string())?;
        Ok(file.to_vec())
    }

    /// When the next frame begins.
    fn milliseconds(&self) -> Result<i32, String> {
        let time = (f64::from(self.frames) * 1000. / f64::from(self.fps)).round();
        match time <= f64::from(i32::MAX) {
            true => Ok(time as i32),
            false => Err("a WebP is at most 24 days long".to_string()),
        }
    }
}
