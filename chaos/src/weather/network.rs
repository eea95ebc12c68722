//! A machine of its own as far as the network goes: a namespace joined to this one by a pair of virtual cards.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use crate::live::proxy::Proxy;

/// Networks of one process; each takes four addresses.
const NETWORKS_MAX: u32 = 4096;

/// A namespace with one way out. It is removed when the story ends.
#[derive(Debug)]
pub struct Network {
    name: String,
    card: String,
    host: Ipv4Addr,
}

impl Network {
    /// Makes the namespace and its way out. The address follows from the process, so that two stories do not meet.
    pub fn new() -> Self {
        let number = std::process::id() % NETWORKS_MAX;
        let [_, _, high, low] = (number * 4).to_be_bytes();
        // Addresses that are set aside for trials between networks, and routed nowhere.
        let (host, guest) = (Ipv4Addr::new(198, 18, high, low + 1), Ipv4Addr::new(198, 18, high, low + 2));
        let (name, card) = (format!("landfall-{number}"), format!("lfh{number}"));
        let other = format!("lfg{number}");
        let network = Self { name: name.clone(), card: card.clone(), host };
        network.remove();
        for line in [
            format!("netns add {name}"),
            format!("link add {card} type veth peer name {other} netns {name}"),
            format!("address add {host}/30 dev {card}"),
            format!("link set {card} up"),
            format!("-n {name} address add {guest}/30 dev {other}"),
            format!("-n {name} link set {other} up"),
            format!("-n {name} link set lo up"),
        ] {
            assert!(ip(&line), "expected that this is allowed here: ip {line}");
        }
        network
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A line that this network's processes reach, and that leads to loopback of the outer one.
    pub async fn line(&self) -> Proxy {
        Proxy::bind(SocketAddr::new(IpAddr::V4(self.host), 0)).await
    }

    /// Takes the cable away: nothing passes, and no end of a connection is told.
    pub fn unplug(&self) {
        assert!(ip(&format!("link set {} down", self.card)), "expected that {} goes down", self.card);
    }

    pub fn plug(&self) {
        assert!(ip(&format!("link set {} up", self.card)), "expected that {} goes up", self.card);
    }

    fn remove(&self) {
        ip(&format!("netns delete {}", self.name));
        ip(&format!("link delete {}", self.card));
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.remove();
    }
}

fn ip(line: &str) -> bool {
    let mut command = Command::new("ip");
    command.args(line.split(' ')).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weather::need::Need;

    #[tokio::test]
    async fn an_unplugged_network_reaches_nobody_and_a_plugged_one_does() {
        if let Some(why) = Need::Networks.missing() {
            eprintln!("not shown on this machine: {why}");
            return;
        }
        let network = Network::new();
        let line = network.line().await;
        let reaches = || {
            let IpAddr::V4(host) = line.address().ip() else { panic!("expected an address of the fourth kind") };
            ip(&format!("netns exec {} timeout 1 bash -c :>/dev/tcp/{host}/{}", network.name(), line.address().port()))
        };
        assert!(reaches());
        network.unplug();
        assert!(!reaches());
        network.plug();
        assert!(reaches());
        let name = network.name().to_owned();
        drop(network);
        assert!(!ip(&format!("netns exec {name} true")));
    }
}
