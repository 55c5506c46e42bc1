//! A sink whose topic refuses records.

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use sightstream_connectors::Waits;

use crate::kit::{begun, open_sink_waiting, rows, sink_table, values};
use crate::support::{cluster, within};

#[tokio::test]
async fn a_sink_waits_while_the_topic_takes_no_records_and_keeps_their_order() {
    use RDKafkaRespErr::*;
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let sink = open_sink_waiting(&sink_table(&servers, &[]), &Waits::default()).await;
    for error in [
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
    ] {
        cluster.request_errors(RDKafkaApiKey::Produce, &[error, error]);
        let written = within(sink.write(&rows(&["a", "b"]))).await;
        assert_eq!(written.expect("the rows are taken in the end"), [], "{error:?}");
    }
    let read = values(&servers, 12).await;
    assert_eq!(read, ["a", "b"].repeat(6));
}

#[tokio::test]
async fn of_a_batch_that_the_broker_refuses_only_what_it_refuses_alone_is_rejected() {
    use RDKafkaRespErr::*;
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let sink = open_sink_waiting(&sink_table(&servers, &[]), &Waits::default()).await;
    // The batch, then the first of its records by itself, then the second.
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[
            RD_KAFKA_RESP_ERR_INVALID_RECORD,
            RD_KAFKA_RESP_ERR_NO_ERROR,
            RD_KAFKA_RESP_ERR_INVALID_RECORD,
        ],
    );
    let rejections = within(sink.write(&rows(&["a", "b", "c"])))
        .await
        .expect("two are taken");
    let refused: Vec<usize> = rejections.iter().map(|rejection| rejection.row).collect();
    assert_eq!(refused, [1]);
    assert_eq!(values(&servers, 2).await, ["a", "c"]);
}

#[tokio::test]
async fn what_a_write_had_not_sent_when_it_was_given_up_is_taken_back() {
    let cluster = cluster(1);
    let servers = cluster.bootstrap_servers();
    let waits = Waits::default();
    let sink = open_sink_waiting(&sink_table(&servers, &[]), &waits).await;
    assert_eq!(within(sink.write(&rows(&["first"]))).await.expect("it is taken"), []);
    cluster.broker_down(1).expect("the broker goes");
    let batch = rows(&["stale"]);
    tokio::select! {
        written = sink.write(&batch) => panic!("there is no broker: {written:?}"),
        seen = begun(&waits, "writing to the topic media") => assert!(seen.contains("no answer"), "{seen}"),
    }
    assert!(waits.current().is_empty(), "nobody waits any more");
    cluster.broker_up(1).expect("the broker comes back");
    assert_eq!(within(sink.write(&rows(&["second"]))).await.expect("it is taken"), []);
    assert_eq!(values(&servers, 2).await, ["first", "second"]);
}
