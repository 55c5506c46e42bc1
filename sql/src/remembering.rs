//! Asks the embedding service once about a row of an epoch, however many queries read it and however often they run.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use sightstream_udf::{EmbedFailure, Embedder};

type Answer<T> = Result<Arc<[T]>, EmbedFailure>;

/// An embedder that remembers its answers. It lives as long as an epoch, whose queries run again on parts of it when an
/// expression fails on a row.
pub(crate) struct Remembering {
    embedder: Arc<dyn Embedder>,
    vectors: Answers<(String, Option<String>), f32>,
    segments: Answers<String, String>,
}

/// Answers by request.
struct Answers<K, T>(Mutex<HashMap<K, Answer<T>>>);

impl<K: Eq + Hash, T> Answers<K, T> {
    /// The answer to `request`, asked for if it is not known.
    async fn of(&self, request: K, ask: impl Future<Output = Answer<T>>) -> Answer<T> {
        if let Some(answer) = self.known().get(&request) {
            return answer.clone();
        }
        let answer = ask.await;
        self.known().insert(request, answer.clone());
        answer
    }

    fn known(&self) -> MutexGuard<'_, HashMap<K, Answer<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembering {
    pub fn new(embedder: Arc<dyn Embedder>) -> Self {
        Self {
            embedder,
            vectors: Answers(Mutex::default()),
            segments: Answers(Mutex::default()),
        }
    }
}

#[async_trait]
impl Embedder for Remembering {
    async fn embed(&self, url: &str, instruction: Option<&str>) -> Answer<f32> {
        let request = (url.to_string(), instruction.map(str::to_string));
        self.vectors.of(request, self.embedder.embed(url, instruction)).await
    }

    async fn segments(&self, url: &str) -> Answer<String> {
        self.segments.of(url.to_string(), self.embedder.segments(url)).await
    }
}
