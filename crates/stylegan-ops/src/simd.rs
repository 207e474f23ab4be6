//! Vectors of `f32`, and the choice of the instruction set when the program runs.
//!
//! A kernel is written once over [`Lanes`] and compiled for every instruction set; [`dispatch`] runs the
//! version for the [`level`] of this machine. A value of a type that implements [`Lanes`] is the proof that
//! its instructions exist, so its methods are safe.

use std::cell::RefCell;
use std::sync::OnceLock;

/// An instruction set for vectors of `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// 16 lanes, 32 registers.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 8 lanes, 16 registers.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 4 lanes, 32 registers.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// 4 lanes, left to the compiler.
    Portable,
}

impl Level {
    /// The levels of this machine, the widest first.
    pub(crate) fn available() -> &'static [Self] {
        static AVAILABLE: OnceLock<Vec<Level>> = OnceLock::new();
        AVAILABLE.get_or_init(|| {
            let mut levels = Vec::new();
            #[cfg(target_arch = "x86_64")]
            {
                if Avx512::new().is_some() {
                    levels.push(Self::Avx512);
                }
                if Avx2::new().is_some() {
                    levels.push(Self::Avx2);
                }
            }
            #[cfg(target_arch = "aarch64")]
            if Neon::new().is_some() {
                levels.push(Self::Neon);
            }
            levels.push(Self::Portable);
            levels
        })
    }

    /// The name in `STYLEGAN_SIMD`.
    fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "neon",
            Self::Portable => "portable",
        }
    }
}

/// The level that kernels run at: the widest of this machine, or the one that the environment variable
/// `STYLEGAN_SIMD` names. An error if this machine has no such level.
fn chosen() -> Result<Level, &'static str> {
    static CHOSEN: OnceLock<Result<Level, String>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| match std::env::var("STYLEGAN_SIMD") {
        Ok(name) => choose(&name),
        Err(_) => Ok(Level::available()[0]),
    });
    match chosen {
        Ok(level) => Ok(*level),
        Err(message) => Err(message),
    }
}

fn choose(name: &str) -> Result<Level, String> {
    let available = Level::available();
    let found = available.iter().copied().find(|l| l.name() == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = available.iter().map(|l| l.name()).collect();
        format!(
            "STYLEGAN_SIMD: expected one of {} on this machine, got `{name}`",
            names.join(", ")
        )
    })
}

/// An error if the environment variable names no level of this machine.
pub(crate) fn check() -> candle_core::Result<()> {
    match chosen() {
        Ok(_) => Ok(()),
        Err(message) => candle_core::bail!("{message}"),
    }
}

/// [`chosen`], or the widest level where the choice is an error: for kernels, whose callers report it.
pub(crate) fn level() -> Level {
    chosen().unwrap_or(Level::available()[0])
}

/// Vectors of [`LANES`](Self::LANES) values, and what kernels do with them.
pub(crate) trait Lanes: Copy + Send + Sync + 'static {
    /// A multiple of 4, at most 16.
    const LANES: usize;
    /// How many vectors fit the registers.
    const REGISTERS: usize;
    /// `[f32; LANES]`, aligned.
    type Vector: Copy + Send + Sync;

    /// Calls `work` compiled for this instruction set.
    fn run<W: Work>(self, work: W) -> W::Output;

    fn splat(self, x: f32) -> Self::Vector;
    /// The first `LANES` values of a slice.
    fn load(self, from: &[f32]) -> Self::Vector;
    /// To the first `LANES` values of a slice.
    fn store(self, v: Self::Vector, to: &mut [f32]);
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, rounded once where the instruction set can.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// Transposes the 4x4 matrices that groups of four lanes are: lane `4 * q + i` of vector `j` and lane
    /// `4 * q + j` of vector `i` change places.
    fn transpose4(self, v: [Self::Vector; 4]) -> [Self::Vector; 4];
    /// `a[0], b[0], a[1], b[1], ...`
    fn zip(self, a: Self::Vector, b: Self::Vector) -> [Self::Vector; 2];

    /// Vectors as the values they hold.
    fn floats(self, vectors: &[Self::Vector]) -> &[f32] {
        // SAFETY: a vector is `LANES` values without padding.
        unsafe { std::slice::from_raw_parts(vectors.as_ptr().cast(), vectors.len() * Self::LANES) }
    }

    /// The same, to change them.
    fn floats_mut(self, vectors: &mut [Self::Vector]) -> &mut [f32] {
        let len = vectors.len() * Self::LANES;
        // SAFETY: a vector is `LANES` values without padding, and any values make a vector.
        unsafe { std::slice::from_raw_parts_mut(vectors.as_mut_ptr().cast(), len) }
    }
}

