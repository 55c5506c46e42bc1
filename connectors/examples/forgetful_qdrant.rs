//! A server of Qdrant's gRPC API that decodes every upsert, keeps the points' ids and forgets the rest: what clients cost
//! is measured against it. It ends when its standard input does.
//!
//!     cargo run --release --workspace --example forgetful_qdrant -- 127.0.0.1:6334

use std::error::Error;
use std::io::Read;
use std::net::SocketAddr;

use sightstream_connectors::qdrant::testing::TestServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address: SocketAddr = match std::env::args().nth(1) {
        Some(address) => address.parse()?,
        None => return Err("which address? for example 127.0.0.1:6334".into()),
    };
    let folder = tempfile::tempdir()?;
    let server = TestServer::start_forgetful(folder.path(), address).await?;
    println!("{}", server.url());
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    server.stop().await;
    Ok(())
}
