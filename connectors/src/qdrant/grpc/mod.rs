//! A Qdrant server, by gRPC.

pub(super) mod messages;
mod retry;

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, StreamExt, TryStreamExt};
use qdrant_client::Qdrant;
use qdrant_client::qdrant::{
    CountPointsBuilder, CreateAliasBuilder, CreateCollection, DeletePointsBuilder, GetPointsBuilder, PointStruct,
    PointsIdsList, Query, QueryPointsBuilder, ScrollPointsBuilder, UpsertPointsBuilder,
};

use self::retry::{Failure, Retry};
use super::backend::{Backend, Nearest, Record};
use super::collection::{Description, Layout};
use super::config::ConnectionOptions;
use super::ids::PointId;
use super::points::Point;
use super::search::{Filter, Hit};
use crate::{ConnectorError, Waits};

const UPSERT: &str = "upsert";

/// How many requests of one write are on their way at the same time.
const REQUESTS_AT_ONCE: usize = 4;

/// A Qdrant server.
pub(crate) struct GrpcBackend {
    client: Qdrant,
    system: String,
    retry: Retry,
    batch_points: usize,
}

impl GrpcBackend {
    /// A client of the server at `url`; it connects with the first request. With `waits` it waits for a server that is
    /// away, for as long as it takes; otherwise it says so at once. A request holds at most `batch_points` points.
    pub fn new(
        url: &str,
        options: &ConnectionOptions,
        waits: Option<&Waits>,
        batch_points: usize,
    ) -> Result<Self, ConnectorError> {
        let system = format!("Qdrant at {url}");
        let client = Qdrant::from_url(url)
            .api_key(options.api_key.clone())
            .timeout(options.timeout)
            .connect_timeout(options.connect_timeout)
            .keep_alive_while_idle()
            .skip_compatibility_check()
            .build()
            .map_err(|error| ConnectorError::Refused {
                system: system.clone(),
                message: error.to_string(),
            })?;
        let retry = Retry::new(&system, waits);
        if waits.is_some() {
            // From 0 on, for alerts on its increase.
            metrics::counter!("sightstream_qdrant_retries_total", "operation" => UPSERT).increment(0);
        }
        Ok(Self {
            client,
            system,
            retry,
            batch_points,
        })
    }

    fn error(&self, failure: Failure) -> ConnectorError {
        failure.into_error(&self.system)
    }

    fn unreadable(&self, problem: String) -> ConnectorError {
        self.refusal(format!("its answer cannot be read: {problem}"))
    }

    async fn upsert_once(&self, collection: &str, points: &[PointStruct]) -> Result<(), Failure> {
        let request = || {
            self.client
                .upsert_points(UpsertPointsBuilder::new(collection, points.to_vec()).wait(true))
        };
        self.retry.run(UPSERT, request).await.map(|_| ())
    }

