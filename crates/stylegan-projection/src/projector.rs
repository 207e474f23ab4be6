//! The search.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var, bail};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use stylegan_checkpoint::ParamStore;
use stylegan_ops::autograd;
use stylegan_synthesis::{Generator, NoiseMap};
use stylegan_trainer::adam::{Adam, AdamParams};

use crate::noise_maps;
use crate::objective::{Loss, Objective};
use crate::start::normal;
use crate::{Distance, NoiseMaps, ProjectionConfig, Space, WStatistics};

/// The name of the latent among the parameters.
const LATENT: &str = "w";

/// Adam's own defaults, which the paper keeps.
const BETAS: (f64, f64) = (0.9, 0.999);
const EPS: f64 = 1e-8;

/// A search for the latent of a picture, step by step.
///
/// The same seed gives the same result on any number of threads.
pub struct Projector {
    objective: Objective,
    config: ProjectionConfig,
    start: WStatistics,
    device: Device,
    params: ParamStore,
    /// The noise maps `[1, 1, R, R]` of all layers; empty where maps are not optimised.
    maps: Vec<Layer>,
    /// How many of the first ones are optimised: those of layers that are active.
    active: usize,
    adam: Adam,
    rng: ChaCha8Rng,
    history: Vec<Step>,
}

/// A layer with noise.
struct Layer {
    name: String,
    /// The variable, or zeros where the layer is not active.
    map: Tensor,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Counts from 1.
    pub number: usize,
    /// The distance from the target before the step, of the picture with noise on its w.
    pub distance: f64,
    /// [`autocorrelation`](crate::autocorrelation) of the noise maps before the step, without its weight; 0 where
    /// they are not optimised.
    pub autocorrelation: f64,
    /// The learning rate.
    pub learning_rate: f64,
    /// The standard deviation of the noise on w.
    pub w_noise: f64,
}

/// What a search has come to.
#[derive(Debug, Clone)]
pub struct Projection {
    /// The latents, `[1, num_ws, w_dim]`.
    pub ws: Tensor,
    /// The optimised noise maps of the active layers; empty where they were not optimised.
    pub noise_maps: Vec<NoiseMap>,
    /// The picture of both, `[1, C, R, R]`.
    pub picture: Tensor,
    /// Its distance from the target.
    pub distance: f64,
    /// All steps taken.
    pub history: Vec<Step>,
}

impl Projector {
    /// A search that begins at the mean w of a network, of the class with the label `[1, c_dim]` where it has
    /// classes.
    ///
    /// The network is f32 and records no gradients of its weights. Where its layers take no noise, optimised maps are
    /// none.
    ///
    /// # Errors
    /// If the configuration is out of range ([`ProjectionConfig::validate`]), the target is no picture of the
    /// network's size, or a label is missing or not wanted.
    pub fn new(
        generator: &Generator,
        label: Option<&Tensor>,
        distance: Distance,
        config: &ProjectionConfig,
    ) -> Result<Self> {
        config.validate()?;
        let synthesis = generator.synthesis();
        let (channels, side) = {
            let config = synthesis.config();
            (config.img_channels, config.img_resolution)
        };
        let target = distance.target();
        if target.dims() != [1, channels, side, side] {
            bail!(
                "projection: expected a target [1, {channels}, {side}, {side}], got {:?}",
                target.dims()
            )
        }
        let device = target.device().clone();
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let mapping = generator.mapping();
        let start = WStatistics::estimate(mapping, label, config.w_samples, &device, &mut rng)?;
        let objective = Objective {
            synthesis: synthesis.clone(),
            distance,
            noise_maps: config.noise_maps,
        };
        let latent = match config.space {
            Space::W => start.mean.clone(),
            Space::WPlus => objective.ws(&start.mean)?,
        };
        let mut tensors = BTreeMap::from([(LATENT.to_string(), latent)]);
        let active_side = synthesis.lod().resolution(side);
        let mut layers = Vec::new();
        if let NoiseMaps::Optimized { .. } = config.noise_maps {
            for NoiseMap { layer, map } in synthesis.noise_maps() {
                let side = map.dims()[0];
                if side <= active_side {
                    let map = normal(&[1, 1, side, side], &device, &mut rng)?;
                    tensors.insert(parameter(&layer), noise_maps::normalize(&map)?);
                }
                layers.push((layer, side));
            }
        }
        let params = ParamStore::from_tensors(tensors)?;
        let active = params.len() - 1;
        let layer = |(name, side): (String, usize)| {
            let map = match params.get(&parameter(&name)) {
                Some(variable) => variable.as_tensor().clone(),
                None => Tensor::zeros((1, 1, side, side), DType::F32, &device)?,
            };
            Ok(Layer { name, map })
        };
        let maps = layers.into_iter().map(layer).collect::<Result<_>>()?;
        Ok(Self {
            adam: Adam::new(&params)?,
            config: config.clone(),
            history: Vec::new(),
            objective,
            start,
            device,
            params,
            maps,
            active,
            rng,
        })
    }

