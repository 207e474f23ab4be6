//! Weighted sums of runs of elements: what filters and pointwise convolutions are made of.

use crate::kernel::Float;

/// Terms that one pass over the result adds up.
const TERMS: usize = 8;

/// `out[i] = sum_k weight_k source_k[i]`, or `out[i] += ...` if `accumulate`, in the order of the terms.
///
/// Every source has at least as many elements as `out`.
#[inline(always)]
pub(crate) fn combine<'a, T: Float>(
    terms: impl IntoIterator<Item = (T, &'a [T])>,
    accumulate: bool,
    out: &mut [T],
) {
    let mut terms = terms.into_iter();
    let mut accumulate = accumulate;
    loop {
        let mut weights = [T::zero(); TERMS];
        let mut sources: [&[T]; TERMS] = [&[]; TERMS];
        let mut count = 0;
        for (weight, source) in terms.by_ref().take(TERMS) {
            (weights[count], sources[count]) = (weight, source);
            count += 1;
        }
        match count {
            0 if !accumulate => out.fill(T::zero()),
            0 => {}
            1 => add::<T, 1>(&weights, &sources, accumulate, out),
            2 => add::<T, 2>(&weights, &sources, accumulate, out),
            3 => add::<T, 3>(&weights, &sources, accumulate, out),
            4 => add::<T, 4>(&weights, &sources, accumulate, out),
            5 => add::<T, 5>(&weights, &sources, accumulate, out),
            6 => add::<T, 6>(&weights, &sources, accumulate, out),
            7 => add::<T, 7>(&weights, &sources, accumulate, out),
            _ => add::<T, 8>(&weights, &sources, accumulate, out),
        }
        if count < TERMS {
            return;
        }
        accumulate = true;
    }
}

#[inline(always)]
fn add<T: Float, const K: usize>(
    weights: &[T; TERMS],
    sources: &[&[T]; TERMS],
    accumulate: bool,
    out: &mut [T],
) {
    let weights: [T; K] = std::array::from_fn(|k| weights[k]);
    let sources: [&[T]; K] = std::array::from_fn(|k| &sources[k][..out.len()]);
    if accumulate {
        for (i, y) in out.iter_mut().enumerate() {
            let mut sum = *y;
            for k in 0..K {
                sum += weights[k] * sources[k][i];
            }
            *y = sum;
        }
    } else {
        for (i, y) in out.iter_mut().enumerate() {
            let mut sum = weights[0] * sources[0][i];
            for k in 1..K {
                sum += weights[k] * sources[k][i];
            }
            *y = sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_terms_is_added_up() {
        let sources: Vec<Vec<f64>> = (0..20)
            .map(|k| (0..7).map(|i| (k * k + i) as f64).collect())
            .collect();
        for count in 0..=20 {
            let terms = || {
                (1..)
                    .map(f64::from)
                    .zip(sources[..count].iter().map(|s| &s[..]))
            };
            let expected = |i: usize| terms().map(|(weight, s)| weight * s[i]).sum::<f64>();
            let mut out = [f64::NAN; 5];
            combine(terms(), false, &mut out);
            assert_eq!(out, std::array::from_fn(expected), "{count} terms");
            combine(terms(), true, &mut out);
            assert_eq!(
                out,
                std::array::from_fn(|i| 2. * expected(i)),
                "{count} terms"
            );
        }
    }
}