    /// Writes points with one request, or if the server does not take them, by halves, until those that it refuses are
    /// alone. Gives their places behind `start`, each with the reason.
    async fn upsert_halving(
        &self,
        collection: &str,
        points: &[PointStruct],
        start: usize,
    ) -> Result<Vec<(usize, String)>, Failure> {
        let mut refused = Vec::new();
        // A stack of ranges, the first on top.
        let mut ranges: Vec<_> = std::iter::once(0..points.len()).collect();
        while let Some(range) = ranges.pop() {
            match self.upsert_once(collection, &points[range.clone()]).await {
                Ok(()) => {}
                Err(Failure::Invalid(reason)) if range.len() == 1 => refused.push((start + range.start, reason)),
                Err(Failure::Invalid(_)) => {
                    let middle = range.start + range.len() / 2;
                    ranges.push(middle..range.end);
                    ranges.push(range.start..middle);
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(refused)
    }
}

#[async_trait]
impl Backend for GrpcBackend {
    fn system(&self) -> &str {
        &self.system
    }

    async fn alias_target(&self, alias: &str) -> Result<Option<String>, ConnectorError> {
        let answer = self.retry.run("list_aliases", || self.client.list_aliases()).await;
        let aliases = answer.map_err(|failure| self.error(failure))?.aliases;
        Ok(aliases
            .into_iter()
            .find(|entry| entry.alias_name == alias)
            .map(|entry| entry.collection_name))
    }

    async fn describe(&self, collection: &str) -> Result<Option<Description>, ConnectorError> {
        let info = match self
            .retry
            .run("collection_info", || self.client.collection_info(collection))
            .await
        {
            Ok(answer) => answer.result,
            Err(Failure::NotFound(_)) => return Ok(None),
            Err(failure) => return Err(self.error(failure)),
        };
        let info = info.ok_or_else(|| self.unreadable("no information on the collection".to_string()))?;
        messages::description_from_api(collection, info)
            .map(Some)
            .map_err(|problem| self.unreadable(problem))
    }

    async fn create(&self, collection: &str, layout: &Layout) -> Result<(), ConnectorError> {
        let request = || CreateCollection {
            collection_name: collection.to_string(),
            vectors_config: Some(messages::vectors_config_to_api(&layout.vectors)),
            metadata: messages::payload_to_api(layout.metadata.clone()),
            ..CreateCollection::default()
        };
        match self
            .retry
            .run("create_collection", || self.client.create_collection(request()))
            .await
        {
            Ok(_) | Err(Failure::Exists(_)) => Ok(()),
            // Older servers answer that a collection exists with `InvalidArgument`.
            Err(Failure::Invalid(_)) if self.describe(collection).await?.is_some() => Ok(()),
            Err(failure) => Err(self.error(failure)),
        }
    }

    async fn create_alias(&self, alias: &str, collection: &str) -> Result<(), ConnectorError> {
        let request = || self.client.create_alias(CreateAliasBuilder::new(collection, alias));
        self.retry
            .run("create_alias", request)
            .await
            .map(|_| ())
            .map_err(|failure| self.error(failure))
    }

    async fn upsert(&self, collection: &str, points: Vec<Point>) -> Result<Vec<(usize, String)>, ConnectorError> {
        let points: Vec<PointStruct> = points.into_iter().map(messages::point_to_api).collect();
        let batches: Vec<BoxFuture<'_, _>> = points
            .chunks(self.batch_points)
            .zip((0..).step_by(self.batch_points))
            .map(|(batch, start)| self.upsert_halving(collection, batch, start).boxed())
            .collect();
        let refused: Vec<Vec<_>> = stream::iter(batches)
            .buffered(REQUESTS_AT_ONCE)
            .try_collect()
            .await
            .map_err(|failure| self.error(failure))?;
        Ok(refused.concat())
    }

    async fn delete(&self, collection: &str, ids: &[PointId]) -> Result<(), ConnectorError> {
        for ids in ids.chunks(self.batch_points) {
            let ids: Vec<_> = ids.iter().copied().map(messages::id_to_api).collect();
            let request = || {
                let points = PointsIdsList { ids: ids.clone() };
                self.client
                    .delete_points(DeletePointsBuilder::new(collection).points(points).wait(true))
            };
            let deleted = self.retry.run("delete", request).await;
            deleted.map_err(|failure| self.error(failure))?;
        }
        Ok(())
    }

    async fn flush(&self) -> Result<(), ConnectorError> {
        // Every write waits until the server has applied it, and the server's own log keeps it from then on.
        Ok(())
    }

    async fn close(&self) -> Result<(), ConnectorError> {
        Ok(())
    }

    async fn search(&self, collection: &str, query: Nearest<'_>) -> Result<Vec<Hit>, ConnectorError> {
        let request = || {
            let mut points = QueryPointsBuilder::new(collection)
                .query(Query::new_nearest(query.vector.clone()))
                .limit(query.limit as u64)
                .with_payload(true);
            if !query.using.is_empty() {
                points = points.using(query.using);
            }
            if let Some(filter) = messages::filter_to_api(query.filters) {
                points = points.filter(filter);
            }
            self.client.query(points)
        };
        let answer = self
            .retry
            .run("query", request)
            .await
            .map_err(|failure| self.error(failure))?;
        let hits: Result<Vec<_>, _> = answer.result.into_iter().map(messages::hit_from_api).collect();
        hits.map_err(|problem| self.unreadable(problem))
    }

    async fn count(&self, collection: &str, filters: &[Filter]) -> Result<u64, ConnectorError> {
        let request = || {
            let count = CountPointsBuilder::new(collection).exact(true);
            match messages::filter_to_api(filters) {
                Some(filter) => self.client.count(count.filter(filter)),
                None => self.client.count(count),
            }
        };
        let answer = self
            .retry
            .run("count", request)
            .await
            .map_err(|failure| self.error(failure))?;
        answer
            .result
            .map(|result| result.count)
            .ok_or_else(|| self.unreadable("no count".to_string()))
    }

    async fn get(&self, collection: &str, ids: &[PointId]) -> Result<Vec<Record>, ConnectorError> {
        let ids: Vec<_> = ids.iter().copied().map(messages::id_to_api).collect();
        let request = || {
            let points = GetPointsBuilder::new(collection, ids.clone())
                .with_payload(true)
                .with_vectors(true);
            self.client.get_points(points)
        };
        let answer = self
            .retry
            .run("get", request)
            .await
            .map_err(|failure| self.error(failure))?;
        let records: Result<Vec<_>, _> = answer.result.into_iter().map(messages::record_from_api).collect();
        records.map_err(|problem| self.unreadable(problem))
    }

    async fn scroll(
        &self,
        collection: &str,
        from: Option<PointId>,
        limit: usize,
    ) -> Result<(Vec<Record>, Option<PointId>), ConnectorError> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let request = || {
            let scroll = ScrollPointsBuilder::new(collection)
                .limit(limit)
                .with_payload(true)
                .with_vectors(true);
            match from {
                Some(id) => self.client.scroll(scroll.offset(messages::id_to_api(id))),
                None => self.client.scroll(scroll),
            }
        };
        let answer = self
            .retry
            .run("scroll", request)
            .await
            .map_err(|failure| self.error(failure))?;
        let next = answer
            .next_page_offset
            .map(|id| messages::id_from_api(Some(id)))
            .transpose();
        let records: Result<Vec<_>, _> = answer.result.into_iter().map(messages::record_from_api).collect();
        Ok((
            records.map_err(|problem| self.unreadable(problem))?,
            next.map_err(|problem| self.unreadable(problem))?,
        ))
    }
}
