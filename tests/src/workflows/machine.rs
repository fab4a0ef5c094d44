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
    family(root).map(|pid| field_kb(&format!("/proc/{pid}/smaps_rollup"), "Pss:") as f64 / 1_000.0).sum()
}

/// Processor time that a process, those it started and those of them that ended
/// have taken, outside and inside the kernel, in seconds (proc(5): ticks of a
/// hundredth).
#[must_use]
pub fn cpu_s(root: u32) -> [f64; 2] {
    let ticks = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        // utime, stime, cutime and cstime: fields 14 to 17.
        let times = after_name.split_whitespace().skip(11).take(4);
        let times: Vec<f64> = times.filter_map(|ticks| ticks.parse().ok()).collect();
        let ended = |at: usize| if pid == root { times.get(at + 2) } else { None };
        [0, 1].map(|at| times.get(at).unwrap_or(&0.0) + ended(at).unwrap_or(&0.0))
    };
    family(root).map(ticks).fold([0.0, 0.0], |all, one| [all[0] + one[0] / 100.0, all[1] + one[1] / 100.0])
}

/// A process and those it started.
fn family(root: u32) -> impl Iterator<Item = u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(move |pid| *pid == root || field(*pid, "PPid:") == Some(root))
}

/// What the files below a folder hold, in megabytes.
#[must_use]
pub fn folder_mb(folder: &Path) -> f64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => folder_mb(&entry.path()),
        Ok(about) => about.len() as f64 / 1e6,
        Err(_) => 0.0, // it is gone
    };
    entries.map(size).sum()
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
