//! Polynomials over the field of two elements, as bits: bit `n` is the coefficient of the `n`-th power.

/// What the engine needs to know of a polynomial, and to draw an irreducible one.
pub trait Polynom {
    /// The highest power that occurs; -1 where there is none.
    fn degree(&self) -> i32;

    /// What is left of it after division by `m`, which is not zero.
    #[must_use]
    fn modulo(&self, m: &Self) -> Self;
}

/// A polynomial of a degree below 64.
pub type Polynom64 = u64;

impl Polynom for Polynom64 {
    fn degree(&self) -> i32 {
        match self.checked_ilog2() {
            Some(highest) => highest.cast_signed(),
            None => -1,
        }
    }

    fn modulo(&self, m: &Self) -> Self {
        let mut rest = *self;
        loop {
            let above = rest.degree() - m.degree();
            if above < 0 {
                return rest;
            }
            // Subtraction and addition are the same here, and nothing is carried.
            rest ^= m << above;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_polynomial_s_degree_is_its_highest_bit() {
        assert_eq!([0_u64, 1, 2, 0x80, 0x81, u64::MAX].map(|polynom| polynom.degree()), [-1, 0, 1, 7, 7, 63]);
    }

    /// The product of two polynomials whose degrees add up to less than 64.
    fn product(one: Polynom64, other: Polynom64) -> Polynom64 {
        (0..64).filter(|bit| other >> bit & 1 == 1).fold(0, |sum, bit| sum ^ (one << bit))
    }

    proptest! {
        #[test]
        fn quotient_times_divisor_plus_rest_is_the_dividend(divisor in 1_u64..1 << 32, quotient in 0_u64..1 << 31, rest in 0_u64..1 << 32) {
            let rest = rest.modulo(&divisor);
            prop_assert!(rest.degree() < divisor.degree());
            prop_assert_eq!((product(divisor, quotient) ^ rest).modulo(&divisor), rest);
        }
    }
}
