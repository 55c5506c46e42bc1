//! Between this crate's types and the messages of Qdrant's gRPC API.

use std::collections::{BTreeMap, HashMap};

use qdrant_client::qdrant::point_id::PointIdOptions;
use qdrant_client::qdrant::vector_output::Vector as OutputVector;
use qdrant_client::qdrant::vectors::VectorsOptions;
use qdrant_client::qdrant::vectors_config::Config;
use qdrant_client::qdrant::vectors_output::VectorsOptions as OutputOptions;
use qdrant_client::qdrant::{
    self as api, Condition, DenseVector, FieldCondition, HasIdCondition, Match, NamedVectors, PointStruct, Range,
    VectorParams as ApiVectorParams, VectorParamsMap, VectorsConfig, VectorsOutput, r#match::MatchValue,
};
use serde_json::{Map, Value};

use crate::qdrant::backend::Record;
use crate::qdrant::collection::{Description, Distance, Layout, VectorParams};
use crate::qdrant::ids::PointId;
use crate::qdrant::points::{Point, Vectors};
use crate::qdrant::search::{Filter, Hit, Test};

pub(crate) fn id_to_api(id: PointId) -> api::PointId {
    let options = match id {
        PointId::Number(number) => PointIdOptions::Num(number),
        PointId::Uuid(uuid) => PointIdOptions::Uuid(uuid.to_string()),
    };
    api::PointId {
        point_id_options: Some(options),
    }
}

pub(crate) fn id_from_api(id: Option<api::PointId>) -> Result<PointId, String> {
    match id.and_then(|id| id.point_id_options) {
        Some(PointIdOptions::Num(number)) => Ok(PointId::Number(number)),
        Some(PointIdOptions::Uuid(text)) => uuid::Uuid::try_parse(&text)
            .map(PointId::Uuid)
            .map_err(|error| format!("the id '{text}': {error}")),
        None => Err("a point has no id".to_string()),
    }
}

/// An unsigned number beyond `i64` becomes a double: the API has no other place for it.
pub(crate) fn payload_to_api(payload: Map<String, Value>) -> HashMap<String, api::Value> {
    payload.into_iter().map(|(key, value)| (key, value.into())).collect()
}

/// The entries come sorted by name: the API keeps no order.
pub(crate) fn payload_from_api(payload: HashMap<String, api::Value>) -> Map<String, Value> {
    let sorted: BTreeMap<String, api::Value> = payload.into_iter().collect();
    sorted
        .into_iter()
        .map(|(key, value)| (key, value.into_json()))
        .collect()
}

pub(crate) fn point_to_api(point: Point) -> PointStruct {
    let options = match point.vectors {
        Vectors::Unnamed(values) => VectorsOptions::Vector(api::Vector::new_dense(values)),
        Vectors::Named(vectors) => {
            let vectors = vectors
                .into_iter()
                .map(|(name, values)| (name, api::Vector::new_dense(values)))
                .collect();
            VectorsOptions::Vectors(NamedVectors { vectors })
        }
    };
    PointStruct {
        id: Some(id_to_api(point.id)),
        payload: payload_to_api(point.payload),
        vectors: Some(api::Vectors {
            vectors_options: Some(options),
        }),
    }
}

fn vectors_from_api(vectors: Option<VectorsOutput>) -> Result<Vectors, String> {
    let dense = |output: api::VectorOutput| match output.into_vector() {
        OutputVector::Dense(DenseVector { data }) => Some(data),
        OutputVector::Sparse(_) | OutputVector::MultiDense(_) => None,
    };
    match vectors.and_then(|vectors| vectors.vectors_options) {
        Some(OutputOptions::Vector(output)) => dense(output)
            .map(Vectors::Unnamed)
            .ok_or_else(|| "the vector is not dense".to_string()),
        // Sparse vectors and lists of vectors beside dense ones are not ours, and not shown.
        Some(OutputOptions::Vectors(named)) => Ok(Vectors::Named(
            named
                .vectors
                .into_iter()
                .filter_map(|(name, output)| Some((name, dense(output)?)))
                .collect(),
        )),
        None => Ok(Vectors::Named(BTreeMap::new())),
    }
}

pub(crate) fn hit_from_api(point: api::ScoredPoint) -> Result<Hit, String> {
    Ok(Hit {
        id: id_from_api(point.id)?.to_string(),
        score: point.score,
        payload: payload_from_api(point.payload),
    })
}

