//! Stories as text: one verb a line, and what happened between them as recorded lines. A story opens with why it exists.
//!
//! A file is a comment, then blocks: commands, a line of four dashes, and every notable event since the block before, with
//! the virtual time since the beginning. What was recorded is what is expected.

mod acts;
mod difference;
mod facts;
mod faults;
mod names;
mod scene;
mod stage;

use anyhow::{Context, bail, ensure};

pub use difference::difference;

use scene::Scene;
use stage::Stage;

/// What stands between commands and what they led to.
const SEPARATOR: &str = "----";

/// A reason that says nothing is shorter than this, in bytes.
const REASON_BYTES_MIN: usize = 60;

/// One story as it was written down.
#[derive(Debug, Clone)]
pub struct Story {
    /// Why it exists, as the comment that opens the file.
    reason: Vec<String>,
    blocks: Vec<Block>,
}

/// Commands between two lines of dashes, with their line numbers, counted from 1. What was recorded behind them is only
/// ever compared as text.
#[derive(Debug, Clone)]
struct Block {
    commands: Vec<(usize, String)>,
}

impl Story {
    /// Reads a story.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end())).peekable();
        let mut reason = Vec::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| line.starts_with('#')) {
            reason.push(line.trim_start_matches('#').trim().to_owned());
        }
        let bytes: usize = reason.iter().map(String::len).sum();
        ensure!(
            bytes >= REASON_BYTES_MIN,
            "the story does not say why it exists: open it with a comment of one to three sentences"
        );
        let mut blocks = Vec::new();
        let mut commands = Vec::new();
        while let Some((number, line)) = lines.next() {
            match line {
                "" => {}
                SEPARATOR => {
                    ensure!(!commands.is_empty(), "line {number}: nothing was asked before this line of dashes");
                    while let Some((number, line)) = lines.next_if(|(_, line)| !line.is_empty()) {
                        ensure!(is_recorded(line), "line {number}: leave an empty line before commands");
                    }
                    blocks.push(Block { commands: std::mem::take(&mut commands) });
                }
                _ => commands.push((number, line.to_owned())),
            }
        }
        if !commands.is_empty() {
            blocks.push(Block { commands });
        }
        ensure!(!blocks.is_empty(), "the story has no commands");
        Ok(Self { reason, blocks })
    }

    /// Why the story exists.
    pub fn reason(&self) -> String {
        self.reason.join(" ")
    }

    /// Whether its last word is that all laws are looked at.
    pub fn ends_with_laws(&self) -> bool {
        let last = self.blocks.last().and_then(|block| block.commands.last());
        last.is_some_and(|(_, line)| line == "laws")
    }

    /// Lets the story happen and writes it down as it went: the same text where it went as recorded.
    pub fn play(&self) -> anyhow::Result<String> {
        let mut text: String = self.reason.iter().map(|line| format!("# {line}\n")).collect();
        let (mut scene, mut stage) = (Scene::default(), None::<Stage>);
        for block in &self.blocks {
            text.push('\n');
            let mut happened = Vec::new();
            for (number, line) in &block.commands {
                text.push_str(line);
                text.push('\n');
                let words: Vec<&str> = line.split_whitespace().collect();
                if line.starts_with('#') {
                    continue;
                }
                let done = perform(&mut scene, &mut stage, &words);
                happened.extend(stage.as_mut().map(Stage::take_lines).unwrap_or_default());
                done.with_context(|| format!("line {number}: {line}"))?;
            }
            text.push_str(SEPARATOR);
            text.push('\n');
            happened.iter().for_each(|line| text.extend([line.as_str(), "\n"]));
        }
        Ok(text)
    }
}

/// Whether a line can be what happened. What cannot is a command that would be lost.
fn is_recorded(line: &str) -> bool {
    ["+", "all promises kept", "BROKEN ", "    "].iter().any(|start| line.starts_with(start))
}

/// Set-up comes before everything else; the first other verb makes the world.
fn perform(scene: &mut Scene, stage: &mut Option<Stage>, words: &[&str]) -> anyhow::Result<()> {
    if stage.is_none() && scene.set_up(words)? {
        return Ok(());
    }
    let stage = stage.get_or_insert_with(|| Stage::new(scene));
    if stage.is_over() {
        bail!("the story ended when the laws were looked at; make that its last line");
    }
    if stage.pass(words)? || stage.act(words)? || stage.befall(words)? {
        return Ok(());
    }
    bail!("no such command here; the sentences below chaos/sim/src/script show every verb")
}