    /// Takes a step; none where all have been taken.
    ///
    /// # Errors
    /// If the distance is no finite number, which a learning rate that is too high leads to.
    pub fn step(&mut self) -> Result<Option<Step>> {
        let taken = self.history.len();
        if taken == self.config.steps {
            return Ok(None);
        }
        let t = taken as f64 / self.config.steps as f64;
        let step = Step {
            number: taken + 1,
            distance: 0.,
            autocorrelation: 0.,
            learning_rate: self.config.learning_rate.at(t),
            w_noise: self.config.w_noise.at(t, self.start.sigma),
        };
        let loss = self.loss(step.w_noise)?;
        let step = Step {
            distance: number(&loss.distance)?,
            autocorrelation: match &loss.autocorrelation {
                Some(autocorrelation) => number(autocorrelation)?,
                None => 0.,
            },
            ..step
        };
        if !(step.distance + step.autocorrelation).is_finite() {
            bail!(
                "projection: step {}: the distance is {} and the autocorrelation {}; a lower learning \
                 rate may help",
                step.number,
                step.distance,
                step.autocorrelation
            )
        }
        self.descend(&loss, step.learning_rate)?;
        self.history.push(step);
        Ok(Some(step))
    }

    /// The loss of the latent with noise of that standard deviation on it.
    fn loss(&mut self, w_noise: f64) -> Result<Loss> {
        let w = self.latent()?.as_tensor().clone();
        let noise = normal(w.dims(), &self.device, &mut self.rng)?;
        let w = (w + (noise * w_noise)?)?;
        self.objective.loss(&w, &self.maps(), self.active)
    }

    /// Moves the latent and the maps down the gradient, and makes the maps normal again.
    fn descend(&mut self, loss: &Loss, lr: f64) -> Result<()> {
        let vars: Vec<(&str, &Var)> = self.params.trainable().collect();
        let tensors: Vec<&Tensor> = vars.iter().map(|(_, var)| var.as_tensor()).collect();
        let found = autograd::backward_for(&loss.total, &tensors)?;
        let gradient =
            |(name, var): &(&str, &Var)| Ok((name.to_string(), found.require(name, var)?.clone()));
        let gradients = vars.iter().map(gradient).collect::<Result<_>>()?;
        let hyper = AdamParams {
            lr,
            betas: BETAS,
            eps: EPS,
        };
        self.adam.step(vars.iter().copied(), &gradients, &hyper)?;
        for (_, map) in vars.iter().filter(|(name, _)| *name != LATENT) {
            map.set(&noise_maps::normalize(&map.as_detached_tensor())?)?;
        }
        Ok(())
    }

    /// Everything the search has come to, at any time.
    ///
    /// # Errors
    /// If the device fails.
    pub fn projection(&self) -> Result<Projection> {
        let ws = self.ws()?;
        let picture = self.picture(&ws)?;
        let noise_map = |layer: &Layer| {
            Ok(NoiseMap {
                layer: layer.name.clone(),
                map: layer.map.detach().squeeze(0)?.squeeze(0)?.copy()?,
            })
        };
        let layers = self.maps[..self.active].iter();
        Ok(Projection {
            distance: number(&self.objective.distance.of(&picture)?)?,
            noise_maps: layers.map(noise_map).collect::<Result<_>>()?,
            history: self.history.clone(),
            ws,
            picture,
        })
    }

    /// The latents that the search has come to, `[1, num_ws, w_dim]`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn ws(&self) -> Result<Tensor> {
        // Later steps change the variable in place.
        self.objective
            .ws(&self.latent()?.as_detached_tensor().copy()?)
    }

    /// The picture `[1, C, R, R]` of latents `[1, num_ws, w_dim]` with the noise maps that the search has come to.
    ///
    /// # Errors
    /// If the latents have another shape.
    pub fn picture(&self, ws: &Tensor) -> Result<Tensor> {
        let maps: Vec<Tensor> = self.maps().iter().map(Tensor::detach).collect();
        self.objective.picture(ws, &maps)
    }

    /// Where the search began, and the spread of w.
    pub fn start(&self) -> &WStatistics {
        &self.start
    }

    fn latent(&self) -> Result<&Var> {
        match self.params.get(LATENT) {
            Some(latent) => Ok(latent),
            None => bail!("projection: no latent among the parameters"),
        }
    }

    fn maps(&self) -> Vec<Tensor> {
        self.maps.iter().map(|layer| layer.map.clone()).collect()
    }
}

/// The name of a layer's noise map among the parameters.
fn parameter(layer: &str) -> String {
    format!("noise.{layer}")
}

fn number(scalar: &Tensor) -> Result<f64> {
    scalar.to_dtype(DType::F64)?.to_scalar()
}
