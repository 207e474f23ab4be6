//! `metrics directions`: which factors of portraits directions move, how far, and what else with them.

use anyhow::{Result, ensure};
use candle_core::Tensor;
use serde::Serialize;
use stylegan_edit::{Direction, Unit, random_directions};
use stylegan_metrics::{Effect, Factor, FactorReader, effects};

use super::factors::{read, reader, reliable};
use crate::edit::{DirectionArgs, w_statistics};
use crate::pictures::{Latent, PictureMaker, PictureNoise, Shot, TrainedArgs};
use crate::print_result;
use crate::progress::Terminal;
use crate::seeds::Seeds;
use crate::steps::Steps;

/// Latents that say how far w spreads along random directions.
const SAMPLES: u32 = 10_000;

/// Of the random directions: the same every time.
const SEED: u64 = 0;

const EXAMPLES: &str = "\
Example:
  cargo xtask edit factorize --network runs/00000-portraits-auto-batch16 \\
      --out sefa.safetensors
  cargo xtask metrics directions --network runs/00000-portraits-auto-batch16 \\
      --directions sefa.safetensors

First how well each factor is read: R2 is the part of its variance that is read right in portraits \
that the reading was not fitted to. Factors below 0.5 are left out of the rest. Then for each \
direction:
  factor     the factor that it moves the most
  effect     by how much for a strength of 1, in standard deviations of the
             factor over portraits
  monotone   whether it moves it in one sense all the way: Spearman's rank
             correlation of strength and factor, 1 or -1 is perfect
  selective  the factor's part of the sum of the squared effects on all factors
  next       the factor that it moves the most after that, and by how much
The last line is the mean of directions that were drawn at random, for comparison.";

/// Measure which factors of the built-in portraits directions move, and how selectively
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    directions: DirectionArgs,

    /// Seeds of the pictures that are edited
    #[arg(long, value_name = "LIST", default_value = "0-63")]
    seeds: Seeds,

    /// Strengths, in standard deviations of w along the direction: FROM:TO:COUNT, or numbers
    #[arg(
        long,
        value_name = "LIST",
        default_value = "-2:2:5",
        allow_hyphen_values = true
    )]
    strengths: Steps,

    /// Random directions to compare with, in the layers of the first direction
    #[arg(long, value_name = "N", default_value_t = 20)]
    random: usize,

    /// Print one JSON object with every effect in place of tables
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    trained: TrainedArgs,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
struct Report {
    factors: Vec<Factor>,
    strengths: Vec<f64>,
    seeds: Vec<u32>,
    directions: Vec<Measured>,
    random: Vec<Measured>,
}

/// What a direction does.
#[derive(Debug, Serialize)]
struct Measured {
    name: String,
    /// On the factors that are read well enough, the strongest first.
    effects: Vec<OnFactor>,
}

#[derive(Debug, Serialize)]
struct OnFactor {
    factor: &'static str,
    #[serde(flatten)]
    effect: Effect,
    /// The part of the sum of the squared effects.
    share: f64,
}

/// Runs `metrics directions`.
pub fn run(args: &Args, terminal: &Terminal) -> Result<()> {
    let Steps(strengths) = &args.strengths;
    ensure!(
        strengths.iter().any(|strength| *strength != strengths[0]),
        "--strengths: effects are differences; give two strengths or more"
    );
    let directions = args.directions.read()?;
    let trained = args.trained.open("metrics", terminal)?;
    let directions = directions.for_network(&trained)?;
    // Before anything that takes a while.
    trained.label()?;
    let random = match directions.first() {
        Some(first) if args.random > 0 => {
            let w = w_statistics(&trained, SAMPLES, terminal)?;
            random_directions(&w, &first.layers, args.random, SEED)?
        }
        _ => Vec::new(),
    };
    let maker = PictureMaker::plain(trained, terminal)?;
    let reader = reader(maker.synthesis().config(), terminal)?;
    let measure = Measure {
        ws: ws(&args.seeds, &maker)?,
        maker: &maker,
        reader: &reader,
        seeds: &args.seeds.0,
        strengths,
    };
    let all = |directions: &[Direction]| {
        let measured = directions
            .iter()
            .map(|direction| measure.direction(direction));
        measured.collect::<Result<Vec<_>>>()
    };
    let report = Report {
        factors: reader.factors().to_vec(),
        strengths: strengths.clone(),
        seeds: args.seeds.0.clone(),
        directions: all(&directions)?,
        random: all(&random)?,
    };
    match args.json {
        true => print_result(serde_json::to_string(&report)?),
        false => report.print(),
    }
}

