//! The ledger as it stood between two commits, read by pages while it goes on changing: whoever overwrites a value that the
//! reader may still want puts it aside first.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::writes::{Before, Writes, unseal};
use super::{Ledger, LedgerError};
use crate::core::record::Key;
use crate::edge::key::{is_held_list, is_piece};

/// Values put aside, in bytes. A view that lives through more changes than this is given up and begun again later.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// What the commits since the view was opened have overwritten.
#[derive(Debug, Default)]
pub struct Shadow {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
enum State {
    /// Nobody reads.
    #[default]
    Off,
    On {
        before: Values,
        bytes: usize,
    },
    Lost,
}

/// Values as they stood; `None` where there was none.
type Values = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Lives as long as the commit whose old values were put aside.
pub(super) struct Kept<'a> {
    _state: MutexGuard<'a, State>,
}

impl Shadow {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts aside what these writes are about to overwrite. A view cannot begin while the result lives, so that it begins
    /// between two commits.
    pub(super) fn keep<'a>(&'a self, store: &dyn Before, writes: &Writes) -> Result<Kept<'a>, LedgerError> {
        let mut state = self.state();
        let mut is_lost = false;
        if let State::On { before, bytes } = &mut *state {
            for key in writes.keys().filter(|key| is_viewed(key)) {
                if !before.contains_key(key) {
                    let value = store.value(key)?;
                    *bytes += key.len() + value.as_ref().map_or(0, Vec::len);
                    before.insert(key.clone(), value);
                }
            }
            is_lost = *bytes > KEPT_BYTES_MAX;
        }
        if is_lost {
            *state = State::Lost;
        }
        Ok(Kept { _state: state })
    }
}

/// Keys that a view shows: records with their pieces, and which of them are held in memory. The other lists follow from the
/// records.
fn is_viewed(key: &[u8]) -> bool {
    key.first().is_some_and(u8::is_ascii_lowercase) || is_piece(key) || is_held_list(key)
}

/// The ledger between two commits. There is one at a time.
pub struct View {
    ledger: Arc<dyn Ledger>,
}

impl View {
    /// `None` while there is another one.
    pub fn open(ledger: &Arc<dyn Ledger>) -> Option<Self> {
        let mut state = ledger.shadow().state();
        if !matches!(*state, State::Off) {
            return None;
        }
        *state = State::On { before: Values::new(), bytes: 0 };
        drop(state);
        Some(Self { ledger: Arc::clone(ledger) })
    }

    /// Keys with this prefix from behind `after`, in order, about `max` of them; and from where to go on, where there may be
    /// more.
    pub fn page(&self, prefix: &[u8], after: Option<&[u8]>, max: usize) -> Result<Page, LedgerError> {
        let now = self.ledger.keys(prefix, after, max)?;
        let next = if now.len() < max { None } else { now.last().cloned() };
        let mut keys: BTreeSet<Vec<u8>> = now.into_iter().collect();
        self.with(|before| {
            let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
            let kept = before
                .range::<[u8], _>((from, Bound::Unbounded))
                .take_while(|(key, _)| key.starts_with(prefix) && next.as_ref().is_none_or(|next| *key <= next));
            for (key, value) in kept {
                match value {
                    Some(_) => keys.insert(key.clone()),
                    None => keys.remove(key),
                };
            }
        })?;
        Ok(Page { keys: keys.into_iter().collect(), next })
    }

    /// One record's bytes; `None` where there was none.
    pub fn record(&self, key: &Key) -> Result<Option<Vec<u8>>, LedgerError> {
        unseal(self, &key.bytes())
    }

    fn with<T>(&self, read: impl FnOnce(&Values) -> T) -> Result<T, LedgerError> {
        match &*self.ledger.shadow().state() {
            State::On { before, .. } => Ok(read(before)),
            State::Off | State::Lost => Err(LedgerError::ViewLost),
        }
    }
}

/// Some keys of a view.
#[derive(Debug)]
pub struct Page {
    pub keys: Vec<Vec<u8>>,
    /// What the next page begins behind; absent on the last.
    pub next: Option<Vec<u8>>,
}

impl Before for View {
    /// Looks at the store first: a value that is overwritten in between has been put aside before that.
    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        let now = self.ledger.value(key)?;
        self.with(|before| before.get(key).cloned()).map(|kept| kept.unwrap_or(now))
    }

    fn keys_of(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, LedgerError> {
        self.page(prefix, None, usize::MAX).map(|page| page.keys)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        *self.ledger.shadow().state() = State::Off;
    }
}
