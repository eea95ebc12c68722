//! What a byte does to a fingerprint when it enters and when it leaves, worked out once for each polynomial.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Polynom, Polynom64};

/// Polynomials whose tables are kept. A process works on one repository, and a copy on two.
const KEPT: usize = 4;

/// A byte enters at the lowest eight powers, so the fingerprint before it must leave them room in 64 bits.
const DEGREES: std::ops::RangeInclusive<i32> = 8..=55;

static CACHE: Mutex<VecDeque<(Key, Arc<Tables>)>> = Mutex::new(VecDeque::new());

/// The polynomial, and how many bytes the window holds.
type Key = (Polynom64, usize);

/// One entry for each value of a byte.
#[derive(Debug)]
pub(crate) struct Tables {
    /// What the byte adds to the fingerprint one place beyond the window: it is taken off after the others have moved on,
    /// and so can be looked up beside `overflow` instead of before it.
    pub(crate) beyond: [Polynom64; 256],
    /// What must be added where the eight powers from the polynomial's degree on hold this byte: it takes them away and
    /// puts their rest into the place.
    pub(crate) overflow: [Polynom64; 256],
    /// How far the byte that will overflow next stands above the lowest power.
    pub(crate) overflow_shift: u32,
}

impl Tables {
    /// Those of this polynomial and window, worked out at the first call.
    ///
    /// # Panics
    ///
    /// On a polynomial whose degree is not between 8 and 55; that of the restic format is 53.
    pub(crate) fn of(polynom: Polynom64, window_bytes: usize) -> Arc<Self> {
        let key = (polynom, window_bytes);
        let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, tables)) = cache.iter().find(|(known, _)| *known == key) {
            return tables.clone();
        }
        let tables = Arc::new(Self::new(polynom, window_bytes));
        if cache.len() == KEPT {
            cache.pop_front();
        }
        cache.push_back((key, tables.clone()));
        tables
    }

    fn new(polynom: Polynom64, window_bytes: usize) -> Self {
        let degree = polynom.degree();
        assert!(DEGREES.contains(&degree), "a polynomial of degree {degree} makes no fingerprint of bytes");
        let rest = |bit: u32, powers: usize| (0..powers).fold(1 << bit, |rest, _| (rest << 1).modulo(&polynom));
        let above = |bit: u32| (1 << bit) << degree;
        Self {
            beyond: sums(|bit| rest(bit, window_bytes * 8)),
            overflow: sums(|bit| above(bit) ^ above(bit).modulo(&polynom)),
            overflow_shift: degree.cast_unsigned() - 8,
        }
    }
}

/// The table of a function that respects addition, from what it makes of the eight single bits.
fn sums(of_bit: impl Fn(u32) -> Polynom64) -> [Polynom64; 256] {
    let mut table = [0; 256];
    for bit in 0..8 {
        let (value, bit) = (of_bit(bit), 1 << bit);
        for byte in bit..2 * bit {
            table[byte] = table[byte - bit] ^ value;
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLYNOM: Polynom64 = 0x003D_A335_8B4D_C173;

    #[test]
    fn tables_are_worked_out_once_and_few_are_kept() {
        let first = Tables::of(POLYNOM, 64);
        assert!(Arc::ptr_eq(&first, &Tables::of(POLYNOM, 64)));
        assert!(!Arc::ptr_eq(&first, &Tables::of(POLYNOM, 32)), "another window, another table");
        for other in 0..2 * KEPT as u64 {
            Tables::of((1 << 53) | (other << 1) | 1, 64);
        }
        assert!(CACHE.lock().unwrap().len() <= KEPT);
    }

    #[test]
    fn every_entry_is_what_the_definition_says() {
        let tables = Tables::new(POLYNOM, 64);
        for byte in 0..256_u64 {
            let mut beyond = byte;
            for _ in 0..64 {
                beyond = (beyond << 8).modulo(&POLYNOM);
            }
            let above = byte << 53;
            let entry = usize::try_from(byte).unwrap();
            assert_eq!((tables.beyond[entry], tables.overflow[entry]), (beyond, above ^ above.modulo(&POLYNOM)));
        }
    }

    #[test]
    #[should_panic = "a polynomial of degree 60"]
    fn a_polynomial_without_room_for_a_byte_is_refused() {
        Tables::of(1 << 60, 64);
    }
}
