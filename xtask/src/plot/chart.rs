//! Draws the curves of runs.

use std::ops::Range;

use anyhow::Result;
use plotters::prelude::*;

use super::axis::Axis;
use super::canvas::{
    Area, FAINT_INK, HUES, LINE_WIDTH, Style, TITLE, axes, document, draw_swatch, px, shortened,
    write,
};
use super::stats::{Run, Tick};

/// Width and height of the picture.
const SIZE: (u32, u32) = (960, 900);

const ROWS_COLUMNS: (usize, usize) = (3, 2);

/// Space around a panel.
const MARGIN: u32 = 18;

/// How much white goes into a run's colour for the curves of a panel.
const TINTS: [f64; 3] = [0., 0.52, 0.76];

/// One curve of a panel.
struct Series {
    name: &'static str,
    value: fn(&Tick) -> Option<f64>,
}

const fn series(name: &'static str, value: fn(&Tick) -> Option<f64>) -> Series {
    Series { name, value }
}

/// What is drawn together.
struct Panel {
    title: &'static str,
    /// The main curve first.
    series: &'static [Series],
    /// Whether the axis starts at 0.
    from_zero: bool,
}

const PANELS: [Panel; 5] = [
    Panel {
        title: "Loss",
        series: &[
            series("G", |tick| tick.loss_g),
            series("D", |tick| tick.loss_d),
        ],
        from_zero: true,
    },
    Panel {
        title: "Score of D",
        series: &[
            series("real", |tick| tick.score_real),
            series("fake", |tick| tick.score_fake),
        ],
        from_zero: false,
    },
    Panel {
        title: "Gradient penalty",
        series: &[
            series("R1", |tick| tick.r1_penalty),
            series("R2", |tick| tick.r2_penalty),
            series("GP", |tick| tick.gp_penalty),
        ],
        from_zero: true,
    },
    Panel {
        title: "Path length",
        series: &[series("", |tick| tick.pl_length)],
        from_zero: true,
    },
    Panel {
        title: "Seconds per kimg",
        series: &[series("", |tick| tick.sec_per_kimg)],
        from_zero: true,
    },
];

/// The panels of all runs as an SVG document.
pub fn draw(runs: &[Run]) -> Result<String> {
    document(SIZE, |root| {
        let cells = root.split_evenly(ROWS_COLUMNS);
        for (panel, cell) in PANELS.iter().zip(&cells) {
            draw_panel(panel, runs, cell)?;
        }
        draw_legend(runs, &cells[PANELS.len()])
    })
}

fn draw_panel(panel: &Panel, runs: &[Run], cell: &Area) -> Result<()> {
    let curves = curves(panel, runs);
    let (head, body) = cell
        .margin(px(6), px(2), px(MARGIN), px(MARGIN))
        .split_vertically(px(TITLE));
    write(&head, panel.title, (0, TITLE / 2), Style::Title)?;
    draw_keys(panel, &curves, runs.len(), &head)?;
    if curves.is_empty() {
        return write(&body, "not part of this training", (0, 14), Style::Note);
    }

    let x_end = runs
        .iter()
        .filter_map(|run| run.ticks.last())
        .fold(0., |end: f64, tick| end.max(tick.kimg));
    let values = value_range(&curves, panel.from_zero);
    let mut chart = axes(&body, Axis::new(0.0..x_end), Axis::new(values), "kimg")?;
    // The main curves on top.
    for curve in curves.iter().rev() {
        let style = curve_color(curve.run, curve.series, runs.len()).stroke_width(LINE_WIDTH);
        let dot = if curve.points.len() == 1 { px(3) } else { 0 };
        let line = LineSeries::new(curve.points.iter().copied(), style.filled());
        chart.draw_series(line.point_size(dot))?;
    }
    Ok(())
}

/// One curve of one run; numbers count runs and the panel's series.
struct Curve {
    run: usize,
    series: usize,
    points: Vec<(f64, f64)>,
}

