//! `edit pca`: principal components of w.

use anyhow::{Result, ensure};
use stylegan_edit::{Method, principal_components};

use super::{FoundArgs, percent, w_statistics, with_option};
use crate::print_result;
use crate::progress::Terminal;

const EXAMPLES: &str = "\
Examples:
  The ten directions along which w varies the most:
    cargo xtask edit pca --network ffhq.pkl --out pca.safetensors
  More samples, and edits of the coarse layers only:
    cargo xtask edit pca --network ffhq.pkl --samples 100000 --layers coarse \\
        --out pca.safetensors

They are called pca0, pca1, ... The table says what part of the variance of w is along each \
(share) and along all so far (sum), and the standard deviation (sigma): the unit of strengths in \
edit apply.";

/// Find the directions along which the latents vary the most (GANSpace)
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    found: FoundArgs,
}

/// Runs `edit pca`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    let (trained, layers) = args.found.open(terminal)?;
    ensure!(
        trained.generator.config.mapping.num_layers > 0,
        "the network has no mapping network: its w is the normalised z, as ProGAN's is, and varies alike \
         in all directions; give a StyleGAN or a StyleGAN2"
    );
    let w = w_statistics(&trained, args.found.samples, terminal)?;
    let found = principal_components(&w, &layers, args.found.count).map_err(with_option)?;
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
    args.found.write(found, &trained, terminal)
}
