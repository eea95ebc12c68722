//! Keeps the runs' folders in order while the agent lives: old ones go, and receipts that could not be written are written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use landfall_proto::fact::agent::{AgentFact, RunFinished};
use landfall_proto::id::RunId;

use super::receipt::{Receipt, Runs};
use super::shell::{Shell, Wake, chain};
use super::spool::{Spool, SpoolError};
use crate::core::{Journal, Upkeep, upkeep};

/// Facts of the outbox that are read at once; nobody else can use the spool meanwhile.
const PAGE: usize = 256;

/// One look at all folders.
struct Inspection {
    runs: Arc<Runs>,
    spool: Arc<Spool>,
    journal: Journal,
    live: BTreeSet<RunId>,
}

/// Why a look did nothing. Nothing is removed where not everything is known.
#[derive(Debug, thiserror::Error)]
enum Hindrance {
    #[error("the runs' folders cannot be listed")]
    Folders(#[from] std::io::Error),
    #[error("the outbox cannot be read")]
    Outbox(#[from] SpoolError),
}

impl Shell {
    /// Looks at the folders where it is time to, beside the loop.
    pub(super) fn inspect_when_due(&mut self) {
        let uptime = self.uptime();
        if self.inspections.due_at().is_none_or(|at| at > uptime) {
            return;
        }
        self.inspections.look(uptime);
        // What has ended is let go of; nobody else asks for it.
        while self.helpers.try_join_next().is_some() {}
        let (inspection, inputs) = (self.inspection(), self.inputs.clone());
        self.helpers.spawn(async move {
            let is_done = tokio::task::spawn_blocking(move || inspection.go()).await;
            if !is_done.is_ok_and(|is_done| is_done) {
                inputs.send(Wake::Owed).await;
            }
        });
    }

    /// Looks at the folders now, before anybody else is there.
    pub(super) fn inspect_at_boot(&mut self) {
        let uptime = self.uptime();
        self.inspections.look(uptime);
        let inspection = self.inspection();
        if !tokio::task::block_in_place(|| inspection.go()) {
            self.inspections.owes(uptime);
        }
    }

    fn inspection(&self) -> Inspection {
        Inspection {
            runs: Arc::clone(&self.runs),
            spool: Arc::clone(&self.spool),
            journal: self.agent.memory().journal.clone(),
            live: self.agent.live().keys().copied().collect(),
        }
    }
}

impl Inspection {
    /// Whether everything is in order now.
    fn go(self) -> bool {
        match self.look() {
            Ok(is_done) => is_done,
            Err(error) => {
                tracing::warn!("the runs' folders are left as they are: {}", chain(&error));
                false
            }
        }
    }

    fn look(&self) -> Result<bool, Hindrance> {
        let folders = self.runs.folders()?;
        let bare: BTreeSet<RunId> =
            folders.iter().filter(|folder| folder.receipt_at.is_none()).map(|folder| folder.run).collect();
        let (unsent, mut ends) = self.unsent(&bare)?;
        let Upkeep { rewrite, remove } = upkeep(&folders, &self.journal, &self.live, &unsent);
        let mut is_done = true;
        for run in rewrite {
            let Some(RunFinished { about, report }) = ends.remove(&run) else { continue };
            let attempt = self.journal.get(run).map_or(report.attempts, |record| record.attempt);
            let written = self.runs.conclude(&Receipt { about, attempt, report });
            match written.and_then(|()| self.runs.mark(run, None)) {
                Ok(()) => tracing::info!(%run, "the receipt that could not be written is written"),
                Err(error) => {
                    tracing::warn!(%run, "the receipt still cannot be written: {error}");
                    is_done = false;
                }
            }
        }
        for run in remove.into_iter().filter(|run| !self.runs.holds_proof(*run)) {
            if let Err(error) = self.runs.remove(run) {
                tracing::warn!(%run, "the folder of an old run cannot be removed: {error}");
            }
        }
        Ok(is_done)
    }

    /// The runs whose ends wait in the outbox, and what is said of those without a receipt. The outbox is read after the
    /// journal was copied: what had ended by then is in it, unless the log has it.
    fn unsent(&self, bare: &BTreeSet<RunId>) -> Result<(BTreeSet<RunId>, BTreeMap<RunId, RunFinished>), SpoolError> {
        let (mut unsent, mut ends) = (BTreeSet::new(), BTreeMap::new());
        let mut from = 0;
        loop {
            let page = self.spool.facts_from(from, PAGE)?;
            let Some(last) = page.last() else { return Ok((unsent, ends)) };
            from = last.seq + 1;
            for fact in page {
                if let Ok(Some(AgentFact::RunFinished(end))) = AgentFact::decode(&fact.kind, &fact.body) {
                    let run = end.about.run;
                    unsent.insert(run);
                    if bare.contains(&run) {
                        ends.insert(run, end);
                    }
                }
            }
        }
    }
}
