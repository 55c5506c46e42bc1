//! Embeds a row of an epoch once, however many queries read it and however often they run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use sightstream_udf::{EmbedFailure, Embedder};

type Request = (String, Option<String>);
type Answer = Result<Arc<[f32]>, EmbedFailure>;

/// An embedder that remembers its answers. It lives as long as an epoch, whose queries run again on parts of it when an
/// expression fails on a row.
pub(crate) struct Remembering {
    embedder: Arc<dyn Embedder>,
    answers: Mutex<HashMap<Request, Answer>>,
}

impl Remembering {
    pub fn new(embedder: Arc<dyn Embedder>) -> Self {
        Self {
            embedder,
            answers: Mutex::default(),
        }
    }
}

#[async_trait]
impl Embedder for Remembering {
    async fn embed(&self, url: &str, instruction: Option<&str>) -> Answer {
        let request = (url.to_string(), instruction.map(str::to_string));
        let known = self
            .answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&request)
            .cloned();
        if let Some(answer) = known {
            return answer;
        }
        let answer = self.embedder.embed(url, instruction).await;
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(request, answer.clone());
        answer
    }
}
