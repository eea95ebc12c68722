//! What a mail says: three small templates, each of which a person may replace by one of his own.

use std::fs;
use std::path::Path;

use landfall_proto::alert::{Alert, AlertKey, Risk, Severity};
use landfall_proto::card::Stakes;
use landfall_proto::report::Reason;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};
use uuid::Uuid;

use crate::core::record::Resolved;
use crate::edge::clock;
use crate::notify::answer::chain;
use crate::notify::body::NoticeBody;
use crate::notify::letter::Letter;

/// The templates' names, and what stands in them where nobody wrote one. Only the last is HTML.
const BUILT_IN: [(&str, &str); 3] = [
    ("subject.txt", include_str!("subject.txt")),
    ("text.txt", include_str!("text.txt")),
    ("html.html", include_str!("html.html")),
];

/// Longest template, longest subject and longest text.
const TEMPLATE_BYTES_MAX: u64 = 64 * 1024;
const SUBJECT_CHARS_MAX: usize = 200;
const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Steps of one template: a loop that does not end ends here.
const FUEL: u64 = 200_000;

/// One mail's words.
pub(super) struct Text {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

/// The words of a notice. A template of one's own that fails costs nobody the notice: the built-in one is used in its place.
pub(super) fn render(body: &NoticeBody, folder: Option<&Path>) -> Text {
    let [subject, text, html] = BUILT_IN.map(|(name, built_in)| {
        let own = folder.and_then(|folder| own(folder, name).transpose());
        let own = own.map(|source| source.and_then(|source| fill(name, &source, body)));
        match own {
            Some(Ok(text)) => text,
            Some(Err(error)) => {
                tracing::error!(template = name, error, "a mail's own template fails; the built-in one is used");
                fill(name, built_in, body).unwrap_or_else(|_| body.sentence())
            }
            None => fill(name, built_in, body).unwrap_or_else(|_| body.sentence()),
        }
    });
    // A subject of two lines would be two headers.
    let line = subject.split_whitespace().collect::<Vec<_>>().join(" ");
    Text { subject: line.chars().take(SUBJECT_CHARS_MAX).collect(), text, html }
}

/// Fills every template that the folder holds with a notice of each sort; what is wrong is said with file and line.
pub(crate) fn check_templates(folder: &Path) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{} cannot be read: {error}", folder.display()))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !BUILT_IN.iter().any(|(known, _)| name == *known) {
            let known = BUILT_IN.map(|(known, _)| known).join(", ");
            return Err(format!("{} is no template; the templates are {known}", entry.path().display()));
        }
    }
    for (name, _) in BUILT_IN {
        let Some(source) = own(folder, name)? else { continue };
        for body in samples() {
            fill(name, &source, &body).map_err(|error| format!("{}: {error}", folder.join(name).display()))?;
        }
    }
    Ok(())
}

fn own(folder: &Path, name: &str) -> Result<Option<String>, String> {
    let path = folder.join(name);
    match fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
        Ok(known) if known.len() > TEMPLATE_BYTES_MAX => Err(format!("it is longer than {TEMPLATE_BYTES_MAX} bytes")),
        Ok(_) => fs::read_to_string(&path).map(Some).map_err(|error| error.to_string()),
    }
}

fn fill(name: &str, source: &str, body: &NoticeBody) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_fuel(Some(FUEL));
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    let escape = if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None };
    environment.set_auto_escape_callback(move |_| escape);
    let said = |error: minijinja::Error| match error.line() {
        Some(line) => format!("line {line}: {}", chain(&error)),
        None => chain(&error),
    };
    environment.add_template(name, source).map_err(said)?;
    let values = context! { notice => body, headline => body.headline(), node_names => body.node_names(), called => body.called(), promise => body.promise() };
    let text = environment.get_template(name).and_then(|template| template.render(values)).map_err(said)?;
    if text.len() > TEXT_BYTES_MAX { Err(format!("it makes more than {TEXT_BYTES_MAX} bytes")) } else { Ok(text) }
}

/// Notices with everything and with nothing in them.
fn samples() -> [NoticeBody; 3] {
    let now = clock::now();
    let bare = Alert {
        key: AlertKey("late/nightly".to_owned()),
        id: Uuid::nil(),
        severity: Severity::Info,
        title: "nightly has not started in time".to_owned(),
        routine: None,
        round: None,
        nodes: Vec::new(),
        reason: None,
        last_good_at: None,
        fix: String::new(),
        runbook: None,
        stakes: None,
    };
    let full = Alert {
        routine: "nightly".parse().ok(),
        nodes: "web-1".parse().into_iter().collect(),
        reason: Some(Reason::NoSpace),
        last_good_at: Some(now),
        fix: "Free space.".to_owned(),
        runbook: Some("https://wiki.example/landfall".to_owned()),
        stakes: Some(Box::new(Stakes {
            owner: Some("platform team".to_owned()),
            contact: Some("#backup".to_owned()),
            escalation: vec!["head of operations".to_owned()],
            risk: Some(Risk::High),
            ..Stakes::default()
        })),
        ..bare.clone()
    };
    let letter = |alert: &Alert, resolved, reminder| Letter {
        sink: String::new(),
        alert: alert.clone(),
        raised_at: now,
        resolved,
        reminder,
    };
    let ended = Some(Resolved { at: now, why: "good again".to_owned() });
    let letters = [letter(&bare, None, 0), letter(&full, None, 1), letter(&full, ended, 0)];
    let cluster = "home".parse().expect("a fixed name of letters is a cluster's name");
    letters.map(|letter| NoticeBody::new(&cluster, &letter, now))
}
