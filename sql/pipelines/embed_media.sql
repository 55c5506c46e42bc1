-- Media references from the Kafka topic `media`, images, videos, PDF documents and texts, a vector for each, into the Kafka
-- topic `vectors`. index_vectors.sql takes them from there into Qdrant.
--
-- The same file runs on one machine and, with this project's UDFs, on an Arroyo cluster, unchanged:
--
--   sightstream run sql/pipelines/embed_media.sql
--   sightstream deploy sql/pipelines/embed_media.sql --arroyo http://localhost:5115
--
-- Arroyo puts no environment variables into a Kafka address or topic: write your own here.
--
-- A record is JSON: {"id": "7", "url": "https://example.org/canal.jpg", "title": "A canal", "kind": "image"}. One that cannot be
-- read is a dead letter on one machine and ends the pipeline on Arroyo; with bad_data = 'drop' both pass over it.

CREATE TABLE media (
  id     TEXT NOT NULL,
  url    TEXT NOT NULL,
  title  TEXT,
  kind   TEXT,
  folder TEXT
) WITH (
  connector = 'kafka',
  bootstrap_servers = 'localhost:9092',
  topic = 'media',
  type = 'source',
  format = 'json',
  'source.offset' = 'earliest',
  'source.group_id' = 'embedder'
);

-- The vector is little-endian 32-bit floats, in the record as base64. A medium that cannot be embedded is a dead letter on one
-- machine; on Arroyo its record has a vector that is null.
CREATE TABLE vectors (
  id     TEXT,
  url    TEXT,
  title  TEXT,
  kind   TEXT,
  folder TEXT,
  vector BYTEA
) WITH (
  connector = 'kafka',
  bootstrap_servers = 'localhost:9092',
  topic = 'vectors',
  type = 'sink',
  format = 'json',
  'sink.key_field' = 'id'
);

-- A NULL instruction is the model's own for each kind of medium.
INSERT INTO vectors
SELECT id, url, title, kind, folder, embed(url, NULL) AS vector
FROM media;
