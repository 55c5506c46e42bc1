//! The Points service.

use std::collections::BTreeMap;

use qdrant_client::qdrant::point_id::PointIdOptions;
use qdrant_client::qdrant::points_selector::PointsSelectorOneOf;
use qdrant_client::qdrant::points_server::Points;
use qdrant_client::qdrant::query::Variant;
use qdrant_client::qdrant::vector_input::Variant as Input;
use qdrant_client::qdrant::vectors::VectorsOptions;
use qdrant_client::qdrant::vectors_output::VectorsOptions as OutputOptions;
use qdrant_client::qdrant::{self as api, PointsOperationResponse};
use tonic::{Request, Response, Status};

use super::{Service, filters, locked, not_found, status, unimplemented_methods};
use crate::qdrant::backend::{Backend, Record};
use crate::qdrant::grpc::messages;
use crate::qdrant::ids::PointId;
use crate::qdrant::points::{Point, Vectors};
use crate::qdrant::search::Hit;

#[tonic::async_trait]
impl Points for Service {
    async fn upsert(&self, request: Request<api::UpsertPoints>) -> Result<Response<PointsOperationResponse>, Status> {
        self.admit("upsert", &request)?;
        let request = request.into_inner();
        if let Some(ids) = &self.ids {
            let came = ids_from_api(request.points.into_iter().filter_map(|point| point.id).collect())?;
            locked(ids).extend(came);
            return Ok(answer(api::UpdateStatus::Completed));
        }
        let name = request.collection_name;
        let found = self
            .store
            .describe(&name)
            .await
            .map_err(status)?
            .ok_or_else(|| not_found(&name))?;
        let refused_key = locked(&self.refused_key).clone();
        let mut points = Vec::with_capacity(request.points.len());
        for point in request.points {
            let point = point_from_api(point).map_err(Status::invalid_argument)?;
            if let Some(problem) = found.layout.misfit(&point.vectors) {
                return Err(Status::invalid_argument(format!("Wrong input: {problem}")));
            }
            if let Some(key) = refused_key.as_ref().filter(|key| point.payload.contains_key(*key)) {
                return Err(Status::invalid_argument(format!(
                    "Wrong input: the payload key '{key}' is refused"
                )));
            }
            points.push(point);
        }
        self.store.upsert(&name, points).await.map_err(status)?;
        self.written(request.wait).await
    }

    async fn delete(&self, request: Request<api::DeletePoints>) -> Result<Response<PointsOperationResponse>, Status> {
        self.admit("delete", &request)?;
        let request = request.into_inner();
        let selector = request.points.and_then(|points| points.points_selector_one_of);
        let Some(PointsSelectorOneOf::Points(list)) = selector else {
            return Err(Status::unimplemented("the test server deletes points by their ids"));
        };
        let ids = ids_from_api(list.ids)?;
        self.store
            .delete(&request.collection_name, &ids)
            .await
            .map_err(status)?;
        self.written(request.wait).await
    }

    async fn get(&self, request: Request<api::GetPoints>) -> Result<Response<api::GetResponse>, Status> {
        self.admit("get", &request)?;
        let request = request.into_inner();
        let ids = ids_from_api(request.ids)?;
        let records = self.store.get(&request.collection_name, &ids).await.map_err(status)?;
        let result = records.into_iter().map(record_to_api).collect();
        Ok(Response::new(api::GetResponse {
            result,
            time: 0.0,
            usage: None,
        }))
    }

    async fn scroll(&self, request: Request<api::ScrollPoints>) -> Result<Response<api::ScrollResponse>, Status> {
        self.admit("scroll", &request)?;
        let request = request.into_inner();
        if request.filter.is_some() || request.order_by.is_some() {
            return Err(Status::unimplemented(
                "the test server scrolls through all points in the order of their ids",
            ));
        }
        let from = request.offset.map(|id| messages::id_from_api(Some(id))).transpose();
        let from = from.map_err(Status::invalid_argument)?;
        let limit = request.limit.map_or(10, |limit| limit as usize);
        let (records, next) = self
            .store
            .scroll(&request.collection_name, from, limit)
            .await
            .map_err(status)?;
        Ok(Response::new(api::ScrollResponse {
            next_page_offset: next.map(messages::id_to_api),
            result: records.into_iter().map(record_to_api).collect(),
            time: 0.0,
            usage: None,
        }))
    }

