//! Bad lines: a relay between one client and the bus that delays, stops, slows and cuts what passes, each direction by itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Bytes that are relayed at once; a slower line takes smaller bites.
const PIECE_BYTES: usize = 16 * 1024;

/// What happens to bytes on their way in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    #[default]
    Pass,
    /// Every piece waits so long; pieces queue behind each other, as on a long line with a small window.
    Delay(Duration),
    /// Nothing passes and nobody is told. What was sent meanwhile arrives when the line is mended, as the network's own
    /// repetitions would have it.
    Hold,
    /// At most so many bytes in a second.
    Rate(u64),
    /// After so many bytes the connection breaks, in the middle of a message where it so happens.
    CutAfter(u64),
}

/// The two directions of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToBus,
    FromBus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Conditions {
    to_bus: Flow,
    from_bus: Flow,
    /// Connections made before another number are broken.
    cuts: u64,
    /// Connections made before another number are dead, and neither end is told.
    strands: u64,
    /// Half-closes so far, by direction.
    ends_to_bus: u64,
    ends_from_bus: u64,
    /// New connections are closed as soon as they are made.
    refuses: bool,
}

/// A relay that listens on an address of its own. Cheap to clone; it ends with its last clone.
#[derive(Debug, Clone)]
pub struct Proxy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    address: SocketAddr,
    target: watch::Sender<Option<SocketAddr>>,
    conditions: watch::Sender<Conditions>,
    accepted: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Listens on loopback; what it relays to is said by [`Proxy::aim`].
    pub async fn new() -> Self {
        Self::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    pub async fn bind(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await;
        let listener = listener.unwrap_or_else(|error| panic!("expected that {address} can be listened on: {error}"));
        let address = listener.local_addr().expect("a bound socket has an address");
        let (target, aims) = watch::channel(None);
        let (conditions, weather) = watch::channel(Conditions::default());
        let accepted = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let (aim, weather) = (*aims.borrow(), weather.clone());
                if let Some(target) = aim
                    && !weather.borrow().refuses
                {
                    tokio::spawn(relay(client, target, weather));
                }
            }
        });
        Self(Arc::new(Inner { address, target, conditions, accepted, task }))
    }

    pub fn aim(&self, target: SocketAddr) {
        self.0.target.send_replace(Some(target));
    }

    pub fn url(&self) -> String {
        format!("nats://{}", self.0.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Connections that clients made so far.
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Ordering::SeqCst)
    }

    pub fn set(&self, direction: Direction, flow: Flow) {
        self.change(|conditions| match direction {
            Direction::ToBus => conditions.to_bus = flow,
            Direction::FromBus => conditions.from_bus = flow,
        });
    }

    pub fn set_both(&self, flow: Flow) {
        self.set(Direction::ToBus, flow);
        self.set(Direction::FromBus, flow);
    }

    /// Breaks every connection; new ones are taken.
    pub fn cut(&self) {
        self.change(|conditions| conditions.cuts += 1);
    }

    /// Lets every connection die without a word, as when the other machine loses its power; new ones are taken.
    pub fn strand(&self) {
        self.change(|conditions| conditions.strands += 1);
    }

    /// Tells the receiving side that nothing more comes, and relays the other direction on.
    pub fn half_close(&self, direction: Direction) {
        self.change(|conditions| match direction {
            Direction::ToBus => conditions.ends_to_bus += 1,
            Direction::FromBus => conditions.ends_from_bus += 1,
        });
    }

    /// Closes new connections at once, or takes them again.
    pub fn refuse(&self, refuses: bool) {
        self.change(|conditions| conditions.refuses = refuses);
    }

    /// Good weather. Connections that were held go on.
    pub fn mend(&self) {
        self.set_both(Flow::Pass);
        self.refuse(false);
    }

    fn change(&self, change: impl FnOnce(&mut Conditions)) {
        self.0.conditions.send_modify(change);
    }
}

