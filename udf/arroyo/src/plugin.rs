//! All that one process has: a runtime for rows, the services, and who is told.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use metrics::{Unit, describe_gauge, gauge};
use sightstream_model::checkpoint::CheckpointFiles;
use sightstream_model::encoder::{Encoder, EncoderOptions};
use sightstream_model::error::ModelError;
use sightstream_model::fetch::Fetcher;
use sightstream_model::isolation::DecoderIsolation;
use sightstream_model::service::{EmbeddingService, ServiceOptions};
use sightstream_settings::EncoderArgs;
use tokio::runtime::{self, Runtime};
use tokio::task::AbortHandle;

use crate::dead_letters::{DeadLetters, Target};
use crate::line::Line;
use crate::row::{Function, Row, Rows};
use crate::settings::{self, PluginArgs, TellingArgs};
use crate::supervisor::{StartError, Supervisor};
use crate::tell::{self, Teller};
use crate::{endpoint, logging, rendezvous};

/// A stopped pipeline tells its functions nothing, so the model goes after so long without a row, unless a setting says
/// otherwise.
const IDLE_RELEASE: Duration = Duration::from_secs(600);

/// How long a row may take, where the setting cannot be used.
const DEADLINE: Duration = Duration::from_secs(3600);

/// Threads of the service that lists parts, each with a decoder: listing reads an index, or pages' sizes.
const LISTING_THREADS: usize = 2;

const BUILD_INFO: &str = "sightstream_build_info";

/// See the module.
pub struct Plugin {
    runtime: Runtime,
    rows: Arc<Rows>,
}

impl Plugin {
    /// Starts what rows need before a model: the log, metrics, dead letters, and a runtime. A wrong setting of these is told, and
    /// the rest goes on.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn start() -> std::io::Result<Self> {
        logging::start(settings::read());
        if !rendezvous::is_kept() {
            tracing::warn!("this library could not be kept loaded: if Arroyo unloads it, the worker ends");
        }
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("sightstream-rows")
            .enable_time()
            .build()?;
        let telling = settings::read::<TellingArgs>();
        if let Err(error) = &telling {
            tracing::error!(%error, "neither metrics nor dead letters, because a setting of theirs cannot be used");
        }
        if let Some(address) = telling.as_ref().ok().and_then(|telling| telling.metrics_address)
            && let Err(error) = endpoint::serve(address)
        {
            tracing::error!(error, "no metrics are served; rows go on");
        }
        tell::describe();
        describe_gauge!(
            BUILD_INFO,
            Unit::Count,
            "1; the labels tell the version, the model and its device."
        );
        let dead_letters = telling.ok().and_then(dead_letters);
        let deadline = match settings::read::<PluginArgs>() {
            Ok(args) => args.udf_deadline,
            Err(error) => {
                tracing::error!(%error, "the deadline is the default, because its setting cannot be used");
                DEADLINE
            }
        };
        if let Err(error) = settings::eager_start() {
            tracing::error!("{error}");
        }
        let encoder = settings::read::<EncoderArgs>();
        for told in encoder.iter().flat_map(|args| settings::without_effect(args, deadline)) {
            tracing::warn!("{told}");
        }
        let services = Arc::new(Services::new(encoder));
        let (embeds, lists) = (Arc::clone(&services), services);
        let rows = Rows {
            line: Line::new(),
            deadline,
            embedder: Supervisor::new(Function::Embed.name(), Box::new(move || embeds.embedding())),
            lister: Supervisor::new(Function::Segments.name(), Box::new(move || lists.listing())),
            teller: Teller::new(dead_letters),
        };
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!(version, ?deadline, "Sightstream's functions are ready for rows");
        Ok(Self {
            runtime,
            rows: Arc::new(rows),
        })
    }

    /// Loads the model, if that has not begun. Returns at once.
    pub fn begin(&self) {
        self.rows.embedder.begin();
    }

    /// Takes a row. `answer` is called with its value, and dropped uncalled where the row is given up. Returns at once.
    pub fn spawn(&self, row: Row, answer: impl FnOnce(Option<&[u8]>) + Send + 'static) -> AbortHandle {
        let value = Arc::clone(&self.rows).take(row);
        let task = async move {
            // What panics has told its row while it unwound.
            let value = std::panic::AssertUnwindSafe(value).catch_unwind().await;
            answer(value.ok().flatten().as_deref());
        };
        self.runtime.spawn(task).abort_handle()
    }
}

fn dead_letters(telling: TellingArgs) -> Option<DeadLetters> {
    let text = telling.dead_letter_topic?;
    let opened = Target::parse(&text, telling.kafka.as_deref()).and_then(|target| DeadLetters::open(&target));
    if let Err(error) = &opened {
        tracing::error!(
            error,
            "no dead letters are sent; rows that are NULL are told of in this log alone"
        );
    }
    opened.ok()
}

static SERVED_WITH: OnceLock<fn() -> Result<EmbeddingService, ModelError>> = OnceLock::new();

/// Has `start` make the service that embeds, in place of the one that the settings name: for measurements with an encoder that
/// does nothing. It is to be said before the first row, once, in the dylib that is loaded first.
pub fn serve_with(start: fn() -> Result<EmbeddingService, ModelError>) {
    // Who said it first has it.
    let _ = SERVED_WITH.set(start);
}

