//! Positions that the topic no longer has: retention removed what was not read, or the topic was made anew.

/// A partition whose next record is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) partition: i32,
    /// The offset that was to be read.
    pub(super) wanted: i64,
    /// The offset of the first record that is there, from which reading goes on.
    pub(super) first: i64,
}

impl Gap {
    /// Tells and counts what is lost.
    pub(super) fn report(self, table: &str, topic: &str) {
        let Self {
            partition,
            wanted,
            first,
        } = self;
        if wanted < first {
            let lost = first - wanted;
            metrics::counter!("sightstream_source_records_lost_total", "table" => table.to_string())
                .increment(lost.unsigned_abs());
            tracing::error!(
                table,
                topic,
                partition,
                from = wanted,
                until = first,
                lost,
                "records were removed from the topic (retention) before they were read; going on with the first that is \
                 left"
            );
        } else {
            tracing::error!(
                table,
                topic,
                partition,
                position = wanted,
                from = first,
                "the topic ends before the group's position: it was made anew or cut off; reading it from its first record"
            );
        }
    }
}

/// The partition and the offset that was wanted, from librdkafka's log line on a position that the broker does not have:
/// `media [0]: offset reset (at offset 5 (leader epoch -1), broker 1) to …`.
pub(super) fn reset_in(topic: &str, message: &str) -> Option<(i32, i64)> {
    let (_, rest) = message.split_once(&format!("{topic} ["))?;
    let (partition, rest) = rest.split_once("]: offset reset (at offset ")?;
    let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
    Some((partition.parse().ok()?, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_is_found_in_the_log_line_of_its_topic() {
        let line = "[thrd:main]: media [3]: offset reset (at offset 57 (leader epoch 0), broker 1) to offset BEGINNING \
                    (leader epoch -1): fetch failed due to requested offset not available on the broker: Broker: Offset \
                    out of range";
        assert_eq!(reset_in("media", line), Some((3, 57)));
        assert_eq!(reset_in("other", line), None);
        assert_eq!(
            reset_in(
                "media",
                "media [3]: offset reset (at offset END (leader epoch -1), broker 1)"
            ),
            None,
            "no position of ours"
        );
    }
}
