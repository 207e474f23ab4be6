//! Axes with few and round numbers.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::Ranged;

/// Numbers along an axis at most.
const MOST: f64 = 7.;

/// An axis with marks.
pub struct Axis {
    range: Range<f64>,
    scale: Scale,
    marks: Vec<(f64, String)>,
}

#[derive(Clone, Copy)]
enum Scale {
    Linear,
    Logarithmic,
}

impl Axis {
    /// A linear axis of a range, which must not be empty; its numbers are multiples of 1, 2 or 5 times a
    /// power of ten.
    pub fn new(range: Range<f64>) -> Self {
        let finest = (range.end - range.start) / MOST;
        let power = 10f64.powf(finest.log10().floor());
        let steps = [1., 2., 5.].map(|digit| digit * power);
        let step = steps.into_iter().find(|&step| step >= finest);
        let step = step.unwrap_or(10. * power);
        let first = (range.start / step).ceil() as i64;
        let last = (range.end / step).floor() as i64;
        let decimals = (-step.log10() - 1e-9).ceil().clamp(0., 9.) as usize;
        let mark = |number: f64| (number, format!("{number:.decimals$}"));
        Self::marked(
            range,
            (first..=last)
                .map(|number| mark(number as f64 * step))
                .collect(),
        )
    }

    /// A linear axis with marks of its own.
    pub fn marked(range: Range<f64>, marks: Vec<(f64, String)>) -> Self {
        Self {
            range,
            scale: Scale::Linear,
            marks,
        }
    }

    /// A logarithmic axis of a range of positive numbers, which must not be empty; its numbers are powers of
    /// ten, and where these are few 2 and 5 times them.
    pub fn logarithmic(range: Range<f64>) -> Self {
        let powers = range.start.log10().floor() as i32..=range.end.log10().ceil() as i32;
        let marks = |digits: &[u32]| -> Vec<(f64, String)> {
            let numbers = powers.clone().flat_map(|power| {
                let decimals = (-power).max(0) as usize;
                digits.iter().map(move |&digit| {
                    let number = f64::from(digit) * 10f64.powi(power);
                    (number, format!("{number:.decimals$}"))
                })
            });
            let inside = |mark: &(f64, String)| range.contains(&mark.0);
            numbers.filter(inside).collect()
        };
        let all = marks(&[1, 2, 5]);
        Self {
            marks: if all.len() as f64 > MOST {
                marks(&[1])
            } else {
                all
            },
            scale: Scale::Logarithmic,
            range,
        }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let Range { start, end } = self.range;
        match self.scale {
            Scale::Linear => RangedCoordf64::from(start..end).map(value, limit),
            Scale::Logarithmic => {
                let coordinates = RangedCoordf64::from(start.ln()..end.ln());
                coordinates.map(&value.clamp(start, end).ln(), limit)
            }
        }
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.marks.iter().map(|(number, _)| *number).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let mark = self.marks.iter().find(|(number, _)| number == value);
        mark.map_or_else(|| value.to_string(), |(_, text)| text.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> String {
        let labels = axis.marks.iter().map(|(number, _)| axis.format_ext(number));
        labels.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn numbers_are_few_and_round() {
        let labels = |range| labels(&Axis::new(range));
        assert_eq!(labels(0.0..40.), "0 10 20 30 40");
        assert_eq!(labels(-3.2..5.05), "-2 0 2 4");
        assert_eq!(labels(0.0..0.064), "0.00 0.01 0.02 0.03 0.04 0.05 0.06");
        assert_eq!(labels(0.0..25000.), "0 5000 10000 15000 20000 25000");
        assert_eq!(
            labels(0.98..1.01),
            "0.980 0.985 0.990 0.995 1.000 1.005 1.010"
        );
    }

    #[test]
    fn logarithmic_numbers_are_powers_of_ten_and_few() {
        let labels = |range| labels(&Axis::logarithmic(range));
        assert_eq!(labels(1.0..70.), "1 2 5 10 20 50");
        assert_eq!(labels(0.03..1.5), "0.05 0.1 0.2 0.5 1");
        assert_eq!(labels(0.005..200.), "0.01 0.1 1 10 100");
    }

    #[test]
    fn logarithmic_axes_have_equal_ratios_at_equal_distances() {
        let axis = Axis::logarithmic(1.0..100.);
        assert_eq!(axis.map(&1., (0, 200)), 0);
        assert_eq!(axis.map(&10., (0, 200)), 100);
        assert_eq!(axis.map(&100., (0, 200)), 200);
        // What is too small, or 0, is at the lower end, what is too large at the upper one.
        assert_eq!(axis.map(&0., (0, 200)), 0);
        assert_eq!(axis.map(&1e9, (0, 200)), 200);
    }
}
