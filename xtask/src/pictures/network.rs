//! Which network makes pictures, and how.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use candle_core::{Device, Tensor};
use stylegan_discriminator::Discriminator;
use stylegan_mapping::Truncation;
use stylegan_synthesis::GeneratorConfig;
use stylegan_trainer::TrainedGenerator;

use super::batch;
use super::maker::PictureMaker;
use super::noise::Noise;
use crate::device::DeviceChoice;
use crate::network;
use crate::precision::PrecisionChoice;
use crate::progress::Terminal;

/// Which network makes pictures, of which class, and where.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Network")]
pub struct TrainedArgs {
    /// Network file of any format (.safetensors, .pkl, .pt), a run folder for its newest checkpoint, or an
    /// https:// address
    #[arg(long, value_name = "FILE|RUN|URL")]
    pub network: PathBuf,

    /// Class to make pictures of, for networks that were trained with labels
    #[arg(long, value_name = "N")]
    class: Option<usize>,

    /// Where to compute: cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
}

/// A trained network on its device, and the class that pictures are made of.
pub struct Trained {
    pub generator: TrainedGenerator,
    pub device: Device,
    class: Option<usize>,
}

impl TrainedArgs {
    /// Loads the network for a command.
    pub fn open(&self, command: &str, terminal: &Terminal) -> Result<Trained> {
        self.open_in(PrecisionChoice::F32, command, terminal)
    }

    fn open_in(
        &self,
        precision: PrecisionChoice,
        command: &str,
        terminal: &Terminal,
    ) -> Result<Trained> {
        let device = self.device.open(command)?;
        let generator = network::load(&self.network, &device, precision, terminal)?;
        Trained::new(generator, device, self.class)
    }

    /// [`open`](Self::open), and the discriminator that is in the same file, where there is one.
    pub fn open_with_discriminator(
        &self,
        command: &str,
        terminal: &Terminal,
    ) -> Result<(Trained, Option<Discriminator>)> {
        let device = self.device.open(command)?;
        let (generator, discriminator) =
            network::load_with_discriminator(&self.network, &device, terminal)?;
        let trained = Trained::new(generator, device, self.class)?;
        Ok((trained, discriminator))
    }
}

impl Trained {
    /// A network that makes pictures of a class, which it must have.
    pub fn new(generator: TrainedGenerator, device: Device, class: Option<usize>) -> Result<Self> {
        if let Some(class) = class {
            check_class("--class", class, generator.config.c_dim)?;
        }
        Ok(Self {
            generator,
            device,
            class,
        })
    }

    /// The class that was chosen.
    pub fn class(&self) -> Option<usize> {
        self.class
    }

    /// The one-hot label `[1, c_dim]` of `--class`, which must be given where the network has labels.
    pub fn label(&self) -> Result<Option<Tensor>> {
        match (self.class, self.generator.config.c_dim) {
            (None, 0) => Ok(None),
            (None, classes) => bail!(
                "the network was trained with {classes} classes: choose one with --class 0 to \
                 --class {}",
                classes - 1
            ),
            (Some(class), _) => self.label_of("--class", class).map(Some),
        }
    }

    /// The one-hot label `[1, c_dim]` of a class that an option names.
    pub fn label_of(&self, option: &str, class: usize) -> Result<Tensor> {
        let classes = self.generator.config.c_dim;
        check_class(option, class, classes)?;
        let one_hot = (0..classes)
            .map(|i| f32::from(u8::from(i == class)))
            .collect();
        Ok(Tensor::from_vec(one_hot, (1, classes), &self.device)?)
    }
}

/// The network must have the class that an option names.
fn check_class(option: &str, class: usize, classes: usize) -> Result<()> {
    match classes {
        0 => {
            bail!("{option} {class}: the network was trained without labels; leave the option out")
        }
        _ => ensure!(
            class < classes,
            "{option} {class}: the network has {classes} classes; choose one from 0 to {}",
            classes - 1
        ),
    }
    Ok(())
}

