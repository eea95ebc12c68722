//! The machine's condition: load, memory, disks, battery.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::Builder;

use landfall_proto::id::TargetName;
use landfall_proto::report::{Space, Vitals};
use rustix::fs::statvfs;
use sysinfo::{DiskRefreshKind, Disks, MemoryRefreshKind, System};

/// Mount points that are reported, the fullest first.
const DISKS_MAX: usize = 20;

/// Destinations that are reported.
const TARGETS_MAX: usize = 50;

/// Disks fill slowly and asking them costs most: they are asked at every so many samples.
const DISKS_EVERY: u64 = 12;

/// Looks at the machine again and again.
#[derive(Debug, Default)]
pub struct Gauge {
    system: Option<System>,
    samples: u64,
    disks: BTreeMap<String, Space>,
    targets: Targets,
}

impl Gauge {
    /// One look. What the system does not tell is left at zero or absent.
    pub fn sample(&mut self, places: &Places) -> Vitals {
        let is_time = self.samples.is_multiple_of(DISKS_EVERY);
        self.targets.look(places, is_time);
        if is_time {
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
            targets: self.targets.seen.clone(),
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

/// Destinations that are reached by a path.
pub type Places = Arc<BTreeMap<TargetName, String>>;

/// The destinations' space. A file system whose server is gone may never answer, and the node is not to fall silent for it: a
/// thread looks, and one look at a time.
#[derive(Debug, Default)]
struct Targets {
    places: Places,
    seen: BTreeMap<TargetName, Space>,
    looking: Option<Receiver<BTreeMap<TargetName, Space>>>,
}

impl Targets {
    /// Takes what the last look found, and begins another where `is_time` or the destinations are others.
    fn look(&mut self, places: &Places, is_time: bool) {
        match self.looking.as_ref().map(Receiver::try_recv) {
            Some(Ok(seen)) => {
                self.seen = seen;
                self.looking = None;
            }
            Some(Err(TryRecvError::Disconnected)) => self.looking = None,
            // What was seen a whole look ago is not known to be so.
            Some(Err(TryRecvError::Empty)) if is_time => self.seen.clear(),
            Some(Err(TryRecvError::Empty)) | None => {}
        }
        let is_other = !Arc::ptr_eq(places, &self.places);
        if self.looking.is_none() && (is_time || is_other) {
            self.places = Arc::clone(places);
            let (found, looking) = sync_channel(1);
            let places = Arc::clone(places);
            let begun = Builder::new().name("destinations".to_owned()).spawn(move || found.send(space_of(&places)));
            self.looking = begun.is_ok().then_some(looking);
        }
    }
}

/// What the destinations' own file systems say; those that are not there say nothing.
fn space_of(places: &BTreeMap<TargetName, String>) -> BTreeMap<TargetName, Space> {
    let seen = places.iter().filter_map(|(name, location)| {
        let figures = statvfs(location.as_str()).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(figures.f_frsize);
        let space = Space { free_bytes: bytes(figures.f_bavail), total_bytes: bytes(figures.f_blocks) };
        Some((name.clone(), space))
    });
    seen.take(TARGETS_MAX).collect()
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
        let vitals = Gauge::default().sample(&Places::default());
        assert!(vitals.memory_total_bytes > vitals.memory_available_bytes);
        assert!(vitals.agent_memory_bytes > 0);
        assert!(vitals.disks.len() <= DISKS_MAX);
    }

    #[test]
    fn a_destination_that_is_there_has_its_space_and_another_none() {
        let folder = tempfile::tempdir().unwrap();
        let location = |path: &Path| path.display().to_string();
        let (here, nowhere): (TargetName, TargetName) = ("here".parse().unwrap(), "nowhere".parse().unwrap());
        let places =
            [(here.clone(), location(folder.path())), (nowhere.clone(), location(&folder.path().join("not-there")))];
        let places = Arc::new(BTreeMap::from(places));
        let mut targets = Targets::default();
        while targets.seen.is_empty() {
            targets.look(&places, false);
            std::thread::yield_now();
        }
        assert!(targets.seen[&here].total_bytes > targets.seen[&here].free_bytes, "{targets:?}");
        assert!(!targets.seen.contains_key(&nowhere), "expected that what is not there is not known: {targets:?}");
    }

    #[test]
    fn a_destination_that_does_not_answer_holds_nobody_up_and_becomes_unknown() {
        let (_unanswered, looking) = sync_channel(1);
        let seen = BTreeMap::from([("nas".parse().unwrap(), Space { free_bytes: 1, total_bytes: 2 })]);
        let mut targets = Targets { places: Places::default(), seen, looking: Some(looking) };
        let places = Arc::clone(&targets.places);
        targets.look(&places, false);
        assert_eq!(targets.seen.len(), 1);
        targets.look(&places, true);
        assert!(targets.seen.is_empty() && targets.looking.is_some(), "expected one look at a time: {targets:?}");
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