pub(crate) fn record_from_api(point: api::RetrievedPoint) -> Result<Record, String> {
    Ok(Record {
        id: id_from_api(point.id)?,
        vectors: vectors_from_api(point.vectors)?,
        payload: payload_from_api(point.payload),
    })
}

pub(crate) fn distance_to_api(distance: Distance) -> api::Distance {
    match distance {
        Distance::Cosine => api::Distance::Cosine,
        Distance::Dot => api::Distance::Dot,
        Distance::Euclid => api::Distance::Euclid,
        Distance::Manhattan => api::Distance::Manhattan,
    }
}

pub(crate) fn distance_from_api(distance: i32) -> Result<Distance, String> {
    match api::Distance::try_from(distance) {
        Ok(api::Distance::Cosine) => Ok(Distance::Cosine),
        Ok(api::Distance::Dot) => Ok(Distance::Dot),
        Ok(api::Distance::Euclid) => Ok(Distance::Euclid),
        Ok(api::Distance::Manhattan) => Ok(Distance::Manhattan),
        Ok(api::Distance::UnknownDistance) | Err(_) => Err(format!("the distance {distance} is not known")),
    }
}

pub(crate) fn vectors_config_to_api(vectors: &BTreeMap<String, VectorParams>) -> VectorsConfig {
    let params = |params: &VectorParams| ApiVectorParams {
        size: params.size as u64,
        distance: distance_to_api(params.distance).into(),
        ..ApiVectorParams::default()
    };
    let config = match vectors.get("") {
        Some(unnamed) if vectors.len() == 1 => Config::Params(params(unnamed)),
        _ => {
            let map = vectors
                .iter()
                .map(|(name, vector)| (name.clone(), params(vector)))
                .collect();
            Config::ParamsMap(VectorParamsMap { map })
        }
    };
    VectorsConfig { config: Some(config) }
}

pub(crate) fn vectors_config_from_api(config: Option<VectorsConfig>) -> Result<BTreeMap<String, VectorParams>, String> {
    let params = |params: ApiVectorParams| -> Result<VectorParams, String> {
        let size = usize::try_from(params.size).map_err(|error| format!("the size {}: {error}", params.size))?;
        Ok(VectorParams {
            size,
            distance: distance_from_api(params.distance)?,
        })
    };
    match config.and_then(|config| config.config) {
        Some(Config::Params(unnamed)) => Ok([(String::new(), params(unnamed)?)].into()),
        Some(Config::ParamsMap(named)) => named
            .map
            .into_iter()
            .map(|(name, vector)| Ok((name, params(vector)?)))
            .collect(),
        None => Ok(BTreeMap::new()),
    }
}

pub(crate) fn description_from_api(name: &str, info: api::CollectionInfo) -> Result<Description, String> {
    let config = info.config.unwrap_or_default();
    let vectors = vectors_config_from_api(config.params.and_then(|params| params.vectors_config))?;
    Ok(Description {
        name: name.to_string(),
        layout: Layout {
            vectors,
            metadata: payload_from_api(config.metadata),
        },
        points: info.points_count.unwrap_or_default(),
    })
}

pub(crate) fn filter_to_api(filters: &[Filter]) -> Option<api::Filter> {
    let one = |filter: &Filter| {
        let tests = filter.tests().into_iter().map(|test| test_to_api(&filter.field, test));
        Condition::from(api::Filter::should(tests.collect::<Vec<_>>()))
    };
    (!filters.is_empty()).then(|| api::Filter::must(filters.iter().map(one).collect::<Vec<_>>()))
}

fn test_to_api(field: &str, test: Test) -> Condition {
    let matches = |value| FieldCondition {
        key: field.to_string(),
        r#match: Some(Match {
            match_value: Some(value),
        }),
        ..FieldCondition::default()
    };
    match test {
        Test::Id(id) => HasIdCondition {
            has_id: vec![id_to_api(id)],
        }
        .into(),
        Test::Keyword(text) => matches(MatchValue::Keyword(text)).into(),
        Test::Integer(number) => matches(MatchValue::Integer(number)).into(),
        Test::Boolean(truth) => matches(MatchValue::Boolean(truth)).into(),
        Test::Number(number) => FieldCondition {
            key: field.to_string(),
            range: Some(Range {
                gte: Some(number),
                lte: Some(number),
                ..Range::default()
            }),
            ..FieldCondition::default()
        }
        .into(),
    }
}
