CREATE TABLE media (id TEXT, url TEXT, n BIGINT, at TIMESTAMP) WITH (connector = 'kafka', bootstrap_servers = '{{ HOST }}:9092', topic = 'a', type = 'source', format = 'json');
CREATE VIEW big (id, v) AS SELECT id, embed(url, 'x') FROM media WHERE n > 3 OR id LIKE '%a';
CREATE TABLE out (id TEXT, vector FLOAT[]) WITH (connector = 'qdrant', url = 'http://{{ HOST }}:6334', collection = 'media');
INSERT INTO out SELECT id, v FROM big;
