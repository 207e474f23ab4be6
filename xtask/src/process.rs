//! Settings of the whole process, made before anything else runs.

use libmimalloc_sys::{mi_option_set, mi_option_t};
use mimalloc::MiMalloc;

/// Training allocates and frees large tensors all the time, from many threads.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// mimalloc's option `purge_delay`, in milliseconds; -1 is never. Its number in `mimalloc.h`.
const PURGE_DELAY: mi_option_t = 15;

/// The number of threads of candle's own elementwise operators.
const CANDLE_THREADS: &str = "CANDLE_NUM_THREADS";

/// Keeps freed memory and leaves the cores to the kernels. Measured on two cores, training the small
/// network of the documents: 0.79 of the time without the second thread of candle's elementwise pool,
/// and 0.89 of that again without giving memory back.
///
/// To be called first thing in `main`.
pub fn tune() {
    // SAFETY: setting options is not thread safe; no other thread runs yet.
    unsafe { mi_option_set(PURGE_DELAY, -1) };
    // candle's threads wait for work by spinning, on cores that the kernels of the next operator need.
    if std::env::var_os(CANDLE_THREADS).is_none() {
        // SAFETY: no other thread runs yet that could read the environment.
        unsafe { std::env::set_var(CANDLE_THREADS, "1") };
    }
}
