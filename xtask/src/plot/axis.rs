//! Axes with few and round numbers.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::Ranged;

/// Numbers along an axis at most.
const MOST: f64 = 7.;

/// A linear axis; its numbers are multiples of 1, 2 or 5 times a power of ten.
pub struct Axis {
    coordinates: RangedCoordf64,
    numbers: Vec<f64>,
    decimals: usize,
}

impl Axis {
    /// An axis of a range, which must not be empty.
    pub fn new(range: Range<f64>) -> Self {
        let finest = (range.end - range.start) / MOST;
        let power = 10f64.powf(finest.log10().floor());
        let steps = [1., 2., 5.].map(|digit| digit * power);
        let step = steps.into_iter().find(|&step| step >= finest);
        let step = step.unwrap_or(10. * power);
        let first = (range.start / step).ceil() as i64;
        let last = (range.end / step).floor() as i64;
        Self {
            coordinates: range.into(),
            numbers: (first..=last).map(|number| number as f64 * step).collect(),
            decimals: (-step.log10() - 1e-9).ceil().clamp(0., 9.) as usize,
        }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.coordinates.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.numbers.clone()
    }

    fn range(&self) -> Range<f64> {
        self.coordinates.range()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        format!("{value:.*}", self.decimals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_few_and_round() {
        let labels = |range| {
            let axis = Axis::new(range);
            let labels = axis.numbers.iter().map(|number| axis.format_ext(number));
            labels.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(labels(0.0..40.), "0 10 20 30 40");
        assert_eq!(labels(-3.2..5.05), "-2 0 2 4");
        assert_eq!(labels(0.0..0.064), "0.00 0.01 0.02 0.03 0.04 0.05 0.06");
        assert_eq!(labels(0.0..25000.), "0 5000 10000 15000 20000 25000");
        assert_eq!(
            labels(0.98..1.01),
            "0.980 0.985 0.990 0.995 1.000 1.005 1.010"
        );
    }
}
