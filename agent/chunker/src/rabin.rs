//! The fingerprint of the last bytes, kept while they pass by.

use std::sync::Arc;

use crate::Polynom64;
use crate::tables::Tables;

/// The largest window: 64 bytes, the only one that the restic format knows.
const WINDOW_BITS_MAX: u32 = 6;
const WINDOW_BYTES_MAX: usize = 1 << WINDOW_BITS_MAX;

/// The polynomial of those who name none.
const DEFAULT_POLYNOM: Polynom64 = 0x003D_A335_8B4D_C173;

/// A fingerprint of the bytes in a window that slides.
pub trait RollingHash64 {
    /// Empties the window; an empty one holds zeros.
    fn reset(&mut self);

    /// Slides as many bytes in as the window holds, or as there are, and returns how many.
    fn prefill_window<I>(&mut self, iter: &mut I) -> usize
    where
        I: Iterator<Item = u8>;

    /// Both of these.
    fn reset_and_prefill_window<I>(&mut self, iter: &mut I) -> usize
    where
        I: Iterator<Item = u8>;

    /// The byte enters, and the oldest one leaves.
    fn slide(&mut self, byte: u8);

    /// The fingerprint of what is in the window.
    fn get_hash(&self) -> &Polynom64;
}

/// Rabin's fingerprint.
#[derive(Debug, Clone)]
pub struct Rabin64 {
    tables: Arc<Tables>,
    /// A ring: the oldest byte stands at `next`.
    window: [u8; WINDOW_BYTES_MAX],
    next: usize,
    /// One less than the window's bytes, which are a power of two.
    window_mask: usize,
    /// The fingerprint of what is in the window.
    pub hash: Polynom64,
}

impl Rabin64 {
    /// With the polynomial of those who name none. The window holds two to the power of `window_size_nb_bits` bytes.
    ///
    /// # Panics
    ///
    /// On a window of more than 64 bytes.
    #[must_use]
    pub fn new(window_size_nb_bits: u32) -> Self {
        Self::new_with_polynom(window_size_nb_bits, &DEFAULT_POLYNOM)
    }

    /// The window holds two to the power of `window_size_nb_bits` bytes.
    ///
    /// # Panics
    ///
    /// On a window of more than 64 bytes, and on a polynomial whose degree is not between 8 and 55.
    #[must_use]
    pub fn new_with_polynom(window_size_nb_bits: u32, mod_polynom: &Polynom64) -> Self {
        assert!(window_size_nb_bits <= WINDOW_BITS_MAX, "the window holds at most {WINDOW_BYTES_MAX} bytes");
        let window_bytes = 1 << window_size_nb_bits;
        Self {
            tables: Tables::of(*mod_polynom, window_bytes),
            window: [0; WINDOW_BYTES_MAX],
            next: 0,
            window_mask: window_bytes - 1,
            hash: 0,
        }
    }
}

impl RollingHash64 for Rabin64 {
    fn reset(&mut self) {
        self.window = [0; WINDOW_BYTES_MAX];
        self.next = 0;
        self.hash = 0;
    }

    fn prefill_window<I>(&mut self, iter: &mut I) -> usize
    where
        I: Iterator<Item = u8>,
    {
        let mut taken = 0;
        for byte in iter.take(self.window_mask + 1) {
            self.slide(byte);
            taken += 1;
        }
        taken
    }

    fn reset_and_prefill_window<I>(&mut self, iter: &mut I) -> usize
    where
        I: Iterator<Item = u8>,
    {
        self.reset();
        self.prefill_window(iter)
    }

    #[inline]
    fn slide(&mut self, byte: u8) {
        // The second mask tells the compiler what the first one means, so that it need not check the bounds.
        let oldest = &mut self.window[self.next & (WINDOW_BYTES_MAX - 1)];
        // Each step waits for the fingerprint before it, so as little as possible of it stands in that line.
        let others = Polynom64::from(byte) ^ self.tables.beyond[usize::from(*oldest)];
        *oldest = byte;
        self.next = (self.next + 1) & self.window_mask;
        let overflow = (self.hash >> self.tables.overflow_shift) as u8;
        self.hash = (self.hash << 8) ^ self.tables.overflow[usize::from(overflow)] ^ others;
    }

    #[inline]
    fn get_hash(&self) -> &Polynom64 {
        &self.hash
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Polynom;

    /// By the definition: the bytes as one polynomial, the rest of its division.
    fn fingerprint(bytes: &[u8], polynom: Polynom64) -> Polynom64 {
        bytes.iter().fold(0, |rest: Polynom64, byte| (rest << 8 | Polynom64::from(*byte)).modulo(&polynom))
    }

    proptest! {
        #[test]
        fn the_fingerprint_is_that_of_the_last_bytes_alone(
            bytes in prop::collection::vec(any::<u8>(), 1..400),
            bits in 0_u32..=6,
            low in 0_u64..1 << 53,
        ) {
            let polynom = 1 << 53 | low;
            let mut rabin = Rabin64::new_with_polynom(bits, &polynom);
            for (index, byte) in bytes.iter().enumerate() {
                rabin.slide(*byte);
                let begin = (index + 1).saturating_sub(1 << bits);
                prop_assert_eq!(rabin.hash, fingerprint(&bytes[begin..=index], polynom));
                prop_assert_eq!(*rabin.get_hash(), rabin.hash);
            }
        }

        #[test]
        fn a_filled_window_forgets_what_was_before(before in prop::collection::vec(any::<u8>(), 0..200), bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut rabin = Rabin64::new(6);
            before.iter().for_each(|byte| rabin.slide(*byte));
            let taken = rabin.reset_and_prefill_window(&mut bytes.iter().copied());
            prop_assert_eq!(taken, bytes.len().min(64));
            prop_assert_eq!(rabin.hash, fingerprint(&bytes[..taken], DEFAULT_POLYNOM));
        }
    }

    #[test]
    #[should_panic = "at most 64 bytes"]
    fn a_larger_window_is_refused() {
        let _ = Rabin64::new(7);
    }
}