/// Which network makes the pictures, and how.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    #[command(flatten)]
    trained: TrainedArgs,

    /// Truncation: 1 for the full variety, less for more typical pictures, 0 for the average one
    /// [default: 0.7 for networks of --cfg stylegan1 and stylegan1-c to -f, else 1]
    #[arg(long, value_name = "PSI", allow_negative_numbers = true)]
    trunc: Option<f64>,

    /// Truncate only that many layers, counted from the coarsest, and leave the detail as it is
    /// [default: 8 where the default of --trunc is 0.7, else all]
    #[arg(long, value_name = "LAYERS")]
    trunc_cutoff: Option<usize>,

    #[command(flatten)]
    making: MakingArgs,
}

/// How the layers of a network are run.
#[derive(Debug, clap::Args)]
pub struct MakingArgs {
    /// Fine detail: the same in every picture, drawn from each seed, or left out
    /// [default: the noise maps that a file of latents has, as project writes them, else const]
    #[arg(long, value_name = "MODE")]
    noise_mode: Option<Noise>,

    /// Pictures to compute at once; they are the same with any number
    /// [default: one for each thread, as far as memory has room for them; on a GPU 1]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,

    /// Numbers that 3x3 convolutions multiply; they are added up in f32
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    precision: PrecisionChoice,
}

impl MakingArgs {
    /// Loads the network for a command.
    pub fn open(
        &self,
        trained: &TrainedArgs,
        command: &str,
        terminal: &Terminal,
    ) -> Result<Trained> {
        trained.open_in(self.precision, command, terminal)
    }

    /// What makes the pictures of a network.
    pub fn maker(
        &self,
        trained: Trained,
        truncation: Truncation,
        terminal: &Terminal,
    ) -> Result<PictureMaker> {
        let config = &trained.generator.config;
        Ok(PictureMaker {
            truncation,
            noise: self.noise(config)?,
            batch: batch::size(self.batch, &config.synthesis, &trained.device)?,
            asked_for: None,
            terminal: terminal.clone(),
            trained,
        })
    }

    /// Random noise needs layers that take any.
    fn noise(&self, config: &GeneratorConfig) -> Result<Option<Noise>> {
        ensure!(
            config.synthesis.has_noise() || self.noise_mode != Some(Noise::Random),
            "--noise-mode random: the layers of the network have no noise; leave the option out"
        );
        Ok(self.noise_mode)
    }
}

impl NetworkArgs {
    /// Loads the network for a command.
    pub fn open(&self, command: &str, terminal: &Terminal) -> Result<PictureMaker> {
        if let Some(psi) = self.trunc {
            ensure!(psi.is_finite(), "--trunc {psi}: must be a number");
        }
        let trained = self.making.open(&self.trained, command, terminal)?;
        let truncation = self.truncation(&trained.generator.config)?;
        Ok(PictureMaker {
            asked_for: self.asked_for(),
            ..self.making.maker(trained, truncation, terminal)?
        })
    }

    /// The option that says how z become w, where the user gave one.
    fn asked_for(&self) -> Option<String> {
        let trunc = self.trunc.map(|psi| format!("--trunc {psi}"));
        let cutoff = || self.trunc_cutoff.map(|n| format!("--trunc-cutoff {n}"));
        let class = || self.trained.class.map(|class| format!("--class {class}"));
        trunc.or_else(cutoff).or_else(class)
    }

    /// The network's own truncation, with what the user wants in its place.
    fn truncation(&self, config: &GeneratorConfig) -> Result<Truncation> {
        let own = config.truncation();
        let psi = self.trunc.unwrap_or(own.psi);
        if !config.mapping.w_avg {
            let no_average = "the network keeps no average to truncate to; leave the option out";
            ensure!(psi == 1., "--trunc {psi}: {no_average}");
            if let Some(layers) = self.trunc_cutoff {
                bail!("--trunc-cutoff {layers}: {no_average}")
            }
        }
        if let Some(layers) = self.trunc_cutoff {
            check_cutoff(layers, config)?;
            match self.trunc {
                None if psi == 1. => bail!(
                    "--trunc-cutoff {layers}: this network's pictures are not truncated; add --trunc"
                ),
                Some(1.) => bail!(
                    "--trunc-cutoff {layers}: --trunc 1 truncates nothing; give less, or leave the \
                     option out"
                ),
                _ => (),
            }
        }
        Ok(Truncation {
            psi,
            cutoff: self.trunc_cutoff.or(own.cutoff),
        })
    }
}

