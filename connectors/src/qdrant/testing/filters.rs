//! Filters of the API as qdrant-edge's.

use qdrant_client::qdrant::condition::ConditionOneOf;
use qdrant_client::qdrant::r#match::MatchValue;
use qdrant_client::qdrant::{self as api};
use qdrant_edge::{Condition, Filter, HasIdCondition};
use tonic::Status;

use crate::qdrant::embedded::convert;
use crate::qdrant::grpc::messages;
use crate::qdrant::search::Test;

/// The filter, if it is made of what this crate's own filters are made of.
pub(super) fn to_edge(filter: Option<api::Filter>) -> Result<Option<Filter>, Status> {
    filter.map(filter_to_edge).transpose()
}

fn filter_to_edge(filter: api::Filter) -> Result<Filter, Status> {
    if filter.min_should.is_some() {
        return Err(Status::unimplemented("the test server knows no min_should"));
    }
    let conditions = |conditions: Vec<api::Condition>| -> Result<Option<Vec<Condition>>, Status> {
        let converted: Result<Vec<_>, _> = conditions.into_iter().map(condition_to_edge).collect();
        converted.map(|conditions| (!conditions.is_empty()).then_some(conditions))
    };
    Ok(Filter {
        should: conditions(filter.should)?,
        min_should: None,
        must: conditions(filter.must)?,
        must_not: conditions(filter.must_not)?,
    })
}

fn condition_to_edge(condition: api::Condition) -> Result<Condition, Status> {
    match condition.condition_one_of {
        Some(ConditionOneOf::Filter(filter)) => Ok(Condition::Filter(filter_to_edge(filter)?)),
        Some(ConditionOneOf::HasId(ids)) => {
            let ids: Result<Vec<_>, String> = ids
                .has_id
                .into_iter()
                .map(|id| messages::id_from_api(Some(id)))
                .collect();
            let ids = ids
                .map_err(Status::invalid_argument)?
                .into_iter()
                .map(convert::id_to_edge);
            Ok(Condition::HasId(HasIdCondition::from_iter(ids)))
        }
        Some(ConditionOneOf::Field(field)) => {
            let test = match (field.r#match.and_then(|matches| matches.match_value), field.range) {
                (Some(MatchValue::Keyword(text)), None) => Test::Keyword(text),
                (Some(MatchValue::Integer(number)), None) => Test::Integer(number),
                (Some(MatchValue::Boolean(truth)), None) => Test::Boolean(truth),
                (
                    None,
                    Some(api::Range {
                        gte: Some(from),
                        lte: Some(to),
                        lt: None,
                        gt: None,
                    }),
                ) if from == to => Test::Number(from),
                _ => {
                    return Err(Status::unimplemented(
                        "the test server knows no such condition on a field",
                    ));
                }
            };
            convert::test_to_edge(&field.key, test).map_err(Status::invalid_argument)
        }
        _ => Err(Status::unimplemented("the test server knows no such condition")),
    }
}
