//! Layers without a graph.
//!
//! Where no input needs a gradient, a layer on the CPU is computed as one op: the style scales the input of
//! the convolution as it is read, and demodulation, noise, bias and activation finish its values while they are in
//! the cache. Every activation is read once and written once.

use candle_core::{DType, Device, Result, Tensor, bail};

use crate::bias_act::cpu::{Activator, Curve};
use crate::bias_act::{self, BiasAct};
use crate::buffer::unspecified;
use crate::conv::cpu::{convolve, packed};
use crate::conv::{Epilogue, Geometry, Packed, Plain, Precision, choice};
use crate::kernel::{Elements, Float, same_dtype, traced};
use crate::modulated::{DEMODULATION_EPSILON, ModulatedConv2d};
use crate::parallel::{planes, planes_with};
use crate::pointwise::{self, pointwise};
use crate::resample::Ascent;
use crate::sums::{sum_products, sum_weighted_squares};
use crate::upfirdn2d::{Filter, cpu::upfirdn2d, output_size};

/// The name of a layer in errors and profiles.
const NAME: &str = "modulated_layer";
/// Elements between a convolution that upsamples and its filter: samples are taken together up to this.
const BETWEEN: usize = 4 << 20;

/// Whether an op of these tensors needs no graph, and has a kernel.
pub(crate) fn without_graph<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> bool {
    let plain = |t: &Tensor| t.device().is_cpu() && !t.track_op();
    tensors.into_iter().all(plain)
}

/// The inputs of [`modulated_layer`](crate::modulated_layer).
pub(crate) struct ModulatedLayer<'a> {
    pub(crate) x: &'a Tensor,
    pub(crate) w: &'a Tensor,
    pub(crate) s: &'a Tensor,
    pub(crate) filter: &'a Filter,
    pub(crate) config: &'a ModulatedConv2d,
    pub(crate) b: Option<&'a Tensor>,
    pub(crate) noise: Option<&'a Tensor>,
    pub(crate) act: &'a BiasAct,
    /// Made of `w` before.
    pub(crate) prepared: Option<&'a Prepared>,
}

/// What a layer without a graph needs of a weight.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The sum of squares of every kernel, `[O,I]`.
    energies: Tensor,
    /// Of 3x3 kernels.
    packed: Option<Packed>,
}

impl Prepared {
    /// Of a weight `[O,I,k,k]`, contiguous on the CPU and in f32; None for any other.
    pub(crate) fn new(
        w: &Tensor,
        config: &ModulatedConv2d,
        precision: Precision,
    ) -> Result<Option<Self>> {
        choice::check()?;
        let &[outputs, inputs, kh, kw] = w.dims() else {
            bail!(
                "{NAME}: expected a weight of shape [O, I, k, k], got {:?}",
                w.dims()
            );
        };
        if !w.device().is_cpu() || w.dtype() != DType::F32 {
            return Ok(None);
        }
        let elements = Elements::of(w);
        let w = elements.get::<f32>(NAME)?;
        let mut energies = vec![0.0; outputs * inputs];
        planes(
            &mut energies,
            inputs,
            #[inline(always)]
            |output, energies| {
                let taps = kh * kw;
                let kernels = w[output * inputs * taps..].chunks_exact(taps);
                for (energy, kernel) in energies.iter_mut().zip(kernels) {
                    *energy = kernel.iter().map(|w| w * w).sum();
                }
            },
        );
        let channels = [outputs, inputs];
        let pack = || packed(channels, config.up == 2, config.gain, w, precision);
        Ok(Some(Self {
            packed: ([kh, kw] == [3, 3] && config.padding == 1).then(pack),
            energies: Tensor::from_vec(energies, (outputs, inputs), &Device::Cpu)?,
        }))
    }
}

