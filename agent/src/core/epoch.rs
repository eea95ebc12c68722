//! Fencing: once a newer leader has spoken, an older one is no longer obeyed.

use landfall_proto::envelope::Epoch;
use landfall_proto::id::Holder;
use serde::{Deserialize, Serialize};

/// The highest epoch that a signed command carried, and who held it. Beacons do not count: they are not signed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    pub epoch: Epoch,
    pub holder: Option<Holder>,
}

impl Fence {
    /// Whether a command of this epoch and holder may be obeyed. One epoch belongs to one holder for ever.
    pub fn admits(&self, epoch: Epoch, holder: &Holder) -> bool {
        match &self.holder {
            None => epoch >= self.epoch,
            Some(known) => epoch > self.epoch || (epoch == self.epoch && known == holder),
        }
    }

    /// The one of the two that has seen the later leader.
    pub fn or_higher(self, other: Self) -> Self {
        let is_higher = other.epoch > self.epoch || (other.epoch == self.epoch && self.holder.is_none());
        if is_higher { other } else { self }
    }

    /// Remembers an admitted epoch; `true` where that says more than was known.
    pub fn raise(&mut self, epoch: Epoch, holder: &Holder) -> bool {
        let news = epoch > self.epoch || self.holder.is_none();
        if news {
            *self = Self { epoch, holder: Some(holder.clone()) };
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn holder(name: &str) -> Holder {
        name.parse().unwrap()
    }

    #[test]
    fn an_epoch_belongs_to_the_first_holder_that_used_it() {
        let mut fence = Fence::default();
        let epoch = Epoch { era: 0, term: 3 };
        assert!(fence.admits(epoch, &holder("a")));
        assert!(fence.raise(epoch, &holder("a")));
        assert!(fence.admits(epoch, &holder("a")));
        assert!(!fence.admits(epoch, &holder("b")));
        assert!(!fence.admits(Epoch { era: 0, term: 2 }, &holder("a")));
        assert!(fence.admits(Epoch { era: 1, term: 0 }, &holder("b")));
    }

    #[test]
    fn of_two_fences_the_higher_one_counts() {
        let fence = |term, name: Option<&str>| Fence { epoch: Epoch { era: 0, term }, holder: name.map(holder) };
        let cases = [(fence(3, Some("a")), fence(2, Some("b"))), (fence(0, Some("a")), Fence::default())];
        for (higher, lower) in cases {
            assert_eq!(higher.clone().or_higher(lower.clone()), higher);
            assert_eq!(lower.or_higher(higher.clone()), higher);
        }
    }

    proptest! {
        #[test]
        fn what_is_obeyed_never_goes_back(claims in proptest::collection::vec((0u32..3, 0u64..5, 0usize..2), 1..40)) {
            let names = [holder("a"), holder("b")];
            let mut fence = Fence::default();
            let mut obeyed: Vec<(Epoch, usize)> = Vec::new();
            for (era, term, who) in claims {
                let epoch = Epoch { era, term };
                if fence.admits(epoch, &names[who]) {
                    fence.raise(epoch, &names[who]);
                    obeyed.push((epoch, who));
                }
            }
            prop_assert!(obeyed.is_sorted_by_key(|(epoch, _)| *epoch));
            for pair in obeyed.windows(2) {
                prop_assert!(pair[0].0 != pair[1].0 || pair[0].1 == pair[1].1);
            }
        }
    }
}
