-- Media references from the Kafka topic `media`, a vector for each window of a long video and each page of a document, into
-- the Qdrant collection `moments`. Images, texts and short videos have one point, as in index_media.sql.
--
--   export SIGHTSTREAM_KAFKA=localhost:9092 SIGHTSTREAM_QDRANT=http://localhost:6334
--   sightstream run sql/pipelines/index_moments.sql
--   sightstream search 'the boat leaves' --collection moments --moments
--
-- A record is JSON: {"id": "7", "url": "https://example.org/harbour.mp4", "title": "A harbour", "kind": "video"}.
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
  'source.group_id' = 'moments'
);

-- `url` is the part's own address, which a browser can open, `parent` that of the medium, and `medium` its id. `start` and
-- `end` are seconds, of a window; `page` counts from 1.
CREATE TABLE moments (
  id      TEXT,
  url     TEXT,
  parent  TEXT,
  medium  TEXT,
  title   TEXT,
  kind    TEXT,
  folder  TEXT,
  "start" DOUBLE,
  "end"   DOUBLE,
  page    INT,
  vector  FLOAT[]
) WITH (
  connector = 'qdrant',
  url = '{{ SIGHTSTREAM_QDRANT }}',
  collection = 'moments'
);

CREATE VIEW parts AS
SELECT id AS medium, title, kind, folder, unnest(string_to_array(segments(url), chr(10))) AS part
FROM media;

-- The id of a point is the medium's with the part's fragment behind it: `7#t=30,60`, `7#page=3`, and `7` of a whole.
INSERT INTO moments
SELECT
  concat(medium, substr(part, length(part_of(part)) + 1)) AS id,
  part AS url,
  part_of(part) AS parent,
  medium, title, kind, folder,
  part_start(part) AS "start",
  part_end(part) AS "end",
  part_page(part) AS page,
  embed(part) AS vector
FROM parts;
