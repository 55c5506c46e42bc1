CREATE TABLE media (id TEXT, url TEXT)
  WITH (connector = 'kafka', bootstrap_server = '{{ NO_SUCH_BROKER }}:{{ NO_SUCH_PORT }}', topc = 'media',
        type = 'sink', format = 'avro', 'source.offset' = 'start', bad_data = 'ignore',
        client_configs = 'enable.auto.commit=true');

CREATE TABLE vectors (id TEXT, url TEXT, vector FLOAT[])
  WITH (connector = 'qdrant', url = 'localhost:6334', distance = 'cosin', batch_points = '0', colection = 'media');

CREATE TABLE elsewhere (id TEXT)
  WITH (connector = 'kafak', topic = 'x');

CREATE TABLE files (id TEXT)
  WITH (connector = 'filesystem', type = 'source', format = 'json', path = 's3://bucket/in', path = 'twice');

CREATE TABLE printed (id TEXT)
  WITH (connector = 'stdout', type = 'source');

INSERT INTO vectors SELECT id, url, NULL FROM media;
INSERT INTO printed SELECT id FROM elsewhere;
