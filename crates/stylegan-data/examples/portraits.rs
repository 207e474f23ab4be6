//! Writes a grid of the embedded portraits: `portraits OUT.png [RESOLUTION] [COLUMNS] [FIRST]`.

use std::env;
use std::error::Error;
use std::path::Path;

use candle_core::Device;
use stylegan_data::{Dataset, DatasetOptions, PictureFormat, grid};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some(path) = arguments.first() else {
        return Err("expected: portraits OUT.png [RESOLUTION] [COLUMNS] [FIRST]".into());
    };
    let number = |position: usize, default: usize| {
        arguments
            .get(position)
            .map_or(Ok(default), |argument| argument.parse())
    };
    let (resolution, columns, first) = (number(1, 64)?, number(2, 8)?, number(3, 0)?);
    let dataset = Dataset::open(&DatasetOptions {
        resolution: Some(resolution),
        ..Default::default()
    })?;
    let indices: Vec<usize> = (first..first + columns * columns).collect();
    let (images, _) = dataset.batch(&indices, &Device::Cpu)?;
    let picture = grid::to_image(&images, columns, columns)?;
    PictureFormat::Png.save(&picture, Path::new(path))?;
    Ok(())
}
