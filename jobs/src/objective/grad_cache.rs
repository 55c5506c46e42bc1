//! Gradients of a batch that is larger than the memory for its graph.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Tensor;
use sightstream_model::processor::ModelInput;

use super::gradients::Gradients;
use super::info_nce::{Alike, InfoNce};
use super::seed::derive;
use crate::embed::Embed;
use crate::error::JobError;
use crate::example::Example;

/// How a batch is cut for the encoder (GradCache: Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited
/// Setup", 2021).
///
/// The loss of a query needs the vectors of all targets, but the loss's gradient on a vector is all that this vector's input
/// needs. So a first pass makes the vectors a chunk at a time and lets go of each graph; the loss is differentiated down to the
/// vectors; a second pass makes each chunk's graph anew and carries its share on to the parameters. At any time there is one
/// chunk's graph, however large the batch.
///
/// The last chunk of the first pass keeps its graph, as the second begins with it: a batch of few chunks saves a good part of
/// its work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GradCache {
    /// Queries in a chunk. `None`: all at once, with a graph from the first pass on.
    pub query_chunk: Option<usize>,
    /// Targets in a chunk, where an example of k targets counts k. `None`: all at once, with a graph from the first pass on.
    pub target_chunk: Option<usize>,
}

/// What a batch says about the parameters.
#[derive(Debug)]
pub struct Outcome {
    /// The mean loss of a query, in nats.
    pub loss: f32,
    /// The share of queries that found their positive in the batch (see [`super::Scored::accuracy`]).
    pub accuracy: f32,
    /// The loss's gradient on each parameter. None at all if the loss is not a number, as theirs would not be numbers either.
    pub gradients: Gradients,
}

/// One side of the batch.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Queries,
    Targets,
}

/// Inputs that go through the encoder together.
struct Chunk<'a> {
    side: Side,
    /// Their rows among the vectors of their side.
    rows: Range<usize>,
    inputs: Vec<&'a ModelInput>,
    /// The same in both passes.
    dropout: Option<u64>,
    /// Their vectors with graph, kept from the first pass.
    kept: Option<Tensor>,
    /// Whether they are.
    keeps: bool,
}

impl GradCache {
    /// The loss of a batch, and its gradient on each parameter.
    ///
    /// `dropout` seeds the masks of the whole batch; each chunk gets a seed of its own from it.
    ///
    /// # Errors
    /// [`JobError::Config`] for a chunk of nothing, a batch without examples, and examples with different numbers of targets;
    /// what the encoder and the objective report.
    pub fn gradients(
        &self,
        model: &dyn Embed,
        batch: &[Example],
        objective: &InfoNce,
        dropout: Option<u64>,
    ) -> Result<Outcome, JobError> {
        let outcome = self.gradients_unless(&AtomicBool::new(false), model, batch, objective, dropout)?;
        Ok(outcome.expect("nobody else has the flag that stops it"))
    }

    /// As [`GradCache::gradients`], but gives up between two chunks once `stop` is set: then it is `None`.
    ///
    /// # Errors
    /// As [`GradCache::gradients`].
    pub fn gradients_unless(
        &self,
        stop: &AtomicBool,
        model: &dyn Embed,
        batch: &[Example],
        objective: &InfoNce,
        dropout: Option<u64>,
    ) -> Result<Option<Outcome>, JobError> {
        let mut chunks = self.chunks(batch, dropout)?;
        let (mut queries, mut targets) = (Vec::new(), Vec::new());
        for chunk in &mut chunks {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let vectors = match chunk.keeps {
                true => model.embed(&chunk.inputs, chunk.dropout)?,
                false => model.embed_without_graph(&chunk.inputs, chunk.dropout)?,
            };
            match chunk.side {
                Side::Queries => queries.push(vectors.detach()),
                Side::Targets => targets.push(vectors.detach()),
            }
            chunk.kept = chunk.keeps.then_some(vectors);
        }
        let scored = objective.evaluate(
            &Tensor::cat(&queries, 0)?,
            &Tensor::cat(&targets, 0)?,
            Alike {
                rows: &batch
                    .iter()
                    .flat_map(|example| example.rows.iter().copied())
                    .collect::<Vec<_>>(),
                says: &told_apart(batch),
            },
        )?;

        let parameters = model.parameters();
        let mut gradients = Gradients::none(parameters.len());
        if scored.loss.is_finite() {
            // Graphs that are there go first, so that no other stands beside them for longer than it must.
            chunks.sort_by_key(|chunk| !chunk.keeps);
            for mut chunk in chunks {
                if stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                let vectors = match chunk.kept.take() {
                    Some(vectors) => vectors,
                    None => model.embed(&chunk.inputs, chunk.dropout)?,
                };
                let of_side = match chunk.side {
                    Side::Queries => &scored.query_gradient,
                    Side::Targets => &scored.target_gradient,
                };
                let on_vectors = of_side.narrow(0, chunk.rows.start, chunk.rows.len())?;
                // A number whose gradient on the vectors is the loss's.
                let stand_in = (vectors * on_vectors)?.sum_all()?;
                gradients.collect(stand_in.backward()?, parameters)?;
            }
        }
        Ok(Some(Outcome {
            loss: scored.loss,
            accuracy: scored.accuracy,
            gradients,
        }))
    }

    /// The batch in the order of the first pass.
    fn chunks<'a>(&self, batch: &'a [Example], dropout: Option<u64>) -> Result<Vec<Chunk<'a>>, JobError> {
        let per_query = batch.first().map_or(0, |example| example.targets.len());
        if per_query == 0 {
            return Err(JobError::Config(
                "a batch needs an example, and every example a target".to_owned(),
            ));
        }
        if let Some(odd) = batch.iter().position(|example| example.targets.len() != per_query) {
            return Err(JobError::Config(format!(
                "example {odd} of the batch has {} targets and the first one {per_query}: all need the same number of hard \
                 negatives",
                batch[odd].targets.len()
            )));
        }
        let queries: Vec<_> = batch.iter().map(|example| &example.query).collect();
        let targets: Vec<_> = batch.iter().flat_map(|example| &example.targets).collect();
        let mut chunks = Vec::new();
        for (side, inputs, size, key) in [
            (Side::Queries, queries, self.query_chunk, "gc_q_chunk_size"),
            (Side::Targets, targets, self.target_chunk, "gc_p_chunk_size"),
        ] {
            if size == Some(0) {
                return Err(JobError::Config(format!(
                    "`{key}` is 0: a chunk needs one input or more"
                )));
            }
            let mut start = 0;
            for part in inputs.chunks(size.unwrap_or(inputs.len())) {
                chunks.push(Chunk {
                    side,
                    rows: start..start + part.len(),
                    inputs: part.to_vec(),
                    dropout: dropout.map(|seed| derive(seed, [side as u64, start as u64])),
                    kept: None,
                    keeps: size.is_none(),
                });
                start += part.len();
            }
        }
        if let Some(last) = chunks.last_mut() {
            last.keeps = true;
        }
        Ok(chunks)
    }
}

/// For each target of the batch, the first one that is the same text. Media are taken for different: few are the same, and
/// their pixels are many.
fn told_apart(batch: &[Example]) -> Vec<usize> {
    let mut first: HashMap<&[u32], usize> = HashMap::new();
    let targets = batch.iter().flat_map(|example| &example.targets).enumerate();
    targets
        .map(|(index, target)| match target.vision {
            Some(_) => index,
            None => *first.entry(&target.token_ids).or_insert(index),
        })
        .collect()
}
