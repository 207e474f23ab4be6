//! `plot feature-maps`: what the layers of networks do to their feature maps.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use plotters::prelude::*;
use stylegan_metrics::{Quantiles, highest_peak};

use super::axis::Axis;
use super::canvas::{
    AXIS, Area, Chart, HUES, LINE_WIDTH, Style, TITLE, axes, document, draw_swatch_with, px,
    shortened, write,
};
use crate::metrics::feature_maps::{Layer, Numbers, Report};

/// More columns would be too narrow to read.
pub const MOST_NETWORKS: usize = 3;

/// Width of a network's column.
const COLUMN: u32 = 470;

/// Height of a panel.
const ROW: u32 = 240;

/// Height of the names of the networks.
const NAMES: u32 = 54;

const MARGIN: u32 = 18;

const BEFORE: RGBColor = HUES[1];
const AFTER: RGBColor = HUES[0];

/// How much of a band's colour is seen.
const BAND: f64 = 0.18;

/// How a line is drawn: `before` wide and pale, and `after` thin on top of it, so that both are seen where
/// they are the same.
#[derive(Clone, Copy)]
struct Stroke {
    color: RGBColor,
    width: u32,
    opacity: f64,
    dot: u32,
}

const BEFORE_STROKE: Stroke = Stroke {
    color: BEFORE,
    width: 4 * LINE_WIDTH,
    opacity: 0.5,
    dot: px(4),
};

const AFTER_STROKE: Stroke = Stroke {
    color: AFTER,
    width: LINE_WIDTH,
    opacity: 1.,
    dot: px(5) / 2,
};

const HIGHEST_STROKE: Stroke = Stroke {
    color: AXIS,
    width: LINE_WIDTH,
    opacity: 1.,
    dot: 0,
};

/// A number of every layer, drawn for all networks on the same scale.
struct Panel {
    title: &'static str,
    value: Value,
    logarithmic: bool,
}

enum Value {
    /// A line for the median over channels, a band for the middle half of them.
    Channels(fn(&Numbers) -> Option<Quantiles>),
    /// A line, and another for the highest that is possible.
    Peak(fn(&Numbers) -> f64),
}

const PANELS: [Panel; 4] = [
    Panel {
        title: "Scale of the channels",
        value: Value::Channels(|numbers| Some(numbers.scale)),
        logarithmic: true,
    },
    Panel {
        title: "Variation of the scale, same style, in percent",
        value: Value::Channels(|numbers| numbers.variation.map(percent)),
        logarithmic: false,
    },
    Panel {
        title: "Highest peak of a map",
        value: Value::Peak(|numbers| numbers.peak),
        logarithmic: true,
    },
    Panel {
        title: "Peak shared by all maps",
        value: Value::Peak(|numbers| numbers.shared_peak),
        logarithmic: true,
    },
];

fn percent(quantiles: Quantiles) -> Quantiles {
    let Quantiles {
        p5,
        p25,
        median,
        p75,
        p95,
    } = quantiles;
    Quantiles {
        p5: 100. * p5,
        p25: 100. * p25,
        median: 100. * median,
        p75: 100. * p75,
        p95: 100. * p95,
    }
}

/// Reads the files of `metrics feature-maps --out`.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Report>> {
    paths.iter().map(|path| read_report(path)).collect()
}

fn read_report(path: &Path) -> Result<Report> {
    let text =
        fs::read_to_string(path).with_context(|| format!("{}: can't be read", path.display()))?;
    let report: Report = serde_json::from_str(&text).with_context(|| {
        format!(
            "{}: is not a file of metrics feature-maps --out",
            path.display()
        )
    })?;
    ensure!(
        !report.layers.is_empty(),
        "{}: has no layers",
        path.display()
    );
    Ok(report)
}

/// A column of panels for every network as an SVG document.
pub fn draw(reports: &[Report]) -> Result<String> {
    let width = COLUMN * reports.len() as u32 + 20;
    let height = NAMES + ROW * PANELS.len() as u32 + 12;
    document((width, height), |root| {
        let columns = root.split_evenly((1, reports.len()));
        for (report, column) in reports.iter().zip(&columns) {
            let (head, body) = column.split_vertically(px(NAMES));
            draw_names(report, &head)?;
            let cells = body.split_evenly((PANELS.len(), 1));
            for (panel, cell) in PANELS.iter().zip(&cells) {
                draw_panel(panel, &report.layers, panel.range(reports), cell)?;
            }
        }
        Ok(())
    })
}

