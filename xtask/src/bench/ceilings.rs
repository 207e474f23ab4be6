//! `bench ceilings`: what the machine can do at most.

use std::time::Instant;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use memmap2::MmapMut;
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;
use serde::Serialize;

use crate::print_result;

const NOTES: &str = "\
Matrix products are f32, of 2048x2048 matrices, by the gemm crate. Copy reads and writes 256 MiB, \
triad computes a = b + 3 c of arrays of that size; both count the bytes that are read and written. \
First touch writes to every page of memory that the system has just given out. All are the best of \
several tries.";

/// Measure the matrix products and the memory of this machine
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub struct Args {
    /// Print a line of JSON for each number of threads instead of a table
    #[arg(long)]
    json: bool,
}

/// Side of the matrices.
const SIDE: usize = 2048;

/// Elements of an array: more than any cache holds.
const ELEMENTS: usize = 64 << 20;

/// Elements that a thread works on at a time.
const CHUNK: usize = 1 << 16;

/// Bytes of a page; larger pages are touched more than once.
const PAGE: usize = 4096;

const TRIES: usize = 5;

const GIGA: f64 = 1e9;

/// The most that a number of threads reaches.
#[derive(Debug, Serialize)]
struct Ceiling {
    threads: usize,
    matrix_product_gflops: f64,
    copy_gbytes_per_second: f64,
    triad_gbytes_per_second: f64,
    first_touch_gbytes_per_second: f64,
}

/// Runs `bench ceilings`, for every number of threads up to that of the pool.
pub fn run(args: &Args) -> Result<()> {
    if !args.json {
        print_result("threads  matrix product       copy      triad  first touch")?;
    }
    for threads in 1..=rayon::current_num_threads() {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.with_context(|| format!("cannot start {threads} threads"))?;
        let ceiling = pool.install(|| Ceiling::measure(threads))?;
        match args.json {
            true => print_result(serde_json::to_string(&ceiling)?)?,
            false => print_result(format!(
                "{threads:7}  {:8.1} GFLOP/s  {:5.1} GB/s  {:5.1} GB/s  {:6.1} GB/s",
                ceiling.matrix_product_gflops,
                ceiling.copy_gbytes_per_second,
                ceiling.triad_gbytes_per_second,
                ceiling.first_touch_gbytes_per_second
            ))?,
        }
    }
    Ok(())
}

impl Ceiling {
    /// On the threads of the pool that this runs in.
    fn measure(threads: usize) -> Result<Self> {
        let bytes = size_of::<f32>() * ELEMENTS;
        Ok(Self {
            threads,
            matrix_product_gflops: matrix_product()?,
            copy_gbytes_per_second: best(2 * bytes, copy()),
            triad_gbytes_per_second: best(3 * bytes, triad()),
            first_touch_gbytes_per_second: first_touch(bytes)?,
        })
    }
}

/// Gigabytes or GFLOP per second of the fastest of several tries.
fn best(count: usize, mut work: impl FnMut()) -> f64 {
    let seconds = (0..TRIES).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    });
    count as f64 / seconds.fold(f64::INFINITY, f64::min) / GIGA
}

fn matrix_product() -> Result<f64> {
    let square = Tensor::ones((SIDE, SIDE), DType::F32, &Device::Cpu)?;
    let mut result = Ok(());
    let rate = best(2 * SIDE * SIDE * SIDE, || {
        if let Err(error) = square.matmul(&square) {
            result = Err(error);
        }
    });
    result?;
    Ok(rate)
}

fn copy() -> impl FnMut() {
    let (from, mut to) = (vec![1f32; ELEMENTS], vec![0f32; ELEMENTS]);
    move || {
        let pairs = to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK));
        pairs.for_each(|(to, from)| to.copy_from_slice(from));
    }
}

fn triad() -> impl FnMut() {
    let (b, c) = (vec![1f32; ELEMENTS], vec![2f32; ELEMENTS]);
    let mut a = vec![0f32; ELEMENTS];
    move || {
        let chunks = b.par_chunks(CHUNK).zip(c.par_chunks(CHUNK));
        a.par_chunks_mut(CHUNK).zip(chunks).for_each(|(a, (b, c))| {
            for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
                *a = b + 3.0 * c;
            }
        });
    }
}

/// Writes a byte to every page of new memory. Its release doesn't count.
fn first_touch(bytes: usize) -> Result<f64> {
    let mut fastest = 0f64;
    for _ in 0..TRIES {
        let mut memory = MmapMut::map_anon(bytes).context("cannot get memory")?;
        let start = Instant::now();
        memory.par_chunks_mut(CHUNK).for_each(|chunk| {
            for page in chunk.chunks_mut(PAGE) {
                page[0] = 1;
            }
        });
        fastest = fastest.max(bytes as f64 / start.elapsed().as_secs_f64() / GIGA);
    }
    Ok(fastest)
}
