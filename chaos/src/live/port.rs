//! Ports for servers that must know each other's before any of them has started.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range that systems hand out by themselves, so that nobody is given one of these by chance.
const FIRST: u32 = 20_000;
const COUNT: u32 = 10_000;

/// Ports that one process may try before another's begin.
const STRIDE: u32 = 40;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A port on loopback that nobody listens on, and that no other story draws at the same time.
pub(super) fn free_port() -> u16 {
    let first = std::process::id().wrapping_mul(STRIDE);
    for _ in 0..COUNT {
        let number = FIRST + first.wrapping_add(NEXT.fetch_add(1, Ordering::SeqCst)) % COUNT;
        let port = u16::try_from(number).expect("the range ends below 65536");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("expected a free port between {FIRST} and {}", FIRST + COUNT);
}
