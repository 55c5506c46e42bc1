CREATE TABLE media (id TEXT, url TEXT, key BYTEA METADATA FROM 'keys')
  WITH (connector = 'kafka', bootstrap_servers = 'localhost:9092', topic = 'media', type = 'source', format = 'json');
CREATE TABLE no_id (url TEXT, vector FLOAT[])
  WITH (connector = 'qdrant', url = 'http://localhost:6334', collection = 'media');
CREATE TABLE number_vector (id TEXT, vector BIGINT)
  WITH (connector = 'qdrant', url = 'http://localhost:6334', collection = 'media');
CREATE TABLE topic (id TEXT, at TEXT)
  WITH (connector = 'kafka', bootstrap_servers = 'localhost:9092', topic = 'out', type = 'sink', format = 'json',
        'sink.key_field' = 'key', 'sink.timestamp_field' = 'at');
INSERT INTO no_id SELECT url, NULL FROM media;
INSERT INTO number_vector SELECT id, NULL FROM media;
INSERT INTO topic SELECT id, url FROM media;
