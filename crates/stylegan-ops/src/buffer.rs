//! Memory for results.

use crate::kernel::Float;

/// `len` elements with arbitrary contents, to be overwritten: a pass over memory less than zeros.
///
/// In debug builds they are NaN, so that an element that a kernel forgets shows.
pub(crate) fn unspecified<T: Float>(len: usize) -> Vec<T> {
    if cfg!(debug_assertions) {
        return vec![T::from_f64(f64::NAN); len];
    }
    arbitrary(len)
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn arbitrary<T: Float>(len: usize) -> Vec<T> {
    let mut buffer = Vec::<T>::with_capacity(len);
    // SAFETY: no instruction is executed. As far as the compiler knows, this reads the address of the
    // buffer and fills all of it with some numbers, since nothing in the options forbids that.
    unsafe {
        std::arch::asm!("/* {0} */", in(reg) buffer.as_mut_ptr(), options(nostack, preserves_flags));
    }
    // SAFETY: `len` is at most the capacity. Every bit pattern is a number of type `T`, so the assembly
    // above may have initialised the elements to what the memory holds.
    unsafe { buffer.set_len(len) };
    buffer
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn arbitrary<T: Float>(len: usize) -> Vec<T> {
    vec![T::zero(); len]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_has_its_length_and_can_be_written() {
        for len in [0, 1, 1000] {
            for mut buffer in [unspecified::<f32>(len), arbitrary(len)] {
                buffer.fill(2.);
                assert_eq!(buffer, vec![2.; len]);
            }
        }
    }
}