/// The run of the network and how long it was trained, and what the lines and bands mean.
fn draw_names(report: &Report, head: &Area) -> Result<()> {
    const LONGEST_NAME: usize = 46;
    const SWATCH: u32 = 18;
    let head = head.margin(px(4), 0, px(MARGIN), px(MARGIN));
    let name = shortened(&title(&report.network), LONGEST_NAME);
    write(&head, &name, (0, TITLE / 2 - 4), Style::Title)?;
    let (_, keys) = head.split_vertically(px(TITLE / 2 + 2));
    let band = AFTER.mix(BAND).stroke_width(px(12));
    for (left, name, style) in [
        (0, "before", BEFORE_STROKE.style()),
        (74, "after", AFTER_STROKE.style()),
        (136, "middle half of channels", band),
        (326, "highest possible", HIGHEST_STROKE.style()),
    ] {
        draw_swatch_with(&keys, left, SWATCH, style)?;
        write(&keys, name, (left + SWATCH + 6, TITLE / 2), Style::Key)?;
    }
    Ok(())
}

/// `00000-portraits-stylegan1-batch16, 36.608 kimg` of a checkpoint in a run folder, else its path.
fn title(checkpoint: &Path) -> String {
    let of_run = || {
        let run = checkpoint.parent()?.file_name()?.to_str()?;
        let stem = checkpoint.file_stem()?.to_str()?;
        let kimg: f64 = stem.strip_prefix("network-snapshot-")?.parse().ok()?;
        Some(format!("{run}, {kimg} kimg"))
    };
    of_run().unwrap_or_else(|| checkpoint.display().to_string())
}

fn draw_panel(panel: &Panel, layers: &[Layer], values: Range<f64>, cell: &Area) -> Result<()> {
    let (head, body) = cell
        .margin(px(6), px(2), px(MARGIN), px(MARGIN))
        .split_vertically(px(TITLE));
    write(&head, panel.title, (0, TITLE / 2), Style::Title)?;
    let last = layers.len() as f64 - 1.;
    let x = Axis::marked(-0.5..last + 0.5, resolutions(layers));
    let y = match panel.logarithmic {
        true => Axis::logarithmic(values),
        false => Axis::new(values),
    };
    let mut chart = axes(&body, x, y, "layers, by their resolution")?;
    if let Value::Peak(_) = panel.value {
        let highest = |layer: &Layer| Some(highest_peak(layer.resolution));
        draw_curve(&mut chart, points(layers, highest), HIGHEST_STROKE)?;
    }
    for (stroke, is_after) in [(BEFORE_STROKE, false), (AFTER_STROKE, true)] {
        let side = |layer: &Layer| if is_after { layer.after } else { layer.before };
        match panel.value {
            Value::Peak(value) => {
                let peaks = points(layers, |layer| Some(value(&side(layer))));
                draw_curve(&mut chart, peaks, stroke)?;
            }
            Value::Channels(value) => {
                let quantile =
                    |of: fn(Quantiles) -> f64| points(layers, |layer| value(&side(layer)).map(of));
                let mut band = quantile(|quantiles| quantiles.p25);
                band.extend(quantile(|quantiles| quantiles.p75).into_iter().rev());
                chart.draw_series([Polygon::new(band, stroke.color.mix(BAND))])?;
                let medians = quantile(|quantiles| quantiles.median);
                draw_curve(&mut chart, medians, stroke)?;
            }
        }
    }
    Ok(())
}

/// The points of the layers that have a value.
fn points(layers: &[Layer], value: impl Fn(&Layer) -> Option<f64>) -> Vec<(f64, f64)> {
    let points = layers.iter().enumerate();
    points
        .filter_map(|(index, layer)| Some((index as f64, value(layer)?)))
        .collect()
}

/// A mark at the first layer of every resolution.
fn resolutions(layers: &[Layer]) -> Vec<(f64, String)> {
    let mut marks: Vec<(f64, String)> = Vec::new();
    for (index, Layer { resolution, .. }) in layers.iter().enumerate() {
        let name = format!("{resolution}x{resolution}");
        if marks.last().is_none_or(|(_, last)| *last != name) {
            marks.push((index as f64, name));
        }
    }
    marks
}

/// A line with a dot at each of its points, except those that lie outside of the chart.
fn draw_curve(chart: &mut Chart, points: Vec<(f64, f64)>, stroke: Stroke) -> Result<()> {
    let visible = chart.y_range();
    chart.draw_series(LineSeries::new(points.clone(), stroke.style()))?;
    let inside = points.into_iter().filter(|(_, y)| visible.contains(y));
    let filled = stroke.color.mix(stroke.opacity).filled();
    chart.draw_series(inside.map(|point| Circle::new(point, stroke.dot, filled)))?;
    Ok(())
}

impl Stroke {
    fn style(self) -> ShapeStyle {
        self.color.mix(self.opacity).stroke_width(self.width)
    }
}

