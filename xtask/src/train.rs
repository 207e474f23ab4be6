//! `train`: from options to a running training.

use std::path::{Path, PathBuf};

use anyhow::Result;
use candle_core::Device;
use clap::builder::TypedValueParser;
use clap::builder::{PossibleValuesParser, ValueParser};
use stylegan_losses::AdversarialLoss;
use stylegan_trainer::options::{
    DataOptions, GrowingOptions, NetworkOptions, ScheduleOptions, TrainingOptions,
};
use stylegan_trainer::{Outcome, Plan, Preset, TrainOptions, train};

use crate::device::DeviceChoice;
use crate::interrupt::stop_on_interrupt;
use crate::network::{self, Source};
use crate::print_result;
use crate::progress::{Console, Terminal};

const EXAMPLES: &str = "\
Examples:
  See training work within minutes on a laptop, on portraits that are built in:
    cargo xtask train --channel-base 1024 --channel-max 64 --z-dim 64 \\
        --w-dim 64 --batch 16 --resolution 32 --kimg 60 --tick 1 --snap 5
  Train on a folder or zip of pictures, resized to 64x64:
    cargo xtask train --data pictures.zip --resolution 64 --mirror
  Train a StyleGAN, which grows from 8x8 pictures to 16x16 and so on, in shorter phases than the \
paper's:
    cargo xtask train --cfg stylegan1 --data pictures.zip --resolution 64 \\
        --lod-training-kimg 60 --lod-transition-kimg 60 --kimg 500
  Go on with a run that was interrupted (Ctrl-C saves before it ends):
    cargo xtask train --resume runs/00000-portraits-auto-batch16
  Start from a network that was published, which takes far less time than starting anew:
    cargo xtask train --resume https://example.org/ffhq256.pkl \\
        --data pictures.zip --mirror --kimg 1000

Pictures (fakes*.png), checkpoints and logs are written to a new folder under --outdir.";

/// Train a StyleGAN2, a StyleGAN or a ProGAN on pictures
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    training: TrainingArgs,
    #[command(flatten)]
    growing: GrowingArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Run")]
struct RunArgs {
    /// Folder for run folders, which are numbered from 00000
    #[arg(long, value_name = "DIR", default_value = "runs")]
    outdir: PathBuf,

    /// Go on from a checkpoint: a run folder goes on in place from its newest one, a file starts a
    /// new run folder; options given beside it must agree with the checkpoint, except --kimg, --tick,
    /// --snap, --batch-gpu, --outdir, --data, --lr, --gamma, --pl-weight, --mixing-prob and --ema-kimg.
    /// Any other network file (.pkl, .pt, .safetensors, also what convert makes of a checkpoint) or an
    /// https:// address: start a new training from its networks, with all options but those that choose
    /// the networks
    #[arg(long, value_name = "FILE|RUN|URL")]
    resume: Option<PathBuf>,

    /// Length of the training in thousands of pictures shown [default: 25000, cifar 100000,
    /// progan and stylegan1-a 12000]
    #[arg(long)]
    kimg: Option<f64>,

    /// Thousands of pictures between two progress lines [default: 4]
    #[arg(long, value_name = "KIMG")]
    tick: Option<f64>,

    /// Ticks between two checkpoints, each with a grid of pictures [default: 50]
    #[arg(long, value_name = "TICKS")]
    snap: Option<u64>,

    /// Seed of all randomness; the same seed gives the same networks [default: 0]
    #[arg(long)]
    seed: Option<u64>,

    /// Where to compute: cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,

    /// Print the complete configuration, check the data, and end
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Data")]
struct DataArgs {
    /// Folder (nested) or zip of PNG, JPEG or WebP pictures [default: built-in portraits]
    #[arg(long, value_name = "DIR|ZIP")]
    data: Option<PathBuf>,

    /// Side of the pictures in pixels, a power of two from 4 to 1024; crops to a square and resizes
    /// [default: that of the pictures]
    #[arg(long, value_name = "PIXELS")]
    resolution: Option<usize>,

    /// Train with the labels in the data's dataset.json
    #[arg(long)]
    cond: bool,

    /// Also show every picture mirrored left to right
    #[arg(long)]
    mirror: bool,

    /// Train on that many randomly chosen pictures [default: all]
    #[arg(long, value_name = "N")]
    subset: Option<usize>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Network")]
struct NetworkArgs {
    /// Feature maps: min(BASE / resolution, MAX) at each resolution [default: by --cfg]
    #[arg(long, value_name = "BASE")]
    channel_base: Option<usize>,

    /// The most feature maps at any resolution [default: 512]
    #[arg(long, value_name = "MAX")]
    channel_max: Option<usize>,

    /// Length of the latent z that a picture is made from [default: 512]
    #[arg(long, value_name = "N")]
    z_dim: Option<usize>,

    /// Length of the intermediate latent w [default: 512; progan has none]
    #[arg(long, value_name = "N")]
    w_dim: Option<usize>,

    /// Layers that map z to w, 1 to 8 [default: by --cfg; progan has none]
    #[arg(long, value_name = "N")]
    mapping_layers: Option<usize>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Training")]
struct TrainingArgs {
    /// Family of networks, and set of hyperparameters that the options below start from; stylegan1-a to
    /// stylegan1-f are the steps from progan to stylegan1 [default: auto, a StyleGAN2]
    #[arg(long, value_parser = preset_parser())]
    cfg: Option<Preset>,

    /// Pictures per training step, at all resolutions [default: by --cfg]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,

