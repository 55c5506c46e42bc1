CREATE TABLE media (id TEXT NOT NULL, place BIGINT METADATA FROM 'offset_id', k BYTEA METADATA FROM 'key',
  s STRUCT<x INT, y TEXT[]>, j JSON, d DECIMAL(10, 2)) WITH (connector = 'kafka', bootstrap_servers = '{{ HOST }}:9092', topic = 'a', type = 'source', format = 'json');
SELECT id, place, s, cosine_similarity([1.0], [2.0]) FROM media;
