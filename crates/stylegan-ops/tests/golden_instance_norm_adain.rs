//! Golden values of the operators and layers of StyleGAN and ProGAN, in f32 and f64.

use std::collections::BTreeMap;
use std::f64::consts::SQRT_2;

use candle_core::{D, DType, Result, Tensor, Var, bail};
use candle_nn::{Module, VarBuilder};
use serde::Deserialize;
use serde_json::Value;
use stylegan_goldens::{Case, assert_close, load};
use stylegan_ops::nn::{
    Conv2dConfig, Conv2dLayer, FullyConnected, FullyConnectedConfig, Resampling, WeightScale,
};
use stylegan_ops::{
    Activation, BiasAct, Filter, adain, add_noise, autograd, average_pool2d, bias_act, blur2d,
    channel_affine, instance_norm, minibatch_std, nearest_upsample2d, pixel_norm, rotate180,
};

const FORWARD: f64 = 1e-4;
const GRADIENT: f64 = 1e-3;

/// The parameters of a case, of which every operator has some; further ones describe the case in words.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Params {
    /// In words; none in a case that relates several forms of one operator.
    op: Option<String>,
    epsilon: Option<f64>,
    alpha: Option<f64>,
    gain: Option<Value>,
    use_wscale: Option<bool>,
    lrmul: Option<f64>,
    kernel: Option<usize>,
    factor: Option<usize>,
    filter: Option<Vec<f64>>,
    normalize: Option<bool>,
    fused_scale: Option<bool>,
    group_size: Option<usize>,
    num_features: Option<usize>,
    max_abs_diff: Option<BTreeMap<String, f64>>,
}

type Tensors = BTreeMap<String, Tensor>;

impl Params {
    /// The scale of a convolution's or dense layer's weights: gain sqrt(2) unless given.
    fn scale(&self) -> Result<WeightScale> {
        let gain = match &self.gain {
            None => SQRT_2,
            Some(gain) => match (gain.as_f64(), gain.as_str()) {
                (Some(gain), _) => gain,
                (None, Some("sqrt(2)")) => SQRT_2,
                _ => bail!("unknown gain {gain}"),
            },
        };
        Ok(self.scale_of(gain))
    }

    fn scale_of(&self, gain: f64) -> WeightScale {
        let use_wscale = self.use_wscale.unwrap_or(true);
        WeightScale { gain, use_wscale }
    }

    /// The activation `leaky_relu` with the slope and gain of the case.
    fn leaky_relu(&self) -> BiasAct {
        BiasAct {
            act: Activation::LeakyRelu,
            alpha: self.alpha.unwrap_or(0.2),
            ..BiasAct::linear()
        }
    }

    /// `outer(taps)`, normalised unless told otherwise.
    fn blur_filter(&self, taps: &[f64], like: &Tensor) -> Result<Filter> {
        match self.normalize {
            Some(false) => Filter::from_tensor(&Tensor::new(taps, like.device())?),
            _ => Filter::separable(taps),
        }
    }

    /// A dense layer: `x` with its dimensions after the first joined, times a weight `[in, out]`.
    fn dense(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        scale: WeightScale,
        act: BiasAct,
    ) -> Result<Tensor> {
        let (inputs, outputs) = weight.dims2()?;
        let config = FullyConnectedConfig {
            bias: bias.is_some(),
            act,
            scale,
            lr_multiplier: self.lrmul.unwrap_or(1.0),
            ..FullyConnectedConfig::new(inputs, outputs)
        };
        let layer = FullyConnected::new(config, parameters(&weight.t()?, bias))?;
        layer.forward(&x.flatten_from(1)?)
    }

    /// `x (s[:C] + 1) + s[C:]` with the dense layer `s` of `w`.
    fn style_mod(&self, x: &Tensor, t: &Tensors) -> Result<Tensor> {
        let [scale, shift] = self.style(t)?;
        channel_affine(x, &scale, &shift)
    }

    fn adain(&self, x: &Tensor, t: &Tensors) -> Result<Tensor> {
        let [scale, shift] = self.style(t)?;
        adain(x, &scale, &shift)
    }

