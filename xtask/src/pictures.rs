//! Pictures from a trained network: the options that several commands share, how pictures are made, and the
//! files that they are written to.

mod batch;
mod folder;
mod latents;
mod maker;
mod network;
// No command makes videos yet.
#[allow(dead_code, unused_imports)]
mod video;

pub use folder::{FormatArg, PictureFolder};
pub use latents::{Latent, LatentArgs, SaveW, Sources, Space, check_options, read_files};
pub use maker::{PictureMaker, Shot};
pub use network::{NetworkArgs, Trained, TrainedArgs};
#[allow(unused_imports)]
pub use video::VideoArgs;
