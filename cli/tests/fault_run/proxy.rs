//! A TCP proxy on the loopback interface that can be cut, silenced and slowed.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The most bytes that are passed on at once.
const CHUNK: usize = 16 << 10;

/// The state of the network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Link {
    /// Everything passes.
    Open,
    /// Connections are reset, and so is every new one.
    Cut,
    /// Nothing passes, and nobody is told; it passes once the link is open again.
    Silent,
    /// Every chunk comes later, and so many bytes pass in a second.
    Slow { latency: Duration, bytes_per_second: u32 },
}

/// A proxy before one server. Dropping it closes all connections.
pub struct Proxy {
    address: SocketAddr,
    link: watch::Sender<Link>,
    upstream: watch::Sender<Option<SocketAddr>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy at a free port that leads nowhere yet: connections are reset.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (link, links) = watch::channel(Link::Open);
        let (upstream, upstreams) = watch::channel(None);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((client, _)) = listener.accept() => {
                        connections.spawn(serve(client, *upstreams.borrow(), links.clone()));
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self {
            address,
            link,
            upstream,
            task,
        })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections lead to `server` from now on; nowhere without one.
    pub fn lead_to(&self, server: Option<SocketAddr>) {
        self.upstream.send_replace(server);
    }

    /// Changes the state of the network, for connections that are there too.
    pub fn set(&self, link: Link) {
        self.link.send_replace(link);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection, until either side or the network ends it. What it ends with is a reset.
async fn serve(mut client: TcpStream, upstream: Option<SocketAddr>, mut link: watch::Receiver<Link>) {
    // Without these, a chunk may wait for the acknowledgement of the one before it.
    let _ = client.set_nodelay(true);
    if let Some(address) = upstream
        && *link.borrow() != Link::Cut
        && let Ok(mut server) = TcpStream::connect(address).await
    {
        let _ = server.set_nodelay(true);
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        tokio::select! {
            _ = pass(&mut from_client, &mut to_server, link.clone()) => {}
            _ = pass(&mut from_server, &mut to_client, link.clone()) => {}
            _ = link.wait_for(|link| *link == Link::Cut) => {}
        }
        let _ = server.set_zero_linger();
    }
    let _ = client.set_zero_linger();
}

/// Passes on what comes, until the end.
async fn pass<From, To>(from: &mut From, to: &mut To, mut link: watch::Receiver<Link>) -> io::Result<()>
where
    From: AsyncReadExt + Unpin,
    To: AsyncWriteExt + Unpin,
{
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = from.read(&mut chunk).await?;
        if count == 0 {
            return Ok(());
        }
        if link.wait_for(|link| *link != Link::Silent).await.is_err() {
            return Ok(());
        }
        let state = *link.borrow();
        if let Link::Slow {
            latency,
            bytes_per_second,
        } = state
        {
            tokio::time::sleep(latency + Duration::from_secs_f64(count as f64 / f64::from(bytes_per_second))).await;
        }
        to.write_all(&chunk[..count]).await?;
    }
}
