//! The one thread on which candle keeps the graphs of gradients.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, OnceLock, mpsc};

use candle_core::{Error, Result, bail};

use super::{STACK_BYTES, keeps_graph};

/// The environment variable that candle reads once per thread, at the thread's first backward pass.
const KEEP_GRAPH: &str = "CANDLE_GRAD_DO_NOT_DETACH";

type Job = Box<dyn FnOnce() + Send>;
type Thread = std::result::Result<Mutex<mpsc::Sender<Job>>, String>;

/// The thread, which is started on the first call.
fn thread() -> Result<&'static Mutex<mpsc::Sender<Job>>> {
    static THREAD: OnceLock<Thread> = OnceLock::new();
    match THREAD.get_or_init(start) {
        Ok(sender) => Ok(sender),
        Err(message) => bail!("second order is not available: {message}"),
    }
}

/// Starts the thread, unless it runs.
pub(super) fn ensure() -> Result<()> {
    thread().map(|_| ())
}

/// Runs `work` on the thread and waits for its answer.
pub(super) fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let stopped = || Error::Msg("the second-order thread has stopped".into());
    let (reply, answer) = mpsc::channel();
    let job: Job = Box::new(move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        // The receiver waits below; it is gone only if its thread was torn down.
        reply
            .send(result.unwrap_or_else(|payload| Err(panicked(&*payload))))
            .ok();
    });
    {
        let sender = thread()?.lock().map_err(|_| stopped())?;
        sender.send(job).map_err(|_| stopped())?;
    }
    if rayon::current_thread_index().is_none() {
        return answer.recv().map_err(|_| stopped())?;
    }
    // The walk may need this very thread for its kernels.
    loop {
        match answer.try_recv() {
            Ok(result) => return result,
            Err(mpsc::TryRecvError::Empty) => {
                if rayon::yield_now() != Some(rayon::Yield::Executed) {
                    std::thread::yield_now();
                }
            }
            Err(mpsc::TryRecvError::Disconnected) => return Err(stopped()),
        }
    }
}

fn panicked(payload: &(dyn Any + Send)) -> Error {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    Error::Msg(format!(
        "grad: the backward walk panicked: {}",
        text.unwrap_or("no message")
    ))
}

/// Starts the thread, and checks that candle keeps graphs on it.
fn start() -> Thread {
    let (jobs, queue) = mpsc::channel::<Job>();
    let (ready, latched) = mpsc::channel();
    let before = std::env::var_os(KEEP_GRAPH);
    let is_set = before.as_deref() == Some("1".as_ref());
    if !is_set {
        // SAFETY: changing the environment is unsound only while another thread reads it through the C
        // library, past the lock that std takes. It happens once per process, by default at the first
        // call of `grad`; programs whose other threads call such code are told, in the documentation of
        // `start_second_order`, to make this happen before they start them. candle itself reads the
        // variable through std. A thread that runs its very first backward pass in this moment keeps
        // graphs too, which costs memory but changes no result.
        unsafe { std::env::set_var(KEEP_GRAPH, "1") };
    }
    let spawned = std::thread::Builder::new()
        .name("second-order".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            ready.send(keeps_graph()).ok();
            queue.into_iter().for_each(|job| job());
        });
    let answer = spawned.map_err(|e| e.to_string());
    let answer = answer.and_then(|_| latched.recv().map_err(|e| e.to_string()));
    if !is_set {
        match before {
            // SAFETY: as above.
            Some(value) => unsafe { std::env::set_var(KEEP_GRAPH, value) },
            // SAFETY: as above.
            None => unsafe { std::env::remove_var(KEEP_GRAPH) },
        }
    }
    match answer? {
        Ok(true) => Ok(Mutex::new(jobs)),
        Ok(false) => Err(format!("this candle ignores {KEEP_GRAPH}")),
        Err(e) => Err(e.to_string()),
    }
}
