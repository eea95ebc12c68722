//! Whether a repository is whole: its structure, and the data of a chosen part of its packs.

use landfall_proto::report::{Phase, Reason};
use rustic_core::{CheckOptions, FileType, ReadSubsetOption};

use super::destination::Destination;
use super::emit;
use super::failure::{Failure, headline, reason_of};
use super::list::load;
use super::lock::{Need, take};
use super::open::{list_ids, open};
use super::progress::Counters;
use super::protocol::{Checked, Event, MAX_FINDINGS, Order};
use super::unread;

/// Checks the structure, and the data of `data_subset` where one is given.
pub(super) fn run(order: &Order, data_subset: Option<&str>, counters: &Counters) -> Result<Event, Failure> {
    let options = options(data_subset)?;
    let (_, opened) = open(order, false, counters)?;
    emit::emit(&opened.event()?);
    let turn = take(&opened, order, Need::May)?;
    counters.enter(Phase::Checking);
    unread::expect_findings();
    // Past the cache: a check that reads copies of its own says nothing about the destination.
    let repository = opened.again(&opened.destination)?;
    let ids = list_ids(&opened.destination, FileType::Snapshot)?;
    let mut findings = Findings { warnings: turn.notes.clone(), ..Findings::default() };
    let (snapshots, damaged) = load(&repository, &ids)?;
    if damaged > 0 {
        findings.errors.push(format!("{damaged} snapshot files cannot be read or decrypted"));
        findings.more_errors += damaged - 1;
    }
    let trees = snapshots.iter().map(|snapshot| snapshot.tree).collect();
    opened.destination.count_packs();
    match repository.check_with_trees(options, trees) {
        Ok(results) => {
            for (level, finding) in results.0 {
                // The level's type has no public name; its debug form has been stable.
                let list = if format!("{level:?}") == "Warn" { &mut findings.warnings } else { &mut findings.errors };
                list.push(finding.to_string().replace('\n', " "));
            }
        }
        // The engine stops at damage in an index or a key instead of listing it. That is a finding too; a lost connection
        // or a refused access is none.
        Err(error) => match reason_of(&*error) {
            None | Some(Reason::Integrity) => findings.errors.push(headline(&error)),
            Some(_) => return Err(error.into()),
        },
    }
    Ok(Event::DoneCheck(findings.close(&opened.destination, data_subset.is_some(), counters, snapshots.len() as u64)))
}

#[derive(Default)]
struct Findings {
    errors: Vec<String>,
    more_errors: u64,
    warnings: Vec<String>,
}

impl Findings {
    fn close(self, storage: &Destination, data: bool, counters: &Counters, snapshots: u64) -> Checked {
        Checked {
            errors: self.errors.len() as u64 + self.more_errors,
            warnings: self.warnings.len() as u64,
            packs_read: if data { storage.packs_read() } else { 0 },
            bytes_read: if data { counters.bytes_done() } else { 0 },
            snapshots,
            findings: self
                .errors
                .iter()
                .chain(&self.warnings)
                .take(MAX_FINDINGS)
                .map(|text| emit::redact(text))
                .collect(),
        }
    }
}

fn options(data_subset: Option<&str>) -> Result<CheckOptions, Failure> {
    let options = CheckOptions::default().trust_cache(true);
    match data_subset {
        None => Ok(options),
        Some(text) => Ok(options.read_data(true).read_data_subset(subset(text)?)),
    }
}

/// `all`, `n/m` or `x%`. The engine's own parser divides by an m of zero and reads words such as `daily` off the clock.
fn subset(text: &str) -> Result<ReadSubsetOption, Failure> {
    let part = text.split_once('/').and_then(|(part, of)| Some((part.parse::<u32>().ok()?, of.parse::<u32>().ok()?)));
    let percent = text.strip_suffix('%').and_then(|percent| percent.parse::<f64>().ok());
    match (text, part, percent) {
        ("all", ..) => Ok(ReadSubsetOption::All),
        (_, Some((part, of)), _) if (1..=of).contains(&part) => Ok(ReadSubsetOption::IdSubSet((part, of))),
        (_, _, Some(percent)) if percent > 0.0 && percent <= 100.0 => Ok(ReadSubsetOption::Percentage(percent)),
        _ => Err(Failure::new(Reason::Internal, format!("`{text}` names no part of the data."))
            .because("Use `all`, `n/m` with n from 1 to m, or a percentage such as `5%`.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parts_that_exist_are_accepted() {
        for good in ["all", "1/1", "3/7", "7/7", "5%", "0.5%", "100%"] {
            assert!(subset(good).is_ok(), "{good}");
        }
        for bad in ["", "0/0", "0/7", "8/7", "1/0", "-1/3", "daily/week", "0%", "101%", "NaN%", "5", "10MiB"] {
            assert!(subset(bad).is_err(), "{bad}");
        }
    }
}
