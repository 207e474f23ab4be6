//! What happens to the values of a convolution before they leave the cache.

/// The last step of a convolution: demodulation, noise, bias and activation, for instance.
pub(crate) trait Epilogue<T>: Sync {
    /// Whether [`finish`](Self::finish) does nothing, so that no pass has to be made for it.
    const EMPTY: bool = false;

    /// Finishes a run of pixels of one output plane in place. Every pixel of the result is in exactly one
    /// run, and `row` starts at pixel `first_pixel` of the plane.
    fn finish(&self, sample: usize, channel: usize, first_pixel: usize, row: &mut [T]);
}

/// The values as they are.
pub(crate) struct Plain;

impl<T> Epilogue<T> for Plain {
    const EMPTY: bool = true;

    fn finish(&self, _: usize, _: usize, _: usize, _: &mut [T]) {}
}
