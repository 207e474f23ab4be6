//! A dataset: checked pictures, their labels, and batches of both.

use std::path::PathBuf;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::cache::Cache;
use crate::labels::Labels;
use crate::picture::{self, Header, Mode};
use crate::portraits;
use crate::source::Source;
use crate::{DataError, is_valid_resolution};

/// Decoded pictures are kept in memory up to this many bytes.
const CACHE_BUDGET_BYTES: usize = 1 << 30;

/// Enough for the header of nearly every picture, metadata included.
const HEADER_PREFIX_BYTES: u64 = 64 << 10;

/// Which pictures to train on, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatasetOptions {
    /// A folder (nested) or zip of PNG, JPEG or WebP pictures; `None` for the embedded portraits.
    pub path: Option<PathBuf>,
    /// Side in pixels to resize to, after a crop to the centre square; a power of two from 4 to
    /// 1024. `None` takes files as they are and draws portraits at
    /// [`portraits::DEFAULT_RESOLUTION`].
    pub resolution: Option<usize>,
    /// Whether to read labels from `dataset.json` (portraits: the hair style). Without it that
    /// file is not looked at.
    pub cond: bool,
    /// Whether to add the horizontal mirror image of every picture.
    pub mirror: bool,
    /// Number of pictures to pick at random; `None` for all.
    pub subset: Option<usize>,
    /// Seed of the pick.
    pub seed: u64,
}

/// Square pictures of one size and mode, in the order of their names, with optional labels.
///
/// With `mirror`, indices from half of [`Dataset::len`] on are the mirror images of those before.
/// All methods may be called from several threads at once.
#[derive(Debug)]
pub struct Dataset {
    pictures: Pictures,
    /// Picture numbers in use, ascending.
    chosen: Vec<usize>,
    resolution: usize,
    mode: Mode,
    labels: Option<Labels>,
    mirror: bool,
    cache: Cache,
}

#[derive(Debug)]
enum Pictures {
    /// Files with the header that each had when it was checked.
    Files {
        source: Source,
        headers: Vec<Header>,
    },
    Portraits,
}

impl Dataset {
    /// Opens a dataset and checks the header of every picture, on all cores.
    ///
    /// Pictures are decoded when they are asked for; [`Dataset::verify`] decodes them all.
    ///
    /// # Errors
    /// [`DataError`] if the path, a picture, the labels or the options break a rule. The first
    /// broken rule in the order of the names is reported.
    pub fn open(options: &DatasetOptions) -> Result<Self, DataError> {
        if let Some(resolution) = options.resolution
            && !is_valid_resolution(resolution)
        {
            return Err(DataError::InvalidResolution { resolution });
        }
        let mut dataset = match &options.path {
            Some(path) => Self::from_files(Source::open(path)?, options)?,
            None => Self::from_portraits(options),
        };
        if let Some(subset) = options.subset {
            dataset.choose(subset, options.seed)?;
        }
        Ok(dataset)
    }

    fn from_files(source: Source, options: &DatasetOptions) -> Result<Self, DataError> {
        let headers = read_headers(&source)?;
        let first = headers[0];
        check_same_mode(&source, &headers)?;
        let resolution = match options.resolution {
            Some(resolution) => resolution,
            None => common_resolution(&source, &headers)?,
        };
        let labels = match options.cond {
            true => Some(read_labels(&source)?),
            false => None,
        };
        Ok(Self {
            chosen: (0..headers.len()).collect(),
            resolution,
            mode: first.mode,
            labels,
            mirror: options.mirror,
            cache: Cache::new(headers.len(), CACHE_BUDGET_BYTES),
            pictures: Pictures::Files { source, headers },
        })
    }

    fn from_portraits(options: &DatasetOptions) -> Self {
        let labels = options.cond.then(|| Labels::Classes {
            classes: (0..portraits::COUNT)
                .map(|index| portraits::factors(index).class())
                .collect(),
            count: portraits::CLASS_COUNT,
        });
        Self {
            pictures: Pictures::Portraits,
            chosen: (0..portraits::COUNT).collect(),
            resolution: options.resolution.unwrap_or(portraits::DEFAULT_RESOLUTION),
            mode: Mode::Rgb,
            labels,
            mirror: options.mirror,
            cache: Cache::new(portraits::COUNT, CACHE_BUDGET_BYTES),
        }
    }