/// Work for one instruction set. Implementations of `call` are `#[inline(always)]`, as is what they call
/// in a loop, so that everything is compiled for the instruction set of the caller.
pub(crate) trait Work {
    type Output;
    fn call(self) -> Self::Output;
}

/// Work that is generic over the instruction set.
pub(crate) trait WithLanes {
    type Output;
    fn with<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// Calls work with the vectors of a level of this machine.
pub(crate) fn dispatch<W: WithLanes>(level: Level, work: W) -> W::Output {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => {
            if let Some(lanes) = Avx512::new() {
                return work.with(lanes);
            }
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => {
            if let Some(lanes) = Avx2::new() {
                return work.with(lanes);
            }
        }
        #[cfg(target_arch = "aarch64")]
        Level::Neon => {
            if let Some(lanes) = Neon::new() {
                return work.with(lanes);
            }
        }
        Level::Portable => {}
    }
    work.with(Portable)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Lanes, Work};

    /// The parts of AVX-512 that all of its processors for servers and laptops have, and this machine has.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(());

    /// AVX2 and FMA, which this machine has.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(());

    impl Avx512 {
        pub(super) fn new() -> Option<Self> {
            let found = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512cd")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma");
            found.then_some(Self(()))
        }
    }

    impl Avx2 {
        pub(super) fn new() -> Option<Self> {
            let found = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            found.then_some(Self(()))
        }
    }

    // SAFETY of the blocks below: a value of the type exists only where its instructions do (`new`), and
    // the slices that are loaded from and stored to are checked to be long enough.

    impl Lanes for Avx512 {
        const LANES: usize = 16;
        const REGISTERS: usize = 32;
        type Vector = __m512;

        #[inline(always)]
        fn run<W: Work>(self, work: W) -> W::Output {
            #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma")]
            fn run<W: Work>(work: W) -> W::Output {
                work.call()
            }
            // SAFETY: see above.
            unsafe { run(work) }
        }

        #[inline(always)]
        fn splat(self, x: f32) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_set1_ps(x) }
        }

        #[inline(always)]
        fn load(self, from: &[f32]) -> __m512 {
            let from = &from[..16];
            // SAFETY: see above.
            unsafe { _mm512_loadu_ps(from.as_ptr()) }
        }

        #[inline(always)]
        fn store(self, v: __m512, to: &mut [f32]) {
            let to = &mut to[..16];
            // SAFETY: see above.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), v) }
        }

        #[inline(always)]
        fn add(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_add_ps(a, b) }
        }

        #[inline(always)]
        fn sub(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_sub_ps(a, b) }
        }

        #[inline(always)]
        fn mul(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_mul_ps(a, b) }
        }

        #[inline(always)]
        fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: see above.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        fn transpose4(self, [a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
            // SAFETY: see above.
            unsafe {
                let (ab_lo, ab_hi) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
                let (cd_lo, cd_hi) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
                let [ab_lo, ab_hi, cd_lo, cd_hi] =
                    [ab_lo, ab_hi, cd_lo, cd_hi].map(|v| _mm512_castps_pd(v));
                [
                    _mm512_unpacklo_pd(ab_lo, cd_lo),
                    _mm512_unpackhi_pd(ab_lo, cd_lo),
                    _mm512_unpacklo_pd(ab_hi, cd_hi),
                    _mm512_unpackhi_pd(ab_hi, cd_hi),
                ]
                .map(|v| _mm512_castpd_ps(v))
            }
        }

        #[inline(always)]
        fn zip(self, a: __m512, b: __m512) -> [__m512; 2] {
            // SAFETY: see above.
            unsafe {
                let lower =
                    _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
                let upper = _mm512_add_epi32(lower, _mm512_set1_epi32(8));
                [lower, upper].map(|index| _mm512_permutex2var_ps(a, index, b))
            }
        }
    }

    impl Lanes for Avx2 {
        const LANES: usize = 8;
        const REGISTERS: usize = 16;
        type Vector = __m256;

        #[inline(always)]
        fn run<W: Work>(self, work: W) -> W::Output {
            #[target_feature(enable = "avx2,fma")]
            fn run<W: Work>(work: W) -> W::Output {
                work.call()
            }
            // SAFETY: see above.
            unsafe { run(work) }
        }

        #[inline(always)]
        fn splat(self, x: f32) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_set1_ps(x) }
        }

        #[inline(always)]
        fn load(self, from: &[f32]) -> __m256 {
            let from = &from[..8];
            // SAFETY: see above.
            unsafe { _mm256_loadu_ps(from.as_ptr()) }
        }

        #[inline(always)]
        fn store(self, v: __m256, to: &mut [f32]) {
            let to = &mut to[..8];
            // SAFETY: see above.
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), v) }
        }

        #[inline(always)]
        fn add(self, a: __m256, b: __m256) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_add_ps(a, b) }
        }

        #[inline(always)]
        fn sub(self, a: __m256, b: __m256) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_sub_ps(a, b) }
        }

        #[inline(always)]
        fn mul(self, a: __m256, b: __m256) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_mul_ps(a, b) }
        }

        #[inline(always)]
        fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
            // SAFETY: see above.
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        fn transpose4(self, [a, b, c, d]: [__m256; 4]) -> [__m256; 4] {
            // SAFETY: see above.
            unsafe {
                let (ab_lo, ab_hi) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                let (cd_lo, cd_hi) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
                let [ab_lo, ab_hi, cd_lo, cd_hi] =
                    [ab_lo, ab_hi, cd_lo, cd_hi].map(|v| _mm256_castps_pd(v));
                [
                    _mm256_unpacklo_pd(ab_lo, cd_lo),
                    _mm256_unpackhi_pd(ab_lo, cd_lo),
                    _mm256_unpacklo_pd(ab_hi, cd_hi),
                    _mm256_unpackhi_pd(ab_hi, cd_hi),
                ]
                .map(|v| _mm256_castpd_ps(v))
            }
        }

        #[inline(always)]
        fn zip(self, a: __m256, b: __m256) -> [__m256; 2] {
            // SAFETY: see above.
            unsafe {
                let (lower, upper) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                [
                    _mm256_permute2f128_ps::<0x20>(lower, upper),
                    _mm256_permute2f128_ps::<0x31>(lower, upper),
                ]
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
use x86::{Avx2, Avx512};

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::aarch64::*;

    use super::{Lanes, Work};

    /// NEON, which this machine has.
    #[derive(Clone, Copy)]
    pub(crate) struct Neon(());

    impl Neon {
        pub(super) fn new() -> Option<Self> {
            std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
        }
    }

    // SAFETY of the blocks below: a value of the type exists only where its instructions do (`new`), and
    // the slices that are loaded from and stored to are checked to be long enough.

    impl Lanes for Neon {
        const LANES: usize = 4;
        const REGISTERS: usize = 32;
        type Vector = float32x4_t;

        #[inline(always)]
        fn run<W: Work>(self, work: W) -> W::Output {
            #[target_feature(enable = "neon")]
            fn run<W: Work>(work: W) -> W::Output {
                work.call()
            }
            // SAFETY: see above.
            unsafe { run(work) }
        }

        #[inline(always)]
        fn splat(self, x: f32) -> float32x4_t {
            // SAFETY: see above.
            unsafe { vdupq_n_f32(x) }
        }

        #[inline(always)]
        fn load(self, from: &[f32]) -> float32x4_t {
            let from = &from[..4];
            // SAFETY: see above.
            unsafe { vld1q_f32(from.as_ptr()) }
        }

        #[inline(always)]
        fn store(self, v: float32x4_t, to: &mut [f32]) {
            let to = &mut to[..4];
            // SAFETY: see above.
            unsafe { vst1q_f32(to.as_mut_ptr(), v) }
        }

        #[inline(always)]
        fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
            // SAFETY: see above.
            unsafe { vaddq_f32(a, b) }
        }

        #[inline(always)]
        fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
            // SAFETY: see above.
            unsafe { vsubq_f32(a, b) }
        }

        #[inline(always)]
        fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
            // SAFETY: see above.
            unsafe { vmulq_f32(a, b) }
        }

        #[inline(always)]
        fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
            // SAFETY: see above.
            unsafe { vfmaq_f32(c, a, b) }
        }

        #[inline(always)]
        fn transpose4(self, [a, b, c, d]: [float32x4_t; 4]) -> [float32x4_t; 4] {
            // SAFETY: see above.
            unsafe {
                let (ac_lo, ac_hi) = (vzip1q_f32(a, c), vzip2q_f32(a, c));
                let (bd_lo, bd_hi) = (vzip1q_f32(b, d), vzip2q_f32(b, d));
                [
                    vzip1q_f32(ac_lo, bd_lo),
                    vzip2q_f32(ac_lo, bd_lo),
                    vzip1q_f32(ac_hi, bd_hi),
                    vzip2q_f32(ac_hi, bd_hi),
                ]
            }
        }

        #[inline(always)]
        fn zip(self, a: float32x4_t, b: float32x4_t) -> [float32x4_t; 2] {
            // SAFETY: see above.
            unsafe { [vzip1q_f32(a, b), vzip2q_f32(a, b)] }
        }
    }
}

