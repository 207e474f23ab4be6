//! Writes a grid of the embedded portraits: `portraits OUT.png [RESOLUTION] [COLUMNS] [FIRST]`. From 8192 on they are
//! portraits that are not in the dataset, so that no network was trained on them.

use std::env;
use std::error::Error;
use std::path::Path;

use image::DynamicImage;
use stylegan_data::grid::Sheet;
use stylegan_data::{DataError, PictureFormat, portraits};

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
    let draw = |index: usize| {
        let portrait = portraits::draw(&portraits::factors(index), resolution)?;
        Ok::<_, DataError>(DynamicImage::from(portrait))
    };
    let mut sheet = Sheet::new(columns, columns, &draw(first)?)?;
    for index in first..first + columns * columns {
        sheet.push(&draw(index)?)?;
    }
    PictureFormat::Png.save(&sheet.into_image(), Path::new(path))?;
    Ok(())
}