impl ModulatedLayer<'_> {
    pub(crate) fn without_graph(&self) -> bool {
        let optional = self.b.into_iter().chain(self.noise);
        without_graph([self.x, self.w, self.s].into_iter().chain(optional))
    }

    /// The layer's result; the shapes of x, w and s agree.
    pub(crate) fn forward(&self) -> Result<Tensor> {
        choice::check()?;
        let ascent = Ascent::new(self.x, self.w, self.filter, &self.config.resampling())?;
        let [o, mut h, mut w] = ascent.geometry.output(ascent.by);
        if let Some(fir) = &ascent.fir {
            [h, w] = output_size([h, w], self.filter, fir)?;
        }
        let dims = [self.x.dim(0)?, o, h, w];
        bias_act::check(&dims, self.b, None, self.noise, self.act)?;
        match self.x.dtype() {
            DType::F32 => self.compute::<f32>(&ascent, dims),
            DType::F64 => self.compute::<f64>(&ascent, dims),
            other => bail!("{NAME}: expected f32 or f64, got {other:?}"),
        }
    }

    fn compute<T: Float>(
        &self,
        ascent: &Ascent,
        dims @ [n, o, h, w]: [usize; 4],
    ) -> Result<Tensor> {
        let energies = self.prepared.map(|prepared| &prepared.energies);
        let inputs = [
            Some(self.x),
            Some(self.w),
            Some(self.s),
            self.b,
            self.noise,
            energies,
        ];
        let inputs = contiguous(NAME, inputs)?;
        let [x, weight, style, bias, noise, energies] =
            inputs.each_ref().map(|t| t.as_ref().map(Elements::of));
        let (Some(x), Some(weight), Some(style)) = (&x, &weight, &style) else {
            bail!("{NAME}: expected x, w and s")
        };
        let (x, weight, style) = (
            x.get::<T>(NAME)?,
            weight.get::<T>(NAME)?,
            style.get::<T>(NAME)?,
        );
        let bias = bias.as_ref().map(|b| b.get::<T>(NAME)).transpose()?;
        let noise = noise.as_ref().map(|z| z.get::<T>(NAME)).transpose()?;
        let energies = energies.as_ref().map(|e| e.get::<T>(NAME)).transpose()?;
        let packed = self.prepared.and_then(|prepared| prepared.packed.as_ref());
        let mut out = unspecified(dims.iter().product());
        traced(NAME, &dims, || {
            let (gain, demodulate) = (self.config.gain, self.config.demodulate);
            let coefficients = demodulate.then(|| match energies {
                Some(energies) => demodulation_of_energies(energies, style, [n, o], gain),
                None => demodulation(weight, style, [n, o], gain),
            });
            let activator = Activator {
                channels: o,
                pixels: h * w,
                scale: coefficients.as_deref(),
                bias,
                noise: noise.map(|noise| (noise, T::one())),
                curve: Curve::new(self.act),
            };
            match &ascent.fir {
                None => project(
                    &ascent.geometry,
                    ascent,
                    x,
                    (weight, packed),
                    style,
                    &activator,
                    &mut out,
                ),
                Some(fir) => {
                    let [_, high, wide] = ascent.geometry.output(ascent.by);
                    let samples = (BETWEEN / (o * high * wide)).clamp(1, n);
                    let mut between = unspecified(samples * o * high * wide);
                    let (x_size, s_size) = (x.len() / n, style.len() / n);
                    for (i, out) in out.chunks_mut(samples * o * h * w).enumerate() {
                        let first = i * samples;
                        let count = out.len() / (o * h * w);
                        let between = &mut between[..count * o * high * wide];
                        let x = &x[first * x_size..][..count * x_size];
                        let style = &style[first * s_size..][..count * s_size];
                        let geometry = ascent.geometry.of_samples(count);
                        let weight = (weight, packed);
                        project(&geometry, ascent, x, weight, style, &Plain, between);
                        let activator = Behind {
                            first,
                            of: &activator,
                        };
                        let size = [o, high, wide];
                        upfirdn2d(between, size, self.filter, fir, [h, w], &activator, out);
                    }
                }
            }
        });
        Tensor::from_vec(out, &dims, &Device::Cpu)
    }
}

