use candle_core::{Result, bail};

/// The blocks of a network on square images: resolutions 4, 8, ... and their widths,
/// `channels(r) = min(channel_base / r, channel_max)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pyramid {
    img_resolution: usize,
    channel_base: usize,
    channel_max: usize,
}

impl Pyramid {
    /// A pyramid for square images of side `img_resolution`, a power of two from 4 to 1024, with
    /// `img_channels` 1, 3 or 4.
    ///
    /// # Errors
    /// If a number is out of its range, or a block would have no channels.
    pub fn new(
        img_resolution: usize,
        img_channels: usize,
        channel_base: usize,
        channel_max: usize,
    ) -> Result<Self> {
        if !img_resolution.is_power_of_two() || !(4..=1024).contains(&img_resolution) {
            bail!("img_resolution: expected a power of two from 4 to 1024, got {img_resolution}")
        }
        if ![1, 3, 4].contains(&img_channels) {
            bail!("img_channels: expected 1, 3 or 4, got {img_channels}")
        }
        if channel_base < img_resolution {
            bail!(
                "channel_base: expected at least the img_resolution {img_resolution} (one channel in \
                 the largest block), got {channel_base}"
            )
        }
        if channel_max == 0 {
            bail!("channel_max: expected at least 1, got 0")
        }
        Ok(Self {
            img_resolution,
            channel_base,
            channel_max,
        })
    }

    /// Channels of the block of that resolution.
    pub fn channels(&self, resolution: usize) -> usize {
        (self.channel_base / resolution).min(self.channel_max)
    }

    /// The resolutions of the blocks from 4 up to the image's.
    pub fn resolutions(&self) -> impl DoubleEndedIterator<Item = usize> + use<> {
        (2..=self.img_resolution.ilog2()).map(|log2| 1 << log2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_of_the_paper() -> Result<()> {
        let pyramid = Pyramid::new(1024, 3, 32768, 512)?;
        let widths: Vec<_> = pyramid
            .resolutions()
            .map(|r| (r, pyramid.channels(r)))
            .collect();
        let expected = [
            (4, 512),
            (8, 512),
            (16, 512),
            (32, 512),
            (64, 512),
            (128, 256),
            (256, 128),
            (512, 64),
            (1024, 32),
        ];
        assert_eq!(widths, expected);
        assert_eq!(
            Pyramid::new(4, 1, 4, 512)?
                .resolutions()
                .collect::<Vec<_>>(),
            [4]
        );
        Ok(())
    }

    #[test]
    fn numbers_out_of_range_are_errors_that_name_them() {
        let cases = [
            (Pyramid::new(100, 3, 32768, 512), "img_resolution"),
            (Pyramid::new(2, 3, 32768, 512), "img_resolution"),
            (Pyramid::new(2048, 3, 32768, 512), "img_resolution"),
            (Pyramid::new(0, 3, 32768, 512), "img_resolution"),
            (Pyramid::new(64, 2, 32768, 512), "img_channels"),
            (Pyramid::new(64, 3, 63, 512), "channel_base"),
            (Pyramid::new(64, 3, 64, 0), "channel_max"),
        ];
        for (result, name) in cases {
            let error = result.unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }
}
