//! To which addresses requests go.
//!
//! A name is judged by the addresses that it resolves to, in the resolver of the HTTP client itself, which connects to
//! nothing but what the resolver returned: a name that resolves to another address a moment later changes nothing. An
//! address in the place of a name never meets a resolver, so it is judged before each request, those after redirects
//! included.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use ipnet::IpNet;
use rand::seq::SliceRandom;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::address::{AddressClass, special};

/// Finds the addresses of a host name.
#[async_trait]
pub trait Resolver: fmt::Debug + Send + Sync + 'static {
    /// The addresses of `host`.
    ///
    /// # Errors
    /// Where there are none, or nobody answers.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// What the operating system says (`/etc/hosts`, DNS).
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0))
            .await?
            .map(|found| found.ip())
            .collect())
    }
}

/// An address that requests do not go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForbiddenAddress {
    /// The name that resolves to it, unless the URL names the address itself.
    host: Option<String>,
    address: IpAddr,
    class: AddressClass,
}

impl fmt::Display for ForbiddenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, address, class } = self;
        match host {
            Some(host) => write!(f, "{host} is at {address}, {class}")?,
            None => write!(f, "{address} is {class}")?,
        }
        write!(f, "; --allow-network {} would allow it", IpNet::from(*address))
    }
}

impl std::error::Error for ForbiddenAddress {}

/// The rule: public addresses, and the networks that the operator allows.
#[derive(Debug, Clone)]
pub(super) struct NetworkGuard {
    allowed: Arc<[IpNet]>,
    /// Behind a proxy, names are the proxy's to resolve.
    behind_proxy: bool,
}

impl NetworkGuard {
    pub(super) fn new(allowed: &[IpNet], behind_proxy: bool) -> Self {
        Self {
            allowed: allowed.into(),
            behind_proxy,
        }
    }