    /// Pictures that are in memory at once; a step adds up as many passes as it needs [default: the largest batch]
    #[arg(long, value_name = "N")]
    batch_gpu: Option<usize>,

    /// Learning rate of Adam, at all resolutions [default: by --cfg]
    #[arg(long)]
    lr: Option<f64>,

    /// Adversarial loss [default: logistic, progan wgan-gp]
    #[arg(long, value_parser = loss_parser())]
    loss: Option<AdversarialLoss>,

    /// Weight of R1, which keeps the discriminator smooth; larger pictures want more [default: by --cfg]
    #[arg(long)]
    gamma: Option<f64>,

    /// Weight of path length regularization, 0 for none [default: 2; 0 for cifar and
    /// all that grow]
    #[arg(long, value_name = "WEIGHT")]
    pl_weight: Option<f64>,

    /// How often two latents share a picture while training [default: 0.9; 0 for cifar,
    /// progan and stylegan1-a to -e]
    #[arg(long, value_name = "PROBABILITY")]
    mixing_prob: Option<f64>,

    /// Half-life of the averaged generator's weights, which pictures are made with, in thousands of pictures;
    /// short runs want less than the presets' [default: by --cfg]
    #[arg(long, value_name = "KIMG")]
    ema_kimg: Option<f64>,
}

/// A resolution is trained as it is, then the next one, twice as large, fades in, and so on.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Growing (stylegan1, progan, stylegan1-a to -f)")]
struct GrowingArgs {
    /// Resolution that training starts at [default: 8; progan and stylegan1-a 4]
    #[arg(long, value_name = "PIXELS")]
    lod_initial_resolution: Option<usize>,

    /// Thousands of pictures that a resolution is trained on before the next one fades in [default: 600]
    #[arg(long, value_name = "KIMG")]
    lod_training_kimg: Option<f64>,

    /// Thousands of pictures over which a resolution fades in [default: 600]
    #[arg(long, value_name = "KIMG")]
    lod_transition_kimg: Option<f64>,
}

fn preset_parser() -> ValueParser {
    let names = PossibleValuesParser::new(Preset::ALL.map(Preset::name));
    names.try_map(|name| name.parse::<Preset>()).into()
}

fn loss_parser() -> ValueParser {
    let names = PossibleValuesParser::new(AdversarialLoss::ALL.map(AdversarialLoss::name));
    names.try_map(|name| name.parse::<AdversarialLoss>()).into()
}

impl Args {
    fn options(&self) -> TrainOptions {
        let (run, data, n, t) = (&self.run, &self.data, &self.network, &self.training);
        let growing = &self.growing;
        TrainOptions {
            preset: t.cfg,
            seed: run.seed,
            data: DataOptions {
                path: data.data.clone(),
                resolution: data.resolution,
                cond: data.cond,
                mirror: data.mirror,
                subset: data.subset,
            },
            network: NetworkOptions {
                channel_base: n.channel_base,
                channel_max: n.channel_max,
                z_dim: n.z_dim,
                w_dim: n.w_dim,
                mapping_layers: n.mapping_layers,
            },
            training: TrainingOptions {
                batch: t.batch,
                batch_gpu: t.batch_gpu,
                loss: t.loss,
                gamma: t.gamma,
                lr: t.lr,
                pl_weight: t.pl_weight,
                mixing_prob: t.mixing_prob,
                ema_kimg: t.ema_kimg,
            },
            growing: GrowingOptions {
                lod_initial_resolution: growing.lod_initial_resolution,
                lod_training_kimg: growing.lod_training_kimg,
                lod_transition_kimg: growing.lod_transition_kimg,
            },
            schedule: ScheduleOptions {
                kimg: run.kimg,
                tick_kimg: run.tick,
                snapshot_ticks: run.snap,
            },
        }
    }
}

/// Runs `train`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    let device = args.run.device.open("train")?;
    let options = args.options();
    let plan = match &args.run.resume {
        None => Plan::new(&options, &device)?,
        Some(from) => resume(from, &options, &device, terminal)?,
    };
    if args.run.dry_run {
        plan.verify_pictures()?;
        print_result(plan.to_json()?)?;
        terminal.line(&format!("data: {}", plan.dataset.describe()));
        plan.notes().iter().for_each(|note| terminal.line(note));
        terminal.line("dry run: nothing was written");
        return Ok(());
    }
    let stop = stop_on_interrupt(
        terminal,
        "stopping: saving after this step; Ctrl-C again ends at once, without saving",
    )?;
    let console = Box::new(Console::new(terminal));
    let Outcome {
        folder,
        snapshot,
        completed,
    } = train(plan, &args.run.outdir, &device, console, &stop)?;
    if !completed {
        let folder = folder.path().display();
        terminal.line(&format!(
            "go on with: cargo xtask train --resume \"{folder}\""
        ));
    }
    print_result(snapshot.display())
}

/// Goes on with a training of ours, or starts a new one from the networks of another file.
fn resume(
    from: &Path,
    options: &TrainOptions,
    device: &Device,
    terminal: &Terminal,
) -> Result<Plan> {
    if from.is_dir() {
        return Ok(Plan::resume(options, from, device)?);
    }
    let source = Source::find(from, terminal)?;
    if network::is_training_checkpoint(&source.path)? {
        return source.explain(Plan::resume(options, &source.path, device));
    }
    let pretrained = network::pretrained(&source, terminal)?;
    Ok(Plan::transfer(options, &pretrained, device)?)
}
