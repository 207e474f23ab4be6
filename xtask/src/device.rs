//! `--device`: where tensors live.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use candle_core::Device;

/// A device as the command line names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// All cores of this machine.
    Cpu,
    /// A CUDA device by its number.
    Cuda(usize),
    /// The GPU of a Mac.
    Metal,
}

impl DeviceChoice {
    /// Opens the device; where it isn't there or not compiled in, an error that says how to get it.
    pub fn open(self, command: &str) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(_) if !cfg!(feature = "cuda") => {
                bail!(
                    "--device {self}: this build has no CUDA; use `cargo xtask-cuda {command} ...`"
                )
            }
            Self::Cuda(number) => Device::new_cuda(number)
                .with_context(|| format!("--device {self}: no such CUDA device")),
            Self::Metal if !cfg!(feature = "metal") => {
                bail!(
                    "--device {self}: this build has no Metal; on a Mac use `cargo xtask-metal {command} ...`"
                )
            }
            Self::Metal => {
                Device::new_metal(0).with_context(|| format!("--device {self}: no Metal device"))
            }
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let (kind, number) = match name.split_once(':') {
            Some((kind, number)) => (kind, Some(number)),
            None => (name, None),
        };
        match (kind, number) {
            ("cpu", None) => Ok(Self::Cpu),
            ("metal", None) => Ok(Self::Metal),
            ("cuda", None) => Ok(Self::Cuda(0)),
            ("cuda", Some(number)) => number
                .parse()
                .map(Self::Cuda)
                .map_err(|_| format!("{number} is not the number of a CUDA device")),
            _ => Err("expected cpu, cuda, cuda:N or metal".to_string()),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Metal => write!(f, "metal"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_parse() {
        assert_eq!("cpu".parse(), Ok(DeviceChoice::Cpu));
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(DeviceChoice::Cuda(3)));
        assert_eq!("metal".parse(), Ok(DeviceChoice::Metal));
        for wrong in ["", "gpu", "cpu:1", "cuda:", "cuda:x", "metal:0"] {
            assert!(wrong.parse::<DeviceChoice>().is_err(), "{wrong}");
        }
    }
}
