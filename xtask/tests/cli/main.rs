//! The built program from outside: what it says to wrong input, and whole runs of small networks.

mod addresses;
mod bench;
mod common;
mod edit;
mod errors;
mod feature_maps;
mod metrics;
mod networks;
mod pictures;
mod plot;
mod project;
mod runs;
mod style_mixing;
mod transfer;
mod walks;
mod wrong_input;
