//! The process itself as metrics, read from `/proc` when a page is asked for.
//!
//! Where there is no `/proc`, a metric that cannot be read is left out.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, Registry};
use std::fs;

/// Clock ticks a second in `/proc`: Linux shows 100 to programs on every
/// architecture the platform runs on, whatever the kernel ticks at.
const TICKS: f64 = 100.0;

/// Reads one value; `None` where it cannot be read.
type Read = fn() -> Option<f64>;

/// Memory, descriptors, threads and processor time of this process.
#[derive(Debug)]
pub struct ProcessMetrics {
    gauges: Vec<(Gauge, Read)>,
    cpu: Counter,
}

impl ProcessMetrics {
    /// Adds the metrics of the process to a registry.
    pub fn register(registry: &Registry) -> prometheus::Result<()> {
        let gauges = [
            (
                Gauge::new("process_resident_memory_bytes", "Memory in use, resident")?,
                (|| status("VmRSS:").map(|kib| kib * 1024.0)) as Read,
            ),
            (Gauge::new("process_open_fds", "Open file descriptors")?, open_fds),
            (Gauge::new("process_max_fds", "Most file descriptors allowed")?, max_fds),
            (Gauge::new("process_threads", "Threads")?, || status("Threads:")),
            (Gauge::new("process_start_time_seconds", "When the process started, since 1970")?, start_time),
        ]
        .into();
        let cpu = Counter::new("process_cpu_seconds_total", "Processor time used, user and system")?;
        registry.register(Box::new(Self { gauges, cpu }))
    }
}

impl Collector for ProcessMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges.iter().flat_map(|(gauge, _)| gauge.desc()).chain(self.cpu.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = Vec::with_capacity(self.gauges.len() + 1);
        for (gauge, read) in &self.gauges {
            if let Some(value) = read() {
                gauge.set(value);
                families.extend(gauge.collect());
            }
        }
        if let Some(seconds) = cpu_seconds() {
            self.cpu.reset();
            self.cpu.inc_by(seconds);
            families.extend(self.cpu.collect());
        }
        families
    }
}

/// The first number after a key of `/proc/self/status`.
fn status(key: &str) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    number_after(&text, key)
}

fn number_after(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

fn open_fds() -> Option<f64> {
    // The listing itself holds one descriptor open.
    let count = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(count).ok().map(f64::from)
}

fn max_fds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/limits").ok()?;
    number_after(&text, "Max open files")
}

/// A field of `/proc/self/stat`, counted from 1 as its manual page does. The
/// name of the program (field 2) may hold spaces and brackets.
fn stat_field(text: &str, field: usize) -> Option<f64> {
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(field.checked_sub(3)?)?.parse().ok()
}

fn cpu_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    Some((stat_field(&text, 14)? + stat_field(&text, 15)?) / TICKS)
}

fn start_time() -> Option<f64> {
    let started = stat_field(&fs::read_to_string("/proc/self/stat").ok()?, 22)? / TICKS;
    Some(number_after(&fs::read_to_string("/proc/stat").ok()?, "btime")? + started)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_files_and_threads() {
        let registry = crate::metrics::registry("test").unwrap();
        ProcessMetrics::register(&registry).unwrap();
        let text = crate::metrics::encode(&registry);
        let value = |name: &str| -> f64 {
            let line =
                text.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
            line.rsplit_once(' ').unwrap().1.parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_threads") >= 1.0);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!(value("process_start_time_seconds") > 1.6e9);
    }

    #[test]
    fn a_program_name_cannot_shift_the_fields() {
        let text = "7 (a) b) (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0";
        assert_eq!(stat_field(text, 14), Some(250.0));
        assert_eq!(stat_field(text, 15), Some(50.0));
        assert_eq!(stat_field("rubbish", 14), None);
    }
}
