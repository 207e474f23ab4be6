//! What the factors of the products are rounded to.

use crate::simd::Lanes;

/// The precision of the factors of products; sums are in `f32` always.
///
/// With numbers in bf16, which have 8 significant bits where those in f32 have 24, a machine may multiply twice as many
/// at a time, and they take half of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// As they are.
    #[default]
    F32,
    /// Rounded to bf16.
    Bf16,
}

impl Precision {
    /// Channels whose values are in one lane.
    pub(super) fn channels(self) -> usize {
        match self {
            Self::F32 => 1,
            Self::Bf16 => 2,
        }
    }

    /// How many values so many channels are in.
    pub(super) fn depth(self, channels: usize) -> usize {
        channels.div_ceil(self.channels())
    }

    /// Puts the values of a channel to their places, `step` apart. Channels come in their order.
    #[inline(always)]
    pub(super) fn put<L: Lanes>(
        self,
        l: L,
        channel: usize,
        last: usize,
        values: &[L::Vector],
        to: &mut [L::Vector],
        step: usize,
    ) {
        let to = to.iter_mut().step_by(step).zip(values);
        match self {
            Self::Bf16 if channel % 2 == 1 => {
                for (to, &value) in to {
                    *to = l.pair(*to, value);
                }
            }
            Self::Bf16 if channel == last => {
                for (to, &value) in to {
                    *to = l.pair(value, l.splat(0.0));
                }
            }
            _ => {
                for (to, &value) in to {
                    *to = value;
                }
            }
        }
    }
}