/// The curves that have points, by series and then by run.
fn curves(panel: &Panel, runs: &[Run]) -> Vec<Curve> {
    let mut curves = Vec::new();
    for (series, Series { value, .. }) in panel.series.iter().enumerate() {
        for (number, run) in runs.iter().enumerate() {
            let points = run.curve(*value);
            if !points.is_empty() {
                curves.push(Curve {
                    run: number,
                    series,
                    points,
                });
            }
        }
    }
    curves
}

/// From the lowest to the highest value, and a little more.
fn value_range(curves: &[Curve], from_zero: bool) -> Range<f64> {
    let values = curves.iter().flat_map(|c| c.points.iter().map(|p| p.1));
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| {
        (low.min(y), high.max(y))
    });
    let low = if from_zero { low.min(0.) } else { low };
    let spare = match high - low {
        0. => 1.,
        range => 0.06 * range,
    };
    let below = if low == 0. { 0. } else { spare };
    low - below..high + spare
}

/// One run has a colour for each curve of a panel, several have one for each run.
fn curve_color(run: usize, series: usize, runs: usize) -> RGBColor {
    if runs == 1 {
        HUES[series]
    } else {
        tinted(HUES[run], series)
    }
}

fn tinted(RGBColor(r, g, b): RGBColor, series: usize) -> RGBColor {
    let mix = |part: u8| (f64::from(part) + TINTS[series] * f64::from(255 - part)) as u8;
    RGBColor(mix(r), mix(g), mix(b))
}

/// The names of a panel's curves at the right of its title.
fn draw_keys(panel: &Panel, curves: &[Curve], runs: usize, head: &Area) -> Result<()> {
    const KEY_WIDTH: u32 = 72;
    const SWATCH: u32 = 18;
    let width = head.dim_in_pixel().0 / px(1);
    let shown = |number: usize| curves.iter().any(|curve| curve.series == number);
    let keys: Vec<usize> = (0..panel.series.len())
        .filter(|&n| shown(n) && !panel.series[n].name.is_empty())
        .collect();
    for (place, &number) in keys.iter().enumerate() {
        let left = width - KEY_WIDTH * (keys.len() - place) as u32;
        let color = match runs {
            1 => curve_color(0, number, 1),
            _ => tinted(FAINT_INK, number),
        };
        draw_swatch(head, left, SWATCH, color)?;
        let name = panel.series[number].name;
        write(head, name, (left + SWATCH + 7, TITLE / 2), Style::Key)?;
    }
    Ok(())
}

/// The names of the runs, and how far they are.
fn draw_legend(runs: &[Run], cell: &Area) -> Result<()> {
    const ROW: u32 = 40;
    const LONGEST_NAME: usize = 52;
    let (head, mut rest) = cell
        .margin(px(6), px(2), px(MARGIN), px(MARGIN))
        .split_vertically(px(TITLE));
    let title = if runs.len() == 1 { "Run" } else { "Runs" };
    write(&head, title, (0, TITLE / 2), Style::Title)?;
    for (number, run) in runs.iter().enumerate() {
        let (row, below) = rest.split_vertically(px(ROW));
        rest = below;
        let indent = if runs.len() == 1 {
            0
        } else {
            draw_swatch(&row, 0, 18, HUES[number])?;
            27
        };
        write(
            &row,
            &shortened(&run.name, LONGEST_NAME),
            (indent, TITLE / 2),
            Style::Key,
        )?;
        let kimg = run.ticks.last().map_or(0., |tick| tick.kimg);
        let progress = format!("{kimg} kimg");
        write(&row, &progress, (indent, TITLE / 2 + 16), Style::Note)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_all_values_and_never_are_empty() {
        let range = |values: &[f64], from_zero| {
            let points = values.iter().map(|&y| (1., y)).collect();
            let curve = Curve {
                run: 0,
                series: 0,
                points,
            };
            value_range(&[curve], from_zero)
        };
        assert_eq!(range(&[50., 100.], true), 0.0..106.);
        assert_eq!(range(&[50., 100.], false), 47.0..103.);
        assert_eq!(range(&[-100., 100.], true), -112.0..112.);
        assert_eq!(range(&[7.], false), 6.0..8.);
        assert_eq!(range(&[0.], true), 0.0..1.);
    }
}