    async fn count(&self, request: Request<api::CountPoints>) -> Result<Response<api::CountResponse>, Status> {
        self.admit("count", &request)?;
        let request = request.into_inner();
        let filter = filters::to_edge(request.filter)?;
        let count = match &self.ids {
            Some(ids) => locked(ids).len() as u64,
            None => self
                .store
                .count_matching(&request.collection_name, filter)
                .await
                .map_err(status)?,
        };
        Ok(Response::new(api::CountResponse {
            result: Some(api::CountResult { count }),
            time: 0.0,
            usage: None,
        }))
    }

    async fn search(&self, request: Request<api::SearchPoints>) -> Result<Response<api::SearchResponse>, Status> {
        self.admit("search", &request)?;
        let request = request.into_inner();
        let filter = filters::to_edge(request.filter)?;
        let using = request.vector_name.unwrap_or_default();
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let hits = self
            .store
            .nearest(&request.collection_name, request.vector, &using, filter, limit)
            .await;
        let result = hits.map_err(status)?.into_iter().map(hit_to_api).collect();
        Ok(Response::new(api::SearchResponse {
            result,
            time: 0.0,
            usage: None,
        }))
    }

    async fn query(&self, request: Request<api::QueryPoints>) -> Result<Response<api::QueryResponse>, Status> {
        self.admit("query", &request)?;
        let request = request.into_inner();
        let input = match request.query.and_then(|query| query.variant) {
            Some(Variant::Nearest(input)) => input.variant,
            _ => return Err(Status::unimplemented("the test server only finds the nearest points")),
        };
        let Some(Input::Dense(vector)) = input else {
            return Err(Status::unimplemented("the test server searches by dense vectors"));
        };
        let filter = filters::to_edge(request.filter)?;
        let using = request.using.unwrap_or_default();
        let limit = request
            .limit
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or(10);
        let hits = self
            .store
            .nearest(&request.collection_name, vector.data, &using, filter, limit)
            .await;
        let result = hits.map_err(status)?.into_iter().map(hit_to_api).collect();
        Ok(Response::new(api::QueryResponse {
            result,
            time: 0.0,
            usage: None,
        }))
    }

    unimplemented_methods! {
        update_vectors(api::UpdatePointVectors) -> PointsOperationResponse;
        delete_vectors(api::DeletePointVectors) -> PointsOperationResponse;
        set_payload(api::SetPayloadPoints) -> PointsOperationResponse;
        overwrite_payload(api::SetPayloadPoints) -> PointsOperationResponse;
        delete_payload(api::DeletePayloadPoints) -> PointsOperationResponse;
        clear_payload(api::ClearPayloadPoints) -> PointsOperationResponse;
        create_field_index(api::CreateFieldIndexCollection) -> PointsOperationResponse;
        delete_field_index(api::DeleteFieldIndexCollection) -> PointsOperationResponse;
        create_vector_name(api::CreateVectorNameRequest) -> PointsOperationResponse;
        delete_vector_name(api::DeleteVectorNameRequest) -> PointsOperationResponse;
        search_batch(api::SearchBatchPoints) -> api::SearchBatchResponse;
        search_groups(api::SearchPointGroups) -> api::SearchGroupsResponse;
        recommend(api::RecommendPoints) -> api::RecommendResponse;
        recommend_batch(api::RecommendBatchPoints) -> api::RecommendBatchResponse;
        recommend_groups(api::RecommendPointGroups) -> api::RecommendGroupsResponse;
        discover(api::DiscoverPoints) -> api::DiscoverResponse;
        discover_batch(api::DiscoverBatchPoints) -> api::DiscoverBatchResponse;
        update_batch(api::UpdateBatchPoints) -> api::UpdateBatchResponse;
        query_batch(api::QueryBatchPoints) -> api::QueryBatchResponse;
        query_groups(api::QueryPointGroups) -> api::QueryGroupsResponse;
        facet(api::FacetCounts) -> api::FacetResponse;
        search_matrix_pairs(api::SearchMatrixPoints) -> api::SearchMatrixPairsResponse;
        search_matrix_offsets(api::SearchMatrixPoints) -> api::SearchMatrixOffsetsResponse;
    }
}

