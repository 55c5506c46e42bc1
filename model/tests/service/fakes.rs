//! An encoder and a way of reading references whose every step a test can see and hold back.
//!
//! A reference is `kind/tokens/number`. Its input is `tokens` tokens, its vector `[number, tokens]`. `kind` says what goes
//! wrong with it on the way; `fine` is nothing.
//!
//! A medium with parts is `document/pages/number`, `broken/pages/number`, whose first `number` pages are corrupt,
//! `failing/pages/number`, whose page `number` the device cannot encode, or `video/seconds/number`. The input of its page, or
//! of its window by 30 seconds, `p` (from 1) of `n` is `n + 1 - p` tokens, and its vector `[number + p, n + 1 - p]`. That of
//! `kept/pages/number` is a document whose content can be told from others.

use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sightstream_model::error::{MediaError, ModelError};
use sightstream_model::fetch::{Content, FetchPlace, Fetched, Identity, MediaFile};
use sightstream_model::media::{Parts, Segmentation};
use sightstream_model::processor::ModelInput;
use sightstream_model::reference::{Fragment, MediaReference};
use sightstream_model::service::{Backend, EmbedError, EmbeddingService, Prepare, Prepared, ServiceOptions};
use tokio::sync::{Semaphore, watch};

/// Longer than any test takes: what waits for this waits for something else to happen first.
pub const FOREVER: Duration = Duration::from_secs(3600);
/// After this long, something that had to happen did not.
const PATIENCE: Duration = Duration::from_secs(60);

const FAILS_ON_DEVICE: u32 = u32::MAX;
const PANICS_ON_DEVICE: u32 = u32::MAX - 1;
const NOT_A_NUMBER: u32 = u32::MAX - 2;
const TOO_SHORT: u32 = u32::MAX - 3;
const LOSES_DEVICE: u32 = u32::MAX - 4;
const CONTRADICTORY: u32 = u32::MAX - 5;

pub fn fine(tokens: usize, number: u32) -> String {
    format!("fine/{tokens}/{number}")
}

/// How far the inputs have come, counted over the whole test.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Progress {
    pub fetched: usize,
    /// Fetches that run now.
    pub fetching: usize,
    pub preparing: usize,
    pub encoded: usize,
    /// The most that were fetched, and not encoded yet.
    pub most_fetched: usize,
    /// The most that were at least in preprocessing, and not encoded yet.
    pub most_prepared: usize,
}

/// The test's side of the fakes.
pub struct Controls {
    /// One permit lets one fetch end.
    pub fetches: Arc<Semaphore>,
    progress: Arc<watch::Sender<Progress>>,
    batches: Mutex<Receiver<Vec<u32>>>,
    device: Sender<()>,
    ended: Mutex<Receiver<()>>,
    pub prepares: Arc<AtomicUsize>,
    /// How often loading the model again is still refused.
    pub refusals: Arc<AtomicUsize>,
    /// Whether giving the model up panics.
    pub release_panics: Arc<AtomicBool>,
}

impl Controls {
    /// Waits until the inputs have come so far.
    pub async fn until(&self, reached: impl FnMut(&Progress) -> bool) {
        let mut progress = self.progress.subscribe();
        tokio::time::timeout(PATIENCE, progress.wait_for(reached))
            .await
            .expect("in time")
            .expect("the fakes live");
    }

    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// The next batch that the device saw, as its inputs' numbers.
    pub fn batch(&self) -> Vec<u32> {
        self.batches
            .lock()
            .expect("one test thread")
            .recv_timeout(PATIENCE)
            .expect("a batch in time")
    }

    /// The batches that the device saw and the test did not ask for yet.
    pub fn other_batches(&self) -> Vec<Vec<u32>> {
        self.batches.lock().expect("one test thread").try_iter().collect()
    }

    /// Lets the held device encode this many batches.
    pub fn release(&self, batches: usize) {
        for _ in 0..batches {
            self.device.send(()).expect("the device lives");
        }
    }

    /// Waits for the device thread to drop the encoder.
    pub fn until_ended(&self) {
        self.ended
            .lock()
            .expect("one test thread")
            .recv_timeout(PATIENCE)
            .expect("the device thread ends");
    }
}

/// What a test holds back. Nothing by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hold {
    pub fetches: bool,
    pub device: bool,
}

