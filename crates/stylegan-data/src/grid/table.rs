use image::imageops::{self, FilterType};
use image::{DynamicImage, Rgb, RgbImage};

use super::LIMIT_BYTES;
use crate::DataError;

/// Pictures are enlarged by the whole factor that comes closest to that side from below.
const SHOWN_SIDE: u32 = 160;

const PAPER: Rgb<u8> = Rgb([255; 3]);
const RULE: Rgb<u8> = Rgb([205, 209, 214]);

/// Where a picture of a [`Table`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Above the column of that number.
    Column(usize),
    /// At the left of the row of that number.
    Row(usize),
    /// Where a row and a column meet.
    Cell {
        /// Number of the row.
        row: usize,
        /// Number of the column.
        column: usize,
    },
}

/// A figure of pictures that come from two others each: the sources at the top and at the left, and
/// where they meet what was made of both, as in figure 3 of Karras et al., "A Style-Based Generator
/// Architecture for Generative Adversarial Networks" (2019).
///
/// The rows can stand in bands, for what was made in different ways. On white, every picture in a hairline
/// frame, with an empty corner and rules between the sources, the rest and the bands; transparent pictures
/// lie on white. Small pictures are enlarged by a whole factor, so that every pixel stays a sharp square;
/// all distances scale with the pictures.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use stylegan_data::grid::{self, Place, Table};
///
/// # fn main() -> Result<(), stylegan_data::DataError> {
/// let grey = Tensor::zeros((1, 3, 32, 32), DType::F32, &Device::Cpu)?;
/// let picture = grid::to_image(&grey, 1, 1)?;
/// let mut table = Table::new(4, &[2], (32, 32))?;
/// table.paint(Place::Column(3), &picture)?;
/// table.paint(Place::Cell { row: 1, column: 3 }, &picture)?;
/// assert!(table.into_image().width() > 5 * 160);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Table {
    columns: usize,
    /// Numbers of rows in the bands.
    bands: Vec<usize>,
    /// Width and height of the pictures as they are given.
    picture: (u32, u32),
    spacing: Spacing,
    canvas: RgbImage,
}

/// Sizes in pixels of the figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spacing {
    /// Width and height of a picture as shown.
    picture: (u64, u64),
    /// Around everything.
    margin: u64,
    /// Between the sources and the rest, and between bands; the rule is in the middle.
    apart: u64,
    /// Between neighbours.
    gap: u64,
    /// Thickness of rules and frames.
    rule: u64,
}

impl Spacing {
    fn new(picture: (u32, u32)) -> Self {
        let enlarged = (SHOWN_SIDE / picture.0.max(picture.1)).max(1);
        let shown = [picture.0, picture.1].map(|side| u64::from(side) * u64::from(enlarged));
        let longest = shown[0].max(shown[1]);
        let rule = (longest / 256).max(1);
        Self {
            picture: (shown[0], shown[1]),
            margin: longest / 6,
            // The same space on both sides of the rule.
            apart: 2 * (longest / 8) + rule,
            gap: longest / 16 + 2 * rule,
            rule,
        }
    }

    /// Where the picture of a column or row begins; those of the sources themselves are `None`. `bands` are
    /// the numbers of columns or rows that stand together. What is too far for any figure saturates.
    fn start(&self, side: u64, bands: &[usize], number: Option<usize>) -> u64 {
        let Some(number) = number else {
            return self.margin;
        };
        let band = bands_before(bands, number) as u64;
        let first = self.margin + side + self.apart + band * (self.apart - self.gap);
        (number as u64)
            .saturating_mul(side + self.gap)
            .saturating_add(first)
    }

    /// The length of all bands of pictures beside a source.
    fn length(&self, side: u64, bands: &[usize]) -> u64 {
        let last = total(bands).saturating_sub(1);
        let start = self.start(side, bands, Some(last));
        start.saturating_add(side + self.margin)
    }

    /// Where the rule before a picture begins that has a wide space before it.
    fn rule_before(&self, start: u64) -> u64 {
        start - (self.apart + self.rule) / 2
    }
}

/// The number of bands that end before a column or row.
fn bands_before(bands: &[usize], number: usize) -> usize {
    let ends = bands.iter().scan(0usize, |end, &count| {
        *end = end.saturating_add(count);
        Some(*end)
    });
    ends.take_while(|&end| end <= number).count()
}

