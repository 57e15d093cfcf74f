//! Resources used by a process, from `/proc`.

use std::time::Duration;

use anyhow::{Context, Result};

/// Clock ticks per second of `/proc/<pid>/stat`: fixed by Linux's interface.
const TICKS: u64 = 100;

/// CPU time and peak memory so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) peak_megabytes: u64,
}

impl Usage {
    /// Reads the values of a process.
    pub(crate) fn of(process: u32) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The name in parentheses may contain spaces. User and system time are the 12th and 13th fields after it.
        let (_, fields) = stat.rsplit_once(')').context("malformed /proc/<pid>/stat")?;
        let times: Vec<u64> =
            fields.split_whitespace().skip(11).take(2).filter_map(|it| it.parse().ok()).collect();
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes: u64 = peak
            .and_then(|line| line.split_whitespace().next()?.parse().ok())
            .context("no VmHWM in /proc/<pid>/status")?;
        Ok(Self {
            cpu: Duration::from_millis(times.iter().sum::<u64>() * 1000 / TICKS),
            peak_megabytes: kilobytes / 1024,
        })
    }

    /// CPU time used since `before`, in cores.
    pub(crate) fn cores_since(self, before: Self, elapsed: Duration) -> f64 {
        self.cpu.saturating_sub(before.cpu).as_secs_f64() / elapsed.as_secs_f64()
    }
}

/// Megabytes as a table value.
pub(super) fn megabytes(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The current memory of a process in megabytes.
pub(super) fn resident_megabytes(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    Ok(kilobytes.context("no VmRSS in /proc/<pid>/status")? / 1024)
}
