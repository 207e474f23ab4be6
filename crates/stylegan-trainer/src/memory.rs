//! Memory of this process.

use crate::report::Memory;

const GIB: f64 = (1u64 << 30) as f64;

/// Reads the memory of this process now and then, and keeps the peak.
#[derive(Debug, Default)]
pub struct MemoryMeter {
    peak_bytes: Option<u64>,
}

impl MemoryMeter {
    /// Resident memory now and at its peak.
    pub(crate) fn read(&mut self) -> Memory {
        let resident = memory_stats::memory_stats().map(|stats| stats.physical_mem as u64);
        self.peak_bytes = self.peak_bytes.max(high_water_mark()).max(resident);
        Memory {
            memory_gib: resident.map(|bytes| bytes as f64 / GIB),
            peak_memory_gib: self.peak_bytes.map(|bytes| bytes as f64 / GIB),
        }
    }

    /// Resident memory at its peak, in bytes: since the process began on Linux, elsewhere the largest that
    /// this meter has seen, now included. `None` where the system doesn't tell.
    pub fn peak_bytes(&mut self) -> Option<u64> {
        self.read();
        self.peak_bytes
    }
}

/// The kernel's high-water mark of the resident memory.
#[cfg(target_os = "linux")]
fn high_water_mark() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Elsewhere the largest of the readings has to do.
#[cfg(not(target_os = "linux"))]
fn high_water_mark() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_outlives_a_large_allocation() {
        let mut meter = MemoryMeter::default();
        let block = vec![1u8; 64 << 20];
        let during = meter.read();
        drop(block);
        let after = meter.read();
        assert!(during.memory_gib.unwrap() > 0.06);
        assert!(after.peak_memory_gib >= during.memory_gib);
    }
}
