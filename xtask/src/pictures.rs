//! Pictures from a trained network: the options that several commands share, how pictures are made, and the
//! files that they are written to.

mod batch;
mod folder;
mod latents;
mod maker;
mod network;
mod noise;
mod video;

pub use folder::{FormatArg, PictureFolder};
pub use latents::{Latent, LatentArgs, SaveW, Sources, Space, check_options, read_files};
pub use maker::{PictureMaker, Shot};
pub use network::{MakingArgs, NetworkArgs, Trained, TrainedArgs, check_cutoff};
pub use noise::{PictureNoise, map_name};
pub use video::{Video, VideoArgs};
