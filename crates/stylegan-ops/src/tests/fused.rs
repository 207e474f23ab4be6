//! Layers without a graph against the same layers with one.

use candle_core::{DType, Device, Result, Tensor, Var};
use proptest::prelude::*;

use super::{Normal, difference, on_threads, values};
use crate::fused::without_graph;
use crate::*;

/// Both forms add the same terms in different orders; in single precision, a sum of a few hundred products
/// loses a few units in the last place.
fn tolerance(dtype: DType) -> f64 {
    if dtype == DType::F32 { 1e-5 } else { 1e-12 }
}

/// The inputs of a layer.
struct Layer {
    x: Tensor,
    w: Tensor,
    s: Tensor,
    b: Option<Tensor>,
    noise: Option<Tensor>,
    config: ModulatedConv2d,
    act: BiasAct,
    filter: Filter,
}

impl Layer {
    fn with_weight(&self, w: &Tensor) -> Result<Tensor> {
        let (b, noise) = (self.b.as_ref(), self.noise.as_ref());
        modulated_layer(
            &self.x,
            w,
            &self.s,
            &self.filter,
            &self.config,
            b,
            noise,
            &self.act,
        )
    }

    fn fused(&self) -> Result<Tensor> {
        let y = self.with_weight(&self.w)?;
        assert!(!y.track_op());
        Ok(y)
    }

    fn prepared(&self, precision: Precision) -> Result<Tensor> {
        let layer = PreparedLayer::new(&self.w, &self.filter, &self.config, precision)?;
        let (b, noise) = (self.b.as_ref(), self.noise.as_ref());
        layer.forward(&self.x, &self.s, b, noise, &self.act)
    }

