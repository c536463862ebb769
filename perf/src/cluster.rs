//! Which address owns which slot, as `CLUSTER SLOTS` says.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use ringlane_base::{SLOT_COUNT, Slot};

use crate::client::{Client, Reply};

/// More endpoints than any machine that this generator loads has cores.
const ENDPOINTS_MAX: usize = u8::MAX as usize;

/// The owners of all slots. One endpoint that owns everything where there is no cluster.
#[derive(Clone, Debug)]
pub struct Owners {
    pub endpoints: Vec<SocketAddr>,
    of_slot: Box<[u8; SLOT_COUNT]>,
}

impl Owners {
    /// One address for every key.
    pub fn single(address: SocketAddr) -> Self {
        Self { endpoints: vec![address], of_slot: Box::new([0; SLOT_COUNT]) }
    }

    /// Asks a node for the owners of all slots. Fails unless every slot has one.
    pub fn fetch(seed: SocketAddr, timeout: Duration) -> Result<Self> {
        let reply = Client::connect(seed, timeout)?.command("CLUSTER SLOTS")?;
        Self::parse(&reply, seed.ip())
    }

    fn parse(reply: &Reply, seed: IpAddr) -> Result<Self> {
        let Reply::Array(ranges) = reply else { bail!("CLUSTER SLOTS answers no array") };
        let mut owners = Self { endpoints: Vec::new(), of_slot: Box::new([u8::MAX; SLOT_COUNT]) };
        for range in ranges {
            let Reply::Array(parts) = range else { bail!("a slot range is no array") };
            let [Reply::Integer(first), Reply::Integer(last), Reply::Array(primary), ..] =
                &parts[..]
            else {
                bail!("a slot range without a primary");
            };
            let address = endpoint(primary, seed).context("a primary's address")?;
            let index = owners.index(address)?;
            let (first, last) = (usize::try_from(*first)?, usize::try_from(*last)?);
            let slots = owners.of_slot.get_mut(first..=last).context("a slot beyond 16383")?;
            slots.fill(index);
        }
        if let Some(slot) = owners.of_slot.iter().position(|&owner| owner == u8::MAX) {
            bail!("slot {slot} has no owner");
        }
        Ok(owners)
    }

    fn index(&mut self, address: SocketAddr) -> Result<u8> {
        let known = self.endpoints.iter().position(|&endpoint| endpoint == address);
        let index = known.unwrap_or_else(|| {
            self.endpoints.push(address);
            self.endpoints.len() - 1
        });
        if index >= ENDPOINTS_MAX {
            bail!("more than {ENDPOINTS_MAX} primaries");
        }
        Ok(index as u8)
    }

    /// The endpoint that owns this key.
    #[inline]
    pub fn of(&self, key: &[u8]) -> usize {
        if self.endpoints.len() == 1 { 0 } else { usize::from(self.of_slot[Slot::of(key).index()]) }
    }
}

/// An address that is empty or nil means: the one you asked.
fn endpoint(primary: &[Reply], seed: IpAddr) -> Result<SocketAddr> {
    let port = match primary.get(1) {
        Some(Reply::Integer(port)) => u16::try_from(*port)?,
        Some(_) | None => bail!("no port"),
    };
    let host = primary.first().and_then(Reply::text).filter(|host| !host.is_empty() && host != "?");
    let ip = match host {
        None => seed,
        Some(host) => host.parse().with_context(|| format!("{host:?} is no IP address"))?,
    };
    Ok(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i64, last: i64, host: &str, port: i64) -> Reply {
        let node = vec![Reply::Text(host.as_bytes().to_vec()), Reply::Integer(port)];
        Reply::Array(vec![Reply::Integer(first), Reply::Integer(last), Reply::Array(node)])
    }

    #[test]
    fn every_key_has_the_owner_of_its_slot() {
        let seed = "127.0.0.1".parse().unwrap();
        let reply =
            Reply::Array(vec![range(0, 8191, "", 7001), range(8192, 16383, "127.0.0.1", 7002)]);
        let owners = Owners::parse(&reply, seed).unwrap();
        assert_eq!(
            owners.endpoints,
            ["127.0.0.1:7001".parse().unwrap(), "127.0.0.1:7002".parse().unwrap()]
        );
        // Slots 12182 and 5061, as `CLUSTER KEYSLOT` of Redis says.
        assert_eq!((owners.of(b"foo"), owners.of(b"bar")), (1, 0));
    }

    #[test]
    fn holes_and_nonsense_are_refused() {
        let seed = "127.0.0.1".parse().unwrap();
        for reply in [
            Reply::Nil,
            Reply::Array(vec![]),
            Reply::Array(vec![range(0, 100, "", 1)]),
            Reply::Array(vec![range(0, 16384, "", 1)]),
            Reply::Array(vec![range(5, 2, "", 1)]),
            Reply::Array(vec![range(0, 16383, "somewhere", 1)]),
            Reply::Array(vec![range(0, 16383, "", 70_000)]),
        ] {
            assert!(Owners::parse(&reply, seed).is_err(), "{reply:?}");
        }
    }
}