pub fn start(options: ServiceOptions, hold: Hold) -> (EmbeddingService, Controls) {
    let (progress, fetches) = (Arc::new(watch::Sender::default()), Arc::new(Semaphore::new(0)));
    let (batch_sender, batches) = mpsc::channel();
    let (device, releases) = mpsc::channel();
    let (ended_sender, ended) = mpsc::channel();
    let prepares = Arc::new(AtomicUsize::new(0));
    let refusals = Arc::new(AtomicUsize::new(0));
    let release_panics = Arc::new(AtomicBool::new(false));
    if !hold.fetches {
        fetches.add_permits(Semaphore::MAX_PERMITS / 2);
    }
    let prepare = FakePrepare {
        fetches: Arc::clone(&fetches),
        progress: Arc::clone(&progress),
        prepares: Arc::clone(&prepares),
    };
    let backend = FakeBackend {
        batches: batch_sender,
        releases: hold.device.then_some(releases),
        progress: Arc::clone(&progress),
        ended: ended_sender,
        lost: false,
        released: false,
        refusals: Arc::clone(&refusals),
        release_panics: Arc::clone(&release_panics),
    };
    let service = EmbeddingService::from_parts(backend, prepare, options).expect("the service starts");
    let controls = Controls {
        fetches,
        progress,
        batches: Mutex::new(batches),
        device,
        ended: Mutex::new(ended),
        prepares,
        refusals,
        release_panics,
    };
    (service, controls)
}

struct FakePrepare {
    fetches: Arc<Semaphore>,
    progress: Arc<watch::Sender<Progress>>,
    prepares: Arc<AtomicUsize>,
}

/// Counts a fetch while it runs.
struct Fetching(Arc<watch::Sender<Progress>>);

impl Fetching {
    fn start(progress: &Arc<watch::Sender<Progress>>) -> Self {
        progress.send_modify(|progress| {
            progress.fetched += 1;
            progress.fetching += 1;
            progress.most_fetched = progress.most_fetched.max(progress.fetched - progress.encoded);
        });
        Self(Arc::clone(progress))
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.send_modify(|progress| progress.fetching -= 1);
    }
}

/// `kind/tokens/number`.
fn parts(reference: &MediaReference) -> (String, usize, u32) {
    let name = reference.to_string();
    let name = match reference.fragment() {
        Some(_) => name.rsplit_once('#').expect("a fragment follows a #").0,
        None => &name,
    };
    let mut parts = name.rsplit('/');
    let mut part = || parts.next().expect("kind/tokens/number").to_owned();
    let number = part().parse().expect("a number");
    let tokens = part().parse().expect("a number of tokens");
    (part(), tokens, number)
}

#[async_trait]
impl Prepare for FakePrepare {
    async fn fetch(&self, reference: &MediaReference, place: &mut FetchPlace) -> Result<Fetched, MediaError> {
        place.take().await;
        let _fetching = Fetching::start(&self.progress);
        self.fetches.acquire().await.expect("never closed").forget();
        match parts(reference).0.as_str() {
            "missing" => Err(MediaError::NotFound {
                name: reference.to_string(),
                message: "gone".into(),
            }),
            "panics-in-fetch" => panic!("the fetcher's bug"),
            "kept" => {
                let (_, pages, number) = parts(reference);
                let file = MediaFile {
                    file: Arc::new(File::open("/dev/null").expect("it is always there")),
                    length: 0,
                    identity: Identity([pages as u8 ^ number as u8; 16]),
                };
                Ok(Fetched {
                    content: Content::File(file),
                    media_type: None,
                })
            }
            _ => Ok(Fetched {
                content: Content::Memory(Bytes::new()),
                media_type: None,
            }),
        }
    }

    fn prepare(
        &self,
        reference: &MediaReference,
        _fetched: Fetched,
        instruction: Option<&str>,
    ) -> Result<Prepared, EmbedError> {
        self.prepares.fetch_add(1, Ordering::SeqCst);
        self.progress.send_modify(|progress| {
            progress.preparing += 1;
            progress.most_prepared = progress.most_prepared.max(progress.preparing - progress.encoded);
        });
        let (kind, mut tokens, mut number) = parts(reference);
        if let Some(whole) = whole(&kind, tokens) {
            let count = whole.count(&Segmentation::default());
            let part = match reference.fragment() {
                None => return Ok(Prepared::Parts(whole)),
                Some(Fragment::Page(page)) => *page,
                Some(Fragment::Time { start, .. }) => (start / 30.0) as u32 + 1,
            };
            if kind == "broken" && part <= number {
                return Err(EmbedError::Media(MediaError::Corrupt {
                    name: reference.to_string(),
                    message: "torn out".into(),
                }));
            }
            if kind == "failing" && part == number {
                return Ok(input(FAILS_ON_DEVICE, 1));
            }
            (tokens, number) = (count + 1 - part as usize, number + part);
        }
        let token = match kind.as_str() {
            "panics-in-decoder" => panic!("the decoder's bug"),
            "fails-on-device" => FAILS_ON_DEVICE,
            "panics-on-device" => PANICS_ON_DEVICE,
            "not-a-number" => NOT_A_NUMBER,
            "too-short" => TOO_SHORT,
            "loses-device" => LOSES_DEVICE,
            "contradictory" => CONTRADICTORY,
            _ => number + instruction.map_or(0, |text| text.len() as u32),
        };
        Ok(input(token, tokens))
    }

