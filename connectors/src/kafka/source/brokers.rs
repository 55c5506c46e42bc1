//! Whether the brokers that this consumer needs are there, from librdkafka's statistics.

use std::time::{Duration, Instant};

use rdkafka::statistics::Statistics;

use crate::Waits;
use crate::kafka::client::{Connection, Monitor};
use crate::waiting::Wait;

/// How long a leader or a coordinator may be away before that counts as waiting: a change of leaders takes a moment.
const NOTICE: Duration = Duration::from_secs(3);

/// Looks after the brokers of one consumer.
pub(super) struct Brokers {
    away_since: Option<Instant>,
    wait: Wait,
}

impl Brokers {
    pub(super) fn new(waits: &Waits, connection: &Connection) -> Self {
        Self {
            away_since: None,
            wait: waits.wait_for(connection.system(), format!("reading the topic {}", connection.topic)),
        }
    }

    /// Begins or ends a wait by what `statistics` say.
    pub(super) fn look(&mut self, statistics: &Statistics, topic: &str, assigned: &[i32], monitor: &Monitor) {
        let Some(problem) = problem(statistics, topic, assigned) else {
            self.away_since = None;
            self.wait.passed();
            return;
        };
        let since = *self.away_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= NOTICE {
            self.wait.lasts(match monitor.failure() {
                Some(failure) => format!("{problem}: {failure}"),
                None => problem,
            });
        }
    }
}

/// What keeps this consumer from reading, if anything does.
fn problem(statistics: &Statistics, topic: &str, assigned: &[i32]) -> Option<String> {
    let is_up = |id: i32| {
        let mut brokers = statistics.brokers.values();
        brokers.any(|broker| broker.nodeid == id && broker.state == "UP")
    };
    if statistics.cgrp.as_ref().is_some_and(|group| group.state != "up") {
        return Some("the group's coordinator is away".into());
    }
    let partitions = &statistics.topics.get(topic)?.partitions;
    let away: Vec<i32> = assigned
        .iter()
        .copied()
        .filter(|id| partitions.get(id).is_some_and(|partition| !is_up(partition.broker)))
        .collect();
    (!away.is_empty()).then(|| format!("the brokers of the partitions {away:?} are away"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::statistics::{Broker, ConsumerGroup, Partition, Topic};

    fn statistics(coordinator: &str, broker_state: &str) -> Statistics {
        let partition = |broker| Partition {
            broker,
            ..Partition::default()
        };
        Statistics {
            cgrp: Some(ConsumerGroup {
                state: coordinator.into(),
                ..ConsumerGroup::default()
            }),
            brokers: [(1, "UP"), (2, broker_state)]
                .map(|(nodeid, state)| {
                    let broker = Broker {
                        nodeid,
                        state: state.into(),
                        ..Broker::default()
                    };
                    (nodeid.to_string(), broker)
                })
                .into(),
            topics: [(
                "media".to_string(),
                Topic {
                    partitions: [(0, partition(1)), (1, partition(2)), (2, partition(-1))].into(),
                    ..Topic::default()
                },
            )]
            .into(),
            ..Statistics::default()
        }
    }

    #[test]
    fn only_the_brokers_of_what_is_read_matter() {
        assert_eq!(problem(&statistics("up", "UP"), "media", &[0, 1]), None);
        assert_eq!(problem(&statistics("up", "DOWN"), "media", &[0]), None);
        assert_eq!(
            problem(&statistics("up", "CONNECT"), "media", &[0, 1]).as_deref(),
            Some("the brokers of the partitions [1] are away")
        );
        assert_eq!(
            problem(&statistics("up", "UP"), "media", &[0, 1, 2]).as_deref(),
            Some("the brokers of the partitions [2] are away"),
            "a partition without a leader"
        );
        assert_eq!(
            problem(&statistics("wait-coord", "UP"), "media", &[]).as_deref(),
            Some("the group's coordinator is away")
        );
    }
}
