//! The samples in `deploy/` are the reference for everybody's files, so the real programs have to accept them as they are.

#![allow(clippy::unwrap_used, reason = "a test that panics has done its work")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use landfall_chaos::live::process::outside;
use landfall_chaos::live::{Place, tool};
use landfall_proto::bus::Seed;
use landfall_proto::card::Card;
use landfall_proto::id::ClusterName;
use landfall_proto::plan::{DriverName, read_plan, read_target};
use landfall_proto::subject::{Permissions, Role};

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}

fn sample(path: &str) -> String {
    fs::read_to_string(deploy(path)).unwrap_or_else(|error| panic!("expected deploy/{path}: {error}"))
}

fn samples(folder: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(deploy(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    assert!(!found.is_empty(), "expected samples in deploy/{folder}");
    found
}

/// A sample as it would stand in /etc on a machine where every secret it names exists.
fn installed(place: &Place, path: &str) -> PathBuf {
    let etc = place.folder("etc");
    let text = sample(path).replace("/etc/landfall", &etc.display().to_string());
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let Some(named) = line.split('"').find(|part| part.starts_with(&etc.display().to_string())) else { continue };
        let name = named.strip_prefix(&place.root().display().to_string()).unwrap().trim_start_matches('/');
        let content = match Path::new(name).extension().and_then(|extension| extension.to_str()) {
            Some("seed") => Seed::generate().expose().to_owned(),
            Some("url") => "https://hooks.example/secret".to_owned(),
            _ => "a secret line".to_owned(),
        };
        if !place.path(name).exists() && Path::new(name).extension().is_some() {
            place.secret(name, &content);
        }
    }
    place.file(&format!("etc/{}", Path::new(path).file_name().unwrap().to_string_lossy()), &text)
}

#[tokio::test]
async fn the_agent_accepts_its_sample_and_prints_the_same_as_its_example() {
    let place = Place::new("sample-agent");
    let config = installed(&place, "config/agent.toml");
    let checked = tool::agent(&config, &["config", "check"]).await.good();
    assert!(checked.out.contains("is good"), "expected that the sample is good: {checked:?}");
    for (words, path) in [
        (&["config", "example"][..], "config/agent.toml"),
        (&["plan", "example"], "config/plans.d/nightly.toml"),
        (&["plan", "example", "--target"], "config/targets.d/disk.toml"),
    ] {
        let printed = tool::agent(&config, words).await.good().out;
        assert_eq!(printed.trim_end(), sample(path).trim_end(), "expected that {words:?} prints deploy/{path}");
    }
}

#[tokio::test]
async fn every_plan_and_target_is_accepted_and_there_is_one_of_each_driver() {
    let nowhere = Path::new("/nowhere/agent.toml");
    let (mut drivers, mut wanted, mut offered) = (Vec::new(), Vec::new(), Vec::new());
    for path in samples("config/plans.d") {
        let name = path.display().to_string();
        tool::agent(nowhere, &["plan", "check", &name]).await.good();
        let plan = read_plan(&name, &fs::read_to_string(&path).unwrap()).unwrap();
        drivers.push(plan.driver);
        wanted.push((plan.target, plan.driver));
    }
    for path in samples("config/targets.d") {
        let name = path.display().to_string();
        tool::agent(nowhere, &["plan", "check", "--target", &name]).await.good();
        let target = read_target(&name, &fs::read_to_string(&path).unwrap()).unwrap();
        offered.push((target.name, target.driver));
    }
    for driver in [DriverName::Rustic, DriverName::Command] {
        assert!(drivers.contains(&driver), "expected a sample plan for {}", driver.as_str());
    }
    for pair in &wanted {
        assert!(offered.contains(pair), "expected a sample target for {pair:?} among {offered:?}");
    }
}

#[tokio::test]
async fn the_coordinator_accepts_its_sample_and_refuses_a_misspelt_one_with_its_line() {
    let place = Place::new("sample-coordinator");
    let config = installed(&place, "config/coordinator.toml");
    let arguments = ["serve", "--check", "--config", &config.display().to_string()].map(str::to_owned);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    tool::landfall(Path::new("/nowhere"), &arguments).await.good();

    let text = fs::read_to_string(&config).unwrap();
    let line = text.lines().position(|line| line.starts_with("signing_seed_file")).unwrap() + 1;
    fs::write(&config, text.replace("\nsigning_seed_file", "\nsigning_sed_file")).unwrap();
    let refused = tool::landfall(Path::new("/nowhere"), &arguments).await;
    assert_eq!(refused.code, 2, "expected 2 for a wrong file: {refused:?}");
    assert!(refused.err.contains(&format!(":{line}:")), "expected line {line}: {refused:?}");
}

#[test]
fn a_card_of_the_samples_shows_every_key() {
    let coordinator: toml::Table = sample("config/coordinator.toml").parse().unwrap();
    let ours = coordinator["policy"]["routines"]["nightly"]["card"].clone();
    let plan = read_plan("nightly.toml", &sample("config/plans.d/nightly.toml")).unwrap();
    for card in [ours.try_into::<Card>().unwrap(), plan.card.unwrap()] {
        assert_eq!(card.problems(), []);
        let Card { protects, owner, contact, escalation, rto, data_class, restore, runbook } = card;
        assert!([protects, escalation, restore].iter().all(|list| !list.is_empty()));
        assert!([owner, contact, data_class, runbook].iter().all(Option::is_some) && rto.is_some());
    }
}

#[tokio::test]
async fn the_operators_sample_is_understood() {
    let place = Place::new("sample-operator");
    let config = installed(&place, "config/operator.toml");
    let answer = tool::landfall(&config, &["status"]).await;
    assert_eq!(answer.code, 3, "expected that only the bus of the sample is not there: {answer:?}");
}

/// What people write by hand from the sample has to be what the programs expect.
#[test]
fn the_sample_of_the_buss_users_gives_each_role_exactly_its_rights() {
    let text = sample("nats/users.conf");
    let users: Vec<&str> = text.split("nkey:").skip(1).collect();
    let cluster: ClusterName = "home".parse().unwrap();
    let agents = ["alpha", "beta", "gamma"].map(|name| Role::Agent(name.parse().unwrap()));
    for role in [Role::Coordinator, Role::Operator].into_iter().chain(agents) {
        let Permissions { publish, subscribe, replies } = role.permissions(&cluster);
        let inbox = format!("\"{}.>\"", role.inbox_prefix());
        let user =
            users.iter().find(|user| user.contains(&inbox)).unwrap_or_else(|| panic!("expected a user for {role:?}"));
        let rights = |word: &str| {
            let list = user.split(word).nth(1).and_then(|rest| rest.split(']').next()).unwrap_or_default();
            let mut subjects: Vec<String> = list.split('"').skip(1).step_by(2).map(str::to_owned).collect();
            subjects.sort();
            subjects
        };
        let sorted = |mut subjects: Vec<String>| {
            subjects.sort();
            subjects
        };
        assert_eq!(rights("publish:"), sorted(publish), "expected these rights to publish for {role:?}");
        assert_eq!(rights("subscribe:"), sorted(subscribe), "expected these rights to subscribe for {role:?}");
        assert_eq!(user.contains("allow_responses"), replies, "expected the right to answer, or not, for {role:?}");
    }
}

fn promtool(words: &[&str]) -> (bool, String) {
    let output = Command::new(outside("LANDFALL_PROMTOOL", "promtool"))
        .args(words)
        .current_dir(deploy("prometheus"))
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn prometheus_accepts_its_sample_and_every_rule_keeps_its_stories() {
    for words in [
        &["check", "rules", "--lint=all", "--lint-fatal", "landfall.rules.yml"][..],
        &["check", "config", "prometheus.yml"],
        &["test", "rules", "landfall.rules.test.yml"],
    ] {
        let (is_good, said) = promtool(words);
        assert!(is_good, "expected that promtool {words:?} has nothing to complain of: {said}");
    }
    let stories = sample("prometheus/landfall.rules.test.yml");
    let stories: Vec<&str> = stories.lines().map(str::trim).collect();
    let fires = |alert: &str| {
        let named = format!("alertname: {alert}");
        stories
            .windows(3)
            .any(|lines| lines[0] == named && lines[1] == "exp_alerts:" && lines[2].starts_with("- exp_labels: {"))
    };
    let rules = sample("prometheus/landfall.rules.yml");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(!alerts.is_empty(), "expected rules that alert");
    for alert in alerts {
        assert!(fires(alert), "expected a story in which {alert} fires");
    }
}
