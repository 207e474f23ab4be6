//! `edit pca`: principal components of w.

use anyhow::{Result, ensure};
use stylegan_edit::{Directions, Method, NetworkKind, principal_components};

use super::{FoundArgs, chosen_layers, percent, w_statistics, write};
use crate::files::check_file;
use crate::pictures::TrainedArgs;
use crate::print_result;
use crate::progress::Terminal;
use crate::styles::Styles;

const EXAMPLES: &str = "\
Examples:
  The ten directions along which w varies the most:
    cargo xtask edit pca --network ffhq.pkl --out pca.safetensors
  More samples, and edits of the coarse layers only:
    cargo xtask edit pca --network ffhq.pkl --samples 100000 --layers coarse --out pca.safetensors

They are called pca0, pca1, ... The table says what part of the variance of w is along each (share)
and along all so far (sum), and the standard deviation (sigma): the unit of strengths in edit apply.";

/// Find the directions along which the latents vary the most (GANSpace)
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    found: FoundArgs,

    /// Layers that edit apply changes unless told otherwise: coarse, middle, fine, several of them such as
    /// coarse,middle, or numbers of layers such as 0-5 [default: all]
    #[arg(long, value_name = "LAYERS")]
    layers: Option<Styles>,

    #[command(flatten)]
    trained: TrainedArgs,
}

/// Runs `edit pca`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    check_file("--out", &args.found.out)?;
    let trained = args.trained.open("edit", terminal)?;
    let config = &trained.generator.config;
    ensure!(
        config.mapping.num_layers > 0,
        "the network has no mapping network: its w is the normalised z, as ProGAN's is, and varies alike \
         in all directions; give a StyleGAN or a StyleGAN2"
    );
    args.found.check_count(&trained)?;
    let layers = chosen_layers(args.layers.as_ref(), &trained)?;
    let w = w_statistics(&trained, args.found.samples, terminal)?;
    let found = principal_components(&w, &layers, args.found.count)?;
    let (name, share, sum, sigma) = ("direction", "share", "sum", "sigma");
    print_result(format_args!("{name:<10} {share:>8} {sum:>8} {sigma:>9}"))?;
    let mut sum = 0.;
    for direction in &found {
        if let Method::PrincipalComponent { share, .. } = direction.method {
            sum += share;
            let (name, sigma) = (&direction.name, direction.sigma);
            let (share, sum) = (percent(share), percent(sum));
            print_result(format_args!("{name:<10} {share:>8} {sum:>8} {sigma:>9.4}"))?;
        }
    }
    let kind = NetworkKind::of(config);
    write(&Directions::new(kind, found)?, &args.found.out, terminal)
}
