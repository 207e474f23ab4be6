//! Networks of a file to go on training with.

use anyhow::{Result, bail, ensure};
use stylegan_import::{Imported, Network};
use stylegan_synthesis::GeneratorConfig;
use stylegan_trainer::Pretrained;

use super::{Source, estimate_w_avg};
use crate::progress::Terminal;

/// Both generators and the discriminator of a file. Where it has one of the generators only, that is both.
pub fn pretrained(source: &Source, terminal: &Terminal) -> Result<Pretrained> {
    let file = source.explain(stylegan_import::import(&source.path))?;
    for note in &file.notes {
        terminal.line(&format!("note: {note}"));
    }
    let Imported { g, g_ema, d, .. } = file;
    let name = source.name();
    let Some(d) = d else {
        bail!("{name}: expected a generator and a discriminator to train, found no discriminator")
    };
    let (mut g, mut g_ema) = match (g, g_ema) {
        (Some(g), Some(g_ema)) => (g, g_ema),
        (Some(g), None) => {
            terminal.line("note: there is no g_ema in the file: the average starts from g");
            (g.clone(), g)
        }
        (None, Some(g_ema)) => {
            terminal.line("note: there is no g in the file: the generator starts from g_ema");
            (g_ema.clone(), g_ema)
        }
        (None, None) => {
            bail!("{name}: expected a generator and a discriminator to train, found no generator")
        }
    };
    complete_w_avg(&mut g, &mut g_ema, terminal)?;
    ensure!(
        g.config == g_ema.config,
        "{name}: expected generators of one configuration, found {:?} for g and {:?} for g_ema",
        g.config,
        g_ema.config
    );
    Ok(Pretrained {
        name,
        generator: g_ema.config,
        discriminator: d.config,
        lod: g_ema.lod,
        g: g.tensors,
        g_ema: g_ema.tensors,
        d: d.tensors,
    })
}

/// Gives both generators an average w where one has it, or where it can be estimated.
fn complete_w_avg(
    g: &mut Network<GeneratorConfig>,
    g_ema: &mut Network<GeneratorConfig>,
    terminal: &Terminal,
) -> Result<()> {
    estimate_w_avg(g_ema, terminal)?;
    const W_AVG: &str = "mapping.w_avg";
    if let (false, Some(w_avg)) = (g.config.mapping.w_avg, g_ema.tensors.get(W_AVG)) {
        g.tensors.insert(W_AVG.to_string(), w_avg.clone());
        g.config.mapping.w_avg = true;
    }
    Ok(())
}