fn total(bands: &[usize]) -> usize {
    bands
        .iter()
        .fold(0, |sum, &count| sum.saturating_add(count))
}

impl Table {
    /// An empty table for pictures of a width and height, of so many columns and so many rows in each band;
    /// a single band is a plain table.
    ///
    /// # Errors
    /// If there are no columns, bands or pixels, or a band has no rows, or the figure takes more than 1 GiB.
    pub fn new(columns: usize, bands: &[usize], picture: (u32, u32)) -> Result<Self, DataError> {
        let (width, height) = picture;
        let rows = total(bands);
        if columns == 0 || rows == 0 || bands.contains(&0) || width == 0 || height == 0 {
            return Err(DataError::InvalidGrid(format!(
                "expected columns, rows and pictures that are not empty, found {columns}x{rows} \
                 pictures of {width}x{height}"
            )));
        }
        let spacing = Spacing::new(picture);
        let canvas_width = spacing.length(spacing.picture.0, &[columns]);
        let canvas_height = spacing.length(spacing.picture.1, bands);
        let bytes = canvas_width.saturating_mul(canvas_height).saturating_mul(3);
        if bytes > LIMIT_BYTES {
            return Err(DataError::InvalidGrid(format!(
                "expected at most 1 GiB of pixels, found a table of {columns}x{rows} pictures of \
                 {width}x{height}; ask for fewer columns or rows"
            )));
        }
        let canvas = RgbImage::from_pixel(canvas_width as u32, canvas_height as u32, PAPER);
        let mut table = Self {
            columns,
            bands: bands.to_vec(),
            picture,
            spacing,
            canvas,
        };
        table.draw_rules();
        Ok(table)
    }

    /// Paints a picture; a place that has one already gets the new one.
    ///
    /// # Errors
    /// If the table has no such place, or the picture has another size.
    pub fn paint(&mut self, place: Place, picture: &DynamicImage) -> Result<(), DataError> {
        let (column, row) = match place {
            Place::Column(column) => (Some(column), None),
            Place::Row(row) => (None, Some(row)),
            Place::Cell { row, column } => (Some(column), Some(row)),
        };
        let inside = |number: Option<usize>, count| number.is_none_or(|number| number < count);
        let rows = total(&self.bands);
        if !inside(column, self.columns) || !inside(row, rows) {
            return Err(DataError::InvalidGrid(format!(
                "expected a place in a table of {} columns and {rows} rows, found {place:?}",
                self.columns
            )));
        }
        let found = (picture.width(), picture.height());
        if found != self.picture {
            return Err(DataError::InvalidGrid(format!(
                "expected a picture of {}x{}, found {}x{}",
                self.picture.0, self.picture.1, found.0, found.1
            )));
        }
        let (width, height) = self.spacing.picture;
        let shown = imageops::resize(
            &on_paper(picture),
            width as u32,
            height as u32,
            FilterType::Nearest,
        );
        let Spacing { rule, .. } = self.spacing;
        let left = self.spacing.start(width, &[self.columns], column);
        let top = self.spacing.start(height, &self.bands, row);
        // A frame, so that a white picture doesn't melt into the paper.
        let framed = (width + 2 * rule, height + 2 * rule);
        self.fill((left - rule, top - rule), framed);
        imageops::replace(&mut self.canvas, &shown, left as i64, top as i64);
        Ok(())
    }

    /// The figure.
    pub fn into_image(self) -> DynamicImage {
        self.canvas.into()
    }

    /// Draws the lines between the sources and the rest, from where they meet, and those between bands.
    fn draw_rules(&mut self) {
        let spacing = self.spacing;
        let Spacing { picture, rule, .. } = spacing;
        let left = spacing.rule_before(spacing.start(picture.0, &[self.columns], Some(0)));
        let tops: Vec<u64> = (0..self.bands.len())
            .map(|band| total(&self.bands[..band]))
            .map(|first| spacing.rule_before(spacing.start(picture.1, &self.bands, Some(first))))
            .collect();
        let width = u64::from(self.canvas.width()) - spacing.margin - left;
        let height = u64::from(self.canvas.height()) - spacing.margin - tops[0];
        self.fill((left, tops[0]), (rule, height));
        for top in tops {
            self.fill((left, top), (width, rule));
        }
    }