    fn choose(&mut self, subset: usize, seed: u64) -> Result<(), DataError> {
        let available = self.chosen.len();
        if subset == 0 || subset > available {
            return Err(DataError::InvalidSubset {
                subset,
                available,
                dataset: self.name(),
            });
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        self.chosen = rand::seq::index::sample(&mut rng, available, subset).into_vec();
        self.chosen.sort_unstable();
        Ok(())
    }

    /// Number of pictures, mirrored ones included.
    pub fn len(&self) -> usize {
        self.chosen.len() * if self.mirror { 2 } else { 1 }
    }

    /// Whether there are no pictures; an opened dataset always has some.
    pub fn is_empty(&self) -> bool {
        self.chosen.is_empty()
    }

    /// Width and height of every picture in pixels.
    pub fn resolution(&self) -> usize {
        self.resolution
    }

    /// Number of channels: 1 (grayscale), 3 (RGB) or 4 (RGBA).
    pub fn channels(&self) -> usize {
        self.mode.channels()
    }

    /// Length of a label vector; 0 without labels.
    pub fn label_dim(&self) -> usize {
        self.labels.as_ref().map_or(0, Labels::dim)
    }

    /// The pixels of a picture, `[C, R, R]` in row-major order, 0 to 255.
    ///
    /// # Errors
    /// If the index is out of range or the picture can't be read or decoded.
    pub fn image_u8(&self, index: usize) -> Result<Vec<u8>, DataError> {
        let (picture, mirrored) = self.locate(index)?;
        let mut pixels = self.load(picture)?.to_vec();
        if mirrored {
            pixels
                .chunks_exact_mut(self.resolution)
                .for_each(<[u8]>::reverse);
        }
        Ok(pixels)
    }

    /// The label of a picture: its class as a one-hot vector, or its vector. `None` without labels.
    ///
    /// # Errors
    /// If the index is out of range.
    pub fn label(&self, index: usize) -> Result<Option<Vec<f32>>, DataError> {
        let (picture, _) = self.locate(index)?;
        Ok(self.labels.as_ref().map(|labels| labels.vector(picture)))
    }

    /// Pictures `[N, C, R, R]` in f32 from -1 to 1 (byte / 127.5 - 1), and their labels
    /// `[N, label_dim]` in f32, or `None` without labels. Decodes on all cores.
    ///
    /// # Errors
    /// If an index is out of range, a picture can't be read, or the device refuses.
    pub fn batch(
        &self,
        indices: &[usize],
        device: &Device,
    ) -> Result<(Tensor, Option<Tensor>), DataError> {
        let pictures: Vec<Result<Vec<u8>, DataError>> = indices
            .par_iter()
            .map(|&index| self.image_u8(index))
            .collect();
        let side = self.resolution;
        let mut values = Vec::with_capacity(indices.len() * self.channels() * side * side);
        for picture in pictures {
            values.extend(
                picture?
                    .into_iter()
                    .map(|byte| f32::from(byte) / 127.5 - 1.0),
            );
        }
        let shape = (indices.len(), self.channels(), side, side);
        let images = Tensor::from_vec(values, shape, device)?;
        let Some(labels) = &self.labels else {
            return Ok((images, None));
        };
        let mut values = Vec::with_capacity(indices.len() * labels.dim());
        for &index in indices {
            values.extend(labels.vector(self.locate(index)?.0));
        }
        let labels = Tensor::from_vec(values, (indices.len(), labels.dim()), device)?;
        Ok((images, Some(labels)))
    }

    /// Decodes every picture in use, so that a damaged one is found before training starts.
    ///
    /// # Errors
    /// The first picture, in the order of the names, that can't be read or decoded.
    pub fn verify(&self) -> Result<(), DataError> {
        let results: Vec<Result<(), DataError>> = (self.chosen.par_iter())
            .map(|&picture| self.load(picture).map(drop))
            .collect();
        results.into_iter().collect()
    }

    /// One line for people: how many pictures of what size and mode, from where.
    pub fn describe(&self) -> String {
        let side = self.resolution;
        let labels = match &self.labels {
            None => String::new(),
            Some(Labels::Classes { count, .. }) => format!(", {count} classes"),
            Some(Labels::Vectors { len, .. }) => format!(", label vectors of {len}"),
        };
        let mirrored = match self.mirror {
            true => format!(", {} with their mirror images", self.len()),
            false => String::new(),
        };
        format!(
            "{} pictures from {}, {side}x{side} {}{labels}{mirrored}",
            self.chosen.len(),
            self.name(),
            self.mode
        )
    }

    fn name(&self) -> String {
        match &self.pictures {
            Pictures::Files { source, .. } => source.root().display().to_string(),
            Pictures::Portraits => "the embedded portraits".to_string(),
        }
    }

    /// The picture number of an index, and whether its mirror image is meant.
    fn locate(&self, index: usize) -> Result<(usize, bool), DataError> {
        if index >= self.len() {
            let len = self.len();
            return Err(DataError::IndexOutOfRange { index, len });
        }
        let count = self.chosen.len();
        Ok((self.chosen[index % count], index >= count))
    }

    fn load(&self, picture: usize) -> Result<Arc<[u8]>, DataError> {
        self.cache.get_or_load(picture, || match &self.pictures {
            Pictures::Files { source, headers } => {
                read_picture(source, picture, headers[picture], self.resolution)
            }
            Pictures::Portraits => {
                let portrait = portraits::draw(&portraits::factors(picture), self.resolution)?;
                Ok(picture::to_planes(&portrait.into(), self.resolution))
            }
        })
    }
}

/// The headers of all pictures, or the first error in the order of the names.
fn read_headers(source: &Source) -> Result<Vec<Header>, DataError> {
    let headers: Vec<Result<Header, DataError>> = (0..source.names().len())
        .into_par_iter()
        .map(|index| read_header(source, index))
        .collect();
    headers.into_iter().collect()
}

fn read_header(source: &Source, index: usize) -> Result<Header, DataError> {
    let prefix = source.read_start(index, HEADER_PREFIX_BYTES)?;
    if picture::header_is_at_the_start(&prefix)
        && let Ok(header) = picture::read_header(&prefix)
    {
        return Ok(header);
    }
    let bytes = source.read(index)?;
    picture::read_header(&bytes).map_err(|error| DataError::Damaged {
        file: source.describe(index),
        reason: error.to_string(),
    })
}

fn read_picture(
    source: &Source,
    index: usize,
    expected: Header,
    resolution: usize,
) -> Result<Vec<u8>, DataError> {
    let bytes = source.read(index)?;
    let image = picture::decode(&bytes).map_err(|reason| DataError::Damaged {
        file: source.describe(index),
        reason,
    })?;
    let found = picture::header_of(&image);
    if found != expected {
        return Err(DataError::Changed {
            file: source.describe(index),
            expected: expected.to_string(),
            found: found.to_string(),
        });
    }
    Ok(picture::to_planes(&image, resolution))
}

fn check_same_mode(source: &Source, headers: &[Header]) -> Result<(), DataError> {
    let first = headers[0];
    match headers.iter().position(|header| header.mode != first.mode) {
        None => Ok(()),
        Some(index) => Err(DataError::ModeMismatch {
            file: source.describe(index),
            first: source.names()[0].clone(),
            expected: first.mode,
            found: headers[index].mode,
        }),
    }
}

/// The side of all pictures, which must be equal, square and one that the networks take.
fn common_resolution(source: &Source, headers: &[Header]) -> Result<usize, DataError> {
    let Header { width, height, .. } = headers[0];
    if width != height {
        return Err(DataError::NotSquare {
            file: source.describe(0),
            width,
            height,
        });
    }
    if !is_valid_resolution(width as usize) {
        return Err(DataError::UnsupportedSide {
            file: source.describe(0),
            side: width,
        });
    }
    let differs = |header: &Header| (header.width, header.height) != (width, height);
    match headers.iter().position(differs) {
        None => Ok(width as usize),
        Some(index) => Err(DataError::SizeMismatch {
            file: source.describe(index),
            first: source.names()[0].clone(),
            expected: (width, height),
            found: (headers[index].width, headers[index].height),
        }),
    }
}

fn read_labels(source: &Source) -> Result<Labels, DataError> {
    let file = source.labels_name();
    match source.read_labels()? {
        Some(bytes) => Labels::parse(&bytes, &file, source.names()),
        None => Err(DataError::NoLabels { file }),
    }
}
