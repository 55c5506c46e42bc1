//! The run: the scene, its faults and kills, and the checks at the end.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use crate::broker::Broker;
use crate::checks::{collection, dead_letters, standings, vectors_by_embed};
use crate::command::Pipeline;
use crate::feed::Feed;
use crate::job::Job;
use crate::media::MediaServer;
use crate::proxy::{Link, Proxy};
use crate::qdrant::Qdrant;
use crate::rows::Rows;
use crate::schedule::{Act, Fault, acts};
use crate::settings::Settings;
use crate::story::{Event, Report, Story, log_messages, spread};
use crate::topics::create_topic;

const TOPIC: &str = "media";
const GROUP: &str = "indexer";
const PARTITIONS: i32 = 4;

/// What one process of the job may hold at most, in bytes: the weights are tiny, so this is the job's own.
const MEMORY_CEILING: u64 = 512 << 20;

/// How long the job may take for what is left when all faults are over.
const CATCH_UP: Duration = Duration::from_secs(600);

/// The faults, to be understood as "slow": a chunk is late by this, and so much passes in a second.
const SLOW: Link = Link::Slow {
    latency: Duration::from_millis(60),
    bytes_per_second: 256 << 10,
};

/// Runs it all. What is found wrong panics; logs and data are kept then.
pub fn run(settings: &Settings) {
    let folder = tempfile::Builder::new()
        .prefix("fault-run-")
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .expect("the target folder can be written to")
        .keep();
    println!(
        "fault run: {} rows, {} kills, seed {} (SIGHTSTREAM_TEST_FAULT_SEED repeats it); its files are in {}",
        settings.rows,
        settings.kills,
        settings.seed,
        folder.display()
    );
    let runtime = tokio::runtime::Runtime::new().expect("the runtime starts");
    let report = runtime.block_on(async {
        tokio::select! {
            report = play(settings, &folder) => report,
            () = interrupted() => panic!("interrupted"),
        }
    });
    println!("{report}");
    if let Some(path) = &settings.report {
        std::fs::write(path, report.to_string()).expect("the report can be written");
    }
    std::fs::remove_dir_all(&folder).expect("the folder can be removed");
}

