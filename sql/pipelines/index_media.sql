-- Media references from the Kafka topic `media`, images, videos, PDF documents and texts, a vector for each, into the Qdrant
-- collection `media`. A long video or a document has one point; index_moments.sql makes one for each window and page.
--
--   export SIGHTSTREAM_KAFKA=localhost:9092 SIGHTSTREAM_QDRANT=http://localhost:6334
--   sightstream run sql/pipelines/index_media.sql
--
-- A record is JSON: {"id": "7", "url": "https://example.org/canal.jpg", "title": "A canal", "kind": "image"}.
-- SIGHTSTREAM_QDRANT may be `embedded:PATH`, a Qdrant in this process.

CREATE TABLE media (
  id     TEXT NOT NULL,
  url    TEXT NOT NULL,
  title  TEXT,
  kind   TEXT,
  folder TEXT
) WITH (
  connector = 'kafka',
  bootstrap_servers = '{{ SIGHTSTREAM_KAFKA }}',
  topic = 'media',
  type = 'source',
  format = 'json',
  'source.offset' = 'earliest',
  'source.group_id' = 'indexer'
);

-- `id` and `vector` are the point, the other columns its payload, which a search can filter by.
CREATE TABLE vectors (
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

-- Without a second argument, the instruction is the model's own for each kind of medium.
INSERT INTO vectors
SELECT id, url, title, kind, folder, embed(url) AS vector
FROM media;
