//! What a row costs in the engine, beside the same query on DataFusion alone.
//!
//!     cargo run --release --locked --workspace --example row_cost -- [ROWS]
//!
//! Both read JSON lines from a file, compute the query with an `embed` that does nothing, and write JSON lines to another
//! file. The engine does it in epochs, with a dead letter for whatever fails and each position committed after what it
//! stands for; DataFusion reads all rows, runs one plan, and writes. Prints a table in Markdown.

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, Float32Builder, ListBuilder, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::{LineDelimitedWriter, ReaderBuilder};
use async_trait::async_trait;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
use datafusion::prelude::{SessionConfig, SessionContext};
use sightstream_connectors::dead_letter::DeadLetterTarget;
use sightstream_connectors::{EpochLimits, VectorSpace};
use sightstream_sql::{Job, JobOptions, Model, Plan, Script};
use sightstream_udf::{EmbedFailure, Embedder};
use tokio_util::sync::CancellationToken;

const ROWS: usize = 200_000;

/// As long as the vector that an encoder that does nothing gives.
const DIMENSION: usize = 4;

/// The queries: what they are called in the table, and what they compute.
const QUERIES: [(&str, &str); 2] = [
    (
        "columns and a filter",
        "SELECT id, title, NULL AS vector FROM media WHERE title <> 'none'",
    ),
    (
        "embed",
        "SELECT id, title, embed(url) AS vector FROM media WHERE title <> 'none'",
    ),
];

/// Gives every row the same vector, at once.
struct Nothing(Arc<[f32]>);

#[async_trait]
impl Embedder for Nothing {
    async fn embed(&self, _: &str, _: Option<&str>) -> Result<Arc<[f32]>, EmbedFailure> {
        Ok(Arc::clone(&self.0))
    }

    async fn segments(&self, url: &str) -> Result<Arc<[String]>, EmbedFailure> {
        Ok(Arc::from([url.to_owned()]))
    }
}

/// How long something took, and how much of the processor.
struct Cost {
    elapsed: Duration,
    cpu: Duration,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let rows = std::env::args().nth(1).map_or(Ok(ROWS), |rows| rows.parse())?;
    let folder = tempfile::tempdir()?;
    let input = folder.path().join("media.jsonl");
    write_rows(&input, rows)?;
    println!("| query | engine, us a row (CPU) | DataFusion alone, us a row (CPU) | ratio (CPU) |");
    println!("| --- | --- | --- | --- |");
    for (name, query) in QUERIES {
        let engine = engine(folder.path(), &input, query).await?;
        let alone = datafusion_alone(&folder.path().join("alone.jsonl"), &input, query).await?;
        let micros = |duration: Duration| duration.as_secs_f64() * 1e6 / rows as f64;
        println!(
            "| {name} | {:.2} ({:.2}) | {:.2} ({:.2}) | {:.2} ({:.2}) |",
            micros(engine.elapsed),
            micros(engine.cpu),
            micros(alone.elapsed),
            micros(alone.cpu),
            engine.elapsed.as_secs_f64() / alone.elapsed.as_secs_f64(),
            engine.cpu.as_secs_f64() / alone.cpu.as_secs_f64(),
        );
    }
    Ok(())
}

fn write_rows(path: &Path, rows: usize) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for id in 0..rows {
        writeln!(
            file,
            r#"{{"id":"{id}","url":"https://media.example.org/{id}.jpg","title":"Picture {id} of many"}}"#
        )?;
    }
    file.flush()
}

async fn engine(folder: &Path, input: &Path, query: &str) -> Result<Cost, Box<dyn Error>> {
    let output = folder.join("engine.jsonl");
    let (read, write) = (input.display(), output.display());
    let sql = format!(
        "CREATE TABLE media (id TEXT, url TEXT, title TEXT) WITH (connector = 'single_file', path = '{read}', type = 'source', format = 'json');
         CREATE TABLE vectors (id TEXT, title TEXT, vector FLOAT[])
           WITH (connector = 'single_file', path = '{write}', type = 'sink', format = 'json');
         INSERT INTO vectors {query};"
    );
    let options = JobOptions {
        until_caught_up: true,
        dead_letters: DeadLetterTarget::File(folder.join("dead.jsonl")),
        epoch: EpochLimits::default(),
        epochs_in_flight: 4,
        stop_timeout: Duration::from_secs(15),
    };
    let model = Model {
        embedder: Arc::new(Nothing(vector().into())),
        space: VectorSpace {
            dimension: DIMENSION,
            model: "nothing".to_string(),
            fingerprint: "0".to_string(),
        },
    };
    measured(async {
        let plan = Plan::new(Script::parse(&sql, "row_cost.sql")?).await?;
        let job = Job::open(plan, options, Some(model)).await?;
        job.run(CancellationToken::new()).await?;
        Ok(())
    })
    .await
}

async fn datafusion_alone(output: &Path, input: &Path, query: &str) -> Result<Cost, Box<dyn Error>> {
    measured(async {
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let schema: SchemaRef = Arc::new(Schema::new(vec![text("id"), text("url"), text("title")]));
        let reader = ReaderBuilder::new(Arc::clone(&schema)).build(BufReader::new(File::open(input)?))?;
        let batches = reader.collect::<Result<Vec<RecordBatch>, _>>()?;
        let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        session.register_table("media", Arc::new(MemTable::try_new(schema, vec![batches])?))?;
        let vectors = DataType::new_list(DataType::Float32, true);
        let embed = Arc::new(|arguments: &[ColumnarValue]| {
            let rows = match &arguments[0] {
                ColumnarValue::Array(urls) => urls.len(),
                ColumnarValue::Scalar(_) => 1,
            };
            let mut lists = ListBuilder::new(Float32Builder::new());
            (0..rows).for_each(|_| lists.append_value(vector().map(Some)));
            Ok(ColumnarValue::Array(Arc::new(lists.finish())))
        });
        session.register_udf(create_udf(
            "embed",
            vec![DataType::Utf8],
            vectors,
            Volatility::Volatile,
            embed,
        ));
        let rows = session.sql(query).await?.collect().await?;
        let mut file = LineDelimitedWriter::new(BufWriter::new(File::create(output)?));
        file.write_batches(&rows.iter().collect::<Vec<_>>())?;
        file.finish()?;
        file.into_inner().into_inner()?.sync_all()?;
        Ok(())
    })
    .await
}

fn vector() -> [f32; DIMENSION] {
    [0.5; DIMENSION]
}

async fn measured(work: impl Future<Output = Result<(), Box<dyn Error>>>) -> Result<Cost, Box<dyn Error>> {
    let (started, cpu) = (Instant::now(), cpu_time()?);
    work.await?;
    Ok(Cost {
        elapsed: started.elapsed(),
        cpu: cpu_time()? - cpu,
    })
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
