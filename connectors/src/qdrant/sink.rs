//! The sink: record batches in, points out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use tokio::sync::Mutex;

use super::backend::Backend;
use super::collection::{Description, Wanted, name_problem};
use super::config::SinkConfig;
use super::ids::PointId;
use super::points::{Point, PointReader, Vectors};
use super::refusals::Refusals;
use crate::{ConnectorError, Deletion, Rejection, Rejections, Sink, VectorSpace};

/// Writes rows to one Qdrant.
pub(crate) struct QdrantSink {
    backend: Arc<dyn Backend>,
    config: SinkConfig,
    reader: PointReader,
    space: Option<VectorSpace>,
    /// The collections written to so far, by the name the table or the row gives. The lock is held while a batch is
    /// written, so that batches go one after the other.
    collections: Mutex<HashMap<String, Description>>,
    refusals: Mutex<Refusals>,
}

/// A row's point, on its way.
struct Pending {
    row: usize,
    point: Point,
}

impl QdrantSink {
    /// A sink into `backend`. The collection that the options name is looked up and checked, and made if the vectors'
    /// space is known.
    ///
    /// # Errors
    /// [`ConnectorError::Refused`] if the collection has another dimension, distance or model.
    pub async fn open(
        backend: Arc<dyn Backend>,
        config: SinkConfig,
        reader: PointReader,
        space: Option<VectorSpace>,
    ) -> Result<Self, ConnectorError> {
        let sink = Self {
            backend,
            config,
            reader,
            space,
            collections: Mutex::new(HashMap::new()),
            refusals: Mutex::default(),
        };
        if let Some(alias) = &sink.config.collection
            && let Some(found) = sink.wanted().find_or_create(sink.backend.as_ref(), alias, None).await?
        {
            tracing::info!(
                system = sink.backend.system(),
                table = sink.config.table,
                alias,
                collection = found.name,
                points = found.points,
                "writing to the collection"
            );
            sink.collections.lock().await.insert(alias.clone(), found);
        }
        Ok(sink)
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            space: self.space.as_ref(),
            distance: self.config.distance,
        }
    }

    /// The rows of `batch` by the collection they go to, in order.
    fn read(&self, batch: &RecordBatch, rejections: &mut Vec<Rejection>) -> Vec<(String, Vec<Pending>)> {
        let mut groups: Vec<(String, Vec<Pending>)> = Vec::new();
        for row in 0..batch.num_rows() {
            let pending = self.reader.read(batch, row).and_then(|read| {
                let name = match (&self.config.collection, read.collection) {
                    (Some(configured), _) => configured.clone(),
                    (None, Some(named)) => match name_problem(&named) {
                        Some(problem) => return Err(problem),
                        None => named,
                    },
                    (None, None) => return Err("the collection_name is NULL".to_string()),
                };
                Ok((name, Pending { row, point: read.point }))
            });
            match pending {
                Err(reason) => rejections.push(Rejection { row, reason }),
                Ok((name, pending)) => match groups.iter_mut().find(|(group, _)| *group == name) {
                    Some((_, group)) => group.push(pending),
                    None => groups.push((name, vec![pending])),
                },
            }
        }
        groups
    }

    async fn collection(
        &self,
        collections: &mut HashMap<String, Description>,
        alias: &str,
        example: &Vectors,
    ) -> Result<Description, ConnectorError> {
        if let Some(known) = collections.get(alias) {
            return Ok(known.clone());
        }
        let found = self
            .wanted()
            .find_or_create(self.backend.as_ref(), alias, Some(example))
            .await?;
        let found = found.ok_or_else(|| ConnectorError::Internal(format!("no layout for the collection '{alias}'")))?;
        collections.insert(alias.to_string(), found.clone());
        Ok(found)
    }
}

impl QdrantSink {
    /// After points were refused: whether it is theirs to answer for. A collection that was made anew with other vectors
    /// refuses every one.
    async fn check_unchanged(&self, known: &Description) -> Result<(), ConnectorError> {
        let now = self.backend.describe(&known.name).await?;
        if now.is_some_and(|now| now.layout.vectors == known.layout.vectors) {
            return Ok(());
        }
        Err(self.backend.refusal(format!(
            "the collection '{}' has other vectors than when this job began to write to it: somebody has made it anew, or \
             deleted it. Start the job again, and it makes or checks its collection",
            known.name
        )))
    }

