//! InfoNCE over cosine similarity.

use candle_core::Tensor;

use crate::error::JobError;

/// The contrastive loss: cross-entropy of `queries · targetsᵀ / temperature`, where with k targets a query target `i * k` is
/// query `i`'s positive, and all other targets of the batch are its negatives, but for those that come from the positive's row in another example.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InfoNce {
    /// What similarities are divided by. VLM2Vec-V2 takes 0.02.
    pub temperature: f64,
    /// Adds the other direction, as CLIP does: each positive has to find its query among all queries. The loss is the mean of
    /// both. Hard negatives have no query and ask nothing.
    pub symmetric: bool,
    /// Leaves targets out that say the same as the positive ([`Alike::says`]; for [`super::GradCache`] only texts can): they are right
    /// as well, and no negatives. So where the answers are few, as colours are, equal ones of a batch do not push each other away.
    pub mask_duplicates: bool,
}

/// What of a batch is the same.
#[derive(Debug, Clone, Copy)]
pub struct Alike<'a> {
    /// For each target a number of the row that it comes from. What comes from the positive's row, in another example, is no
    /// negative of it.
    pub rows: &'a [u64],
    /// For each target a number, which is equal where they are the same input.
    pub says: &'a [usize],
}

/// What the loss says about a batch of vectors.
#[derive(Debug, Clone)]
pub struct Scored {
    /// The mean loss of a query, in nats.
    pub loss: f32,
    /// The share of queries whose positive is more similar than every other target of the batch. A tie is a miss, so that equal
    /// vectors for everything score nothing; but a target of the same row, or one that says the same as the positive, does not count
    /// against it.
    pub accuracy: f32,
    /// The loss's gradient on the queries' vectors, (queries, hidden_size), f32.
    pub query_gradient: Tensor,
    /// Its gradient on the targets' vectors, (targets, hidden_size), f32.
    pub target_gradient: Tensor,
}

impl InfoNce {
    /// The loss of a batch, and its gradients on the vectors.
    ///
    /// `queries` is (n, hidden_size), `targets` (n * k, hidden_size), both f32 and of unit length, as [`crate::Embed`] makes
    /// them: then their product is the cosine. No graph is read or kept.
    ///
    /// # Errors
    /// [`JobError::Config`] for a temperature that is no positive number, and for shapes that do not fit each other.
    pub fn evaluate(&self, queries: &Tensor, targets: &Tensor, alike: Alike<'_>) -> Result<Scored, JobError> {
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(JobError::Config(format!(
                "`temperature` is {}: it has to be a positive number, such as 0.02",
                self.temperature
            )));
        }
        let (queries, targets) = (queries.detach(), targets.detach());
        let (rows, width) = queries.dims2()?;
        let (columns, target_width) = targets.dims2()?;
        let lengths = (alike.rows.len(), alike.says.len());
        let is_even = rows > 0 && columns > 0 && columns.is_multiple_of(rows);
        if !is_even || width != target_width || lengths != (columns, columns) {
            return Err(JobError::Config(format!(
                "a batch of {rows} queries of width {width} and {columns} targets of width {target_width}, {} and {} of which are \
                 told apart: every query needs as many targets as the others, and all vectors one width",
                lengths.0, lengths.1
            )));
        }
        let products = queries.matmul(&targets.t()?)?.flatten_all()?.to_vec1::<f32>()?;
        let table = self.differentiate(&products, rows, alike);
        let on_scores = Tensor::from_vec(table.gradient, (rows, columns), queries.device())?;
        Ok(Scored {
            loss: table.loss as f32,
            accuracy: table.hits as f32 / rows as f32,
            query_gradient: on_scores.matmul(&targets)?,
            target_gradient: on_scores.t()?.contiguous()?.matmul(&queries)?,
        })
    }

    /// The loss and its gradient on the table of products, (rows, columns), row-major.
    fn differentiate(&self, products: &[f32], rows: usize, alike: Alike<'_>) -> Table {
        let columns = alike.says.len();
        let targets_per_query = columns / rows;
        let scale = 1.0 / self.temperature;
        let is_own = |target: usize, right: usize| {
            target / targets_per_query != right / targets_per_query && alike.rows[target] == alike.rows[right]
        };
        let says_it = |target: usize, right: usize| alike.says[target] == alike.says[right];
        // One that is as right is no negative: at minus infinity the softmax gives it nothing.
        let score = |product: f32, target: usize, right: usize| {
            let is_as_right = is_own(target, right) || self.mask_duplicates && says_it(target, right);
            match target != right && is_as_right {
                true => f64::NEG_INFINITY,
                false => f64::from(product) * scale,
            }
        };
        let directions = if self.symmetric { 2.0 } else { 1.0 };
        let weight = 1.0 / (directions * rows as f64);
        let mut table = Table {
            loss: 0.0,
            hits: 0,
            gradient: vec![0.0; products.len()],
        };

        let mut scores = vec![0.0; columns];
        for row in 0..rows {
            let right = row * targets_per_query;
            let here = row * columns..(row + 1) * columns;
            let of_query = &products[here.clone()];
            let beaten = |(column, product): (usize, &f32)| {
                says_it(column, right) || is_own(column, right) || *product < of_query[right]
            };
            table.hits += usize::from(of_query.iter().enumerate().all(beaten));
            for (column, cell) in scores.iter_mut().enumerate() {
                *cell = score(of_query[column], column, right);
            }
            table.loss += weight * cross_entropy(&mut scores, right);
            for (gradient, share) in table.gradient[here].iter_mut().zip(&scores) {
                *gradient = (share * weight * scale) as f32;
            }
        }
        if self.symmetric {
            let mut scores = vec![0.0; rows];
            for right in 0..rows {
                let column = right * targets_per_query;
                for (row, cell) in scores.iter_mut().enumerate() {
                    *cell = score(products[row * columns + column], row * targets_per_query, column);
                }
                table.loss += weight * cross_entropy(&mut scores, right);
                for (row, share) in scores.iter().enumerate() {
                    table.gradient[row * columns + column] += (share * weight * scale) as f32;
                }
            }
        }
        table
    }
}

/// The loss of a table of products.
struct Table {
    loss: f64,
    /// How many queries found their positive.
    hits: usize,
    /// On the products, row-major.
    gradient: Vec<f32>,
}

/// The cross-entropy of `scores` against `right`, whose gradient takes their place.
///
/// The right one's gradient is its probability less one. That is minus what the others have, and taken from these it stays
/// exact where the model has learned nearly all.
fn cross_entropy(scores: &mut [f64], right: usize) -> f64 {
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let margin = scores[right] - highest;
    scores.iter_mut().for_each(|score| *score = (*score - highest).exp());
    let others: f64 = scores[..right].iter().chain(&scores[right + 1..]).sum();
    let own = scores[right];
    let all = others + own;
    scores.iter_mut().for_each(|score| *score /= all);
    scores[right] = -others / all;
    if margin == 0.0 {
        others.ln_1p()
    } else {
        all.ln() - margin
    }
}
