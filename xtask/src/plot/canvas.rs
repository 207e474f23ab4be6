//! What all charts are drawn with: colours, text, and a document of whole pixels.

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Axis;

/// The library has whole coordinates only; finer ones come from a larger canvas, scaled down.
const SCALE: u32 = 4;

/// Height of a title.
pub const TITLE: u32 = 34;

/// Room for the numbers of the axes.
const LEFT_LABELS: u32 = 44;
const BOTTOM_LABELS: u32 = 40;

/// One and a half pixels.
pub const LINE_WIDTH: u32 = SCALE * 3 / 2;

const FONT: &str = "Helvetica, Arial, sans-serif";
const INK: RGBColor = RGBColor(55, 60, 66);
pub const FAINT_INK: RGBColor = RGBColor(110, 116, 124);
pub const AXIS: RGBColor = RGBColor(185, 190, 196);
const GRID: RGBColor = RGBColor(232, 234, 237);

/// Colours that can be told apart.
pub const HUES: [RGBColor; 6] = [
    RGBColor(58, 108, 160),
    RGBColor(200, 116, 52),
    RGBColor(86, 140, 90),
    RGBColor(126, 94, 160),
    RGBColor(178, 82, 88),
    RGBColor(60, 142, 140),
];

pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;

/// An SVG document of that width and height in pixels, on white.
pub fn document(
    (width, height): (u32, u32),
    draw: impl FnOnce(&Area) -> Result<()>,
) -> Result<String> {
    let mut svg = String::new();
    {
        let canvas = (px(width), px(height));
        let root = SVGBackend::with_string(&mut svg, canvas).into_drawing_area();
        root.fill(&WHITE)?;
        draw(&root.margin(px(10), px(10), px(6), px(6)))?;
        root.present()?;
    }
    let canvas = format!("width=\"{}\" height=\"{}\"", px(width), px(height));
    let shown = format!("width=\"{width}\" height=\"{height}\"");
    Ok(svg.replacen(&canvas, &shown, 1))
}

/// A chart with axes, a name under the horizontal one, and nothing in it yet.
pub fn axes<'a, 'b>(area: &'a Area<'b>, x: Axis, y: Axis, name: &str) -> Result<Chart<'a, 'b>> {
    let mut chart = ChartBuilder::on(area)
        .set_label_area_size(LabelAreaPosition::Left, px(LEFT_LABELS))
        .set_label_area_size(LabelAreaPosition::Bottom, px(BOTTOM_LABELS))
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .x_desc(name)
        .label_style(Style::Axis.text())
        .axis_desc_style(Style::Axis.text())
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.stroke_width(px(1)))
        .axis_style(AXIS.stroke_width(px(1)))
        .set_all_tick_mark_size(px(4))
        .draw()?;
    Ok(chart)
}

/// A short line in the middle of a title's height, to name a curve beside it.
pub fn draw_swatch(area: &Area, left: u32, width: u32, color: RGBColor) -> Result<()> {
    draw_swatch_with(area, left, width, color.stroke_width(2 * LINE_WIDTH))
}

/// [`draw_swatch`] as thick and transparent as a style says.
pub fn draw_swatch_with(area: &Area, left: u32, width: u32, style: ShapeStyle) -> Result<()> {
    let y = TITLE / 2;
    let ends = vec![at((left, y)), at((left + width, y))];
    area.draw(&PathElement::new(ends, style))?;
    Ok(())
}

/// The end of a name that is too long.
pub fn shortened(name: &str, most: usize) -> String {
    let length = name.chars().count();
    if length <= most {
        return name.to_string();
    }
    let end: String = name.chars().skip(length - most + 1).collect();
    format!("…{end}")
}

/// Kinds of text.
#[derive(Clone, Copy)]
pub enum Style {
    Title,
    Key,
    Axis,
    Note,
}

impl Style {
    fn text(self) -> TextStyle<'static> {
        let (size, color) = match self {
            Self::Title => (15., INK),
            Self::Key => (13., INK),
            Self::Axis => (12., FAINT_INK),
            Self::Note => (12., FAINT_INK),
        };
        // The library writes a font 1.24 times smaller than asked for.
        let font = (FONT, size * 1.24 * f64::from(SCALE)).into_font();
        let font = match self {
            Self::Title => font.style(FontStyle::Bold),
            _ => font,
        };
        font.color(&color)
    }
}

/// Writes text to the right of a point, centred on its height.
pub fn write(area: &Area, text: &str, point: (u32, u32), style: Style) -> Result<()> {
    let style = style.text().pos(Pos::new(HPos::Left, VPos::Center));
    area.draw_text(text, &style, at(point))?;
    Ok(())
}

/// Pixels of the picture as pixels of the canvas.
pub const fn px(pixels: u32) -> u32 {
    pixels * SCALE
}

fn at((x, y): (u32, u32)) -> (i32, i32) {
    (px(x) as i32, px(y) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_their_ends() {
        assert_eq!(shortened("00000-portraits", 52), "00000-portraits");
        let long = format!("{}/00000-portraits", "folder/".repeat(20));
        let short = shortened(&long, 52);
        assert_eq!(short.chars().count(), 52);
        assert!(short.starts_with('…') && short.ends_with("/00000-portraits"));
    }
}