    /// Judges the address that `url` names, if it names one; a name is judged when it is resolved.
    pub(super) fn judge(&self, url: &Url) -> Result<(), ForbiddenAddress> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.judge_address(None, address.into()),
            Some(Host::Ipv6(address)) => self.judge_address(None, address.into()),
            // Names of the loopback interface (RFC 6761), wherever they are resolved.
            Some(Host::Domain(name)) if self.behind_proxy && is_localhost(name) => {
                self.judge_address(Some(name), IpAddr::from([127, 0, 0, 1]))
            }
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }

    fn judge_address(&self, host: Option<&str>, address: IpAddr) -> Result<(), ForbiddenAddress> {
        let address = address.to_canonical();
        match special(address) {
            Some(class) if !self.allowed.iter().any(|network| network.contains(&address)) => Err(ForbiddenAddress {
                host: host.map(str::to_owned),
                address,
                class,
            }),
            _ => Ok(()),
        }
    }

    /// Those of the addresses of `host` that may be connected to; an error where there is none.
    fn permitted(&self, host: &str, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, ForbiddenAddress> {
        let mut forbidden = None;
        let permitted: Vec<IpAddr> = addresses
            .into_iter()
            .filter(|&address| match self.judge_address(Some(host), address) {
                Ok(()) => true,
                Err(error) => {
                    forbidden.get_or_insert(error);
                    false
                }
            })
            .collect();
        match forbidden {
            Some(error) if permitted.is_empty() => Err(error),
            _ => Ok(permitted),
        }
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

/// What the HTTP client resolves names with. Where a name has several addresses, requests are spread over them.
#[derive(Debug)]
pub(super) struct GuardedResolver {
    resolver: Arc<dyn Resolver>,
    /// `None`: any address will do, because the operator named the host (an object store's endpoint, a proxy).
    guard: Option<NetworkGuard>,
}

impl GuardedResolver {
    pub(super) fn guarded(resolver: Arc<dyn Resolver>, guard: &NetworkGuard) -> Self {
        let guard = (!guard.behind_proxy).then(|| guard.clone());
        Self { resolver, guard }
    }

    pub(super) fn open(resolver: Arc<dyn Resolver>) -> Self {
        Self { resolver, guard: None }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, guard) = (Arc::clone(&self.resolver), self.guard.clone());
        Box::pin(async move {
            let host = name.as_str();
            let mut addresses = resolver.resolve(host).await?;
            if let Some(guard) = guard {
                addresses = guard.permitted(host, addresses)?;
            }
            spread(&mut addresses);
            // The client puts the URL's port in the place of 0.
            let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

/// Shuffles the addresses of each family. Which family comes first stays: the system knows which it can reach.
fn spread(addresses: &mut [IpAddr]) {
    let first_is_v4 = addresses.first().is_some_and(IpAddr::is_ipv4);
    addresses.shuffle(&mut rand::rng());
    addresses.sort_by_key(|address| address.is_ipv4() != first_is_v4);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allowed: &[&str], behind_proxy: bool) -> NetworkGuard {
        let allowed: Vec<IpNet> = allowed.iter().map(|net| net.parse().expect(net)).collect();
        NetworkGuard::new(&allowed, behind_proxy)
    }

    fn judge(guard: &NetworkGuard, url: &str) -> Result<(), String> {
        guard
            .judge(&Url::parse(url).expect(url))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_is_found_out_however_it_is_written() {
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f.0.0.1/",
            "http://2130706433/",
            "http://0177.0.0.1:8080/",
            "http://127.0.0.1./",
            "http://[::ffff:127.0.0.1]/",
            "http://me:pw@127.0.0.1/",
            "http://%31%32%37.0.0.1/",
            "http://①②⑦.0.0.1/",
        ] {
            let error = judge(&guard(&[], false), url).expect_err(url);
            assert_eq!(
                error, "127.0.0.1 is a loopback address; --allow-network 127.0.0.1/32 would allow it",
                "{url}"
            );
        }
        assert_eq!(judge(&guard(&[], false), "http://1.1.1.1/"), Ok(()));
    }

    #[test]
    fn what_is_allowed_is_let_through_and_nothing_beside_it() {
        let guard = guard(&["10.1.0.0/16", "::1/128"], false);
        assert_eq!(judge(&guard, "http://10.1.2.3/"), Ok(()));
        assert_eq!(judge(&guard, "http://[::ffff:10.1.2.3]/"), Ok(()));
        assert_eq!(judge(&guard, "http://[::1]/"), Ok(()));
        assert!(judge(&guard, "http://10.2.0.1/").is_err());
        assert!(judge(&guard, "http://127.0.0.1/").is_err());
        assert!(judge(&guard, "http://[64:ff9b::a01:203]/").is_err());
    }

    #[test]
    fn of_several_addresses_the_public_ones_stay() {
        let guard = guard(&[], false);
        let (public, private) = (IpAddr::from([1, 1, 1, 1]), IpAddr::from([10, 0, 0, 1]));
        assert_eq!(guard.permitted("h", vec![private, public]), Ok(vec![public]));
        let error = guard
            .permitted("h", vec![private])
            .expect_err("none is left")
            .to_string();
        assert_eq!(
            error,
            "h is at 10.0.0.1, a private address; --allow-network 10.0.0.1/32 would allow it"
        );
    }

    #[test]
    fn spreading_keeps_the_family_that_the_system_prefers() {
        let (v4, v6) = (
            IpAddr::from([1, 1, 1, 1]),
            "2606:4700::1111".parse().expect("an address"),
        );
        for _ in 0..20 {
            let (mut first, mut second) = ([v6, v4, v6], [v4, v6, v4]);
            spread(&mut first);
            spread(&mut second);
            assert_eq!((first, second), ([v6, v6, v4], [v4, v4, v6]));
        }
    }

    #[test]
    fn behind_a_proxy_addresses_and_names_of_the_loopback_interface_are_still_refused() {
        let guard = guard(&[], true);
        for url in ["http://localhost:1/", "http://a.localhost./", "http://192.168.0.1/"] {
            assert!(judge(&guard, url).is_err(), "{url}");
        }
        assert_eq!(judge(&guard, "http://example.org/"), Ok(()));
    }
}
