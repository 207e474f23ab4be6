//! How kernels are split into tasks, and how they get at wide instructions.
//!
//! The split depends on sizes only, never on the number of threads, and every task writes elements of
//! its own: results are the same on any number of threads.

use rayon::prelude::*;

use crate::simd::{Lanes, WithLanes, Work, dispatch, level};

/// Elements that are worth a task of their own.
pub(crate) const TASK_ELEMENTS: usize = 16 * 1024;
/// Elements that stay in the fastest cache between several passes over them.
pub(crate) const RUN_ELEMENTS: usize = 2 * 1024;

/// Runs `work` compiled for the widest instruction set of this machine, as far as it is inlined.
///
/// The closure is called as `FnMut`: as `FnOnce`, the call would go through a function of the compiler's that
/// is not inlined, and all of the work would be compiled for the least machine.
pub(crate) fn wide<R>(work: impl FnMut() -> R) -> R {
    struct Wide<F>(F);

    impl<R, F: FnMut() -> R> WithLanes for Wide<F> {
        type Output = R;

        #[inline(always)]
        fn with<L: Lanes>(self, lanes: L) -> R {
            lanes.run(self)
        }
    }

    impl<R, F: FnMut() -> R> Work for Wide<F> {
        type Output = R;

        #[inline(always)]
        fn call(mut self) -> R {
            (self.0)()
        }
    }

    dispatch(level(), Wide(work))
}

/// Calls `work(plane, elements)` for every plane of `size` elements, in parallel, compiled for the
/// widest instruction set of this machine.
///
/// That reaches `work` where it is inlined, so these functions are called with closures that always are.
pub(crate) fn planes<T: Send>(out: &mut [T], size: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    planes_with(
        out,
        size,
        size,
        || (),
        #[inline(always)]
        |_, plane, out| work(plane, out),
    );
}

/// Calls `work(plane, first, elements)` for runs of at most [`RUN_ELEMENTS`] of every plane of `size`
/// elements, like [`planes`]: a few large planes are spread over all cores, too.
pub(crate) fn runs<T: Send>(
    out: &mut [T],
    size: usize,
    work: impl Fn(usize, usize, &mut [T]) + Sync,
) {
    runs_with(out, size, RUN_ELEMENTS, 1, work);
}

/// [`runs`] of another length, for elements that cost as much as `cost`.
pub(crate) fn runs_with<T: Send>(
    out: &mut [T],
    size: usize,
    run: usize,
    cost: usize,
    work: impl Fn(usize, usize, &mut [T]) + Sync,
) {
    let task = (TASK_ELEMENTS / cost.max(1)).max(1).next_multiple_of(run);
    if size <= task {
        return planes_with(
            out,
            size,
            size * cost,
            || (),
            #[inline(always)]
            |_, plane, out| {
                in_runs(plane, 0, out, run, &work);
            },
        );
    }
    let planes = out.par_chunks_mut(size).enumerate();
    planes.for_each(|(plane, out)| {
        let tasks = out.par_chunks_mut(task).enumerate();
        tasks.for_each(|(i, out)| {
            wide(
                #[inline(always)]
                || in_runs(plane, i * task, out, run, &work),
            );
        });
    });
}

/// The runs of a part of a plane.
#[inline(always)]
fn in_runs<T>(
    plane: usize,
    first: usize,
    out: &mut [T],
    run: usize,
    work: &impl Fn(usize, usize, &mut [T]),
) {
    for (i, out) in out.chunks_mut(run).enumerate() {
        work(plane, first + i * run, out);
    }
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
    let planes_per_task = TASK_ELEMENTS.div_ceil(cost.max(1));
    let run = |scratch: &mut S, first: usize, out: &mut [T]| {
        wide(
            #[inline(always)]
            || {
                for (i, out) in out.chunks_mut(size).enumerate() {
                    work(scratch, first + i, out);
                }
            },
        );
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