/// Ends at SIGINT or SIGTERM, so that the broker does not outlive the test then either.
async fn interrupted() {
    let mut signals =
        [SignalKind::interrupt(), SignalKind::terminate()].map(|kind| signal(kind).expect("signals can be waited for"));
    let [interrupt, terminate] = &mut signals;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// The servers, and the network before them.
struct Scene {
    broker: Broker,
    broker_link: Proxy,
    qdrant: Option<Qdrant>,
    qdrant_link: Proxy,
    qdrant_folder: std::path::PathBuf,
}

impl Scene {
    async fn new(folder: &Path) -> Self {
        let (broker_link, qdrant_link) =
            tokio::try_join!(Proxy::start(), Proxy::start()).expect("there are free ports");
        let (broker_folder, qdrant_folder) = (folder.join("kafka"), folder.join("qdrant"));
        let (broker, qdrant) = tokio::join!(
            Broker::start(&broker_folder, broker_link.address()),
            Qdrant::start(&qdrant_folder)
        );
        broker_link.lead_to(Some(broker.address()));
        qdrant_link.lead_to(Some(qdrant.address()));
        Self {
            broker,
            broker_link,
            qdrant: Some(qdrant),
            qdrant_link,
            qdrant_folder,
        }
    }

    async fn begin(&mut self, fault: Fault) {
        match fault {
            Fault::BrokerKilled => self.broker.kill().await,
            Fault::BrokerStopped => self.broker.stop().await,
            Fault::QdrantKilled => {
                drop(self.qdrant.take());
                // Its port is another's to take now.
                self.qdrant_link.lead_to(None);
            }
            Fault::BrokerCutOff => self.broker_link.set(Link::Cut),
            Fault::QdrantCutOff => self.qdrant_link.set(Link::Cut),
            Fault::NothingPasses => self.set_links(Link::Silent),
            Fault::Slow => self.set_links(SLOW),
        }
    }

    async fn end(&mut self, fault: Fault) {
        match fault {
            Fault::BrokerKilled | Fault::BrokerStopped => self.broker.resume().await,
            Fault::QdrantKilled => {
                let qdrant = Qdrant::start(&self.qdrant_folder).await;
                self.qdrant_link.lead_to(Some(qdrant.address()));
                self.qdrant = Some(qdrant);
            }
            _ => self.set_links(Link::Open),
        }
    }

    fn set_links(&self, link: Link) {
        self.broker_link.set(link);
        self.qdrant_link.set(link);
    }
}

/// One fault, with the kills around it.
async fn perform(act: &Act, scene: &mut Scene, job: &mut Job, story: &mut Story) {
    let story = std::cell::RefCell::new(story);
    let faults = async {
        tokio::time::sleep(act.calm).await;
        story.borrow_mut().tell(Event::Began(act.fault));
        scene.begin(act.fault).await;
        tokio::time::sleep(act.fault.lasts()).await;
        scene.end(act.fault).await;
        story.borrow_mut().tell(Event::Over(act.fault));
    };
    let began = Instant::now();
    let kills = async {
        for moment in &act.kills {
            tokio::time::sleep_until((began + *moment).into()).await;
            job.kill().await;
            story.borrow_mut().tell(Event::Killed { start: job.starts });
            job.start(&[]);
        }
    };
    tokio::join!(faults, kills);
    job.check_runs();
}

/// The rows of share `index` of `shares`.
fn share(index: usize, shares: usize, rows: usize) -> Range<usize> {
    rows * index / shares..rows * (index + 1) / shares
}

async fn play(settings: &Settings, folder: &Path) -> Report {
    let began = Instant::now();
    let media = MediaServer::start().await;
    let rows = Arc::new(Rows::new(settings.rows, settings.seed, folder, &media));
    let mut scene = Scene::new(folder).await;
    let servers = scene.broker_link.address().to_string();
    create_topic(&servers, TOPIC, PARTITIONS).await;
    let pipeline = Pipeline {
        servers: &servers,
        topic: TOPIC,
        group: GROUP,
        qdrant: format!("http://{}", scene.qdrant_link.address()),
    };

    let mut job = Job::new(folder, pipeline.script(folder));
    let mut story = Story::new();
    let feed = Feed::start(scene.broker_link.address(), TOPIC, Arc::clone(&rows), folder);
    job.start(&[]);
    let acts = acts(settings.seed, settings.kills);
    for (index, act) in acts.iter().enumerate() {
        feed.write(share(index, acts.len(), settings.rows), act.lasts());
        perform(act, &mut scene, &mut job, &mut story).await;
    }
    feed.finish().await;
    let faults_over = Instant::now();
    job.stop().await;
    job.start(&["--until-caught-up"]);
    job.ends_well(CATCH_UP).await;
    let caught_up = faults_over.elapsed();

    let vectors = {
        let (rows, folder) = (Arc::clone(&rows), folder.to_path_buf());
        let vectors = tokio::task::spawn_blocking(move || vectors_by_embed(&rows, &folder));
        vectors.await.expect("embed is waited for")
    };
    let qdrant = scene.qdrant.as_ref().expect("it was started again");
    collection(qdrant.address(), &rows, &vectors).await;
    let letters = dead_letters(&folder.join(format!(".sightstream/{GROUP}/dead_letters.jsonl")), &rows);
    let broker = scene.broker_link.address();
    let standings = tokio::task::spawn_blocking(move || standings(broker, TOPIC, GROUP, PARTITIONS));
    let standings = standings.await.expect("the broker is asked");
    for standing in &standings {
        assert_eq!(standing.committed, standing.end, "{standings:?}");
    }
    let records: i64 = standings.iter().map(|standing| standing.end).sum();
    assert!(records >= settings.rows as i64, "the producer wrote every record");

    let (peak, peak_helper) = job.watch().peaks();
    assert!(peak <= MEMORY_CEILING, "the job held {peak} bytes");
    let messages = log_messages(&job.logs());
    let answers = job.watch().answers();
    let healthy = answers.iter().all(|answer| answer.healthy);
    assert!(healthy, "/healthz says that the process lives");
    for system in ["Kafka", "Qdrant"] {
        let shown = answers
            .iter()
            .any(|answer| answer.waits_for.iter().any(|waits| waits.starts_with(system)));
        assert!(shown, "the metrics say that {system} is waited for");
        let told = messages
            .keys()
            .any(|message| message.contains("waiting") && message.contains(system));
        assert!(told, "the log says that {system} is waited for: {messages:?}");
    }

    let mebibytes = |bytes: u64| format!("{} MiB", bytes >> 20);
    let (kills, kills_in_faults) = story.kills();
    let mut report = Report::default();
    report.line("seed", settings.seed);
    report.line(
        "records",
        format!("{}, {records} with those that the producer sent twice", settings.rows),
    );
    report.line("good ids, each there once", rows.good.len());
    report.line("bad records, each dead-lettered", rows.bad.len());
    report.line("dead letters written", letters);
    report.line(
        "kill -9",
        format!("{kills}, of them {kills_in_faults} while a fault lasted"),
    );
    report.line("starts of the job", job.starts);
    for (fault, count) in story.faults() {
        report.line(&format!("fault {fault}"), count);
    }
    report.line("recovery after a fault", spread(story.recoveries(&answers)));
    report.line("recovery after a kill in calm", spread(story.restarts(&answers)));
    report.line(
        "caught up after the last fault in",
        format!("{:.1} s", caught_up.as_secs_f64()),
    );
    report.line("peak memory of a process", mebibytes(peak));
    if peak_helper > 0 {
        report.line("peak memory of a helper process", mebibytes(peak_helper));
    }
    report.line(
        "ready",
        format!(
            "{} of {} answers",
            answers.iter().filter(|answer| answer.ready).count(),
            answers.len()
        ),
    );
    report.line("in all", format!("{:.0} s", began.elapsed().as_secs_f64()));
    for (message, count) in messages {
        report.line(&format!("{count} x"), message);
    }
    report
}
