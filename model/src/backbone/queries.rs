//! Which tokens of a layer are computed, and what they attend to.

use candle_core::{Result, Tensor};

use super::attention::{Pattern, Segments};
use super::cpu::{self, Sequence};
use super::rope::RotaryTable;

/// The sizes of a layer's heads.
#[derive(Debug, Clone, Copy)]
pub struct HeadSizes {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// The width of one.
    pub size: usize,
}

/// The tokens that a layer computes, and what they attend to. Made once for a batch, and shared by all layers of a tower.
#[derive(Debug, Clone)]
pub struct Queries {
    /// `None`: every token.
    pub(super) rows: Option<Tensor>,
    pub(super) rotary: RotaryTable,
    pub(super) attend: Attend,
}

/// Who attends to whom.
#[derive(Debug, Clone)]
pub(super) enum Attend {
    /// For candle's operations.
    Plain(Pattern),
    /// For those on slices.
    Fused { sequences: Vec<Sequence>, causal: bool },
}

impl Queries {
    /// Every token of `sequences`. With `causal`, none sees a later one. `like` says on what device and in what type, and
    /// `rotary` is the table of all tokens.
    ///
    /// # Errors
    /// If the device fails.
    pub fn all(
        sequences: &Segments,
        sizes: HeadSizes,
        causal: bool,
        rotary: &RotaryTable,
        like: &Tensor,
    ) -> Result<Self> {
        let attend = Attend::new(sequences, sequences, sizes, causal, like)?;
        Ok(Self {
            rows: None,
            rotary: rotary.clone(),
            attend,
        })
    }

    /// Each sequence's last token.
    ///
    /// # Errors
    /// If the device fails.
    pub fn last(sequences: &Segments, sizes: HeadSizes, rotary: &RotaryTable, like: &Tensor) -> Result<Self> {
        let rows = Tensor::new(sequences.last_rows(), like.device())?;
        let queries = Segments::new(vec![1; sequences.lengths().len()]);
        let attend = Attend::new(&queries, sequences, sizes, true, like)?;
        Ok(Self {
            rotary: rotary.select(&rows)?,
            rows: Some(rows),
            attend,
        })
    }

    /// Their rows of `x` (tokens, width).
    pub(super) fn of(&self, x: &Tensor) -> Result<Tensor> {
        match &self.rows {
            Some(rows) => x.index_select(rows, 0),
            None => Ok(x.clone()),
        }
    }
}

impl Attend {
    fn new(queries: &Segments, keys: &Segments, sizes: HeadSizes, causal: bool, like: &Tensor) -> Result<Self> {
        if !cpu::is_fused(like) || sizes.size > cpu::Attention::WIDEST {
            return Ok(Self::Plain(Pattern::new(
                queries,
                keys,
                sizes.heads,
                causal,
                like.device(),
            )?));
        }
        let (mut q_start, mut k_start) = (0, 0);
        let lengths = queries.lengths().iter().zip(keys.lengths());
        let sequences = lengths.map(|(&q_length, &k_length)| {
            let sequence = Sequence {
                q_start,
                q_length,
                k_start,
                k_length,
            };
            q_start += q_length;
            k_start += k_length;
            sequence
        });
        Ok(Self::Fused {
            sequences: sequences.collect(),
            causal,
        })
    }
}