/// The convolution of a layer.
fn project<T: Float, E: Epilogue<T>>(
    geometry: &Geometry,
    ascent: &Ascent,
    x: &[T],
    (w, packed): (&[T], Option<&Packed>),
    style: &[T],
    epilogue: &E,
    out: &mut [T],
) {
    let by = ascent.by;
    if let Some(packed) = packed
        && T::convolve_packed(geometry, by, x, packed, Some(style), epilogue, out)
    {
        return;
    }
    match geometry.pointwise() {
        Some(sizes) if pointwise::streams(&sizes) => {
            pointwise(&sizes, x, w, Some(style), epilogue, out);
        }
        _ => convolve(geometry, by, x, w, Some(style), epilogue, out),
    }
}

/// The epilogue of a part of a batch that begins with sample `first`.
struct Behind<'a, E> {
    first: usize,
    of: &'a E,
}

impl<T, E: Epilogue<T>> Epilogue<T> for Behind<'_, E> {
    const EMPTY: bool = E::EMPTY;

    fn finish(&self, sample: usize, channel: usize, first_pixel: usize, row: &mut [T]) {
        self.of
            .finish(self.first + sample, channel, first_pixel, row);
    }
}

/// The demodulation coefficients `[N,O]`: `1 / sqrt(gain^2 sum_{i,k} s[n,i]^2 w[o,i,k]^2 + 1e-8)`.
fn demodulation<T: Float>(w: &[T], s: &[T], [n, o]: [usize; 2], gain: f64) -> Vec<T> {
    let fan_in = w.len() / o;
    let taps = fan_in * n / s.len();
    // A style per weight.
    let squares = s.iter().flat_map(|&s| std::iter::repeat_n(s * s, taps));
    let squares: Vec<T> = squares.collect();
    columns(
        [n, o],
        fan_in,
        #[inline(always)]
        |o, coefficients| {
            let w = &w[o * fan_in..(o + 1) * fan_in];
            for (coefficient, squares) in coefficients.iter_mut().zip(squares.chunks_exact(fan_in))
            {
                let energy = gain * gain * sum_weighted_squares(squares, w);
                *coefficient = T::from_f64((energy + DEMODULATION_EPSILON).sqrt().recip());
            }
        },
    )
}

/// The same from the sums `[O,I]` of squares of all kernels.
fn demodulation_of_energies<T: Float>(
    energies: &[T],
    s: &[T],
    [n, o]: [usize; 2],
    gain: f64,
) -> Vec<T> {
    let inputs = energies.len() / o;
    let squares: Vec<T> = s.iter().map(|&s| s * s).collect();
    columns(
        [n, o],
        inputs,
        #[inline(always)]
        |o, coefficients| {
            let energies = &energies[o * inputs..(o + 1) * inputs];
            for (coefficient, squares) in coefficients.iter_mut().zip(squares.chunks_exact(inputs))
            {
                let energy = gain * gain * sum_products(squares, energies);
                *coefficient = T::from_f64((energy + DEMODULATION_EPSILON).sqrt().recip());
            }
        },
    )
}

/// A matrix `[rows, columns]` of which `column` computes one column at a time, at the cost of `depth`
/// elements each.
fn columns<T: Float>(
    [rows, columns]: [usize; 2],
    depth: usize,
    column: impl Fn(usize, &mut [T]) + Sync,
) -> Vec<T> {
    let mut transposed = unspecified(rows * columns);
    let scratch = || ();
    planes_with(
        &mut transposed,
        rows,
        rows * depth,
        scratch,
        #[inline(always)]
        |_, i, out| column(i, out),
    );
    if rows == 1 {
        return transposed;
    }
    let row = |row: usize| transposed[row..].iter().step_by(rows).copied();
    (0..rows).flat_map(row).collect()
}

/// The tensors in one piece each, of one data type.
fn contiguous<const N: usize>(
    op: &str,
    tensors: [Option<&Tensor>; N],
) -> Result<[Option<Tensor>; N]> {
    let present: Vec<&Tensor> = tensors.iter().flatten().copied().collect();
    same_dtype(op, &present)?;
    let mut contiguous = [const { None }; N];
    for (to, tensor) in contiguous.iter_mut().zip(tensors) {
        *to = tensor.map(Tensor::contiguous).transpose()?;
    }
    Ok(contiguous)
}
