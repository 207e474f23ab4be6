//! `--batch`: how many pictures are computed at once.

use anyhow::{Result, ensure};
use candle_core::Device;
use stylegan_synthesis::SynthesisConfig;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// The largest number that is taken from the command line.
const LARGEST: usize = 4096;

/// Feature maps of the largest layer that are in memory together, at most: networks of 256x256 were measured to take 4
/// (StyleGAN2), 5 (ProGAN) and 6 (StyleGAN).
const MAPS_AT_ONCE: u64 = 6;

/// What a picture takes beside them, on the thread that computes it: buffers of the kernels, and what the allocator keeps.
/// 5 MiB were measured.
const BYTES_PER_THREAD: u64 = 8 << 20;

/// The batch that was asked for, or a picture for each thread, as far as half of the free memory has room for them. A GPU
/// computes one at a time.
pub fn size(batch: Option<usize>, config: &SynthesisConfig, device: &Device) -> Result<usize> {
    if let Some(batch) = batch {
        ensure!(
            (1..=LARGEST).contains(&batch),
            "--batch {batch}: must be from 1 to {LARGEST}"
        );
        return Ok(batch);
    }
    if !device.is_cpu() {
        return Ok(1);
    }
    let room = fitting(free_bytes(), bytes_per_picture(config)?);
    Ok(room.min(rayon::current_num_threads()))
}

fn fitting(free: u64, bytes_per_picture: u64) -> usize {
    let room = free / 2 / bytes_per_picture.max(1);
    usize::try_from(room).map_or(usize::MAX, |room| room.max(1))
}

/// An estimate from the largest feature maps, which was one to two times what was measured.
fn bytes_per_picture(config: &SynthesisConfig) -> Result<u64> {
    let mut largest = 0;
    let mut resolution = 4;
    while resolution <= config.img_resolution {
        let values = config.channels(resolution)? * resolution * resolution;
        largest = largest.max(values as u64);
        resolution *= 2;
    }
    Ok(MAPS_AT_ONCE * largest * size_of::<f32>() as u64 + BYTES_PER_THREAD)
}

/// Memory that can be had without swapping, within the limit of the container where there is one.
fn free_bytes() -> u64 {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(memory);
    let free = system.available_memory();
    match system.cgroup_limits() {
        Some(limits) => free.min(limits.free_memory),
        None => free,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_fit_into_half_of_the_free_memory() {
        assert_eq!(fitting(100, 10), 5);
        assert_eq!(fitting(100, 51), 1);
        assert_eq!(fitting(0, 10), 1, "one has to be tried");
    }

    #[test]
    fn the_largest_layer_decides_what_a_picture_takes() {
        let config = SynthesisConfig {
            img_resolution: 256,
            channel_base: 16384,
            channel_max: 512,
            ..Default::default()
        };
        // 64 channels of 256x256.
        let maps = 6 * (64 << 16) * 4;
        assert_eq!(bytes_per_picture(&config).unwrap(), maps + (8 << 20));
    }

    #[test]
    fn this_machine_has_free_memory() {
        assert!(free_bytes() > 1 << 20);
    }
}
