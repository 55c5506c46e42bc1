//! `sightstream run`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;
use sightstream_connectors::dead_letter::DeadLetterTarget;
use sightstream_connectors::kafka::{TOMBSTONES, Tombstones};
use sightstream_settings::Fallback;
use sightstream_sql::Script;

use super::{EncoderArgs, Settings, values};

pub const EXAMPLES: &str = r#"Examples:
  sightstream run index_media.sql
      where index_media.sql holds
        CREATE TABLE media (id TEXT, url TEXT, title TEXT)
          WITH (connector = 'kafka', bootstrap_servers = 'localhost:9092', topic = 'media', type = 'source',
                format = 'json', 'source.offset' = 'earliest', 'source.group_id' = 'indexer');
        CREATE TABLE vectors (id TEXT, url TEXT, title TEXT, vector FLOAT[])
          WITH (connector = 'qdrant', url = 'http://localhost:6334', collection = 'media');
        INSERT INTO vectors SELECT id, url, title, embed(url, 'Represent the given image.') FROM media;

  sightstream run index_media.sql --until-caught-up --dead-letters kafka://localhost:9092/media_dead

  sightstream run index_media.sql --metrics-address 0.0.0.0:9090 --log-format json
      GET /metrics (Prometheus), /healthz, /readyz

A flag wins over its environment variable, and that over a SET in the file: every flag of the groups Encoder and
Fetching, and dead_letters, tombstones, epoch_rows, epoch_bytes, epoch_delay, epochs_in_flight and stop_timeout may be
set there, as in
  SET sightstream.max_batch_tokens = 8192;

SIGTERM or SIGINT (Ctrl-C): rows in flight are finished and committed, then it exits with 0. If that waits longer than
--stop-timeout for a system that is away, it exits with 1. A second signal ends it at once. Either way the rows that were
in flight are read again by the next run."#;

/// Which file, and how it runs.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The SQL file
    #[arg(value_name = "FILE.sql")]
    pub file: PathBuf,

    /// End when everything that was in the sources at the start is durable
    #[arg(long, env = "SIGHTSTREAM_UNTIL_CAUGHT_UP", value_parser = FalseyValueParser::new())]
    pub until_caught_up: bool,

    /// Serve Prometheus metrics here: 0.0.0.0:9090
    #[arg(long, env = "SIGHTSTREAM_METRICS_ADDRESS", value_name = "HOST:PORT")]
    pub metrics_address: Option<SocketAddr>,

    #[command(flatten)]
    pub job: JobArgs,

    #[command(flatten)]
    pub encoder: EncoderArgs,
}

/// How a job treats rows. What is left out here may be `SET` in the SQL file.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Job")]
pub struct JobArgs {
    /// Where rows go that cannot be read, embedded or written: a file, kafka://HOST:PORT/TOPIC[?librdkafka.setting=…], or
    /// none, which stops the job at the first [default: dead_letters.jsonl in the state folder]
    #[arg(
        long,
        env = "SIGHTSTREAM_DEAD_LETTERS",
        value_name = "TARGET",
        value_parser = values::DeadLetterParser,
        hide_env_values = true
    )]
    pub dead_letters: Option<DeadLetterTarget>,

    /// What a record without a value does in Kafka tables that do not say it themselves ('source.tombstones'): ignore, or
    /// delete the row that its key names [default: ignore]
    #[arg(long, env = "SIGHTSTREAM_TOMBSTONES", value_name = "ignore|delete")]
    pub tombstones: Option<Tombstones>,

    /// The folder of what the job keeps here [default: .sightstream/NAME for NAME.sql]
    #[arg(long, env = "SIGHTSTREAM_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// The most rows between two commits of a source [default: 256; 16 where a statement calls
    /// segments, 2048 where nothing is embedded]
    #[arg(long, env = "SIGHTSTREAM_EPOCH_ROWS", value_name = "ROWS", value_parser = values::count)]
    pub epoch_rows: Option<usize>,

    /// The most bytes of records between two commits of a source [default: 8MiB]
    #[arg(long, env = "SIGHTSTREAM_EPOCH_BYTES", value_name = "BYTES", value_parser = values::bytes)]
    pub epoch_bytes: Option<usize>,

    /// How long the first row of an epoch waits for others [default: 200ms]
    #[arg(long, env = "SIGHTSTREAM_EPOCH_DELAY", value_name = "DURATION", value_parser = values::duration)]
    pub epoch_delay: Option<Duration>,

    /// Epochs computed at the same time; they are written in order [default: 4]
    #[arg(long, env = "SIGHTSTREAM_EPOCHS_IN_FLIGHT", value_name = "COUNT", value_parser = values::count)]
    pub epochs_in_flight: Option<usize>,

    /// After SIGTERM, how long a system that is away is waited for before the job ends with an error; the next run reads
    /// again what was in flight [default: 15s]
    #[arg(long, env = "SIGHTSTREAM_STOP_TIMEOUT", value_name = "DURATION", value_parser = values::duration)]
    pub stop_timeout: Option<Duration>,
}

impl JobArgs {
    /// Fills what neither a flag nor an environment variable says from the settings of a SQL file.
    pub fn fill(&mut self, settings: &mut Settings) {
        settings.fill_shown(
            "dead_letters",
            &mut self.dead_letters,
            DeadLetterTarget::parse,
            DeadLetterTarget::shown,
        );
        settings.fill("tombstones", &mut self.tombstones, str::parse);
        settings.fill("epoch_rows", &mut self.epoch_rows, values::count);
        settings.fill("epoch_bytes", &mut self.epoch_bytes, values::bytes);
        settings.fill("epoch_delay", &mut self.epoch_delay, values::duration);
        settings.fill("epochs_in_flight", &mut self.epochs_in_flight, values::count);
        settings.fill("stop_timeout", &mut self.stop_timeout, values::duration);
    }

    /// Puts into the tables of `script` what holds for those that say nothing.
    pub fn set_defaults(&self, script: &mut Script) {
        if let Some(tombstones) = self.tombstones {
            script.set_source_default("kafka", TOMBSTONES, tombstones.as_str());
        }
    }

    /// The state folder of the job in `file`.
    pub fn state_dir(&self, file: &Path) -> PathBuf {
        self.state_dir.clone().unwrap_or_else(|| {
            let name = file.file_stem().unwrap_or(file.as_os_str());
            Path::new(".sightstream").join(name)
        })
    }

    /// Where dead letters of the job in `file` go.
    pub fn dead_letters(&self, file: &Path) -> DeadLetterTarget {
        let default = || DeadLetterTarget::File(self.state_dir(file).join("dead_letters.jsonl"));
        self.dead_letters.clone().unwrap_or_else(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_stay_beside_the_state_unless_told_otherwise() {
        let mut job = JobArgs::default();
        let file = Path::new("pipelines/index_media.sql");
        assert_eq!(
            job.dead_letters(file).to_string(),
            ".sightstream/index_media/dead_letters.jsonl"
        );
        job.dead_letters = Some(DeadLetterTarget::None);
        assert_eq!(job.dead_letters(file).to_string(), "none");
    }
}
