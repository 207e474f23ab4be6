//! Settings of the whole process, made before anything else runs.

use std::ffi::c_long;

use libmimalloc_sys::{mi_option_get, mi_option_set_default, mi_option_t};
use mimalloc::MiMalloc;

/// Training allocates and frees large tensors all the time, from many threads.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// mimalloc's option `purge_delay`, in milliseconds; -1 is never. Its number in `mimalloc.h`, which the
/// bindings don't name.
const PURGE_DELAY: mi_option_t = 15;

/// The number of threads of candle's own elementwise operators.
const CANDLE_THREADS: &str = "CANDLE_NUM_THREADS";
/// The number of threads of candle's matrix products.
const PRODUCT_THREADS: &str = "RAYON_NUM_THREADS";

/// Keeps freed memory and leaves the cores to the kernels. Measured on two cores, training the small
/// network of the documents: 0.79 of the time without the second thread of candle's elementwise pool,
/// 0.89 of that again without giving memory back, and 0.94 of that again where the number of `threads` is in the
/// environment: without it, candle reads it from the system's description of its processors for every product.
///
/// A user's `MIMALLOC_PURGE_DELAY` and `CANDLE_NUM_THREADS` win.
///
/// # Safety
/// No other thread may run: this writes the environment and the allocator's options, which any thread may
/// read at any time.
pub unsafe fn tune(threads: usize) {
    // SAFETY: setting options is not thread safe; the caller sees to it that no other thread runs.
    unsafe { mi_option_set_default(PURGE_DELAY, -1) };
    // candle's threads wait for work by spinning, on cores that the kernels of the next operator need.
    if std::env::var_os(CANDLE_THREADS).is_none() {
        // SAFETY: the caller sees to it that no other thread runs that could read the environment.
        unsafe { std::env::set_var(CANDLE_THREADS, "1") };
    }
    // SAFETY: as above.
    unsafe { std::env::set_var(PRODUCT_THREADS, threads.to_string()) };
}

/// Milliseconds until the allocator gives freed memory back to the system; -1 is never.
pub fn purge_delay() -> c_long {
    // SAFETY: the number is that of an option, and nothing writes options after `tune`.
    unsafe { mi_option_get(PURGE_DELAY) }
}
