//! The machine's condition: load, memory, disks, battery.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use landfall_proto::report::{Space, Vitals};
use sysinfo::{DiskRefreshKind, Disks, MemoryRefreshKind, System};

/// Mount points that are reported, the fullest first.
const DISKS_MAX: usize = 20;

/// Disks fill slowly and asking them costs most: they are asked at every so many samples.
const DISKS_EVERY: u64 = 12;

/// Looks at the machine again and again.
#[derive(Debug, Default)]
pub struct Gauge {
    system: Option<System>,
    samples: u64,
    disks: BTreeMap<String, Space>,
}

impl Gauge {
    /// One look. What the system does not tell is left at zero or absent.
    pub fn sample(&mut self) -> Vitals {
        if self.samples.is_multiple_of(DISKS_EVERY) {
            // A file system whose server is gone does not answer, and nothing else may wait for it.
            self.disks = tokio::task::block_in_place(disks);
        }
        self.samples += 1;
        if self.system.is_none() {
            self.system = System::new().ok();
        }
        let (total, available) = self.system.as_mut().map_or((0, 0), |system| {
            system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
            (system.total_memory(), system.available_memory())
        });
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Vitals {
            load_per_cpu: System::load_average().map_or(0.0, |load| load.one) / processors as f64,
            memory_total_bytes: total,
            memory_available_bytes: available,
            disks: self.disks.clone(),
            on_battery: on_battery(Path::new("/sys/class/power_supply")),
            agent_memory_bytes: own_memory().unwrap_or(0),
        }
    }
}

/// The machine's own name; an alias, never identity.
pub fn host_name() -> String {
    System::host_name().unwrap_or_else(|_| "unknown".to_owned())
}

fn disks() -> BTreeMap<String, Space> {
    let Ok(disks) = Disks::new_with_refreshed_list_specifics(DiskRefreshKind::nothing().with_storage()) else {
        return BTreeMap::new();
    };
    let mut spaces: Vec<(String, Space)> = disks
        .iter()
        .filter(|disk| disk.total_space() > 0)
        .map(|disk| {
            let space = Space { free_bytes: disk.available_space(), total_bytes: disk.total_space() };
            (disk.mount_point().display().to_string(), space)
        })
        .collect();
    spaces.sort_by_key(|(_, space)| space.free_percent());
    spaces.truncate(DISKS_MAX);
    spaces.into_iter().collect()
}

/// `None` where the machine has no mains adapter that says whether it is plugged in.
fn on_battery(supplies: &Path) -> Option<bool> {
    let read = |path: &Path, name: &str| fs::read_to_string(path.join(name)).ok();
    let mut mains = None;
    for entry in fs::read_dir(supplies).ok()?.flatten() {
        let path = entry.path();
        if read(&path, "type")?.trim() == "Mains" {
            let is_online = read(&path, "online").is_some_and(|online| online.trim() == "1");
            mains = Some(mains.unwrap_or(false) || is_online);
        }
    }
    mains.map(|is_online| !is_online)
}

fn own_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix("kB")?.trim();
    Some(kibibytes.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_knows_this_machine() {
        let vitals = Gauge::default().sample();
        assert!(vitals.memory_total_bytes > vitals.memory_available_bytes);
        assert!(vitals.agent_memory_bytes > 0);
        assert!(vitals.disks.len() <= DISKS_MAX);
    }

    #[test]
    fn a_machine_with_an_unplugged_adapter_runs_on_battery() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(on_battery(folder.path()), None);
        for (name, kind, online) in [("BAT0", "Battery", "0"), ("AC", "Mains", "0")] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("type"), kind).unwrap();
            fs::write(folder.path().join(name).join("online"), online).unwrap();
        }
        assert_eq!(on_battery(folder.path()), Some(true));
        fs::write(folder.path().join("AC/online"), "1\n").unwrap();
        assert_eq!(on_battery(folder.path()), Some(false));
    }
}