impl Conditions {
    const fn flow(&self, direction: Direction) -> Flow {
        match direction {
            Direction::ToBus => self.to_bus,
            Direction::FromBus => self.from_bus,
        }
    }

    const fn ends(&self, direction: Direction) -> u64 {
        match direction {
            Direction::ToBus => self.ends_to_bus,
            Direction::FromBus => self.ends_from_bus,
        }
    }
}

async fn relay(client: TcpStream, target: SocketAddr, weather: watch::Receiver<Conditions>) {
    let Ok(bus) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), bus.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_bus, to_bus) = bus.into_split();
    let mut up = tokio::spawn(pump(from_client, to_bus, Direction::ToBus, weather.clone()));
    let mut down = tokio::spawn(pump(from_bus, to_client, Direction::FromBus, weather));
    // A broken connection is broken both ways; one that was only half closed goes on in the other direction.
    let is_broken = tokio::select! {
        end = &mut up => matches!(end, Ok(End::Broken) | Err(_)),
        end = &mut down => matches!(end, Ok(End::Broken) | Err(_)),
    };
    if is_broken {
        up.abort();
        down.abort();
    }
}

enum End {
    /// This direction alone: the sender has closed it, or the story has.
    Closed,
    Broken,
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    mut weather: watch::Receiver<Conditions>,
) -> End {
    let first = *weather.borrow();
    let mut piece = vec![0; PIECE_BYTES];
    let mut budget: Option<(Flow, u64)> = None;
    loop {
        let now = *weather.borrow_and_update();
        if now.cuts != first.cuts {
            return End::Broken;
        }
        if now.ends(direction) != first.ends(direction) {
            let _ = to.shutdown().await;
            return End::Closed;
        }
        let flow = now.flow(direction);
        if flow == Flow::Hold || now.strands != first.strands {
            if weather.changed().await.is_err() {
                return End::Broken;
            }
            continue;
        }
        let read = tokio::select! {
            biased;
            changed = weather.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return End::Broken,
            },
            read = from.read(&mut piece[..bite(flow)]) => read,
        };
        let count = match read {
            Ok(0) => {
                let _ = to.shutdown().await;
                return End::Closed;
            }
            Ok(count) => count,
            Err(_) => return End::Broken,
        };
        let left = match (flow, budget) {
            (Flow::CutAfter(_), Some((same, left))) if same == flow => left,
            (Flow::CutAfter(bytes), _) => bytes,
            (Flow::Pass | Flow::Delay(_) | Flow::Hold | Flow::Rate(_), _) => u64::MAX,
        };
        let passes = usize::try_from(left).unwrap_or(usize::MAX).min(count);
        wait_for_line(flow, passes).await;
        if to.write_all(&piece[..passes]).await.is_err() || passes < count {
            return End::Broken;
        }
        budget = Some((flow, left.saturating_sub(passes as u64)));
    }
}

const fn bite(flow: Flow) -> usize {
    match flow {
        // A tenth of a second's worth, so that a slow line trickles.
        Flow::Rate(bytes) => {
            let tenth = bytes / 10;
            if tenth == 0 {
                1
            } else if tenth < PIECE_BYTES as u64 {
                tenth as usize
            } else {
                PIECE_BYTES
            }
        }
        Flow::Pass | Flow::Delay(_) | Flow::Hold | Flow::CutAfter(_) => PIECE_BYTES,
    }
}