/// Makes services as the settings say.
struct Services {
    args: Result<EncoderArgs, String>,
    /// Shared by both services, so that a film whose parts are listed is fetched once.
    fetcher: Mutex<Option<Fetcher>>,
    /// How the model was loaded first: where `auto` has found a GPU, a service that follows one that is lost does not compute
    /// on the CPU instead.
    settled: OnceLock<EncoderOptions>,
}

impl Services {
    fn new(args: Result<EncoderArgs, String>) -> Self {
        Self {
            args,
            fetcher: Mutex::default(),
            settled: OnceLock::new(),
        }
    }

    fn args(&self) -> Result<&EncoderArgs, StartError> {
        self.args.as_ref().map_err(|error| StartError::Settings(error.clone()))
    }

    fn options(&self) -> Result<ServiceOptions, StartError> {
        let args = self.args()?;
        let options = args.service_options(None, None);
        let mut options = options.map_err(|error| StartError::Settings(error.to_string()))?;
        if args.idle_release.is_none() {
            options.idle_release = Some(IDLE_RELEASE);
        }
        Ok(options)
    }

    fn fetcher(&self) -> Result<Fetcher, StartError> {
        let mut fetcher = self.fetcher.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fetcher) = &*fetcher {
            return Ok(fetcher.clone());
        }
        let made = Fetcher::new(self.args()?.fetch.options()).map_err(failed("references cannot be fetched"))?;
        Ok(fetcher.insert(made).clone())
    }

    fn embedding(&self) -> Result<EmbeddingService, StartError> {
        if let Some(start) = SERVED_WITH.get() {
            return start().map_err(failed("the service cannot be started"));
        }
        let (args, options, fetcher) = (self.args()?, self.options()?, self.fetcher()?);
        let decoder = match &options.decoder {
            DecoderIsolation::InProcess => "in this process: a medium that crashes its decoder ends the worker",
            DecoderIsolation::Workers(_) => "in processes of their own",
        };
        let unusable = "the model cannot be used";
        let files = CheckpointFiles::locate(args.model.as_deref()).map_err(failed(unusable))?;
        let files = files.adapted(args.adapter.as_deref()).map_err(failed(unusable))?;
        let how = self.settled.get().cloned().unwrap_or_else(|| args.encoder_options());
        let encoder = Encoder::load_files(&files, &how).map_err(failed(unusable))?;
        self.settled.get_or_init(|| encoder.options().clone());
        let (model, device) = (encoder.model_name().to_owned(), encoder.device());
        let service = EmbeddingService::start(encoder, fetcher, options).map_err(failed(unusable))?;
        let labels = [
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("model", model.clone()),
            ("device", device.clone()),
        ];
        gauge!(BUILD_INFO, &labels).set(1.0);
        let (dimension, fingerprint) = (service.dimension(), service.fingerprint());
        tracing::info!(
            model,
            device,
            dimension,
            fingerprint,
            decoder,
            "the model is loaded, once for this process"
        );
        Ok(service)
    }

    fn listing(&self) -> Result<EmbeddingService, StartError> {
        let mut options = self.options()?;
        options.preprocess_threads = options.preprocess_threads.min(LISTING_THREADS);
        let service = EmbeddingService::without_model(self.fetcher()?, options);
        service.map_err(failed("parts cannot be listed"))
    }
}

/// An error as one that may pass: a file system that is not mounted, a device whose memory another has.
fn failed<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> StartError {
    move |error| StartError::Other(format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(args: EncoderArgs) -> Services {
        Services::new(Ok(args))
    }

    #[test]
    fn the_model_goes_after_a_while_unless_a_setting_says_otherwise() {
        let after = |idle_release| {
            let options = services(EncoderArgs {
                idle_release,
                ..EncoderArgs::default()
            });
            options.options().expect("usable").idle_release
        };
        assert_eq!(after(None), Some(IDLE_RELEASE));
        assert_eq!(after(Some(Duration::ZERO)), None);
        assert_eq!(after(Some(Duration::from_secs(5))), Some(Duration::from_secs(5)));
    }

    #[test]
    fn decoding_is_isolated_where_an_executable_is_named() {
        let isolated = services(EncoderArgs {
            decode_worker: Some("/usr/bin/sightstream".into()),
            ..EncoderArgs::default()
        });
        assert!(matches!(
            isolated.options().expect("usable").decoder,
            DecoderIsolation::Workers(_)
        ));
        let options = services(EncoderArgs::default()).options().expect("usable");
        assert!(matches!(options.decoder, DecoderIsolation::InProcess));
    }

    #[test]
    fn what_is_wrong_with_settings_is_not_tried_again_and_what_may_pass_is() {
        let wrong = Services::new(Err("invalid value 'gpu' for SIGHTSTREAM_DEVICE".into()));
        assert!(matches!(wrong.listing(), Err(StartError::Settings(why)) if why.contains("SIGHTSTREAM_DEVICE")));
        let missing = services(EncoderArgs {
            model: Some("/no/such/checkpoint".into()),
            ..EncoderArgs::default()
        });
        assert!(matches!(missing.embedding(), Err(StartError::Other(why)) if why.contains("/no/such/checkpoint")));
        missing.listing().expect("listing parts needs no model");
    }
}
