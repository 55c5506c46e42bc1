-- Vectors from the Kafka topic `vectors`, which embed_media.sql has filled here or on an Arroyo cluster, into the Qdrant
-- collection `media`. No model is loaded.
--
--   export SIGHTSTREAM_KAFKA=localhost:9092 SIGHTSTREAM_QDRANT=http://localhost:6334
--   sightstream run sql/pipelines/index_vectors.sql
--
-- A record is JSON: {"id": "7", "url": "https://example.org/canal.jpg", "title": "A canal", "vector": "AACAPwAAIMA="}. The vector
-- is base64 of little-endian 32-bit floats, or a list of numbers. An Arroyo of before October 2025 wrote hexadecimal: then
-- say 'json.bytes_encoding' = 'hex' among the options of `vectors`. What is of neither form, of another length than the
-- collection's vectors, or holds a number that is not finite, is a dead letter.

CREATE TABLE vectors (
  id     TEXT NOT NULL,
  url    TEXT,
  title  TEXT,
  kind   TEXT,
  folder TEXT,
  vector FLOAT[]
) WITH (
  connector = 'kafka',
  bootstrap_servers = '{{ SIGHTSTREAM_KAFKA }}',
  topic = 'vectors',
  type = 'source',
  format = 'json',
  'source.offset' = 'earliest',
  'source.group_id' = 'vectors-indexer'
);

-- `id` and `vector` are the point, the other columns its payload, which a search can filter by.
CREATE TABLE points (
  id     TEXT,
  url    TEXT,
  title  TEXT,
  kind   TEXT,
  folder TEXT,
  vector FLOAT[]
) WITH (
  connector = 'qdrant',
  url = '{{ SIGHTSTREAM_QDRANT }}',
  collection = 'media'
);

-- A vector that is null is a medium that could not be embedded on Arroyo. It is a dead letter here, with its id and url, so
-- that none is lost without a word; the plugin has told why. With `WHERE vector IS NOT NULL` it is passed over.
INSERT INTO points
SELECT id, url, title, kind, folder, vector
FROM vectors;
