//! Reads `stats.jsonl`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use stylegan_trainer::RunFolder;

/// More points than that can't be told apart in a panel, and make the file large.
const MAX_POINTS: usize = 150;

/// The ticks of a run.
pub struct Run {
    pub name: String,
    pub ticks: Vec<Tick>,
}

/// What is drawn of a line of `stats.jsonl`; `None` for what the tick didn't compute.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Tick {
    pub kimg: f64,
    pub loss_g: Option<f64>,
    pub loss_d: Option<f64>,
    pub score_real: Option<f64>,
    pub score_fake: Option<f64>,
    pub r1_penalty: Option<f64>,
    pub r2_penalty: Option<f64>,
    pub gp_penalty: Option<f64>,
    pub pl_length: Option<f64>,
    pub sec_per_kimg: Option<f64>,
}

/// Reads runs; they are named by their folders, or by their paths where folders have the same name.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Run>> {
    let mut runs: Vec<Run> = paths.iter().map(|p| read_run(p)).collect::<Result<_>>()?;
    let mut names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
    names.sort();
    names.dedup();
    if names.len() < runs.len() {
        for (run, path) in runs.iter_mut().zip(paths) {
            run.name = path.display().to_string();
        }
    }
    Ok(runs)
}

fn read_run(path: &Path) -> Result<Run> {
    let file = RunFolder::open(path)?.stats();
    let text = fs::read_to_string(&file)
        .with_context(|| format!("{}: can't be read; is it a run folder?", file.display()))?;
    let ticks = parse(&text).with_context(|| file.display().to_string())?;
    ensure!(
        !ticks.is_empty(),
        "{}: has no progress yet; wait for the first tick of the training",
        file.display()
    );
    let folder = fs::canonicalize(path)?;
    let name = folder.file_name().unwrap_or(folder.as_os_str());
    Ok(Run {
        name: name.to_string_lossy().into_owned(),
        ticks,
    })
}

/// The ticks in order; a last line that isn't complete, of a run that was ended by force, is left out.
fn parse(text: &str) -> Result<Vec<Tick>> {
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse_line = |(index, line)| {
        serde_json::from_str(line)
            .with_context(|| format!("line {}: is not a tick of a training", index + 1))
    };
    complete.lines().enumerate().map(parse_line).collect()
}

impl Run {
    /// The points of a curve over kimg, of long runs the means of neighbours.
    pub fn curve(&self, value: fn(&Tick) -> Option<f64>) -> Vec<(f64, f64)> {
        let points: Vec<(f64, f64)> = (self.ticks.iter())
            .filter_map(|tick| Some((tick.kimg, value(tick)?)))
            .collect();
        let together = points.len().div_ceil(MAX_POINTS).max(1);
        points.chunks(together).map(mean).collect()
    }
}

fn mean(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0., 0.), |(x, y), p| (x + p.0, y + p.1));
    (x / count, y / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kimg: f64, loss_g: f64) -> String {
        format!(r#"{{"tick":1,"kimg":{kimg},"loss_g":{loss_g},"loss_d":null}}"#) + "\n"
    }

    fn run(text: &str) -> Run {
        Run {
            name: String::new(),
            ticks: parse(text).unwrap(),
        }
    }

    #[test]
    fn curves_have_the_ticks_that_computed_them() {
        let lines = [line(1., 5.), line(2., 6.)].concat();
        let run = run(&format!("{lines}{{\"tick\":3,\"ki"));
        assert_eq!(run.curve(|tick| tick.loss_g), [(1., 5.), (2., 6.)]);
        assert_eq!(run.curve(|tick| tick.loss_d), []);
        assert_eq!(run.curve(|tick| tick.r1_penalty), []);
    }

    #[test]
    fn long_runs_are_averaged_to_few_points() {
        let lines: Vec<String> = (1..=1000).map(|i| line(i.into(), (i % 2).into())).collect();
        let curve = run(&lines.concat()).curve(|tick| tick.loss_g);
        assert_eq!(curve.len(), 143);
        assert_eq!(curve[0], (4., 4. / 7.));
        assert_eq!(curve[142], (997.5, 0.5));
    }

    #[test]
    fn a_line_that_is_no_tick_is_named() {
        let error = parse(&format!("{}nonsense\n", line(1., 1.))).unwrap_err();
        assert_eq!(error.to_string(), "line 2: is not a tick of a training");
    }
}
