//! The set-up of a story: who is there, what they plan, and when it begins.

use anyhow::{Context, bail};
use landfall_proto::time::{Duration, Timestamp};

use crate::options::Options;

/// Words that end a calendar expression.
const SETTINGS: [&str; 6] = ["zone", "start_within", "finish_within", "takes", "checks", "no_catch_up"];

/// A small mesh in good weather, two minutes before its slot. Set-up verbs change it.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) options: Options,
}

impl Default for Scene {
    fn default() -> Self {
        let options = Options {
            seed: 1,
            nodes: 3,
            coordinators: 1,
            repositories: 1,
            start: "2026-11-20T01:58:00Z".parse().expect("the instant is written down here"),
            // Stories say themselves how long anything lasts.
            busy: Duration::from_secs(3600),
            patience: Duration::from_secs(40 * 60),
            calendar: "*-*-* 02:00:00".to_owned(),
            slot_every: Duration::from_secs(86_400),
            zone: "UTC".to_owned(),
            start_within: Duration::from_secs(60),
            finish_within: Duration::from_secs(300),
            tool_takes: Duration::from_secs(20),
            catch_up: true,
            checks: false,
            delay_us: (500, 5000),
            loss_percent: 0,
            cluster_limit: None,
        };
        Self { options }
    }
}

impl Scene {
    /// Takes a set-up verb; false where it is none.
    pub(super) fn set_up(&mut self, words: &[&str]) -> anyhow::Result<bool> {
        let options = &mut self.options;
        match words {
            ["nodes", count] => options.nodes = number(count)?,
            ["coordinators", count] => options.coordinators = number(count)?,
            ["repositories", count] => options.repositories = number(count)?,
            ["seed", seed] => options.seed = u64::from(number(seed)?),
            ["limit", "cluster", size] => options.cluster_limit = Some(number(size)?),
            ["begin", at] => {
                options.start = at.parse::<Timestamp>().context("write the beginning as 2026-11-20T01:58:00Z")?;
            }
            ["plan", rest @ ..] => self.plan(rest)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn plan(&mut self, words: &[&str]) -> anyhow::Result<()> {
        let options = &mut self.options;
        let end = words.iter().position(|word| SETTINGS.contains(word)).unwrap_or(words.len());
        let (calendar, mut rest) = words.split_at(end);
        options.calendar = calendar.join(" ");
        options.calendar.parse::<landfall_proto::calendar::Calendar>().context("the plan's calendar")?;
        while !rest.is_empty() {
            rest = match rest {
                ["zone", zone, rest @ ..] => {
                    jiff::tz::TimeZone::get(zone).context("the plan's zone")?;
                    options.zone = (*zone).to_owned();
                    rest
                }
                ["start_within", time, rest @ ..] => {
                    options.start_within = time.parse()?;
                    rest
                }
                ["finish_within", time, rest @ ..] => {
                    options.finish_within = time.parse()?;
                    rest
                }
                ["takes", time, rest @ ..] => {
                    options.tool_takes = time.parse()?;
                    rest
                }
                ["checks", rest @ ..] => {
                    options.checks = true;
                    rest
                }
                ["no_catch_up", rest @ ..] => {
                    options.catch_up = false;
                    rest
                }
                _ => bail!("{:?} is no setting of a plan; there are {}", rest.join(" "), SETTINGS.join(", ")),
            };
        }
        Ok(())
    }
}

pub(super) fn number(text: &str) -> anyhow::Result<u32> {
    text.parse().with_context(|| format!("{text:?} is not a number"))
}
