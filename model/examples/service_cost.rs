//! What a row costs in the embedding service, with an encoder that does nothing, beside bare tokio channels.
//!
//!     cargo run --release --locked --workspace --example service_cost -- [ROWS]
//!
//! As many callers as the engine has for an epoch of 256 rows wait for a vector each, again and again. In the service a
//! reference is parsed, fetched (nothing is), prepared (nothing is) on the CPU pool, queued, and encoded in a batch on the
//! device thread. Beside it the callers send to one thread, which answers each by its own channel: the least that a hand to
//! another thread and back costs. Prints a table in Markdown.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use sightstream_model::error::{MediaError, ModelError};
use sightstream_model::fetch::{Content, FetchPlace, Fetched};
use sightstream_model::processor::ModelInput;
use sightstream_model::reference::MediaReference;
use sightstream_model::service::{Backend, EmbedError, EmbeddingService, Prepare, Prepared, ServiceOptions};
use tokio::sync::{mpsc, oneshot};

const ROWS: usize = 400_000;
const CALLERS: usize = 256;
const DIMENSION: usize = 4;

/// Encodes nothing, at once.
struct NoEncoder;

impl Backend for NoEncoder {
    fn encode(&mut self, inputs: &[ModelInput]) -> Result<Vec<Vec<f32>>, ModelError> {
        Ok(vec![vec![0.5; DIMENSION]; inputs.len()])
    }

    fn dimension(&self) -> usize {
        DIMENSION
    }

    fn model_name(&self) -> &str {
        "nothing"
    }

    fn fingerprint(&self) -> &str {
        "0"
    }
}

/// Fetches and decodes nothing: one token for each reference.
struct NoMedia;

#[async_trait]
impl Prepare for NoMedia {
    async fn fetch(&self, _: &MediaReference, place: &mut FetchPlace) -> Result<Fetched, MediaError> {
        place.take().await;
        Ok(Fetched {
            content: Content::Memory(Bytes::new()),
            media_type: None,
        })
    }

    fn prepare(&self, _: &MediaReference, _: Fetched, _: Option<&str>) -> Result<Prepared, EmbedError> {
        Ok(Prepared::Input(ModelInput {
            token_ids: vec![0],
            vision: None,
        }))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let rows = std::env::args().nth(1).map_or(Ok(ROWS), |rows| rows.parse())?;
    let service = EmbeddingService::from_parts(NoEncoder, NoMedia, ServiceOptions::default())?;
    let through_service = measured(rows, move |row| {
        let service = service.clone();
        async move { service.embed(&format!("row/{row}"), None).await.is_ok() }
    })
    .await?;
    let (sender, mut receiver) = mpsc::channel::<(String, oneshot::Sender<Vec<f32>>)>(CALLERS);
    let thread = std::thread::spawn(move || {
        while let Some((_, answer)) = receiver.blocking_recv() {
            // A caller that is gone needs none.
            let _ = answer.send(vec![0.5; DIMENSION]);
        }
    });
    let through_channels = measured(rows, move |row| {
        let sender = sender.clone();
        async move {
            let (answer, answered) = oneshot::channel();
            sender.send((format!("row/{row}"), answer)).await.is_ok() && answered.await.is_ok()
        }
    })
    .await?;
    thread.join().map_err(|_| "the answering thread panicked")?;
    let micros = |duration: Duration| duration.as_secs_f64() * 1e6 / rows as f64;
    println!("| | us a row | CPU us a row |");
    println!("| --- | --- | --- |");
    for (name, (elapsed, cpu)) in [
        ("embedding service", through_service),
        ("channels alone", through_channels),
    ] {
        println!("| {name} | {:.2} | {:.2} |", micros(elapsed), micros(cpu));
    }
    println!(
        "| ratio | {:.2} | {:.2} |",
        through_service.0.as_secs_f64() / through_channels.0.as_secs_f64(),
        through_service.1.as_secs_f64() / through_channels.1.as_secs_f64()
    );
    Ok(())
}

/// `rows` calls of `ask` by [`CALLERS`] callers: the time that they took, and that of the processor.
async fn measured<F>(
    rows: usize,
    ask: impl Fn(usize) -> F + Clone + Send + 'static,
) -> Result<(Duration, Duration), Box<dyn Error>>
where
    F: Future<Output = bool> + Send + 'static,
{
    let (started, cpu) = (Instant::now(), cpu_time()?);
    let next = Arc::new(AtomicUsize::new(0));
    let callers = (0..CALLERS).map(|_| {
        let (next, ask) = (Arc::clone(&next), ask.clone());
        tokio::spawn(async move {
            loop {
                let row = next.fetch_add(1, Ordering::Relaxed);
                if row >= rows {
                    return true;
                }
                if !ask(row).await {
                    return false;
                }
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        if !caller.await? {
            return Err("a row has no vector".into());
        }
    }
    Ok((started.elapsed(), cpu_time()? - cpu))
}

/// The processor time of this process so far, of all its threads.
fn cpu_time() -> Result<Duration, Box<dyn Error>> {
    /// Linux counts in hundredths of a second, whatever its timer does.
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name before may hold blanks.
    let fields = stat
        .rsplit_once(')')
        .map_or("", |(_, fields)| fields)
        .split_whitespace();
    let ticks = fields.skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(Duration::from_secs_f64(ticks / TICKS_A_SECOND))
}