impl Panel {
    /// From below the lowest to above the highest value of all networks.
    fn range(&self, reports: &[Report]) -> Range<f64> {
        let layers = reports.iter().flat_map(|report| &report.layers);
        let values: Vec<f64> = layers.flat_map(|layer| self.values(layer)).collect();
        let high = values.iter().copied().fold(0., f64::max);
        let high = if high > 0. { high } else { 1. };
        if !self.logarithmic {
            return -0.03 * high..1.06 * high;
        }
        // Numbers of next to nothing would take all the room.
        let visible = values.iter().copied().filter(|&value| value > 1e-4 * high);
        let low = visible.fold(high, f64::min);
        low / 1.3..high * 1.3
    }

    /// What of a layer must be seen.
    fn values(&self, layer: &Layer) -> Vec<f64> {
        let sides = [&layer.before, &layer.after];
        match self.value {
            Value::Peak(value) => {
                let [before, after] = sides.map(value);
                vec![before, after, highest_peak(layer.resolution)]
            }
            Value::Channels(value) => {
                let drawn = |quantiles: Quantiles| [quantiles.p25, quantiles.p75];
                // StyleGAN's input is no convolution's, and of another order of magnitude.
                let first = usize::from(layer.name.ends_with(".input"));
                sides
                    .into_iter()
                    .skip(first)
                    .filter_map(value)
                    .flat_map(drawn)
                    .collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::feature_maps::Noise;

    fn layer(resolution: usize, scale: f64, variation: Option<f64>) -> Layer {
        let quantiles = |value| Quantiles {
            p5: 0.,
            p25: 0.5 * value,
            median: value,
            p75: 2. * value,
            p95: 1e9,
        };
        let numbers = Numbers {
            scale: quantiles(scale),
            variation: variation.map(quantiles),
            peak: 2.,
            shared_peak: 1.,
        };
        Layer {
            name: format!("b{resolution}.conv1"),
            resolution,
            before: numbers,
            after: numbers,
        }
    }

    fn report(layers: Vec<Layer>) -> Report {
        Report {
            network: PathBuf::from("net"),
            seeds: vec![0, 1],
            noise_mode: Noise::Const,
            layers,
        }
    }

    #[test]
    fn ranges_hold_what_is_drawn_of_all_networks() {
        let networks = [
            report(vec![layer(4, 1., None), layer(8, 4., Some(0.1))]),
            report(vec![layer(4, 0.5, Some(0.3))]),
        ];
        let ranges = PANELS.map(|panel| panel.range(&networks));
        assert_eq!(ranges[0], 0.25 / 1.3..8. * 1.3);
        assert_eq!(ranges[1], -0.03 * 60.0..1.06 * 60.);
        assert_eq!(ranges[2], 2. / 1.3..63f64.sqrt() * 1.3);
        // No range is empty, and dead channels don't widen one.
        assert_eq!(
            PANELS[0].range(&[report(vec![layer(4, 0., None)])]),
            1. / 1.3..1.3
        );
        let dead = report(vec![layer(4, 0., None), layer(4, 1., None)]);
        assert_eq!(PANELS[0].range(&[dead]), 0.5 / 1.3..2. * 1.3);
    }

    #[test]
    fn the_input_does_not_squeeze_the_layers() {
        let mut first = layer(4, 1., None);
        first.name = "b4.input".to_string();
        first.before = layer(4, 1e-6, None).before;
        let network = report(vec![first, layer(8, 4., Some(0.1))]);
        assert_eq!(PANELS[0].range(&[network]), 0.5 / 1.3..8. * 1.3);
    }

    #[test]
    fn a_network_is_called_after_its_run_and_the_length_of_its_training() {
        let path = "runs/00000-portraits-stylegan1-batch16/network-snapshot-000036.608.safetensors";
        let expected = "00000-portraits-stylegan1-batch16, 36.608 kimg";
        assert_eq!(title(Path::new(path)), expected);
        assert_eq!(title(Path::new("ffhq.safetensors")), "ffhq.safetensors");
    }

    #[test]
    fn the_first_layer_of_every_resolution_is_marked() {
        let layers = [4, 8, 8, 16].map(|resolution| layer(resolution, 1., None));
        let marks = [(0., "4x4"), (1., "8x8"), (3., "16x16")];
        assert_eq!(
            resolutions(&layers),
            marks.map(|(x, name)| (x, name.to_string()))
        );
    }

    #[test]
    fn layers_without_a_value_have_no_point() {
        let layers = [layer(4, 1., None), layer(8, 1., Some(0.5))];
        let variation = |layer: &Layer| layer.after.variation.map(|quantiles| quantiles.median);
        assert_eq!(points(&layers, variation), [(1., 0.5)]);
    }
}
