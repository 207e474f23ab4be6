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
    /// Asks for the line of the cache that a value is in, where the instruction set can.
    #[inline(always)]
    fn prefetch(self, _: &f32) {}
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

    /// A pair of numbers in bf16 in every lane, rounded to the nearest and of those to the even one: `even` in the
    /// lower half of the bits, `odd` in the upper. NaN stays NaN.
    fn pair(self, even: Self::Vector, odd: Self::Vector) -> Self::Vector;
    /// The numbers of pairs.
    fn halves(self, pairs: Self::Vector) -> [Self::Vector; 2];
    /// Whether this machine has [`mul_add_pairs_at_once`](Self::mul_add_pairs_at_once).
    fn has_pairs(self) -> bool {
        false
    }
    /// `c` plus the products of the two numbers of the pairs `a` and `b`.
    #[inline(always)]
    fn mul_add_pairs(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        let ([a0, a1], [b0, b1]) = (self.halves(a), self.halves(b));
        self.mul_add(a1, b1, self.mul_add(a0, b0, c))
    }
    /// The same in one instruction, which may round otherwise; only where there is one.
    #[inline(always)]
    fn mul_add_pairs_at_once(
        self,
        a: Self::Vector,
        b: Self::Vector,
        c: Self::Vector,
    ) -> Self::Vector {
        self.mul_add_pairs(a, b, c)
    }

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

    /// The parts of AVX-512 that all of its processors for servers and laptops have, and this machine has; and
    /// whether it has products in bf16, too.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512 {
        bf16: bool,
    }

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
            found.then(|| Self {
                bf16: is_x86_feature_detected!("avx512bf16"),
            })
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

    /// Numbers of which the upper halves are the nearest in bf16. Functions, not closures, which would stay functions of
    /// their own, compiled for the least machine.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn round512(v: __m512) -> __m512i {
        let bits = _mm512_castps_si512(v);
        let last = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let up = _mm512_add_epi32(last, _mm512_set1_epi32(0x7fff));
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
        let rounded = _mm512_add_epi32(bits, up);
        _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x40_0000))
    }

    /// The same for AVX2.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn round256(v: __m256) -> __m256i {
        let bits = _mm256_castps_si256(v);
        let last = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let up = _mm256_add_epi32(last, _mm256_set1_epi32(0x7fff));
        let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(v, v);
        let rounded = _mm256_castsi256_ps(_mm256_add_epi32(bits, up));
        let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x40_0000));
        _mm256_castps_si256(_mm256_blendv_ps(rounded, _mm256_castsi256_ps(quiet), nan))
    }

    /// `c` plus the products of the pairs in bf16 of `a` and `b`. Assembly, because the compiler's own function for the
    /// instruction can't become a part of functions that are not compiled for machines that have it.
    ///
    /// # Safety
    /// The machine must have AVX-512 with BF16.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn add_products_of_pairs(a: __m512, b: __m512, c: __m512) -> __m512 {
        let mut sum = c;
        // SAFETY: the caller promises that the instruction exists; it reads and writes these registers only.
        unsafe {
            std::arch::asm!(
                "vdpbf16ps {sum}, {a}, {b}",
                sum = inout(zmm_reg) sum,
                a = in(zmm_reg) a,
                b = in(zmm_reg) b,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        sum
    }

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
        fn prefetch(self, value: &f32) {
            // SAFETY: see above.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) }
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

        #[inline(always)]
        fn pair(self, even: __m512, odd: __m512) -> __m512 {
            // SAFETY: see above.
            unsafe {
                let (even, odd) = (round512(even), round512(odd));
                let odd = _mm512_and_si512(odd, _mm512_set1_epi32(!0xffff));
                _mm512_castsi512_ps(_mm512_or_si512(_mm512_srli_epi32::<16>(even), odd))
            }
        }

        #[inline(always)]
        fn halves(self, pairs: __m512) -> [__m512; 2] {
            // SAFETY: see above.
            unsafe {
                let bits = _mm512_castps_si512(pairs);
                let even = _mm512_slli_epi32::<16>(bits);
                let odd = _mm512_and_si512(bits, _mm512_set1_epi32(!0xffff));
                [_mm512_castsi512_ps(even), _mm512_castsi512_ps(odd)]
            }
        }

        fn has_pairs(self) -> bool {
            self.bf16
        }

        #[inline(always)]
        fn mul_add_pairs_at_once(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: the instruction exists where `has_pairs` says so; the others see above.
            unsafe { add_products_of_pairs(a, b, c) }
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
        fn prefetch(self, value: &f32) {
            // SAFETY: see above.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) }
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

        #[inline(always)]
        fn pair(self, even: __m256, odd: __m256) -> __m256 {
            // SAFETY: see above.
            unsafe {
                let (even, odd) = (round256(even), round256(odd));
                let odd = _mm256_and_si256(odd, _mm256_set1_epi32(!0xffff));
                _mm256_castsi256_ps(_mm256_or_si256(_mm256_srli_epi32::<16>(even), odd))
            }
        }

        #[inline(always)]
        fn halves(self, pairs: __m256) -> [__m256; 2] {
            // SAFETY: see above.
            unsafe {
                let bits = _mm256_castps_si256(pairs);
                let even = _mm256_slli_epi32::<16>(bits);
                let odd = _mm256_and_si256(bits, _mm256_set1_epi32(!0xffff));
                [_mm256_castsi256_ps(even), _mm256_castsi256_ps(odd)]
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

        #[inline(always)]
        fn pair(self, even: float32x4_t, odd: float32x4_t) -> float32x4_t {
            // SAFETY: see above.
            unsafe {
                let (even, odd) = (round(even), round(odd));
                let odd = vandq_u32(odd, vdupq_n_u32(!0xffff));
                vreinterpretq_f32_u32(vorrq_u32(vshrq_n_u32::<16>(even), odd))
            }
        }

        #[inline(always)]
        fn halves(self, pairs: float32x4_t) -> [float32x4_t; 2] {
            // SAFETY: see above.
            unsafe {
                let bits = vreinterpretq_u32_f32(pairs);
                let odd = vandq_u32(bits, vdupq_n_u32(!0xffff));
                let even = vshlq_n_u32::<16>(bits);
                [vreinterpretq_f32_u32(even), vreinterpretq_f32_u32(odd)]
            }
        }
    }

    /// Numbers of which the upper halves are the nearest in bf16.
    #[inline]
    #[target_feature(enable = "neon")]
    fn round(v: float32x4_t) -> uint32x4_t {
        let bits = vreinterpretq_u32_f32(v);
        let last = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
        let rounded = vaddq_u32(bits, vaddq_u32(last, vdupq_n_u32(0x7fff)));
        let quiet = vorrq_u32(bits, vdupq_n_u32(0x40_0000));
        vbslq_u32(vceqq_f32(v, v), rounded, quiet)
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

    #[inline(always)]
    fn pair(self, even: [f32; 4], odd: [f32; 4]) -> [f32; 4] {
        let round = |v: f32| {
            let bits = v.to_bits();
            match v.is_nan() {
                true => bits | 0x40_0000,
                false => bits + 0x7fff + (bits >> 16 & 1),
            }
        };
        let pair = |i: usize| round(even[i]) >> 16 | round(odd[i]) & !0xffff;
        std::array::from_fn(|i| f32::from_bits(pair(i)))
    }

    #[inline(always)]
    fn halves(self, pairs: [f32; 4]) -> [[f32; 4]; 2] {
        let bits = pairs.map(f32::to_bits);
        [bits.map(|b| b << 16), bits.map(|b| b & !0xffff)].map(|half| half.map(f32::from_bits))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers in bf16 nearest to some, and what pairs of them multiply to.
    struct Pairs<'a>(&'a [f32]);

    impl WithLanes for Pairs<'_> {
        type Output = Vec<[f32; 4]>;

        fn with<L: Lanes>(self, l: L) -> Self::Output {
            struct Run<'a, L>(L, &'a [f32]);
            impl<L: Lanes> Work for Run<'_, L> {
                type Output = Vec<[f32; 4]>;

                #[inline(always)]
                fn call(self) -> Self::Output {
                    let Self(l, values) = self;
                    let each = values.iter().zip(values.iter().rev()).map(|(&even, &odd)| {
                        let pairs = l.pair(l.splat(even), l.splat(odd));
                        let one = l.pair(l.splat(1.0), l.splat(2.0));
                        let at_once = match l.has_pairs() {
                            true => l.mul_add_pairs_at_once(pairs, one, l.splat(0.5)),
                            false => l.mul_add_pairs(pairs, one, l.splat(0.5)),
                        };
                        let [even, odd] = l.halves(pairs);
                        let all = [
                            even,
                            odd,
                            l.mul_add_pairs(pairs, one, l.splat(0.5)),
                            at_once,
                        ];
                        all.map(|v| l.floats(&[v])[L::LANES - 1])
                    });
                    each.collect()
                }
            }
            l.run(Run(l, self.0))
        }
    }

    #[test]
    fn pairs_hold_the_nearest_numbers_in_bf16() {
        let values = [
            0.0,
            -1.0,
            // Halfway, to the even one: down and up; and just beside it.
            1.0 + 1.0 / 256.0,
            1.0 + 3.0 / 256.0,
            1.00391,
            -3.15159e30,
            1e-20,
        ];
        let nearest = [
            0.0,
            -1.0,
            1.0,
            1.015625,
            1.0078125,
            -3.149_319_5e30,
            1.000_557_7e-20,
        ];
        for &level in Level::available() {
            let got = dispatch(level, Pairs(&values));
            for (i, [even, odd, product, at_once]) in got.into_iter().enumerate() {
                let (a, b) = (nearest[i], nearest[nearest.len() - 1 - i]);
                assert_eq!([even, odd], [a, b], "{level:?} {i}");
                let exact = 0.5 + a as f64 + 2.0 * b as f64;
                for product in [product, at_once] {
                    let error = (product as f64 - exact).abs();
                    assert!(error <= 1e-6 * exact.abs(), "{level:?} {i}: {product}");
                }
            }
            let special = [f32::NAN, f32::from_bits(u32::MAX), f32::INFINITY];
            let got = dispatch(level, Pairs(&special));
            assert!(
                got[0][0].is_nan() && got[1][0].is_nan(),
                "{level:?} {got:?}"
            );
            assert_eq!(got[2][0], f32::INFINITY, "{level:?}");
        }
    }
}
