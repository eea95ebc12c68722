//! `landfall monitor …`: programs that Landfall does not run and that ping instead.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use landfall_proto::calendar::Calendar;
use landfall_proto::control::{Paging, Problem, Reply, Request};
use landfall_proto::id::RoutineName;
use landfall_proto::monitor::{
    Expects, KeyHash, MONITORS_MAX, MonitorDetail, MonitorSpec, MonitorState, MonitorView, MonitorsView, Slug,
    USUAL_GRACE, USUAL_PERIOD,
};
use landfall_proto::time::{Duration, Timestamp};
use serde_json::json;
use uuid::Builder;

use super::acts::{done, who};
use super::ask::{Mesh, expect_reply};
use super::completion::Live;
use super::failure::{BAD, Failure};
use super::human::{ago, ago_or_dash, dash, instant, span_or_dash};
use super::screen::{Screen, Tone};
use crate::edge::clock;
use crate::web::access::secret::{Secret, random};

const EXAMPLES: &str = "\
Examples:
  landfall monitor add shop-db --every 1d --grace 2h --note \"the shop's orders\" --owner anna
  landfall monitor add weekly --calendar 'sat 03:00' --zone Europe/Berlin --class weekly
  landfall monitor add old-check --uuid f7c1d3a0-6f6b-4a7e-9a51-0f2d36b3a001   (takes over an address)
  landfall monitor set shop-db --grace 4h
  landfall monitor show shop-db
  landfall monitor key add scripts         (for addresses by slug: /ping/KEY/SLUG)";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Monitors {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Make a monitor; its address is shown once
    Add(Add),
    /// Change what a monitor expects
    Set(Set),
    /// All monitors, the worst first
    List,
    /// One monitor with its latest pings
    Show {
        #[arg(add = ArgValueCompleter::new(Live::Monitors))]
        name: RoutineName,
    },
    /// Remove a monitor; pings to it are refused
    Remove {
        #[arg(add = ArgValueCompleter::new(Live::Monitors))]
        name: RoutineName,
    },
    /// Keys by which monitors are reached by their slug
    Key {
        #[command(subcommand)]
        act: KeyAct,
    },
}

#[derive(Debug, Args)]
struct Add {
    name: RoutineName,
    #[command(flatten)]
    terms: Terms,
    /// The UUID of its address, where scripts have one already; drawn if absent
    #[arg(long)]
    uuid: Option<uuid::Uuid>,
}

#[derive(Debug, Args)]
struct Set {
    #[arg(add = ArgValueCompleter::new(Live::Monitors))]
    name: RoutineName,
    #[command(flatten)]
    terms: Terms,
    /// Draw another UUID for its address; the one before is refused from then on
    #[arg(long)]
    new_uuid: bool,
}

/// What is expected; in a change, what is not named stays.
#[derive(Debug, Args)]
struct Terms {
    /// So long after each ping the next one is expected [default: 1d]
    #[arg(long, conflicts_with = "calendar", value_name = "PERIOD")]
    every: Option<Duration>,
    /// When pings are expected, as systemd's OnCalendar
    #[arg(long, value_name = "EXPRESSION")]
    calendar: Option<Calendar>,
    /// IANA zone of the calendar [default: UTC]
    #[arg(long, requires = "calendar")]
    zone: Option<String>,
    /// How long a ping may be late, and a run may take, before somebody is told [default: 1h, or the class's]
    #[arg(long)]
    grace: Option<Duration>,
    /// A usual grace by kind of backup
    #[arg(long, conflicts_with = "grace")]
    class: Option<Class>,
    /// Tell quietly after so long; it is below the grace
    #[arg(long)]
    late_after: Option<Duration>,
    /// The end of its address by slug [default: its name]
    #[arg(long)]
    slug: Option<Slug>,
    /// KEY=VALUE, for routes; may be repeated
    #[arg(long = "label", value_parser = label)]
    labels: Vec<(String, String)>,
    /// What it protects
    #[arg(long)]
    note: Option<String>,
    /// Who is to be asked
    #[arg(long)]
    owner: Option<String>,
}

/// Kinds of backups by how late they may be.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Class {
    /// A database that others stand on: 1 h
    CriticalDatabase,
    /// Files, every day: 4 h
    Daily,
    /// Everything, every week: 24 h
    Weekly,
    /// Small steps in between: 2 h
    Incremental,
}

