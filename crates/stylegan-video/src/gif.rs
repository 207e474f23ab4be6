//! Animated GIF, repeated for ever, every frame with the 256 colours that suit it best.

use gif::{Encoder, Frame, Repeat};
use image::RgbImage;

/// Browsers show frames of less than two hundredths of a second for ten.
pub(crate) const MOST_FPS: u32 = 50;

pub(crate) struct Gif {
    fps: u32,
    speed: i32,
    encoder: Option<Encoder<Vec<u8>>>,
    frames: u64,
}

impl Gif {
    pub(crate) fn new(fps: u32, quality: u8) -> Self {
        Self {
            fps,
            speed: speed(quality),
            encoder: None,
            frames: 0,
        }
    }

    pub(crate) fn add(&mut self, frame: &RgbImage) -> Result<(), String> {
        let sides = <[u16; 2]>::try_from(
            [frame.width(), frame.height()]
                .into_iter()
                .filter_map(|side| u16::try_from(side).ok())
                .collect::<Vec<u16>>(),
        );
        let [width, height] = sides.map_err(|_| {
            format!(
                "a GIF has room for {0}x{0} pixels, found {1}x{2}",
                u16::MAX,
                frame.width(),
                frame.height()
            )
        })?;
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => {
                let mut new =
                    Encoder::new(Vec::new(), width, height, &[]).map_err(|e| e.to_string())?;
                new.set_repeat(Repeat::Infinite)
                    .map_err(|error| error.to_string())?;
                none.insert(new)
            }
        };
        let mut indexed = Frame::from_rgb_speed(width, height, frame, self.speed);
        indexed.delay = delay(self.frames, self.fps);
        encoder
            .write_frame(&indexed)
            .map_err(|error| error.to_string())?;
        self.frames += 1;
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>, String> {
        let encoder = self.encoder.ok_or("no frames")?;
        encoder.into_inner().map_err(|error| error.to_string())
    }
}

/// How long a frame is shown, in hundredths of a second: rounded so that the errors don't add up.
fn delay(frame: u64, fps: u32) -> u16 {
    let start = |frame: u64| (frame * 200 / u64::from(fps)).div_ceil(2);
    (start(frame + 1) - start(frame)) as u16
}

/// The share of pixels that the colours are chosen from: all of them at the highest quality, a thirtieth at the
/// lowest.
fn speed(quality: u8) -> i32 {
    1 + (100 - i32::from(quality)) * 29 / 99
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_add_up_to_the_length_of_the_video() {
        for fps in [1, 7, 24, 30, 50] {
            let delays: Vec<u16> = (0..u64::from(fps)).map(|frame| delay(frame, fps)).collect();
            assert_eq!(delays.iter().sum::<u16>(), 100, "{fps}");
            let (least, most) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
            assert!(most - least <= 1 && *least >= 2, "{fps}: {delays:?}");
        }
    }

    #[test]
    fn the_highest_quality_looks_at_every_pixel() {
        assert_eq!([1, 80, 100].map(speed), [30, 6, 1]);
    }
}
