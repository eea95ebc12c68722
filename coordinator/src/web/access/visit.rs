//! Visits: who has logged in with a browser, until when. They are kept here and not in the cookie, so that they can be ended.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::error::AccessError;
use super::role::{Role, UserName};
use super::secret::Secret;
use super::store::{Roll, User};

/// A visit ends after so long without a request, and in any case after so long.
const IDLE_MAX: Duration = Duration::from_secs(12 * 3600);
const WHOLE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Visits at once, and those of one user; the one that was idle longest makes room.
const VISITS_MAX: usize = 4096;
const OF_ONE_USER_MAX: usize = 20;

/// What is kept of a visit's secret; names the visit.
pub(crate) type VisitId = String;

/// All visits of this process; a restart ends them.
#[derive(Debug, Default)]
pub(crate) struct Visits {
    table: Mutex<BTreeMap<VisitId, Visit>>,
}

#[derive(Debug, Clone)]
struct Visit {
    user: UserName,
    /// Which password let the visitor in: with another one the visit is over.
    password: blake3::Hash,
    begun: Instant,
    seen: Instant,
}

impl Visit {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.seen) >= IDLE_MAX || now.duration_since(self.begun) >= WHOLE_MAX
    }
}

impl Visits {
    /// Begins a visit and returns its secret, which is the cookie's value.
    pub(crate) fn begin(&self, name: &UserName, user: &User) -> Result<Secret, AccessError> {
        let secret = Secret::draw()?;
        let now = Instant::now();
        let mut table = self.table();
        table.retain(|_, visit| !visit.is_over(now));
        let idlest = |table: &BTreeMap<VisitId, Visit>, whose: Option<&UserName>| {
            let of = table.iter().filter(|(_, visit)| whose.is_none_or(|name| visit.user == *name));
            of.min_by_key(|(_, visit)| visit.seen).map(|(id, _)| id.clone())
        };
        if table.values().filter(|visit| visit.user == *name).count() >= OF_ONE_USER_MAX
            && let Some(id) = idlest(&table, Some(name))
        {
            table.remove(&id);
        }
        if table.len() >= VISITS_MAX
            && let Some(id) = idlest(&table, None)
        {
            table.remove(&id);
        }
        table.insert(secret.hash(), Visit { user: name.clone(), password: print(user), begun: now, seen: now });
        Ok(secret)
    }

    /// Who visits with this secret, as the roll has him at this moment.
    pub(crate) fn who(&self, secret: &Secret, roll: &Roll) -> Option<(UserName, Role, VisitId)> {
        let id = secret.hash();
        let (name, role) = self.still(&id, roll)?;
        Some((name, role, id))
    }

    /// Who visits, if he still does. Being asked about counts as being seen: a page is asked for, or one is open before somebody's eyes.
    pub(crate) fn still(&self, id: &VisitId, roll: &Roll) -> Option<(UserName, Role)> {
        let now = Instant::now();
        let mut table = self.table();
        let visit = table.get_mut(id)?;
        let user = roll.users.get(&visit.user).filter(|user| print(user) == visit.password);
        let Some(user) = user.filter(|_| !visit.is_over(now)) else {
            table.remove(id);
            return None;
        };
        visit.seen = now;
        Some((visit.user.clone(), user.role))
    }

    pub(crate) fn end(&self, id: &VisitId) {
        self.table().remove(id);
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<VisitId, Visit>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn print(user: &User) -> blake3::Hash {
    blake3::hash(user.password.as_deref().unwrap_or_default().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use landfall_proto::time::Timestamp;
    use tokio::time::advance;

    fn roll() -> (UserName, Roll) {
        let name: UserName = "ann".parse().unwrap();
        let user = User {
            role: Role::Operator,
            password: Some("one".to_owned()),
            added_at: Timestamp::UNIX_EPOCH,
            tokens: Vec::new(),
        };
        let mut roll = Roll::default();
        roll.users.insert(name.clone(), user);
        (name, roll)
    }

    #[tokio::test(start_paused = true)]
    async fn a_visit_ends_by_itself() {
        let (name, roll) = roll();
        let visits = Visits::default();
        let begin = || visits.begin(&name, &roll.users[&name]).unwrap();
        let secret = begin();
        advance(IDLE_MAX - Duration::from_secs(1)).await;
        assert!(visits.who(&secret, &roll).is_some());
        advance(IDLE_MAX).await;
        assert!(visits.who(&secret, &roll).is_none());
        let secret = begin();
        for _ in 0..15 {
            advance(IDLE_MAX - Duration::from_secs(1)).await;
            let hours = visits.table().values().map(|visit| visit.begun.elapsed().as_secs() / 3600).max();
            assert_eq!(visits.who(&secret, &roll).is_some(), hours < Some(7 * 24));
        }
        assert!(visits.who(&secret, &roll).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_visit_ends_with_the_logout_the_password_or_the_user() {
        let (name, mut roll) = roll();
        let visits = Visits::default();
        let begin = |roll: &Roll| visits.begin(&name, &roll.users[&name]).unwrap();
        let secret = begin(&roll);
        let (_, role, id) = visits.who(&secret, &roll).unwrap();
        assert_eq!(role, Role::Operator);
        visits.end(&id);
        assert!(visits.who(&secret, &roll).is_none());
        let secret = begin(&roll);
        roll.user(&name).unwrap().role = Role::Viewer;
        assert_eq!(visits.who(&secret, &roll).unwrap().1, Role::Viewer, "a role counts at once");
        roll.user(&name).unwrap().password = Some("two".to_owned());
        assert!(visits.who(&secret, &roll).is_none());
        let secret = begin(&roll);
        roll.users.clear();
        assert!(visits.who(&secret, &roll).is_none());
        assert!(visits.who(&Secret::draw().unwrap(), &roll).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn one_users_visits_are_bounded_and_the_idlest_makes_room() {
        let (name, roll) = roll();
        let visits = Visits::default();
        let mut secrets = Vec::new();
        for _ in 0..=OF_ONE_USER_MAX {
            secrets.push(visits.begin(&name, &roll.users[&name]).unwrap());
            advance(Duration::from_secs(1)).await;
        }
        assert!(visits.who(&secrets[0], &roll).is_none() && visits.who(&secrets[1], &roll).is_some());
        assert_eq!(visits.table().len(), OF_ONE_USER_MAX);
    }
}