    /// Writes `pending` to `collection`; of the points of one id only the last, unless that is refused: then the one before
    /// it stands. Gives what is refused.
    ///
    /// # Errors
    /// [`ConnectorError::Refused`] if it is not the points that are refused, but all writing.
    async fn upsert(
        &self,
        collection: &Description,
        mut pending: Vec<Pending>,
    ) -> Result<Vec<Rejection>, ConnectorError> {
        let mut rejections = Vec::new();
        while !pending.is_empty() {
            let (last, mut earlier) = last_of_each_id(pending);
            let (places, points): (Vec<(usize, PointId)>, Vec<Point>) = last
                .into_iter()
                .map(|pending| ((pending.row, pending.point.id), pending.point))
                .unzip();
            let refused = self.backend.upsert(&collection.name, points).await?;
            let accepted = places.len() - refused.len();
            if !refused.is_empty() {
                self.check_unchanged(collection).await?;
            }
            if let Some((count, reason)) = self.refusals.lock().await.note(&collection.name, accepted, &refused) {
                return Err(self.backend.refusal(format!(
                    "the collection '{}' has refused {count} points in a row, all for the same reason: {reason}",
                    collection.name
                )));
            }
            metrics::counter!("sightstream_qdrant_points_upserted_total").increment(accepted as u64);
            let without: HashSet<PointId> = refused.iter().map(|(index, _)| places[*index].1).collect();
            earlier.retain(|pending| without.contains(&pending.point.id));
            pending = earlier;
            rejections.extend(refused.into_iter().map(|(index, reason)| Rejection {
                row: places[index].0,
                reason,
            }));
        }
        Ok(rejections)
    }

    /// Removes points from the table's collection, if there is one yet.
    async fn delete(
        &self,
        collections: &mut HashMap<String, Description>,
        ids: Vec<PointId>,
    ) -> Result<(), ConnectorError> {
        let Some(alias) = &self.config.collection else {
            return Err(ConnectorError::Internal(
                "a deletion from a table without a collection".into(),
            ));
        };
        if !collections.contains_key(alias) {
            let Some(found) = self.wanted().find(self.backend.as_ref(), alias).await? else {
                return Ok(());
            };
            collections.insert(alias.clone(), found);
        }
        if let Some(collection) = collections.get(alias) {
            self.backend.delete(&collection.name, &ids).await?;
            metrics::counter!("sightstream_qdrant_points_deleted_total").increment(ids.len() as u64);
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for QdrantSink {
    async fn write(&self, batch: &RecordBatch) -> Result<Vec<Rejection>, ConnectorError> {
        self.write_and_delete(batch, &[])
            .await
            .map(|rejections| rejections.rows)
    }

    /// The points go first, then what comes after a deletion of its id is written: a row that the server refuses does not
    /// bring back what was there before.
    async fn write_and_delete(
        &self,
        batch: &RecordBatch,
        deletions: &[Deletion],
    ) -> Result<Rejections, ConnectorError> {
        let mut collections = self.collections.lock().await;
        let mut rejected_deletions = Vec::new();
        let mut deleted = BTreeMap::new();
        for (index, deletion) in deletions.iter().enumerate() {
            match self.reader.id_of_key(deletion.key.as_deref()) {
                Ok(id) => drop(deleted.insert(id, deletion.before)),
                Err(reason) => rejected_deletions.push(Rejection { row: index, reason }),
            }
        }
        if !deleted.is_empty() {
            self.delete(&mut collections, deleted.keys().copied().collect()).await?;
        }
        let mut rejections = Vec::new();
        for (alias, mut pending) in self.read(batch, &mut rejections) {
            pending.retain(|pending| {
                let deletion = deleted.get(&pending.point.id);
                deletion.is_none_or(|&before| pending.row >= before)
            });
            let Some(first) = pending.first() else { continue };
            let collection = self.collection(&mut collections, &alias, &first.point.vectors).await?;
            let mut fitting = Vec::with_capacity(pending.len());
            for pending in pending {
                match collection.layout.misfit(&pending.point.vectors) {
                    None => fitting.push(pending),
                    Some(reason) => rejections.push(Rejection {
                        row: pending.row,
                        reason,
                    }),
                }
            }
            rejections.extend(self.upsert(&collection, fitting).await?);
        }
        if !rejections.is_empty() {
            metrics::counter!("sightstream_qdrant_rows_rejected_total").increment(rejections.len() as u64);
            rejections.sort_by_key(|rejection| rejection.row);
        }
        Ok(Rejections {
            rows: rejections,
            deletions: rejected_deletions,
        })
    }

    async fn flush(&self) -> Result<(), ConnectorError> {
        self.backend.flush().await
    }

    async fn close(&self) -> Result<(), ConnectorError> {
        self.backend.close().await
    }
}

/// Of the points of one id only the last, and apart from them the others; both in the order of the rows.
fn last_of_each_id(pending: Vec<Pending>) -> (Vec<Pending>, Vec<Pending>) {
    let mut seen = HashSet::with_capacity(pending.len());
    let (mut last, mut earlier): (Vec<_>, Vec<_>) = pending
        .into_iter()
        .rev()
        .partition(|pending| seen.insert(pending.point.id));
    last.reverse();
    earlier.reverse();
    (last, earlier)
}
