//! Every operator golden: forward, first and second order, in f32 and f64.

use std::collections::BTreeMap;

use candle_core::{DType, Result, Tensor, Var};
use serde::Deserialize;
use stylegan_goldens::{Case, assert_close, load};
use stylegan_ops::{
    Activation, BiasAct, ConvResample, Filter, ModulatedConv2d, UpFirDn2d, autograd, bias_act,
    conv2d_resample, minibatch_std, modulated_layer, upfirdn2d,
};

const FORWARD: f64 = 1e-4;
const GRADIENT: f64 = 1e-3;

/// Runs `op` on the named inputs as variables, and compares the result, the gradients of
/// L = sum(y g), and the gradients of P = sum of squares of those.
fn check<P>(
    case: &Case<P>,
    inputs: &[&str],
    op: impl Fn(&BTreeMap<String, Tensor>) -> Result<Tensor>,
) -> Result<()> {
    let present: Vec<&str> = inputs
        .iter()
        .copied()
        .filter(|name| case.tensors.contains_key(*name))
        .collect();
    let mut tensors = case.tensors.clone();
    for name in &present {
        tensors.insert(
            name.to_string(),
            Var::from_tensor(case.get(name)?)?.into_inner(),
        );
    }
    let y = op(&tensors)?;
    assert_close(&format!("{} y", case.name), &y, case.get("y")?, FORWARD);

    let variables: Vec<&Tensor> = present.iter().map(|name| &tensors[*name]).collect();
    let loss = (&y * case.get("g")?)?.sum_all()?;
    let first = autograd::grad(&loss, &variables)?;
    let mut penalty = Tensor::zeros((), y.dtype(), y.device())?;
    for (name, gradient) in present.iter().zip(&first) {
        assert_close(
            &format!("{} d_{name}", case.name),
            gradient,
            case.get(&format!("d_{name}"))?,
            GRADIENT,
        );
        penalty = (penalty + gradient.sqr()?.sum_all()?)?;
    }
    let plain = autograd::backward(&loss)?;
    for (name, variable) in present.iter().zip(&variables) {
        let gradient = plain.require(name, variable)?;
        assert_close(
            &format!("{} first-order d_{name}", case.name),
            gradient,
            case.get(&format!("d_{name}"))?,
            GRADIENT,
        );
    }
    let expected: Vec<&str> = present
        .iter()
        .copied()
        .filter(|n| case.tensors.contains_key(&format!("dd_{n}")))
        .collect();
    if expected.is_empty() {
        return Ok(());
    }
    // Where the gradients are constants, the second order is zero, and candle tracks nothing.
    let second = if penalty.track_op() {
        autograd::backward(&penalty)?
    } else {
        Default::default()
    };
    for (name, variable) in present.iter().zip(&variables) {
        let Ok(expected) = case.get(&format!("dd_{name}")) else {
            continue;
        };
        let zero = expected.zeros_like()?;
        let gradient = second.get(variable).unwrap_or(&zero);
        assert_close(
            &format!("{} dd_{name}", case.name),
            gradient,
            expected,
            GRADIENT,
        );
    }
    Ok(())
}

fn cases<P: serde::de::DeserializeOwned>(name: &str) -> Result<Vec<Case<P>>> {
    let mut cases = load("stylegan2", name, DType::F32)?;
    cases.extend(load("stylegan2", name, DType::F64)?);
    Ok(cases)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpFirDnParams {
    up: usize,
    down: usize,
    padding_x0x1y0y1: [i64; 4],
    flip_filter: bool,
    gain: f64,
}

#[test]
fn golden_upfirdn2d() -> Result<()> {
    for case in cases::<UpFirDnParams>("upfirdn2d")? {
        let p = &case.params;
        let config = UpFirDn2d {
            up: p.up,
            down: p.down,
            padding: p.padding_x0x1y0y1,
            flip_filter: p.flip_filter,
            gain: p.gain,
        };
        let filter = Filter::from_tensor(case.get("f")?)?;
        check(&case, &["x"], |t| upfirdn2d(&t["x"], &filter, &config))?;
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BiasActParams {
    act: String,
    alpha: f64,
    gain: f64,
    clamp: Option<f64>,
}

#[test]
fn golden_bias_act() -> Result<()> {
    for case in cases::<BiasActParams>("bias_act")? {
        let p = &case.params;
        let act = match p.act.as_str() {
            "linear" => Activation::Linear,
            "lrelu" => Activation::LeakyRelu,
            other => candle_core::bail!("{}: unknown activation {other}", case.name),
        };
        let config = BiasAct {
            act,
            alpha: p.alpha,
            gain: p.gain,
            clamp: p.clamp,
        };
        check(&case, &["x", "b"], |t| {
            bias_act(&t["x"], Some(&t["b"]), None, &config)
        })?;
    }
    Ok(())
}

/// Resampling parameters; `orientation` says in words which way the kernel is applied.
#[derive(Deserialize)]
struct ResampleParams {
    up: usize,
    down: usize,
    padding: usize,
    resample_filter: Vec<f64>,
}

#[test]
fn golden_conv2d_resample() -> Result<()> {
    for case in cases::<ResampleParams>("conv2d_resample")? {
        let p = &case.params;
        let filter = Filter::separable(&p.resample_filter)?;
        let config = ConvResample {
            up: p.up,
            down: p.down,
            padding: p.padding,
            gain: 1.0,
        };
        check(&case, &["x", "w"], |t| {
            conv2d_resample(&t["x"], &t["w"], &filter, &config)
        })?;
    }
    Ok(())
}

#[derive(Deserialize)]
struct ModulatedParams {
    up: usize,
    padding: usize,
    demodulate: bool,
    resample_filter: Vec<f64>,
}

#[test]
fn golden_modulated_conv2d() -> Result<()> {
    for case in cases::<ModulatedParams>("modulated_conv2d")? {
        let p = &case.params;
        let filter = Filter::separable(&p.resample_filter)?;
        let config = ModulatedConv2d {
            up: p.up,
            padding: p.padding,
            demodulate: p.demodulate,
            gain: 1.0,
        };
        let layer = |t: &BTreeMap<String, Tensor>| {
            modulated_layer(
                &t["x"],
                &t["w"],
                &t["s"],
                &filter,
                &config,
                None,
                t.get("noise"),
                &BiasAct::linear(),
            )
        };
        check(&case, &["x", "w", "s", "noise"], layer)?;
        // Of constants, the layer is one op.
        let y = layer(&case.tensors)?;
        assert!(!y.track_op());
        let name = format!("{} without a graph", case.name);
        assert_close(&name, &y, case.get("y")?, FORWARD);
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MinibatchStdParams {
    group_size: Option<usize>,
    num_channels: usize,
}

#[test]
fn golden_minibatch_std() -> Result<()> {
    for case in cases::<MinibatchStdParams>("minibatch_std")? {
        let p = &case.params;
        check(&case, &["x"], |t| {
            minibatch_std(&t["x"], p.group_size, p.num_channels)
        })?;
    }
    Ok(())
}