/// There must be so many layers to truncate.
pub fn check_cutoff(layers: usize, config: &GeneratorConfig) -> Result<()> {
    let count = config.synthesis.num_ws();
    ensure!(
        layers <= count,
        "--trunc-cutoff {layers}: the network has {count} layers; choose at most that many"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(trunc: Option<f64>, trunc_cutoff: Option<usize>) -> NetworkArgs {
        NetworkArgs {
            trained: TrainedArgs {
                network: PathBuf::new(),
                class: None,
                device: DeviceChoice::Cpu,
            },
            trunc,
            trunc_cutoff,
            making: making(None),
        }
    }

    fn making(noise_mode: Option<Noise>) -> MakingArgs {
        MakingArgs {
            noise_mode,
            batch: None,
            precision: PrecisionChoice::F32,
        }
    }

    #[test]
    fn a_class_must_be_one_of_the_networks() {
        let error = |class, classes| {
            let checked = check_class("--class", class, classes);
            checked.unwrap_err().to_string()
        };
        assert!(check_class("--class", 1, 3).is_ok());
        assert!(error(0, 0).starts_with("--class 0: the network was trained without labels"));
        assert!(error(3, 3).ends_with("the network has 3 classes; choose one from 0 to 2"));
    }

    #[test]
    fn truncation_is_the_networks_own_unless_the_user_wants_another() {
        let of = |config: &GeneratorConfig, trunc, cutoff| {
            let truncation = args(trunc, cutoff).truncation(config).unwrap();
            (truncation.psi, truncation.cutoff)
        };
        let stylegan = GeneratorConfig::stylegan1();
        assert_eq!(of(&stylegan, None, None), (0.7, Some(8)));
        assert_eq!(of(&stylegan, Some(0.5), None), (0.5, Some(8)));
        assert_eq!(of(&stylegan, None, Some(4)), (0.7, Some(4)));
        let stylegan2 = GeneratorConfig::default();
        assert_eq!(of(&stylegan2, None, None), (1., None));
        assert_eq!(of(&stylegan2, Some(0.5), None), (0.5, None));
        assert_eq!(of(&stylegan2, Some(0.5), Some(4)), (0.5, Some(4)));
        assert_eq!(of(&GeneratorConfig::progan(), None, None).0, 1.);
    }

    #[test]
    fn truncation_without_effect_or_average_is_an_error() {
        let error = |config: &GeneratorConfig, trunc, cutoff| {
            let truncation = args(trunc, cutoff).truncation(config);
            truncation.unwrap_err().to_string()
        };
        assert_eq!(
            error(&GeneratorConfig::default(), None, Some(4)),
            "--trunc-cutoff 4: this network's pictures are not truncated; add --trunc"
        );
        assert_eq!(
            error(&GeneratorConfig::stylegan1(), Some(1.), Some(4)),
            "--trunc-cutoff 4: --trunc 1 truncates nothing; give less, or leave the option out"
        );
        assert_eq!(
            error(&GeneratorConfig::stylegan1(), None, Some(19)),
            "--trunc-cutoff 19: the network has 18 layers; choose at most that many"
        );
        let no_average = "the network keeps no average to truncate to; leave the option out";
        assert_eq!(
            error(&GeneratorConfig::progan(), Some(0.5), None),
            format!("--trunc 0.5: {no_average}")
        );
        for trunc in [None, Some(1.)] {
            assert_eq!(
                error(&GeneratorConfig::progan(), trunc, Some(4)),
                format!("--trunc-cutoff 4: {no_average}")
            );
        }
    }

    #[test]
    fn random_noise_needs_layers_that_take_any() {
        let noise = |config: GeneratorConfig, noise_mode| {
            let noise = making(noise_mode).noise(&config);
            noise.map_err(|error| error.to_string())
        };
        let random = Some(Noise::Random);
        assert_eq!(noise(GeneratorConfig::stylegan1(), random), Ok(random));
        let progan = noise(GeneratorConfig::progan(), random).unwrap_err();
        let expected = "--noise-mode random: the layers of the network have no noise;";
        assert!(progan.starts_with(expected), "{progan}");
        for noise_mode in [None, Some(Noise::None)] {
            let progan = noise(GeneratorConfig::progan(), noise_mode);
            assert_eq!(progan, Ok(noise_mode));
        }
    }
}
