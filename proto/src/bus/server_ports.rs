//! Ports for servers that must find the same port free again after they were down, whatever runs beside them.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use super::delay::chance;

/// The first port of the first block. Linux gives ports from 32768 on to outgoing connections, and one of those could take
/// the port of a server that is down for a moment.
const FIRST: u16 = 12_000;

/// Ports of a block, its guard included.
const BLOCK: u16 = 50;

const BLOCKS: u16 = 160;

/// The block of this process.
static OWN: Mutex<Option<Block>> = Mutex::new(None);

/// Belongs to the process that listens on its first port, and to no other one as long as that lives.
struct Block {
    _guard: TcpListener,
    next: u16,
    end: u16,
}

/// A port that no other caller is given, in this process or another, and that nobody listens on.
pub(super) fn free_port() -> io::Result<u16> {
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(block) = own.as_mut().filter(|block| block.next < block.end) {
            block.next += 1;
            let port = block.next - 1;
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(port);
            }
        } else {
            // The old block's guard stays: its ports are in use.
            let fresh = take_block()?;
            if let Some(spent) = own.replace(fresh) {
                std::mem::forget(spent);
            }
        }
    }
}

fn take_block() -> io::Result<Block> {
    let begin = u16::try_from(chance() % u64::from(BLOCKS)).unwrap_or(0);
    let guarded = (0..BLOCKS).map(|step| FIRST + (begin + step) % BLOCKS * BLOCK).find_map(|first| {
        let guard = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).ok()?;
        Some(Block { _guard: guard, next: first + 1, end: first + BLOCK })
    });
    guarded.ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "every block of ports for servers is in use"))
}
