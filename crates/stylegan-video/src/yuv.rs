//! RGB to the brightness and colour differences of a video.

use image::RgbImage;
use openh264::formats::YUVSource;

/// A frame as Y'CbCr 4:2:0 of ITU-R BT.709, Y' from 16 to 235, Cb and Cr from 16 to 240.
pub(crate) struct Yuv {
    width: usize,
    height: usize,
    y: Vec<u8>,
    u: Vec<u8>,
    v: Vec<u8>,
}

/// Y', Cb and Cr, about 0, of levels from 0 to 255 (ITU-R BT.709, item 3).
fn bt709([r, g, b]: [f32; 3]) -> [f32; 3] {
    let y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    [y, (b - y) / 1.8556, (r - y) / 1.5748]
}

impl Yuv {
    /// An odd width or height is made even by repeating the last column or row, as H.264 has one colour for
    /// 2x2 pixels.
    pub(crate) fn from_rgb(frame: &RgbImage) -> Self {
        let (last_x, last_y) = (frame.width() - 1, frame.height() - 1);
        let (width, height) = even_size(frame);
        let mut yuv = Self {
            width: width as usize,
            height: height as usize,
            y: vec![0; (width * height) as usize],
            u: Vec::with_capacity((width * height / 4) as usize),
            v: Vec::with_capacity((width * height / 4) as usize),
        };
        for top in (0..height).step_by(2) {
            for left in (0..width).step_by(2) {
                let mut mean = [0f32; 2];
                for (x, y) in [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(x, y)| (left + x, top + y)) {
                    let pixel = frame.get_pixel(x.min(last_x), y.min(last_y));
                    let [luma, u, v] = bt709(pixel.0.map(f32::from));
                    yuv.y[(y * width + x) as usize] = (16. + luma * (219. / 255.)).round() as u8;
                    mean = [mean[0] + u / 4., mean[1] + v / 4.];
                }
                let [u, v] = mean.map(|part| (128. + part * (224. / 255.)).round() as u8);
                yuv.u.push(u);
                yuv.v.push(v);
            }
        }
        yuv
    }
}

/// Width and height, each made even.
pub(crate) fn even_size(frame: &RgbImage) -> (u32, u32) {
    let (width, height) = frame.dimensions();
    (width.next_multiple_of(2), height.next_multiple_of(2))
}

impl YUVSource for Yuv {
    fn dimensions(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    fn strides(&self) -> (usize, usize, usize) {
        (self.width, self.width / 2, self.width / 2)
    }

    fn y(&self) -> &[u8] {
        &self.y
    }

    fn u(&self) -> &[u8] {
        &self.u
    }

    fn v(&self) -> &[u8] {
        &self.v
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn one(colour: [u8; 3]) -> [u8; 3] {
        let yuv = Yuv::from_rgb(&RgbImage::from_pixel(2, 2, Rgb(colour)));
        assert!(yuv.y.iter().all(|&y| y == yuv.y[0]));
        [yuv.y[0], yuv.u[0], yuv.v[0]]
    }

    #[test]
    fn colours_are_those_of_the_standard() {
        assert_eq!(one([0; 3]), [16, 128, 128]);
        assert_eq!(one([255; 3]), [235, 128, 128]);
        // The corners of the colour bars of ITU-R BT.709.
        assert_eq!(one([255, 0, 0]), [63, 102, 240]);
        assert_eq!(one([0, 255, 0]), [173, 42, 26]);
        assert_eq!(one([0, 0, 255]), [32, 240, 118]);
    }

    #[test]
    fn odd_sizes_repeat_the_last_column_and_row() {
        let frame = RgbImage::from_fn(3, 1, |x, _| Rgb([x as u8 * 100; 3]));
        let yuv = Yuv::from_rgb(&frame);
        assert_eq!(yuv.dimensions(), (4, 2));
        assert_eq!(yuv.y[..4], yuv.y[4..]);
        assert_eq!(yuv.y[2], yuv.y[3]);
        assert_eq!((yuv.u.len(), yuv.v.len()), (2, 2));
    }
}