impl Service {
    /// The answer to a write: with `wait`, once it would survive a crash, as the real server's log makes it.
    async fn written(&self, wait: Option<bool>) -> Result<Response<PointsOperationResponse>, Status> {
        if wait == Some(true) {
            self.store.flush().await.map_err(status)?;
            return Ok(answer(api::UpdateStatus::Completed));
        }
        Ok(answer(api::UpdateStatus::Acknowledged))
    }
}

fn answer(status: api::UpdateStatus) -> Response<PointsOperationResponse> {
    let result = Some(api::UpdateResult {
        operation_id: None,
        status: status.into(),
    });
    Response::new(PointsOperationResponse {
        result,
        time: 0.0,
        usage: None,
    })
}

fn ids_from_api(ids: Vec<api::PointId>) -> Result<Vec<PointId>, Status> {
    ids.into_iter()
        .map(|id| messages::id_from_api(Some(id)).map_err(Status::invalid_argument))
        .collect()
}

fn point_from_api(point: api::PointStruct) -> Result<Point, String> {
    let dense = |vector: api::Vector| vector.try_into_dense().map_err(|error| error.to_string());
    let vectors = match point.vectors.and_then(|vectors| vectors.vectors_options) {
        Some(VectorsOptions::Vector(vector)) => Vectors::Unnamed(dense(vector)?),
        Some(VectorsOptions::Vectors(named)) => {
            let named = named
                .vectors
                .into_iter()
                .map(|(name, vector)| Ok((name, dense(vector)?)));
            Vectors::Named(named.collect::<Result<BTreeMap<_, _>, String>>()?)
        }
        None => return Err("a point has no vector".to_string()),
    };
    let payload = messages::payload_from_api(point.payload);
    Ok(Point {
        id: messages::id_from_api(point.id)?,
        vectors,
        payload,
    })
}

fn output(values: Vec<f32>) -> api::VectorOutput {
    api::VectorOutput {
        vector: Some(api::vector_output::Vector::Dense(api::DenseVector { data: values })),
        ..Default::default()
    }
}

fn record_to_api(record: Record) -> api::RetrievedPoint {
    let options = match record.vectors {
        Vectors::Unnamed(values) => OutputOptions::Vector(output(values)),
        Vectors::Named(vectors) => OutputOptions::Vectors(api::NamedVectorsOutput {
            vectors: vectors
                .into_iter()
                .map(|(name, values)| (name, output(values)))
                .collect(),
        }),
    };
    api::RetrievedPoint {
        id: Some(messages::id_to_api(record.id)),
        payload: messages::payload_to_api(record.payload),
        vectors: Some(api::VectorsOutput {
            vectors_options: Some(options),
        }),
        ..Default::default()
    }
}

fn hit_to_api(hit: Hit) -> api::ScoredPoint {
    let id = match hit.id.parse() {
        Ok(number) => PointIdOptions::Num(number),
        Err(_) => PointIdOptions::Uuid(hit.id),
    };
    api::ScoredPoint {
        id: Some(api::PointId {
            point_id_options: Some(id),
        }),
        payload: messages::payload_to_api(hit.payload),
        score: hit.score,
        ..Default::default()
    }
}