    /// Scale and shift per sample and channel.
    fn style(&self, t: &Tensors) -> Result<[Tensor; 2]> {
        let (weight, bias) = (&t["style.weight"], &t["style.bias"]);
        let scale = self.scale_of(1.0);
        let style = self.dense(&t["w"], weight, Some(bias), scale, BiasAct::linear())?;
        let parts = style.chunk(2, D::Minus1)?;
        Ok([(&parts[0] + 1.0)?, parts[1].clone()])
    }

    /// A convolution layer with a kernel `[kh, kw, in, out]`.
    fn conv(
        &self,
        t: &Tensors,
        [up, down]: [usize; 2],
        filter: Option<Filter>,
        fused: bool,
    ) -> Result<Tensor> {
        let weight = t["weight"].permute((3, 2, 0, 1))?;
        let (outputs, inputs, side, _) = weight.dims4()?;
        if self.kernel.is_some_and(|kernel| kernel != side) {
            bail!("expected a kernel of {:?}, got {side}", self.kernel);
        }
        let config = Conv2dConfig {
            bias: false,
            scale: self.scale()?,
            up,
            down,
            resampling: Resampling::Blur { filter, fused },
            ..Conv2dConfig::new(inputs, outputs, side)
        };
        Conv2dLayer::new(config, parameters(&weight, None))?.forward(&t["x"])
    }

    /// The result of the operator that `op` says in words.
    fn apply(&self, op: &str, t: &Tensors) -> Result<Tensor> {
        let x = &t["x"];
        let fused = || match self.fused_scale {
            Some(fused) => Ok(fused),
            None => bail!("expected a case with fused_scale"),
        };
        let factor = || match self.factor {
            Some(factor) => Ok(factor),
            None => bail!("expected a case with a factor"),
        };
        // A convolution beside a blur names the taps in its words.
        let (form, filter) = match op.split_once(", filter ") {
            None => (op, None),
            Some((form, taps)) => {
                let taps: Vec<f64> =
                    serde_json::from_str(taps).map_err(candle_core::Error::wrap)?;
                (form, Some(self.blur_filter(&taps, x)?))
            }
        };
        match form {
            "instance_norm" => instance_norm(x),
            "pixel_norm over channels" | "pixel_norm over features" => pixel_norm(x),
            "style_mod" => self.style_mod(x, t),
            "style_mod(instance_norm(x), w)" => self.adain(x, t),
            "noise, bias, leaky relu, instance norm, style_mod in this order" => {
                let x = add_noise(x, &t["noise"], &t["noise.weight"])?;
                let x = bias_act(&x, Some(&t["bias"]), None, &self.leaky_relu())?;
                self.adain(&x, t)
            }
            "dense" => {
                let linear = BiasAct::linear();
                self.dense(x, &t["weight"], t.get("bias"), self.scale()?, linear)
            }
            "dense then bias then leaky relu" => {
                let act = self.leaky_relu();
                self.dense(x, &t["weight"], Some(&t["bias"]), self.scale()?, act)
            }
            "leaky_relu" => {
                let gain = match &self.gain {
                    Some(_) => self.scale()?.gain,
                    None => 1.0,
                };
                bias_act(x, None, None, &self.leaky_relu().scaled(gain))
            }
            "blur2d" => match &self.filter {
                Some(taps) => blur2d(x, &self.blur_filter(taps, x)?),
                None => bail!("expected a case with a filter"),
            },
            "nearest upscale" => nearest_upsample2d(x, factor()?),
            _ if form.ends_with(" mean") => average_pool2d(x, factor()?),
            "conv2d" => self.conv(t, [1, 1], None, false),
            "upscale2d_conv2d" | "blur2d(upscale2d_conv2d(x))" => {
                self.conv(t, [2, 1], filter, fused()?)
            }
            "conv2d_downscale2d" | "conv2d_downscale2d(blur2d(x))" => {
                self.conv(t, [1, 2], filter, fused()?)
            }
            "minibatch_stddev_layer" => {
                minibatch_std(x, self.group_size, self.num_features.unwrap_or(1))
            }
            other => bail!("unknown operator {other:?}"),
        }
    }
}

/// The parameters of a layer, in our layout.
fn parameters(weight: &Tensor, bias: Option<&Tensor>) -> VarBuilder<'static> {
    let named = |name: &str, tensor: &Tensor| (name.to_string(), tensor.clone());
    let mut tensors = vec![named("weight", weight)];
    tensors.extend(bias.map(|bias| named("bias", bias)));
    VarBuilder::from_tensors(
        tensors.into_iter().collect(),
        weight.dtype(),
        weight.device(),
    )
}

