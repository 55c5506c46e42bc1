//! What a failed commit means.

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

pub(super) enum Outcome {
    /// The group has moved on: the records will be read again.
    Lost,
    /// It may work later.
    Again,
    /// It will never work.
    Refused,
}

pub(super) fn outcome(error: &KafkaError) -> Outcome {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::RebalanceInProgress
            | RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::AssignmentLost,
        ) => Outcome::Lost,
        Some(
            RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::FencedInstanceId
            | RDKafkaErrorCode::Fatal
            | RDKafkaErrorCode::InvalidGroupId,
        ) => Outcome::Refused,
        _ => Outcome::Again,
    }
}
