//! How kernels are split into tasks, and how they get at wide instructions.
//!
//! The split depends on sizes only, never on the number of threads, and every task writes elements of
//! its own: results are the same on any number of threads.

use pulp::Arch;
use rayon::prelude::*;

/// Elements that are worth a task of their own.
pub(crate) const TASK_ELEMENTS: usize = 16 * 1024;

/// Calls `work(plane, elements)` for every plane of `size` elements, in parallel, compiled for the
/// widest instruction set of this machine.
pub(crate) fn planes<T: Send>(out: &mut [T], size: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    planes_with(out, size, size, || (), |_, plane, out| work(plane, out));
}

/// [`planes`] with scratch space for every task, for planes that cost as much as `cost` elements.
pub(crate) fn planes_with<T: Send, S>(
    out: &mut [T],
    size: usize,
    cost: usize,
    scratch: impl Fn() -> S + Sync + Send,
    work: impl Fn(&mut S, usize, &mut [T]) + Sync,
) {
    if size == 0 {
        return;
    }
    let arch = Arch::new();
    let planes_per_task = TASK_ELEMENTS.div_ceil(cost.max(1));
    let run = |scratch: &mut S, first: usize, out: &mut [T]| {
        arch.dispatch(|| {
            for (i, out) in out.chunks_mut(size).enumerate() {
                work(scratch, first + i, out);
            }
        });
    };
    // Handing a single task to another thread costs more than the task.
    if out.len() <= size * planes_per_task {
        return run(&mut scratch(), 0, out);
    }
    let tasks = out.par_chunks_mut(size * planes_per_task).enumerate();
    tasks.for_each_init(scratch, |scratch, (task, out)| {
        run(scratch, task * planes_per_task, out)
    });
}

/// A result that tasks write to in places that do not overlap.
pub(crate) struct SharedOut<'a, T> {
    data: *mut T,
    len: usize,
    lifetime: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: the pointer comes from an exclusive borrow, and `at` only hands out a pointer:
// the unsafe blocks that write through it argue that no two tasks touch the same elements.
unsafe impl<T: Send> Sync for SharedOut<'_, T> {}

impl<'a, T> SharedOut<'a, T> {
    pub(crate) fn new(out: &'a mut [T]) -> Self {
        Self {
            data: out.as_mut_ptr(),
            len: out.len(),
            lifetime: std::marker::PhantomData,
        }
    }

    /// A pointer to the elements from `start`, of which the caller may use `len`.
    ///
    /// The elements are checked to be inside the result. Using the pointer is unsafe: no other task may
    /// touch the same elements.
    pub(crate) fn at(&self, start: usize, len: usize) -> *mut T {
        assert!(start + len <= self.len, "write outside the result");
        self.data.wrapping_add(start)
    }
}
