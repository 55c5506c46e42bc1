//! Between this crate's types and those of qdrant-edge.

use std::collections::HashMap;

use qdrant_edge::external::ordered_float::OrderedFloat;
use qdrant_edge::{
    Condition, Distance as EdgeDistance, FieldCondition, Filter as EdgeFilter, HasIdCondition, JsonPath, Match,
    Payload, PointId as EdgePointId, PointStructPersisted, Range, Record as EdgeRecord, ScoredPoint, ValueVariants,
    VectorInternal, VectorPersisted, VectorStructInternal, VectorStructPersisted,
};
use serde_json::{Map, Value};

use crate::qdrant::backend::Record;
use crate::qdrant::collection::Distance;
use crate::qdrant::ids::PointId;
use crate::qdrant::points::{Point, Vectors};
use crate::qdrant::search::{Filter, Hit, Test};

pub(crate) fn distance(distance: Distance) -> EdgeDistance {
    match distance {
        Distance::Cosine => EdgeDistance::Cosine,
        Distance::Dot => EdgeDistance::Dot,
        Distance::Euclid => EdgeDistance::Euclid,
        Distance::Manhattan => EdgeDistance::Manhattan,
    }
}

pub(crate) fn id_to_edge(id: PointId) -> EdgePointId {
    match id {
        PointId::Number(number) => EdgePointId::NumId(number),
        PointId::Uuid(uuid) => EdgePointId::Uuid(uuid),
    }
}

pub(crate) fn id_from_edge(id: EdgePointId) -> PointId {
    match id {
        EdgePointId::NumId(number) => PointId::Number(number),
        EdgePointId::Uuid(uuid) => PointId::Uuid(uuid),
    }
}

pub(crate) fn point_to_edge(point: Point) -> PointStructPersisted {
    let vector = match point.vectors {
        Vectors::Unnamed(values) => VectorStructPersisted::Single(values),
        Vectors::Named(vectors) => {
            let vectors = vectors
                .into_iter()
                .map(|(name, values)| (name, VectorPersisted::Dense(values)));
            VectorStructPersisted::Named(vectors.collect::<HashMap<_, _>>())
        }
    };
    PointStructPersisted {
        id: id_to_edge(point.id),
        vector,
        payload: Some(Payload(point.payload)),
    }
}

pub(crate) fn record_from_edge(record: EdgeRecord) -> Record {
    Record {
        id: id_from_edge(record.id),
        vectors: vectors_from_edge(record.vector),
        payload: payload_from_edge(record.payload),
    }
}

pub(crate) fn hit_from_edge(point: ScoredPoint) -> Hit {
    Hit {
        id: id_from_edge(point.id).to_string(),
        score: point.score,
        payload: payload_from_edge(point.payload),
    }
}

fn payload_from_edge(payload: Option<Payload>) -> Map<String, Value> {
    payload.map(|payload| payload.0).unwrap_or_default()
}

/// Collections here hold dense vectors only.
fn vectors_from_edge(vectors: Option<VectorStructInternal>) -> Vectors {
    match vectors {
        Some(VectorStructInternal::Single(values)) => Vectors::Unnamed(values),
        Some(VectorStructInternal::Named(vectors)) => Vectors::Named(
            vectors
                .into_iter()
                .filter_map(|(name, vector)| match vector {
                    VectorInternal::Dense(values) => Some((name, values)),
                    VectorInternal::Sparse(_) | VectorInternal::MultiDense(_) => None,
                })
                .collect(),
        ),
        Some(VectorStructInternal::MultiDense(_)) | None => Vectors::Named(Default::default()),
    }
}

/// All `filters` together; the error names the field that is no path.
pub(crate) fn filter_to_edge(filters: &[Filter]) -> Result<Option<EdgeFilter>, String> {
    let conditions: Result<Vec<Condition>, String> = filters
        .iter()
        .map(|filter| {
            let tests: Result<Vec<Condition>, String> = filter
                .tests()
                .into_iter()
                .map(|test| test_to_edge(&filter.field, test))
                .collect();
            Ok(Condition::Filter(EdgeFilter {
                should: Some(tests?),
                ..EdgeFilter::new()
            }))
        })
        .collect();
    let conditions = conditions?;
    Ok((!conditions.is_empty()).then(|| EdgeFilter {
        must: Some(conditions),
        ..EdgeFilter::new()
    }))
}

/// One condition on `field`.
pub(crate) fn test_to_edge(field: &str, test: Test) -> Result<Condition, String> {
    let key: JsonPath = field
        .parse()
        .map_err(|()| format!("the field '{field}' of a filter is no path"))?;
    let matches = |value| Condition::Field(FieldCondition::new_match(key.clone(), Match::new_value(value)));
    Ok(match test {
        Test::Id(id) => Condition::HasId(HasIdCondition::from_iter([id_to_edge(id)])),
        Test::Keyword(text) => matches(ValueVariants::String(text)),
        Test::Integer(number) => matches(ValueVariants::Integer(number)),
        Test::Boolean(truth) => matches(ValueVariants::Bool(truth)),
        Test::Number(number) => {
            let number = Some(OrderedFloat(number));
            let range = Range {
                lt: None,
                gt: None,
                gte: number,
                lte: number,
            };
            Condition::Field(FieldCondition::new_range(key, range))
        }
    })
}