    /// Fills a box with the colour of rules, from its left upper corner.
    fn fill(&mut self, (left, top): (u64, u64), (width, height): (u64, u64)) {
        for y in top..top + height {
            for x in left..left + width {
                self.canvas.put_pixel(x as u32, y as u32, RULE);
            }
        }
    }
}

/// The picture in colours without transparency, as it looks on white.
pub fn on_paper(picture: &DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.to_rgb8();
    }
    let mut opaque = RgbImage::new(picture.width(), picture.height());
    for (pixel, seen) in opaque.pixels_mut().zip(picture.to_rgba8().pixels()) {
        let [.., alpha] = seen.0.map(u32::from);
        for (part, (colour, paper)) in pixel.0.iter_mut().zip(seen.0.iter().zip(PAPER.0)) {
            let mixed = u32::from(*colour) * alpha + u32::from(paper) * (255 - alpha);
            *part = ((mixed + 127) / 255) as u8;
        }
    }
    opaque
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma, Rgba, RgbaImage};

    fn plain(colour: [u8; 3], side: u32) -> DynamicImage {
        RgbImage::from_pixel(side, side, Rgb(colour)).into()
    }

    /// Where the figure has a colour: left, top, width and height of the smallest box around it.
    fn place_of(figure: &RgbImage, colour: [u8; 3]) -> (u32, u32, u32, u32) {
        let of_colour = figure.enumerate_pixels().filter(|(.., p)| p.0 == colour);
        let (xs, ys): (Vec<u32>, Vec<u32>) = of_colour.map(|(x, y, _)| (x, y)).unzip();
        let (left, top) = (*xs.iter().min().unwrap(), *ys.iter().min().unwrap());
        let size = |all: &[u32], first: u32| all.iter().max().unwrap() + 1 - first;
        (left, top, size(&xs, left), size(&ys, top))
    }

    #[test]
    fn sources_are_at_the_top_and_left_and_mixes_where_they_meet() {
        let (red, green, blue) = ([200, 0, 0], [0, 200, 0], [0, 0, 200]);
        let mut table = Table::new(2, &[3], (32, 32)).unwrap();
        table.paint(Place::Column(1), &plain(red, 32)).unwrap();
        table.paint(Place::Row(2), &plain(green, 32)).unwrap();
        let cell = Place::Cell { row: 2, column: 1 };
        table.paint(cell, &plain(blue, 32)).unwrap();
        let figure = table.into_image().into_rgb8();
        assert_eq!(
            figure.dimensions(),
            (26 + 160 + 41 + 332 + 26, 26 + 160 + 41 + 504 + 26)
        );
        let (left, top) = (26 + 160 + 41 + 172, 26 + 160 + 41 + 344);
        assert_eq!(place_of(&figure, red), (left, 26, 160, 160));
        assert_eq!(place_of(&figure, green), (26, top, 160, 160));
        assert_eq!(place_of(&figure, blue), (left, top, 160, 160));
        // The corner stays empty, and the rules don't touch a picture.
        for x in 0..206 {
            assert_eq!(figure.get_pixel(x, 206).0, [255; 3], "{x}");
            assert_eq!(figure.get_pixel(206, x).0, [255; 3], "{x}");
        }
        for i in 206..550 {
            assert_eq!(figure.get_pixel(i, 206).0, RULE.0, "{i}");
            assert_eq!(figure.get_pixel(206, i).0, RULE.0, "{i}");
        }
        for i in (187..206).chain(207..226) {
            assert_eq!(figure.get_pixel(i, 250).0, [255; 3], "{i}");
            assert_eq!(figure.get_pixel(250, i).0, [255; 3], "{i}");
        }
    }

    #[test]
    fn a_white_picture_has_a_frame_around_it() {
        let mut table = Table::new(1, &[1], (160, 160)).unwrap();
        table.paint(Place::Row(0), &plain([255; 3], 160)).unwrap();
        let figure = table.into_image().into_rgb8();
        let (left, top) = (26, 26 + 160 + 41);
        for i in 0..160 {
            for (x, y) in [(i, -1), (i, 160), (-1, i), (160, i)] {
                let (x, y) = ((left + x) as u32, (top + y) as u32);
                assert_eq!(figure.get_pixel(x, y).0, RULE.0, "{x}, {y}");
            }
            let inside = figure.get_pixel((left + i) as u32, (top + i) as u32);
            assert_eq!(inside.0, [255; 3], "{i}");
        }
    }

    #[test]
    fn bands_of_rows_stand_as_far_apart_as_the_sources_with_a_rule_between_them() {
        let mut table = Table::new(2, &[1, 2, 1], (160, 160)).unwrap();
        for (row, blue) in [(0, 10), (1, 20), (2, 30), (3, 40)] {
            let picture = plain([0, 0, blue], 160);
            table
                .paint(Place::Cell { row, column: 0 }, &picture)
                .unwrap();
        }
        let figure = table.into_image().into_rgb8();
        let tops = [10, 20, 30, 40].map(|blue| place_of(&figure, [0, 0, blue]).1);
        let first = 26 + 160 + 41;
        assert_eq!(tops, [first, first + 201, first + 373, first + 574]);
        assert_eq!(figure.height(), first + 574 + 160 + 26);
        for top in [tops[1], tops[3]] {
            for x in 206..figure.width() - 26 {
                assert_eq!(figure.get_pixel(x, top - 21).0, RULE.0, "{x}");
                assert_eq!(figure.get_pixel(x, top - 22).0 == RULE.0, x == 206, "{x}");
            }
        }
        let error = Table::new(2, &[1, 0], (8, 8)).unwrap_err();
        assert!(error.to_string().contains("not empty"), "{error}");
    }

    #[test]
    fn small_pictures_are_enlarged_by_whole_factors_and_large_ones_are_not() {
        let shown = |side| Spacing::new((side, side)).picture;
        assert_eq!(shown(4), (160, 160));
        assert_eq!(shown(64), (128, 128));
        assert_eq!(shown(128), (128, 128));
        assert_eq!(shown(1024), (1024, 1024));
        assert_eq!(Spacing::new((32, 16)).picture, (160, 80));

        let mut pixels = GrayImage::from_pixel(8, 8, Luma([10]));
        pixels.put_pixel(7, 0, Luma([90]));
        let mut table = Table::new(1, &[1], (8, 8)).unwrap();
        table.paint(Place::Row(0), &pixels.into()).unwrap();
        let figure = table.into_image().into_rgb8();
        let (left, top) = (26 + 140, 26 + 160 + 41);
        assert_eq!(place_of(&figure, [90; 3]), (left, top, 20, 20));
    }

    #[test]
    fn transparent_pictures_lie_on_white() {
        let picture = RgbaImage::from_fn(160, 160, |x, _| match x {
            0..80 => Rgba([7, 7, 7, 0]),
            80..120 => Rgba([0, 100, 200, 51]),
            _ => Rgba([9, 8, 7, 255]),
        });
        let seen = on_paper(&picture.into());
        assert_eq!(seen.get_pixel(0, 0).0, [255; 3]);
        assert_eq!(seen.get_pixel(80, 0).0, [204, 224, 244]);
        assert_eq!(seen.get_pixel(120, 0).0, [9, 8, 7]);
    }

    #[test]
    fn other_places_and_sizes_are_errors() {
        let mut table = Table::new(2, &[3], (8, 8)).unwrap();
        let mut message = |place, side| {
            let painted = table.paint(place, &plain([0; 3], side));
            painted.unwrap_err().to_string()
        };
        let start = "grid: expected a place in a table of 2 columns and 3 rows, found ";
        assert_eq!(message(Place::Column(2), 8), format!("{start}Column(2)"));
        assert_eq!(message(Place::Row(3), 8), format!("{start}Row(3)"));
        assert_eq!(
            message(Place::Row(2), 16),
            "grid: expected a picture of 8x8, found 16x16"
        );
        for (columns, rows, side) in [(0, 1, 8), (1, 0, 8), (1, 1, 0)] {
            let error = Table::new(columns, &[rows], (side, side)).unwrap_err();
            assert!(error.to_string().contains("not empty"), "{error}");
        }
    }

    #[test]
    fn a_table_of_more_than_a_gibibyte_is_an_error_before_memory_is_asked_for() {
        for (columns, rows, side) in [
            (100, 100, 1024),
            (usize::MAX, 1, 8),
            (u32::MAX as usize, u32::MAX as usize, u32::MAX),
            (1, 1 << 30, 1 << 30),
            (1, 1, u32::MAX),
        ] {
            let error = Table::new(columns, &[rows], (side, side)).unwrap_err();
            assert!(error.to_string().contains("at most 1 GiB"), "{error}");
        }
    }
}