fn ws(Seeds(seeds): &Seeds, maker: &PictureMaker) -> Result<Vec<Tensor>> {
    let ws = |&seed| maker.ws(&Latent::from_seed(seed, maker)?);
    seeds.iter().map(ws).collect()
}

/// How directions are measured.
struct Measure<'a> {
    maker: &'a PictureMaker,
    reader: &'a FactorReader,
    seeds: &'a [u32],
    /// Of every seed.
    ws: Vec<Tensor>,
    strengths: &'a [f64],
}

impl Measure<'_> {
    fn direction(&self, direction: &Direction) -> Result<Measured> {
        let count = self.strengths.len();
        let shot = |number: usize| {
            let (picture, strength) = (number / count, self.strengths[number % count]);
            Ok(Shot {
                ws: direction.apply(&self.ws[picture], strength, Unit::Sigma, &direction.layers)?,
                noise: PictureNoise::of_seed(self.seeds[picture]),
            })
        };
        let rows = read(self.maker, self.reader, self.ws.len() * count, shot)?;
        let by_picture: Vec<Vec<Vec<f64>>> = rows.chunks(count).map(<[_]>::to_vec).collect();
        let all = effects(self.strengths, &by_picture);
        let columns = reliable(self.reader);
        let sum: f64 = columns
            .iter()
            .map(|&column| all[column].slope.powi(2))
            .sum();
        let on_factor = |&column: &usize| OnFactor {
            factor: self.reader.factors()[column].name,
            effect: all[column],
            share: match sum > 0. {
                true => all[column].slope.powi(2) / sum,
                false => 0.,
            },
        };
        let mut effects: Vec<OnFactor> = columns.iter().map(on_factor).collect();
        effects.sort_by(|a, b| b.share.total_cmp(&a.share));
        Ok(Measured {
            name: direction.name.clone(),
            effects,
        })
    }
}

impl Report {
    fn print(&self) -> Result<()> {
        print_result(format_args!("{:<14} {:>6}", "factor", "R2"))?;
        for factor in &self.factors {
            let left_out = if factor.is_reliable() {
                ""
            } else {
                "  left out"
            };
            let Factor { name, r2 } = factor;
            print_result(format_args!("{name:<14} {r2:>6.2}{left_out}"))?;
        }
        print_result("")?;
        print_result(format_args!(
            "{:<14} {:<14} {:>6}  {:>8}  {:>9}  next",
            "direction", "factor", "effect", "monotone", "selective"
        ))?;
        for Measured { name, effects } in &self.directions {
            let [first, rest @ ..] = &effects[..] else {
                continue;
            };
            let next = match rest {
                [next, ..] => format!("{} {:+.2}", next.factor, next.effect.slope),
                [] => String::new(),
            };
            let Effect {
                slope,
                monotonicity,
            } = first.effect;
            print_result(format_args!(
                "{name:<14} {:<14} {slope:>+6.2}  {monotonicity:>+8.2}  {:>7.0} %  {next}",
                first.factor,
                100. * first.share
            ))?;
        }
        self.print_random()
    }

    /// The means of the random directions' strongest effects.
    fn print_random(&self) -> Result<()> {
        let strongest: Vec<&OnFactor> = self
            .random
            .iter()
            .filter_map(|it| it.effects.first())
            .collect();
        if strongest.is_empty() {
            return Ok(());
        }
        let mean = |value: fn(&OnFactor) -> f64| {
            strongest.iter().map(|effect| value(effect)).sum::<f64>() / strongest.len() as f64
        };
        print_result(format_args!(
            "{:<14} {:<14} {:>6.2}  {:>8.2}  {:>7.0} %",
            format!("{} random", strongest.len()),
            "(means)",
            mean(|it| it.effect.slope.abs()),
            mean(|it| it.effect.monotonicity.abs()),
            mean(|it| 100. * it.share),
        ))
    }
}
