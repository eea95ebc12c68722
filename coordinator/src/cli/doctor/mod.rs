//! `landfall doctor`: looks at every part of the mesh that an operator can reach, and says what to do about what is not right.

mod bus;
mod finding;
mod mesh;

use std::path::Path;
use std::process::ExitCode;

use landfall_proto::bus::Bus;

use super::ask::Mesh;
use super::context;
use super::failure::{BAD, Failure, UNKNOWN};
use super::screen::{Screen, Tone};
use finding::{Finding, Health};

/// Looks, prints, and ends with 0 where nothing is bad, 1 where something is, 3 where the bus cannot be reached.
pub(super) async fn run(named: Option<&Path>, screen: &Screen) -> Result<ExitCode, Failure> {
    let mut findings = Vec::new();
    let reached = look(named, &mut findings).await;
    if screen.json {
        screen.json_answer(&serde_json::json!({ "findings": findings }));
    } else {
        findings.iter().for_each(|finding| show(finding, screen));
    }
    Ok(if !reached {
        ExitCode::from(UNKNOWN)
    } else if findings.iter().any(|finding| finding.ok == Health::Bad) {
        ExitCode::from(BAD)
    } else {
        ExitCode::SUCCESS
    })
}

/// Collects findings from the outside in; false where the bus could not be reached.
async fn look(named: Option<&Path>, findings: &mut Vec<Finding>) -> bool {
    let options = match context::find(named) {
        Ok(options) => options,
        Err(failure) => {
            findings.push(Finding::of_failure("context", failure));
            return false;
        }
    };
    findings.push(Finding::good("context", format!("the cluster {} at {}", options.cluster, options.urls.join(", "))));
    let mesh = match Bus::connect(options).await {
        Ok(bus) => Mesh { bus },
        Err(error) => {
            findings.push(Finding::of_failure("bus", error.into()));
            return false;
        }
    };
    bus::look(&mesh, findings).await;
    mesh::look(&mesh, findings).await;
    true
}

fn show(finding: &Finding, screen: &Screen) {
    let (tone, word) = match finding.ok {
        Health::Good => (Tone::Good, "good   "),
        Health::Bad => (Tone::Bad, "BAD    "),
        Health::Unknown => (Tone::Warn, "unknown"),
    };
    screen.line(&format!("{}  {:<9}  {}", screen.paint(word, tone), finding.name, finding.what));
    if !finding.fix.is_empty() {
        screen.line(&format!("{:20} now: {}", "", finding.fix));
    }
}
