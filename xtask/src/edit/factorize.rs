//! `edit factorize`: closed-form factorization.

use anyhow::Result;
use stylegan_edit::{Factorization, Method, Rows, factorize};

use super::{FoundArgs, percent, w_statistics, with_option};
use crate::print_result;
use crate::progress::Terminal;

const EXAMPLES: &str = "\
Examples:
  The ten directions that change the styles of all layers the most:
    cargo xtask edit factorize --network ffhq.pkl --out sefa.safetensors
  Those of pose and shape alone, with every style alike as in the code of SeFa:
    cargo xtask edit factorize --network ffhq.pkl --layers coarse --unit-rows \\
        --out coarse.safetensors

They are called sefa0, sefa1, ... The table says what part of the change that a random step makes \
is along each (share), and how far the latents of the network spread along it (sigma): the unit of \
strengths in edit apply.";

/// Find the directions that change the styles of chosen layers the most, from the weights alone (SeFa)
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    found: FoundArgs,

    /// Count every style alike, however strongly it responds to w, as the published code of SeFa does
    #[arg(long)]
    unit_rows: bool,
}

/// Runs `edit factorize`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    let (trained, layers) = args.found.open(terminal)?;
    let options = Factorization {
        layers,
        count: args.found.count,
        rows: match args.unit_rows {
            true => Rows::Unit,
            false => Rows::AsTheyAre,
        },
    };
    let w = w_statistics(&trained, args.found.samples, terminal)?;
    let found = factorize(trained.generator.network.synthesis(), &options, &w);
    let found = found.map_err(with_option)?;
    print_result(format_args!(
        "{:<10} {:>8} {:>9}",
        "direction", "share", "sigma"
    ))?;
    for direction in &found {
        if let Method::Factorization { share, .. } = direction.method {
            let (name, sigma) = (&direction.name, direction.sigma);
            print_result(format_args!(
                "{name:<10} {:>8} {sigma:>9.4}",
                percent(share)
            ))?;
        }
    }
    args.found.write(found, &trained, terminal)
}