#[derive(Debug, Subcommand)]
enum KeyAct {
    /// Make a ping key; it is shown once
    Add {
        label: String,
        /// Pings with `create=1` make no monitors with it
        #[arg(long)]
        no_create: bool,
    },
    /// End a ping key; pings with it are refused
    End { label: String },
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Class {
    const fn grace(self) -> Duration {
        Duration::from_secs(match self {
            Self::CriticalDatabase => 3600,
            Self::Daily => 4 * 3600,
            Self::Weekly => 24 * 3600,
            Self::Incremental => 2 * 3600,
        })
    }
}

impl Terms {
    /// These terms on top of others.
    fn over(self, before: MonitorSpec) -> MonitorSpec {
        let expects = match (self.every, self.calendar) {
            (Some(period), _) => Expects::Every { period },
            (None, Some(calendar)) => {
                Expects::Slots { calendar: calendar.to_string(), zone: self.zone.unwrap_or_else(|| "UTC".to_owned()) }
            }
            (None, None) => before.expects,
        };
        let labels: BTreeMap<String, String> = self.labels.into_iter().collect();
        MonitorSpec {
            name: before.name,
            slug: self.slug.unwrap_or(before.slug),
            key: None,
            expects,
            grace: self.grace.or(self.class.map(Class::grace)).unwrap_or(before.grace),
            late_after: self.late_after.or(before.late_after),
            labels: if labels.is_empty() { before.labels } else { labels },
            note: self.note.unwrap_or(before.note),
            owner: self.owner.unwrap_or(before.owner),
        }
    }
}

pub(super) async fn run(options: Monitors, mesh: &Mesh, screen: &Screen) -> Result<ExitCode, Failure> {
    match options.act {
        Act::Add(Add { name, terms, uuid }) => {
            let slug = Slug::of(&name);
            let spec = terms.over(MonitorSpec {
                expects: Expects::Every { period: USUAL_PERIOD },
                grace: USUAL_GRACE,
                ..MonitorSpec::created(name, slug)
            });
            let uuid = uuid.map_or_else(draw, |uuid| Ok(uuid.hyphenated().to_string()))?;
            set(mesh, screen, spec, false, Some(uuid)).await
        }
        Act::Set(Set { name, terms, new_uuid }) => {
            let before = expect_reply!(mesh.ask(&Request::Monitor { name }).await?, Monitor)?;
            let uuid = if new_uuid { Some(draw()?) } else { None };
            set(mesh, screen, terms.over(before.monitor.spec), true, uuid).await
        }
        Act::List => {
            list(&all(mesh).await?, screen);
            Ok(ExitCode::SUCCESS)
        }
        Act::Show { name } => {
            let one = expect_reply!(mesh.ask(&Request::Monitor { name }).await?, Monitor)?;
            if screen.json {
                screen.json_answer(&one);
            } else {
                show(&one, clock::now(), screen);
            }
            Ok(ExitCode::SUCCESS)
        }
        Act::Remove { name } => done(&mesh.ask(&Request::RemoveMonitor { name, by: who() }).await?, screen),
        Act::Key { act: KeyAct::Add { label, no_create } } => add_key(mesh, screen, label, !no_create).await,
        Act::Key { act: KeyAct::End { label } } => {
            let request = Request::SetPingKey { label, key: None, creates: false, by: who() };
            done(&mesh.ask(&request).await?, screen)
        }
    }
}

/// A UUID that nobody can foresee.
fn draw() -> Result<String, Failure> {
    Ok(Builder::from_random_bytes(random::<16>()?).into_uuid().hyphenated().to_string())
}

async fn set(
    mesh: &Mesh,
    screen: &Screen,
    spec: MonitorSpec,
    replaces: bool,
    uuid: Option<String>,
) -> Result<ExitCode, Failure> {
    let name = spec.name.clone();
    if let Some(why) = spec.fault() {
        let what = format!("the monitor {name} cannot be so");
        return Err(Failure { problem: Problem { what, why, fix: "correct it".to_owned(), code: None }, code: BAD });
    }
    let monitor = MonitorSpec { key: uuid.as_deref().map(KeyHash::of), ..spec };
    let reply = mesh.ask(&Request::SetMonitor { monitor, replaces, by: who() }).await?;
    let Some(uuid) = uuid else { return done(&reply, screen) };
    let Reply::Done { message } = reply else { return Err(Mesh::strange(&reply)) };
    if screen.json {
        screen.json_answer(&json!({ "done": message, "name": name, "uuid": uuid, "path": format!("/ping/{uuid}") }));
        return Ok(ExitCode::SUCCESS);
    }
    screen.line(&format!("/ping/{uuid}"));
    screen.note(&format!("{message}. This address is shown once: put the coordinator's [web] address before it"));
    screen.note("  /start when a run begins, /fail or /STATUS when it ended badly, nothing when it ended well; ?rid=UUID pairs them");
    screen.note(&format!("  curl -fsS -m 10 --retry 5 https://COORDINATOR/ping/{uuid}"));
    Ok(ExitCode::SUCCESS)
}

async fn add_key(mesh: &Mesh, screen: &Screen, label: String, creates: bool) -> Result<ExitCode, Failure> {
    let secret = Secret::draw()?;
    let key = KeyHash::of(secret.expose());
    let reply = mesh.ask(&Request::SetPingKey { label: label.clone(), key: Some(key), creates, by: who() }).await?;
    let Reply::Done { message } = reply else { return Err(Mesh::strange(&reply)) };
    if screen.json {
        screen.json_answer(&json!({ "done": message, "label": label, "key": secret.expose(), "creates": creates }));
    } else {
        screen.line(secret.expose());
        screen.note(&format!("{message}. It is shown once: /ping/KEY/SLUG"));
    }
    Ok(ExitCode::SUCCESS)
}

/// All parts of the list; it is as long as there may be monitors.
async fn all(mesh: &Mesh) -> Result<MonitorsView, Failure> {
    let mut all = MonitorsView::default();
    let mut after = None;
    while all.monitors.len() < MONITORS_MAX {
        let request = Request::Monitors { paging: Paging { rows: None, after } };
        let part = expect_reply!(mesh.ask(&request).await?, Monitors)?;
        after = part.next.clone();
        let monitors = std::mem::take(&mut all.monitors).into_iter().chain(part.monitors).collect();
        all = MonitorsView { monitors, ..part };
        if after.is_none() {
            break;
        }
    }
    Ok(all)
}

fn list(all: &MonitorsView, screen: &Screen) {
    if screen.json {
        screen.json_answer(all);
        return;
    }
    if all.monitors.is_empty() {
        screen.note("there is no monitor; `landfall monitor add NAME` makes one");
    } else {
        let now = clock::now();
        let rows = all.monitors.iter().map(|monitor| row(monitor, now, screen)).collect();
        screen.table(&["MONITOR", "STATE", "LAST PING", "LAST GOOD", "EXPECTS", "NEXT", "GRACE", "TOOK"], rows);
    }
    for key in &all.ping_keys {
        let creates = if key.creates { ", may create" } else { "" };
        screen.line(&format!("ping key {}{creates}  by {} {}", key.label, key.set_by, ago(key.set_at, clock::now())));
    }
}

pub(super) const fn tone(state: MonitorState) -> Tone {
    match state {
        MonitorState::Up => Tone::Good,
        MonitorState::New => Tone::Dim,
        MonitorState::Late => Tone::Warn,
        MonitorState::Overdue | MonitorState::Failed => Tone::Bad,
    }
}

fn state(monitor: &MonitorView, screen: &Screen) -> String {
    let running = match monitor.running.and_then(|running| running.stage) {
        Some(stage) => format!(" ({stage})"),
        None if monitor.running.is_some() => " (running)".to_owned(),
        None => String::new(),
    };
    format!("{}{running}", screen.paint(monitor.state.as_str(), tone(monitor.state)))
}

fn expects(expects: &Expects) -> String {
    match expects {
        Expects::Every { period } => format!("every {period}"),
        Expects::Slots { calendar, zone } => format!("{calendar} {zone}"),
    }
}

fn row(monitor: &MonitorView, now: Timestamp, screen: &Screen) -> Vec<String> {
    vec![
        monitor.spec.name.to_string(),
        state(monitor, screen),
        ago_or_dash(monitor.last_ping_at, now),
        ago_or_dash(monitor.last_good_at, now),
        expects(&monitor.spec.expects),
        ago_or_dash(monitor.expected_at, now),
        monitor.spec.grace.to_string(),
        span_or_dash(monitor.last_duration_ms),
    ]
}

fn show(one: &MonitorDetail, now: Timestamp, screen: &Screen) {
    let monitor = &one.monitor;
    let spec = &monitor.spec;
    screen.line(&format!("monitor {}  {}", spec.name, state(monitor, screen)));
    screen.line(&format!("expects  {}   grace {}   slug {}", expects(&spec.expects), spec.grace, spec.slug));
    for (what, text) in [("protects", &spec.note), ("owner", &spec.owner)] {
        if !text.is_empty() {
            screen.line(&format!("{what:<8} {text}"));
        }
    }
    if let Some(failure) = &monitor.failure {
        screen.line(&format!("failed   {}: {}", ago(failure.at, now), failure.message));
    }
    if let Some(at) = monitor.overdue_at {
        screen.line(&format!("told at  {} if nothing comes", instant(at)));
    }
    let rows = one.pings.iter().map(|ping| {
        let it = &ping.ping;
        let stage = it.said.stage.map(|stage| format!(" {stage}")).unwrap_or_default();
        let last = it.body.trim_end().lines().next_back().map_or_else(dash, |line| line.chars().take(60).collect());
        vec![instant(ping.at), format!("{}{stage}", it.kind), it.from.clone(), span_or_dash(ping.duration_ms), last]
    });
    screen.table(&["PING", "SAYS", "FROM", "TOOK", "LAST LINE"], rows.collect());
}