#[cfg(target_arch = "aarch64")]
use arm::Neon;

/// Arrays, which the compiler turns into vectors where it can.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Lanes for Portable {
    const LANES: usize = 4;
    const REGISTERS: usize = 16;
    type Vector = [f32; 4];

    #[inline(always)]
    fn run<W: Work>(self, work: W) -> W::Output {
        work.call()
    }

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 4] {
        [x; 4]
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> [f32; 4] {
        std::array::from_fn(|i| from[i])
    }

    #[inline(always)]
    fn store(self, v: [f32; 4], to: &mut [f32]) {
        to[..4].copy_from_slice(&v);
    }

    #[inline(always)]
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn mul(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn mul_add(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn transpose4(self, v: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
        std::array::from_fn(|i| std::array::from_fn(|j| v[j][i]))
    }

    #[inline(always)]
    fn zip(self, a: [f32; 4], b: [f32; 4]) -> [[f32; 4]; 2] {
        [[a[0], b[0], a[1], b[1]], [a[2], b[2], a[3], b[3]]]
    }
}

/// The unit of scratch memory: a cache line, aligned for every vector type.
#[derive(Debug, Default, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line([f32; 16]);

impl Line {
    /// How many lines hold so many vectors.
    pub(crate) fn count<L: Lanes>(_: L, vectors: usize) -> usize {
        (vectors * L::LANES).div_ceil(16)
    }
}

/// Lines as the vectors that they hold.
#[inline(always)]
pub(crate) fn vectors<L: Lanes>(_: L, lines: &[Line]) -> &[L::Vector] {
    let len = lines.len() * (16 / L::LANES);
    // SAFETY: lines are values without padding, as many as the vectors and aligned for every vector type, and
    // any values make a vector.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), len) }
}

/// The same, to change them.
#[inline(always)]
pub(crate) fn vectors_mut<L: Lanes>(_: L, lines: &mut [Line]) -> &mut [L::Vector] {
    let len = lines.len() * (16 / L::LANES);
    // SAFETY: as above, and any vector makes values.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), len) }
}

/// What scratch memory is for: a call may hold memory of its own while its thread runs one of its tasks.
#[derive(Clone, Copy)]
pub(crate) enum Scope {
    Call,
    Task,
}

impl Scope {
    /// The most memory that a thread keeps for the next time, in bytes.
    const fn kept(self) -> usize {
        match self {
            Self::Call => 24 << 20,
            Self::Task => 4 << 20,
        }
    }
}

thread_local! {
    static SCRATCH: [RefCell<Vec<Line>>; 2] =
        const { [RefCell::new(Vec::new()), RefCell::new(Vec::new())] };
}

/// Scratch memory of this thread, which goes back to it when dropped.
pub(crate) struct Scratch {
    lines: Vec<Line>,
    scope: Scope,
}

impl Scratch {
    /// Memory for so many vectors.
    pub(crate) fn new<L: Lanes>(l: L, scope: Scope, vectors: usize) -> Self {
        let count = Line::count(l, vectors);
        // Taken out of its place: a second one at the same time is allocated.
        let mut lines = SCRATCH.with(|scratch| scratch[scope as usize].take());
        if lines.len() < count {
            lines = vec![Line::default(); count];
        }
        Self { lines, scope }
    }

    /// The memory as vectors of unspecified values.
    #[inline(always)]
    pub(crate) fn vectors<L: Lanes>(&mut self, l: L) -> &mut [L::Vector] {
        vectors_mut(l, &mut self.lines)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.lines.len() * size_of::<Line>() <= self.scope.kept() {
            SCRATCH.with(|scratch| {
                scratch[self.scope as usize].replace(std::mem::take(&mut self.lines))
            });
        }
    }
}
