"""Rows per second from Kafka to Qdrant for ready vectors, beside a Python client that writes as qdrant-kafka does.

`scripts/bench kafka` runs it: it makes the venv (confluent-kafka, qdrant-client), builds both programs and starts Kafka.

Both read the same records ({"id": 7, "url": "…", "vector": […]}) from the same topic, and upsert them by gRPC into the
same server, 256 points in a request, waiting for each; the position is committed behind them. The server decodes what it
gets, keeps the ids and forgets the rest, so that the clients are measured. The Python client is one process: it consumes
a batch, parses it, upserts it, and commits its offsets.

`sightstream run` is timed from its start to its end; the Python client from its consumer's making to its last commit,
without the time in which Python loads its modules. Each runs as often as --runs says, in turns; the best of each counts.
"""

import argparse
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointStruct, VectorParams

BATCH = 256
PARTITIONS = 4
COLLECTION = "bench"
SERVER = "127.0.0.1:16334"


def fill(kafka, topic, rows, dimension):
    """A topic of `rows` records with vectors of `dimension` numbers."""
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1)])[topic].result()
    chance = random.Random(0)

    def single(number):
        """The shortest decimal form that is this f32 and no other, as encoders write it."""
        exact = struct.pack("f", number)
        (rounded,) = struct.unpack("f", exact)
        forms = (f"{rounded:.{digits}g}" for digits in range(6, 10))
        return next(form for form in forms if struct.pack("f", float(form)) == exact)

    # A few hundred different vectors are enough that nothing is remembered.
    vectors = [
        "[" + ",".join(single(chance.gauss(0, dimension**-0.5)) for _ in range(dimension)) + "]" for _ in range(200)
    ]
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 50, "queue.buffering.max.messages": 10_000})
    for row in range(rows):
        value = f'{{"id":{row},"url":"https://media.example.org/{row}.jpg","vector":{vectors[row % len(vectors)]}}}'
        while True:
            try:
                producer.produce(topic, value, key=str(row))
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()


def peer(kafka, topic, rows):
    """Moves the topic as qdrant-kafka does, and prints the seconds that it took."""
    qdrant = client()
    started = time.perf_counter()
    consumer = Consumer({
        "bootstrap.servers": kafka,
        "group.id": f"peer-{os.getpid()}",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    })
    consumer.subscribe([topic])
    moved = 0
    while moved < rows:
        messages = consumer.consume(BATCH, timeout=1.0)
        points = []
        for message in messages:
            if message.error():
                raise RuntimeError(message.error())
            record = json.loads(message.value())
            points.append(PointStruct(id=record["id"], vector=record["vector"], payload={"url": record["url"]}))
        if points:
            qdrant.upsert(COLLECTION, points=points, wait=True)
            consumer.commit(asynchronous=False)
            moved += len(points)
    print(time.perf_counter() - started)
    consumer.close()


def sightstream(binary, kafka, topic, dimension, folder):
    """Moves the topic with `sightstream run`: seconds and peak memory in MiB."""
    script = Path(folder) / "bench.sql"
    script.write_text(f"""
        CREATE TABLE ready (id BIGINT, url TEXT, vector FLOAT[]) WITH (
          connector = 'kafka', bootstrap_servers = '{kafka}', topic = '{topic}', type = 'source', format = 'json',
          'source.offset' = 'earliest', 'source.group_id' = 'bench-{time.time_ns()}');
        CREATE TABLE points (id BIGINT, url TEXT, vector FLOAT[]) WITH (
          connector = 'qdrant', url = 'http://{SERVER}', collection = '{COLLECTION}', batch_points = '{BATCH}');
        INSERT INTO points SELECT id, url, vector FROM ready;
    """)
    started = time.perf_counter()
    memory, *_ = run([binary, "run", str(script), "--until-caught-up"], folder)
    return time.perf_counter() - started, memory


def run(command, folder):
    """Runs a program to its end: its peak memory in MiB, its output, and its errors."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
        output.seek(0)
        errors.seek(0)
        if os.waitstatus_to_exitcode(status) != 0:
            sys.exit(f"{command[0]} failed:\n{errors.read()}")
        return usage.ru_maxrss / 1024, output.read(), errors.read()


class Server:
    """The server that forgets, while it runs."""

    def __init__(self, process):
        self.process, self.client = process, client()

    def points(self):
        return self.client.count(COLLECTION).count


@contextmanager
def serving(binary, dimension=None):
    """A server, with the collection if its dimension is given."""
    process = subprocess.Popen([binary, SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        process.stdout.readline()
        server = Server(process)
        if dimension:
            vectors = VectorParams(size=dimension, distance=Distance.COSINE)
            server.client.create_collection(COLLECTION, vectors_config=vectors)
        yield server
    finally:
        process.stdin.close()
        process.wait()


def client():
    port = int(SERVER.split(":")[1])
    return QdrantClient(url="http://" + SERVER, grpc_port=port, prefer_grpc=True, check_compatibility=False)


def measure(arguments, dimension, folder):
    rows = arguments.rows
    topic = f"ready-{dimension}-{time.time_ns()}"
    fill(arguments.kafka, topic, rows, dimension)
    ways = {
        "sightstream": lambda: sightstream(arguments.sightstream, arguments.kafka, topic, dimension, folder),
        "python": lambda: python(arguments, topic, folder),
    }
    best, peak = {}, {}
    for _ in range(arguments.runs):
        for name, way in ways.items():
            with serving(arguments.server, dimension) as server:
                seconds, memory = way()
                if server.points() != rows:
                    sys.exit(f"{name} moved {server.points()} of {rows} rows")
            best[name] = min(best.get(name, seconds), seconds)
            peak[name] = max(peak.get(name, memory), memory)
    ours, theirs = rows / best["sightstream"], rows / best["python"]
    print(
        f"| {dimension} | {rows:,} | {ours:,.0f} | {theirs:,.0f} | {ours / theirs:.2f} "
        f"| {peak['sightstream']:.0f} | {peak['python']:.0f} |",
        flush=True,
    )


def python(arguments, topic, folder):
    command = [sys.executable, __file__, "--peer", topic, "--kafka", arguments.kafka, "--rows", str(arguments.rows)]
    memory, printed, _ = run(command, folder)
    return float(printed), memory


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kafka", required=True, help="HOST:PORT of the broker")
    arguments.add_argument("--sightstream", help="the program, a release build")
    arguments.add_argument("--server", help="the example forgetful_qdrant, a release build")
    arguments.add_argument("--rows", type=int, default=50_000)
    arguments.add_argument("--dimensions", type=int, nargs="+", default=[256, 1536])
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--peer", help=argparse.SUPPRESS)
    arguments = arguments.parse_args()
    if arguments.peer:
        peer(arguments.kafka, arguments.peer, arguments.rows)
        return
    print("| numbers a vector | rows | sightstream, rows/s | python, rows/s | ratio | peak MiB | peak MiB, python |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for dimension in arguments.dimensions:
            measure(arguments, dimension, folder)


if __name__ == "__main__":
    main()