    /// With a variable among the inputs, the layer is a composition of ops with gradients.
    fn composed(&self) -> Result<Tensor> {
        let y = self.with_weight(Var::from_tensor(&self.w)?.as_tensor())?;
        assert!(y.track_op());
        Ok(y.detach())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn a_layer_without_a_graph_is_the_layer_with_one(
        seed in any::<u64>(), single in any::<bool>(), n in 1usize..4, i in 1usize..20, o in 1usize..20, h in 1usize..14, w in 1usize..14, up in 1usize..3,
        demodulate in any::<bool>(), pointwise in any::<bool>(), taps in 1usize..7, with_noise in 0usize..3, with_bias in any::<bool>(),
        clamp in proptest::option::of(0.1f64..3.0), lrelu in any::<bool>(),
    ) {
        let mut normal = Normal::new(seed).of(if single { DType::F32 } else { DType::F64 });
        let k = if pointwise { 1 } else { 3 };
        let noise = [None, Some(normal.tensor(&[n, 1, h * up, w * up])), Some(normal.tensor(&[1, 1, h * up, w * up]))][with_noise].clone();
        let layer = Layer {
            x: normal.tensor(&[n, i, h, w]),
            w: normal.tensor(&[o, i, k, k]),
            s: normal.tensor(&[n, i]),
            b: with_bias.then(|| normal.tensor(&[o])),
            noise,
            config: ModulatedConv2d { up, padding: k / 2, demodulate, gain: 0.4 },
            act: if lrelu { BiasAct::lrelu() } else { BiasAct::linear() }.with_clamp(clamp),
            filter: Filter::separable(&(1..=taps).map(|t| t as f64).collect::<Vec<_>>()).unwrap(),
        };
        let dtype = layer.x.dtype();
        let change = (layer.fused().unwrap() - layer.composed().unwrap()).unwrap();
        // A clamp makes the values smaller, but not the errors of the sums before it.
        let layer = Layer { act: layer.act.with_clamp(None), ..layer };
        let expected = layer.composed().unwrap();
        let error = difference(&(change + &expected).unwrap(), &expected);
        prop_assert!(error < tolerance(dtype), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Shapes of all forms: tiles, few pixels, few channels, and those of which nothing is packed.
    #[test]
    fn a_prepared_layer_is_the_layer(
        seed in any::<u64>(), single in any::<bool>(), n in 1usize..4, i in 10usize..40, o in 10usize..40, h in 1usize..22, w in 1usize..22,
        up in 1usize..3, demodulate in any::<bool>(), k in prop::sample::select(vec![1usize, 3, 5]), with_noise in any::<bool>(),
    ) {
        let mut normal = Normal::new(seed).of(if single { DType::F32 } else { DType::F64 });
        let layer = Layer {
            x: normal.tensor(&[n, i, h, w]),
            w: normal.tensor(&[o, i, k, k]),
            s: normal.tensor(&[n, i]),
            b: Some(normal.tensor(&[o])),
            noise: with_noise.then(|| normal.tensor(&[1, 1, h * up, w * up])),
            config: ModulatedConv2d { up, padding: k / 2, demodulate, gain: 0.4 },
            act: BiasAct::lrelu(),
            filter: Filter::default(),
        };
        let expected = layer.fused().unwrap();
        let error = difference(&layer.prepared(Precision::F32).unwrap(), &expected);
        prop_assert!(error < tolerance(layer.x.dtype()), "{error}");
    }
}

#[test]
fn a_prepared_layer_has_gradients_of_its_inputs_and_takes_no_variable() -> Result<()> {
    let layer = layer(2, DType::F64, [2, 3, 4, 5]);
    let prepared = PreparedLayer::new(&layer.w, &layer.filter, &layer.config, Precision::F32)?;
    let gradient = |forward: &dyn Fn(&Tensor) -> Result<Tensor>| -> Result<Vec<f64>> {
        let x = Var::from_tensor(&layer.x)?;
        let gradients = autograd::backward(&forward(x.as_tensor())?.sqr()?.sum_all()?)?;
        Ok(values(gradients.require("x", &x)?))
    };
    let (s, b, noise, act) = (&layer.s, layer.b.as_ref(), layer.noise.as_ref(), &layer.act);
    let of_prepared = gradient(&|x| prepared.forward(x, s, b, noise, act))?;
    let expected = gradient(&|x| {
        modulated_layer(x, &layer.w, s, &layer.filter, &layer.config, b, noise, act)
    })?;
    assert_eq!(of_prepared, expected);
    let variable = Var::from_tensor(&layer.w)?;
    let error = |w: &Tensor, precision| {
        let error = PreparedLayer::new(w, &layer.filter, &layer.config, precision).unwrap_err();
        let error = error.to_string();
        error.lines().next().unwrap_or_default().to_string()
    };
    assert_eq!(
        error(variable.as_tensor(), Precision::F32),
        "prepared layer: expected a weight that doesn't change any more, got a variable"
    );
    assert_eq!(
        error(&layer.w, Precision::Bf16),
        "prepared layer: expected a weight in f32 on the CPU for products in bf16, got F64 on Cpu"
    );
    Ok(())
}

/// Odd numbers of inputs, and layers that go up. 0.0065 is the largest error here, of values up to 4.
#[test]
fn products_in_bf16_stay_near_those_in_f32() -> Result<()> {
    for (up, [n, i, o, side]) in [
        (1, [1, 33, 32, 20]),
        (1, [2, 160, 20, 32]),
        (2, [1, 33, 40, 24]),
        (2, [1, 170, 40, 20]),
    ] {
        let layer = layer(up, DType::F32, [n, i, o, side]);
        let expected = layer.prepared(Precision::F32)?;
        let error = difference(&layer.prepared(Precision::Bf16)?, &expected);
        assert!(error > 1e-4 && error < 2e-2, "up {up}, {i} inputs: {error}");
    }
    Ok(())
}

/// What it was made of may change.
#[test]
fn a_prepared_layer_keeps_its_weight() -> Result<()> {
    let layer = layer(1, DType::F32, [1, 16, 16, 6]);
    let variable = Var::from_tensor(&layer.w)?;
    let frozen = Layer {
        w: variable.as_detached_tensor(),
        ..layer
    };
    let prepared = PreparedLayer::new(&frozen.w, &frozen.filter, &frozen.config, Precision::F32)?;
    let run = || {
        let (b, noise) = (frozen.b.as_ref(), frozen.noise.as_ref());
        prepared.forward(&frozen.x, &frozen.s, b, noise, &frozen.act)
    };
    let before = values(&run()?);
    variable.set(&variable.as_detached_tensor().affine(2., 1.)?)?;
    assert_eq!(values(&run()?), before);
    assert_eq!(values(prepared.weight()).len(), 16 * 16 * 9);
    Ok(())
}

fn layer(up: usize, dtype: DType, [n, i, o, side]: [usize; 4]) -> Layer {
    let mut normal = Normal::new(21).of(dtype);
    Layer {
        x: normal.tensor(&[n, i, side, side]),
        w: normal.tensor(&[o, i, 3, 3]),
        s: normal.tensor(&[n, i]),
        b: Some(normal.tensor(&[o])),
        noise: Some(normal.tensor(&[n, 1, side * up, side * up])),
        config: ModulatedConv2d {
            up,
            padding: 1,
            demodulate: true,
            gain: 1.0,
        },
        act: BiasAct::lrelu().with_clamp(Some(256.0)),
        filter: Filter::default(),
    }
}

/// Between the convolution and its filter, this batch is taken apart.
#[test]
fn a_batch_is_the_same_as_its_samples() -> Result<()> {
    let whole = layer(2, DType::F32, [7, 8, 64, 50]);
    let y = whole.fused()?;
    for n in 0..7 {
        let of = |t: &Tensor| t.narrow(0, n, 1);
        let sample = Layer {
            x: of(&whole.x)?,
            w: whole.w.clone(),
            s: of(&whole.s)?,
            b: whole.b.clone(),
            noise: whole.noise.as_ref().map(of).transpose()?,
            filter: Filter::default(),
            ..whole
        };
        assert_eq!(values(&sample.fused()?), values(&of(&y)?), "sample {n}");
    }
    Ok(())
}

#[test]
fn without_a_graph_results_do_not_depend_on_the_number_of_threads() -> Result<()> {
    let layers = [
        layer(1, DType::F32, [3, 24, 40, 37]),
        layer(2, DType::F32, [3, 24, 40, 19]),
        layer(1, DType::F32, [2, 24, 40, 4]),
        layer(2, DType::F32, [1, 170, 40, 6]),
        Layer {
            w: Normal::new(1).of(DType::F32).tensor(&[3, 24, 1, 1]),
            b: None,
            config: ModulatedConv2d {
                up: 1,
                padding: 0,
                demodulate: false,
                gain: 1.0,
            },
            ..layer(1, DType::F32, [3, 24, 40, 37])
        },
    ];
    let run = |layer: &Layer| -> Result<[Vec<f64>; 3]> {
        let single = layer.prepared(Precision::F32)?;
        let half = layer.prepared(Precision::Bf16)?;
        Ok([layer.fused()?, single, half].map(|y| values(&y)))
    };
    let all = || layers.iter().map(run).collect::<Result<Vec<_>>>();
    let one = on_threads(1, all)?;
    for threads in [2, 3] {
        assert!(on_threads(threads, all)? == one, "{threads} threads");
    }
    Ok(())
}

#[test]
fn nan_stays_nan_without_a_graph() -> Result<()> {
    for up in [1, 2] {
        let mut layer = layer(up, DType::F32, [1, 4, 4, 6]);
        layer.x = Tensor::full(f32::NAN, (1, 4, 6, 6), &Device::Cpu)?;
        assert!(
            values(&layer.fused()?).iter().all(|v| v.is_nan()),
            "up {up}"
        );
    }
    Ok(())
}

/// Whichever input is a variable, the layer keeps its graph, and the gradient is right.
#[test]
fn an_input_that_needs_a_gradient_gets_one() -> Result<()> {
    let layer = layer(2, DType::F64, [2, 3, 4, 5]);
    let inputs: Vec<Tensor> = [&layer.x, &layer.w, &layer.s].map(Tensor::clone).into();
    let inputs = [
        inputs,
        vec![layer.b.clone().unwrap(), layer.noise.clone().unwrap()],
    ]
    .concat();
    let run = |t: &[Tensor]| {
        let [x, w, s, b, noise] = t else {
            unreachable!()
        };
        let (config, act) = (&layer.config, &layer.act);
        modulated_layer(x, w, s, &layer.filter, config, Some(b), Some(noise), act)
    };
    let constant = run(&inputs)?;
    assert!(without_graph(&inputs) && !constant.track_op());
    for index in 0..inputs.len() {
        let mut variables = inputs.clone();
        let variable = Var::from_tensor(&inputs[index])?;
        variables[index] = variable.as_tensor().clone();
        assert!(!without_graph(&variables));
        let y = run(&variables)?;
        let gradient = autograd::backward(&y.sum_all()?)?;
        let gradient = gradient.require("input", &variable)?;
        let direction = Normal::new(index as u64).tensor(inputs[index].dims());
        let moved = |step: f64| -> Result<f64> {
            let mut moved = inputs.clone();
            moved[index] = (&inputs[index] + (&direction * step)?)?;
            super::scalar(&run(&moved)?.sum_all()?)
        };
        let step = 1e-6;
        let slope = (moved(step)? - moved(-step)?) / (2. * step);
        let along = super::scalar(&(gradient * direction)?.sum_all()?)?;
        assert!(
            (slope - along).abs() < 1e-6 * along.abs().max(1.),
            "input {index}: {slope} {along}"
        );
    }
    Ok(())
}

#[test]
fn wrong_shapes_are_the_same_errors_with_and_without_a_graph() -> Result<()> {
    let good = || layer(1, DType::F64, [2, 3, 4, 5]);
    let mut normal = Normal::new(2);
    let wrong = [
        Layer {
            x: normal.tensor(&[2, 4, 5, 5]),
            ..good()
        },
        Layer {
            s: normal.tensor(&[2, 4]),
            ..good()
        },
        Layer {
            b: Some(normal.tensor(&[5])),
            ..good()
        },
        Layer {
            noise: Some(normal.tensor(&[2, 1, 5, 4])),
            ..good()
        },
        Layer {
            act: BiasAct::lrelu().with_clamp(Some(-1.)),
            ..good()
        },
        Layer {
            config: ModulatedConv2d {
                up: 3,
                ..good().config
            },
            ..good()
        },
    ];
    // Without a backtrace, where there is one.
    let message = |layer: &Layer, w: &Tensor| {
        let error = layer.with_weight(w).unwrap_err().to_string();
        error.lines().next().unwrap_or_default().to_string()
    };
    for (i, layer) in wrong.iter().enumerate() {
        let fused = message(layer, &layer.w);
        let variable = Var::from_tensor(&layer.w)?;
        assert_eq!(fused, message(layer, variable.as_tensor()), "case {i}");
    }
    let mixed = Layer {
        s: good().s.to_dtype(DType::F32)?,
        ..good()
    };
    let message = message(&mixed, &mixed.w);
    assert!(message.contains("one data type"), "{message}");
    Ok(())
}