    fn parts(&self, reference: &MediaReference, _fetched: Fetched) -> Result<Parts, EmbedError> {
        self.prepares.fetch_add(1, Ordering::SeqCst);
        let (kind, tokens, _) = parts(reference);
        if kind == "panics-in-decoder" {
            panic!("the decoder's bug");
        }
        Ok(whole(&kind, tokens).unwrap_or(Parts::Whole))
    }
}

fn input(token: u32, tokens: usize) -> Prepared {
    Prepared::Input(ModelInput {
        token_ids: vec![token; tokens],
        vision: None,
    })
}

/// The parts of a medium that has some.
fn whole(kind: &str, length: usize) -> Option<Parts> {
    match kind {
        "document" | "broken" | "failing" | "kept" => Some(Parts::Pages(length as u32)),
        "video" => Some(Parts::Windows {
            duration: length as f64,
        }),
        _ => None,
    }
}

struct FakeBackend {
    batches: Sender<Vec<u32>>,
    releases: Option<Receiver<()>>,
    progress: Arc<watch::Sender<Progress>>,
    ended: Sender<()>,
    /// From then on nothing is encoded.
    lost: bool,
    /// Nothing may be encoded meanwhile.
    released: bool,
    refusals: Arc<AtomicUsize>,
    release_panics: Arc<AtomicBool>,
}

impl Backend for FakeBackend {
    fn encode(&mut self, inputs: &[ModelInput]) -> Result<Vec<Vec<f32>>, ModelError> {
        let numbers: Vec<u32> = inputs.iter().map(|input| input.token_ids[0]).collect();
        assert!(!self.released, "the model was given up");
        // A test that ended without looking at its batches has dropped the other side.
        let _ = self.batches.send(numbers.clone());
        if let Some(releases) = &self.releases {
            // The test's end releases everything.
            let _ = releases.recv();
        }
        if numbers.contains(&PANICS_ON_DEVICE) {
            panic!("the kernel's bug");
        }
        self.lost |= numbers.contains(&LOSES_DEVICE);
        if self.lost {
            return Err(ModelError::Device("it fell off the bus".into()));
        }
        if let Some(index) = numbers.iter().position(|&number| number == CONTRADICTORY) {
            let message = "no such token".into();
            return Err(ModelError::Input { index, message });
        }
        if numbers.contains(&FAILS_ON_DEVICE) {
            return Err(ModelError::Device("out of memory".into()));
        }
        self.progress.send_modify(|progress| progress.encoded += inputs.len());
        Ok(inputs
            .iter()
            .map(|input| match input.token_ids[0] {
                NOT_A_NUMBER => vec![0.0, f32::NAN],
                TOO_SHORT => vec![0.0],
                number => vec![number as f32, input.tokens() as f32],
            })
            .collect())
    }

    fn release(&mut self) {
        assert!(!self.released, "it was given up already");
        assert!(!self.release_panics.load(Ordering::SeqCst), "the driver's bug");
        self.released = true;
    }

    fn restore(&mut self) -> Result<(), ModelError> {
        let refused = self
            .refusals
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match refused {
            Ok(_) => Err(ModelError::Device("out of memory".into())),
            Err(_) => {
                self.released = false;
                Ok(())
            }
        }
    }

    fn dimension(&self) -> usize {
        2
    }

    fn model_name(&self) -> &str {
        "fake"
    }

    fn fingerprint(&self) -> &str {
        "0123456789ab"
    }
}

impl Drop for FakeBackend {
    fn drop(&mut self) {
        // A test that does not wait for the end has dropped the other side.
        let _ = self.ended.send(());
    }
}
