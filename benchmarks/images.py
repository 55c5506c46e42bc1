"""Images a second from Kafka through `embed` into Qdrant, beside the bare encoder on the same images.

`scripts/bench images` runs it. The images are JPEGs of 640 x 480, each another one, on this machine's disk. The bare
encoder has them decoded and preprocessed already, and only that time is counted which it takes to encode them, in
batches of the same size, with the same checkpoint, threads and type. A ratio near 1 says that everything else (Kafka,
reading, decoding, preprocessing, Qdrant) happens beside the encoder. On a CPU it cannot: the encoder leaves no core
idle, so what a core prepares in a second is printed too, and with it the ratio that could be reached.

The server is the one of kafka_to_qdrant.py.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from kafka_to_qdrant import COLLECTION, PARTITIONS, SERVER, run, serving


def end_to_end(arguments, files, folder):
    """Images a second and peak memory of `sightstream run`, its start (a checkpoint to load) left out."""
    topic = f"images-{time.time_ns()}"
    admin = AdminClient({"bootstrap.servers": arguments.kafka})
    admin.create_topics([NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1)])[topic].result()
    producer = Producer({"bootstrap.servers": arguments.kafka})
    for number, file in enumerate(files):
        producer.produce(topic, f'{{"id":{number},"url":"{file}"}}', key=str(number))
    producer.flush()
    script = Path(folder) / "images.sql"
    script.write_text(f"""
        CREATE TABLE images (id BIGINT, url TEXT) WITH (
          connector = 'kafka', bootstrap_servers = '{arguments.kafka}', topic = '{topic}', type = 'source',
          format = 'json', 'source.offset' = 'earliest', 'source.group_id' = '{topic}');
        CREATE TABLE points (id BIGINT, url TEXT, vector FLOAT[]) WITH (
          connector = 'qdrant', url = 'http://{SERVER}', collection = '{COLLECTION}');
        INSERT INTO points SELECT id, url, embed(url) FROM images;
    """)
    command = [arguments.sightstream, "run", str(script), "--until-caught-up", "--log-format", "json"]
    if arguments.model:
        command += ["--model", arguments.model]
    with serving(arguments.server) as server:
        memory, _, log = run(command, folder)
        if server.points() != len(files):
            raise SystemExit(f"{server.points()} of {len(files)} images arrived:\n{log}")
    return len(files) / ended_after(log), memory


def ended_after(log):
    """The seconds that the job's own report names."""
    reports = (json.loads(line) for line in log.splitlines() if '"the job has ended"' in line)
    return next(report["seconds"] for report in reports)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kafka", required=True, help="HOST:PORT of the broker")
    arguments.add_argument("--sightstream", required=True, help="the program, a release build")
    arguments.add_argument("--server", required=True, help="the example forgetful_qdrant, a release build")
    arguments.add_argument("--bare", required=True, help="the example bare_encoder, a release build")
    arguments.add_argument("--model", help="a checkpoint; without it, the demo checkpoint")
    arguments.add_argument("--images", type=int, default=300)
    arguments = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        command = [arguments.bare, str(pictures), str(arguments.images)] + ([arguments.model] if arguments.model else [])
        bare_memory, printed, _ = run(command, folder)
        prepared, encoded = map(float, printed.split())
        rate, memory = end_to_end(arguments, sorted(pictures.iterdir()), folder)
    print("| images | end to end, images/s | bare encoder, images/s | ratio | prepared/s by a core | peak MiB | peak MiB, bare |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print(
        f"| {arguments.images} | {rate:.1f} | {encoded:.1f} | {rate / encoded:.2f} | {prepared:.1f} "
        f"| {memory:.0f} | {bare_memory:.0f} |"
    )


if __name__ == "__main__":
    main()