/// Compares the result, and the gradients of L = sum(y g) for every input that has one, as constants and
/// as part of the graph.
fn check(case: &Case<Params>, op: &str) -> Result<()> {
    let inputs: Vec<&str> = case
        .tensors
        .keys()
        .filter_map(|name| name.strip_prefix("d_"))
        .collect();
    if inputs.is_empty() {
        bail!("expected a case with gradients");
    }
    let mut tensors = case.tensors.clone();
    for &name in &inputs {
        let variable = Var::from_tensor(case.get(name)?)?.into_inner();
        tensors.insert(name.to_string(), variable);
    }
    let y = case.params.apply(op, &tensors)?;
    assert_close(&format!("{} y", case.name), &y, case.get("y")?, FORWARD);

    let variables: Vec<&Tensor> = inputs.iter().map(|&name| &tensors[name]).collect();
    let loss = (&y * case.get("g")?)?.sum_all()?;
    let in_graph = autograd::grad(&loss, &variables)?;
    let constants = autograd::backward(&loss)?;
    for ((name, variable), in_graph) in inputs.iter().zip(&variables).zip(&in_graph) {
        let expected = case.get(&format!("d_{name}"))?;
        for gradient in [in_graph, constants.require(name, variable)?] {
            assert_close(
                &format!("{} d_{name}", case.name),
                gradient,
                expected,
                GRADIENT,
            );
        }
    }
    Ok(())
}

/// One kernel through the fused and the other form, up and down.
fn check_relation(case: &Case<Params>, differences: &BTreeMap<String, f64>) -> Result<()> {
    let rotated = {
        let weight = case.get("weight")?.permute((3, 2, 0, 1))?;
        let weight = rotate180(&weight)?.permute((2, 3, 1, 0))?;
        Tensors::from([
            ("x".to_string(), case.get("x")?.clone()),
            ("weight".to_string(), weight),
        ])
    };
    let conv = |t: &Tensors, factors, fused| case.params.conv(t, factors, None, fused);
    let up_fused = conv(&case.tensors, [2, 1], true)?;
    let up_unfused = conv(&case.tensors, [2, 1], false)?;
    for (what, got) in [("y_up_fused", &up_fused), ("y_up_unfused", &up_unfused)] {
        let name = format!("{} {what}", case.name);
        assert_close(&name, got, case.get(what)?, FORWARD);
    }
    let scale = largest(&up_unfused)?;
    for (what, expected) in differences {
        let (a, b) = match what.as_str() {
            "up_fused_vs_unfused_same_weight" => (&up_fused, &up_unfused),
            "up_fused_vs_unfused_weight_rotated_180" => {
                (&up_fused, &conv(&rotated, [2, 1], false)?)
            }
            "down_fused_vs_unfused_same_weight" => (
                &conv(&case.tensors, [1, 2], true)?,
                &conv(&case.tensors, [1, 2], false)?,
            ),
            other => bail!("unknown difference {other:?}"),
        };
        let got = largest(&(a - b)?)?;
        assert!(
            (got - expected).abs() <= FORWARD * scale,
            "{} {what}: expected {expected}, got {got}",
            case.name
        );
    }
    Ok(())
}

fn largest(t: &Tensor) -> Result<f64> {
    t.abs()?.max_all()?.to_dtype(DType::F64)?.to_scalar()
}

#[test]
fn golden_first_generation_operators() -> Result<()> {
    for dtype in [DType::F32, DType::F64] {
        for case in load::<Params>("stylegan1", "instance_norm_adain", dtype)? {
            if case.params.epsilon.is_some_and(|epsilon| epsilon != 1e-8) {
                bail!("{}: the operators add 1e-8", case.name);
            }
            let result = match (&case.params.op, &case.params.max_abs_diff) {
                (Some(op), None) => check(&case, op),
                (None, Some(differences)) => check_relation(&case, differences),
                _ => bail!("{}: expected an op or max_abs_diff", case.name),
            };
            result.map_err(|e| candle_core::Error::msg(format!("{}: {e}", case.name)))?;
        }
    }
    Ok(())
}