/// How long these bytes take on their way.
async fn wait_for_line(flow: Flow, bytes: usize) {
    match flow {
        Flow::Delay(delay) => tokio::time::sleep(delay).await,
        Flow::Rate(rate) => {
            let millis = (bytes as u64).saturating_mul(1000) / rate.max(1);
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        Flow::Pass | Flow::CutAfter(_) | Flow::Hold => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                    let _ = to.write_all(b"bye").await;
                });
            }
        });
        address
    }

    async fn line() -> (Proxy, TcpStream) {
        let proxy = Proxy::new().await;
        proxy.aim(echo().await);
        let client = TcpStream::connect(proxy.address()).await.unwrap();
        (proxy, client)
    }

    async fn asks(client: &mut TcpStream) -> Option<u8> {
        client.write_all(b"x").await.ok()?;
        let mut byte = [0];
        match tokio::time::timeout(Duration::from_millis(300), client.read(&mut byte)).await {
            Ok(Ok(1)) => Some(byte[0]),
            Ok(Ok(_) | Err(_)) | Err(_) => None,
        }
    }

    #[tokio::test]
    async fn a_good_line_passes_everything_and_counts_its_callers() {
        let (proxy, mut client) = line().await;
        assert_eq!(asks(&mut client).await, Some(b'x'));
        assert_eq!(proxy.accepted(), 1);
    }

    #[tokio::test]
    async fn a_held_direction_passes_nothing_and_delivers_late() {
        for direction in [Direction::ToBus, Direction::FromBus] {
            let (proxy, mut client) = line().await;
            assert_eq!(asks(&mut client).await, Some(b'x'));
            proxy.set(direction, Flow::Hold);
            assert_eq!(asks(&mut client).await, None, "{direction:?}");
            proxy.mend();
            let mut byte = [0];
            client.read_exact(&mut byte).await.unwrap();
            assert_eq!(&byte, b"x", "{direction:?}");
        }
    }

    #[tokio::test]
    async fn a_cut_breaks_what_is_there_and_takes_new_callers() {
        let (proxy, mut client) = line().await;
        assert_eq!(asks(&mut client).await, Some(b'x'));
        proxy.cut();
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
        let mut again = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(asks(&mut again).await, Some(b'x'));
        proxy.refuse(true);
        let mut third = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(asks(&mut third).await, None);
    }

    #[tokio::test]
    async fn a_stranded_connection_stays_silent_and_a_new_one_speaks() {
        let (proxy, mut client) = line().await;
        assert_eq!(asks(&mut client).await, Some(b'x'));
        proxy.strand();
        assert_eq!(asks(&mut client).await, None);
        proxy.mend();
        assert_eq!(asks(&mut client).await, None, "it is dead for good");
        let mut again = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(asks(&mut again).await, Some(b'x'));
    }

    #[tokio::test]
    async fn a_connection_is_cut_after_so_many_bytes() {
        let (proxy, mut client) = line().await;
        proxy.set(Direction::FromBus, Flow::CutAfter(5));
        assert_eq!(asks(&mut client).await, Some(b'x'));
        client.write_all(b"123456789").await.unwrap();
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest).await;
        assert_eq!(rest, b"1234", "five bytes pass, and the first of them was read before");
    }

    #[tokio::test]
    async fn a_half_closed_line_still_speaks_the_other_way() {
        let (proxy, mut client) = line().await;
        assert_eq!(asks(&mut client).await, Some(b'x'));
        proxy.half_close(Direction::ToBus);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"bye", "the server heard the end and had the last word");
    }

    #[tokio::test]
    async fn a_slow_line_takes_its_time() {
        let (proxy, mut client) = line().await;
        proxy.set(Direction::FromBus, Flow::Rate(1000));
        let started = tokio::time::Instant::now();
        client.write_all(&[b'y'; 300]).await.unwrap();
        let mut back = [0; 300];
        client.read_exact(&mut back).await.unwrap();
        assert!(started.elapsed() >= Duration::from_millis(250), "{:?}", started.elapsed());
        proxy.set(Direction::FromBus, Flow::Delay(Duration::from_millis(200)));
        let started = tokio::time::Instant::now();
        assert_eq!(asks(&mut client).await, Some(b'x'));
        assert!(started.elapsed() >= Duration::from_millis(200), "{:?}", started.elapsed());
    }
}
