//! What a figure was measured on, and what processes take of it.

use std::fs;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// How often the disk is asked.
const SYNCS: usize = 300;

/// A machine.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Processors.
    pub cores: usize,
    /// Memory in GiB.
    pub memory_gib: f64,
    /// The kernel.
    pub kernel: String,
    /// Half of the calls of `fdatasync` after 4 KiB took at most this, in
    /// milliseconds.
    pub fdatasync_ms: f64,
}

impl Machine {
    /// Looks at this machine; the disk is the one of `folder`.
    #[must_use]
    pub fn look(folder: &Path) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        let memory = field_kb("/proc/meminfo", "MemTotal:") as f64 / f64::from(1 << 20);
        Self { cores, memory_gib: memory, kernel, fdatasync_ms: fdatasync_ms(folder) }
    }

    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { cores, memory_gib, kernel, fdatasync_ms } = self;
        format!("{cores} cores, {memory_gib:.0} GiB, Linux {kernel}, fdatasync {fdatasync_ms:.2} ms")
    }
}

fn fdatasync_ms(folder: &Path) -> f64 {
    let path = folder.join("fdatasync");
    let mut file = fs::File::create(&path).expect("a file");
    let mut times: Vec<f64> = (0..SYNCS)
        .map(|_| {
            file.rewind().expect("the beginning");
            file.write_all(&[7; 4_096]).expect("written");
            let begun = Instant::now();
            file.sync_data().expect("synced");
            begun.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    let _ = fs::remove_file(path);
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Resident memory of a process now and at its peak, in megabytes.
#[must_use]
pub fn rss_mb(pid: u32) -> (f64, f64) {
    let status = format!("/proc/{pid}/status");
    let mb = |name| field_kb(&status, name) as f64 / 1_000.0;
    (mb("VmRSS:"), mb("VmHWM:"))
}

fn field_kb(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kb| kb.parse().ok()).unwrap_or(0)
}

/// Memory of a process and of those it started, what they share counted once, in
/// megabytes: for servers of many processes.
#[must_use]
pub fn family_mb(root: u32) -> f64 {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let family = pids.filter(|pid| *pid == root || field(*pid, "PPid:") == Some(root));
    family.map(|pid| field_kb(&format!("/proc/{pid}/smaps_rollup"), "Pss:") as f64 / 1_000.0).sum()
}

fn field(pid: u32, name: &str) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}

/// The process whose command line holds a text.
#[must_use]
pub fn process_with(text: &str) -> Option<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids.into_iter().find(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").contains(text)
    })
}

/// The first line a program prints about its version.
#[must_use]
pub fn version(program: impl AsRef<std::ffi::OsStr>, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}
