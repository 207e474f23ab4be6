//! A thin layer over tiny-skia: smooth curves, gradients and a current frame and mask.

use image::RgbImage;
use tiny_skia::{
    Color, FillRule, GradientStop, LineCap, LineJoin, LinearGradient, Mask, Paint, Path,
    PathBuilder, Pixmap, Point, RadialGradient, Rect, Shader, SpreadMode, Stroke, Transform,
};

use crate::resize;

/// A point in the current frame: x to the right, y down.
pub(super) type Xy = (f32, f32);

/// What a shape is filled or drawn with.
#[derive(Clone, Copy)]
pub(super) enum Ink<'a> {
    Solid(Color),
    /// A gradient from one point to another.
    Linear(Xy, Xy, &'a [(f32, Color)]),
    /// A gradient from a centre out to a radius.
    Radial(Xy, f32, &'a [(f32, Color)]),
}

impl Ink<'_> {
    fn paint(self) -> Paint<'static> {
        let (shader, fallback) = match self {
            Ink::Solid(color) => (None, color),
            Ink::Linear(from, to, colors) => (
                LinearGradient::new(
                    from.into(),
                    to.into(),
                    stops(colors),
                    SpreadMode::Pad,
                    Transform::identity(),
                ),
                last(colors),
            ),
            Ink::Radial(centre, radius, colors) => (
                RadialGradient::new(
                    centre.into(),
                    0.0,
                    centre.into(),
                    radius,
                    stops(colors),
                    SpreadMode::Pad,
                    Transform::identity(),
                ),
                last(colors),
            ),
        };
        Paint {
            // Degenerate gradients have no shader: the outermost colour stands for them.
            shader: shader.unwrap_or(Shader::SolidColor(fallback)),
            ..Paint::default()
        }
    }
}

fn stops(colors: &[(f32, Color)]) -> Vec<GradientStop> {
    colors
        .iter()
        .map(|&(position, color)| GradientStop::new(position, color))
        .collect()
}

fn last(colors: &[(f32, Color)]) -> Color {
    colors
        .last()
        .map_or(Color::TRANSPARENT, |&(_, color)| color)
}

/// A picture under construction. The frame maps coordinates of shapes to pixels.
pub(super) struct Canvas {
    pixmap: Pixmap,
    /// Maps the unit square to the picture.
    unit: Transform,
    frame: Transform,
    mask: Option<Mask>,
}

impl Canvas {
    /// A black picture of `side` x `side` pixels; `None` beyond what memory can address.
    pub(super) fn new(side: u32) -> Option<Self> {
        let unit = Transform::from_scale(side as f32, side as f32);
        Some(Self {
            pixmap: Pixmap::new(side, side)?,
            unit,
            frame: unit,
            mask: None,
        })
    }

    /// Places the shapes to come: `frame` maps their coordinates to the unit square.
    pub(super) fn set_frame(&mut self, frame: Transform) {
        self.frame = frame.post_concat(self.unit);
    }

    /// Draws the shapes to come inside `path` only; inside nothing where there is no path.
    pub(super) fn clip(&mut self, path: Option<&Path>) {
        let mask = Mask::new(self.pixmap.width(), self.pixmap.height()).map(|mut mask| {
            if let Some(path) = path {
                mask.fill_path(path, FillRule::Winding, true, self.frame);
            }
            mask
        });
        self.mask = mask;
    }

    /// Draws the shapes to come everywhere.
    pub(super) fn unclip(&mut self) {
        self.mask = None;
    }

    pub(super) fn fill(&mut self, path: Option<&Path>, ink: Ink) {
        if let Some(path) = path {
            let mask = self.mask.as_ref();
            self.pixmap
                .fill_path(path, &ink.paint(), FillRule::Winding, self.frame, mask);
        }
    }

    /// Draws along a path with a round pen.
    pub(super) fn stroke(&mut self, path: Option<&Path>, ink: Ink, width: f32) {
        if let Some(path) = path {
            let stroke = Stroke {
                width,
                line_cap: LineCap::Round,
                line_join: LineJoin::Round,
                ..Stroke::default()
            };
            let mask = self.mask.as_ref();
            self.pixmap
                .stroke_path(path, &ink.paint(), &stroke, self.frame, mask);
        }
    }

    /// Fills a soft round spot that fades out at its edge.
    pub(super) fn glow(&mut self, centre: Xy, radius: f32, color: Color) {
        let mut clear = color;
        clear.set_alpha(0.0);
        let mut half = color;
        half.set_alpha(color.alpha() * 0.55);
        self.fill(
            oval(centre, radius, radius).as_ref(),
            Ink::Radial(centre, radius, &[(0.0, color), (0.5, half), (1.0, clear)]),
        );
    }

    /// The finished picture, averaged down to `side` x `side` pixels.
    pub(super) fn into_rgb(self, side: u32) -> Option<RgbImage> {
        let drawn_side = self.pixmap.width() as usize;
        // The background is opaque, so premultiplied colours are the colours.
        let pixels: Vec<u8> = (self.pixmap.pixels().iter())
            .flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()])
            .collect();
        let pixels = resize::area_filter(&pixels, drawn_side, 3, side as usize);
        RgbImage::from_vec(side, side, pixels)
    }
}

pub(super) fn oval((x, y): Xy, radius_x: f32, radius_y: f32) -> Option<Path> {
    let bounds = Rect::from_ltrb(x - radius_x, y - radius_y, x + radius_x, y + radius_y)?;
    PathBuilder::from_oval(bounds)
}

/// Straight lines through the points, closed.
pub(super) fn polygon(points: &[Xy]) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for (index, &(x, y)) in points.iter().enumerate() {
        match index {
            0 => builder.move_to(x, y),
            _ => builder.line_to(x, y),
        }
    }
    builder.close();
    builder.finish()
}

/// A smooth closed curve through the points (Catmull-Rom).
pub(super) fn blob(points: &[Xy]) -> Option<Path> {
    spline(points, true)
}

/// A smooth open curve through the points (Catmull-Rom).
pub(super) fn curve(points: &[Xy]) -> Option<Path> {
    spline(points, false)
}

fn spline(points: &[Xy], closed: bool) -> Option<Path> {
    let count = points.len();
    let point = |index: isize| -> Point {
        let index = match closed {
            true => index.rem_euclid(count as isize),
            false => index.clamp(0, count as isize - 1),
        };
        points[index as usize].into()
    };
    let mut builder = PathBuilder::new();
    let start = *points.first()?;
    builder.move_to(start.0, start.1);
    let segments = if closed { count } else { count - 1 };
    for segment in 0..segments as isize {
        let (from, to) = (point(segment), point(segment + 1));
        let before = point(segment - 1);
        let after = point(segment + 2);
        builder.cubic_to(
            from.x + (to.x - before.x) / 6.0,
            from.y + (to.y - before.y) / 6.0,
            to.x - (after.x - from.x) / 6.0,
            to.y - (after.y - from.y) / 6.0,
            to.x,
            to.y,
        );
    }
    if closed {
        builder.close();
    }
    builder.finish()
}
