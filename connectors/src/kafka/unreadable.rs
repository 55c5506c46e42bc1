//! Records that are in a topic and cannot be read: damaged, too large, or packed as this client cannot unpack.
//!
//! librdkafka tells of them with every try, without the partition, and fetches the same again for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// How long records that cannot be read are tried: a broker may be mended meanwhile.
pub(super) const UNREADABLE: Duration = Duration::from_secs(30);

/// How long the brokers may take to say where a partition ends.
const ASK_FOR_END: Duration = Duration::from_secs(1);

/// What an error of reading means for the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// librdkafka goes on behind them: reading on would lose them.
    Skipped,
    /// They are tried again and again.
    Stuck,
    /// The client or the group has a trouble that passes; its monitor tells it.
    Other,
}

/// What `error` means for the records.
pub(super) fn trouble(error: &KafkaError) -> Trouble {
    match error.rdkafka_error_code() {
        // A checksum that is wrong; a format of records, or a compression, that librdkafka does not know.
        Some(RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::NotImplemented) => Trouble::Skipped,
        Some(
            RDKafkaErrorCode::BadCompression
            | RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::UnsupportedCompressionType,
        ) => Trouble::Stuck,
        _ => Trouble::Other,
    }
}

/// The partitions that have more records than `consumer` has given out, with the offset of the next one where it is
/// known. What stands still is among them.
pub(super) fn behind<C, X>(consumer: &C, topic: &str) -> BTreeMap<i32, Option<i64>>
where
    C: Consumer<X>,
    X: ConsumerContext,
{
    let (Ok(assigned), Ok(positions)) = (consumer.assignment(), consumer.position()) else {
        return BTreeMap::new();
    };
    let next = |partition: i32| {
        let place = positions.find_partition(topic, partition)?;
        place.offset().to_raw().filter(|offset| *offset >= 0)
    };
    let mut behind = BTreeMap::new();
    // Brokers that do not answer for one partition are not asked for the others.
    let mut answer = true;
    for element in assigned.elements() {
        let (partition, next) = (element.partition(), next(element.partition()));
        let ends = answer.then(|| consumer.fetch_watermarks(topic, partition, ASK_FOR_END));
        let is_at_end = match ends {
            Some(Ok((low, end))) => next.unwrap_or(low) >= end,
            Some(Err(_)) | None => {
                answer = false;
                false
            }
        };
        if !is_at_end {
            behind.insert(partition, next);
        }
    }
    behind
}

/// `places`, for people: `partition 0 from offset 5, partition 1`.
pub(super) fn named(places: &BTreeMap<i32, Option<i64>>) -> String {
    if places.is_empty() {
        return "a partition".into();
    }
    let named = places.iter().map(|(partition, next)| match next {
        Some(next) => format!("partition {partition} from offset {next}"),
        None => format!("partition {partition}"),
    });
    named.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_named_with_what_is_known_of_them() {
        assert_eq!(named(&BTreeMap::new()), "a partition");
        let places = [(0, Some(5)), (2, None)].into();
        assert_eq!(named(&places), "partition 0 from offset 5, partition 2");
    }

    #[test]
    fn records_that_librdkafka_passes_over_are_told_from_those_that_it_tries_again() {
        let of = |code| trouble(&KafkaError::MessageConsumption(code));
        assert_eq!(of(RDKafkaErrorCode::BadMessage), Trouble::Skipped);
        assert_eq!(of(RDKafkaErrorCode::BadCompression), Trouble::Stuck);
        assert_eq!(of(RDKafkaErrorCode::RebalanceInProgress), Trouble::Other);
    }
}
