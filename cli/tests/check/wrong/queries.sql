CREATE TABLE media (id TEXT, url TEXT, n BIGINT)
  WITH (connector = 'kafka', bootstrap_servers = 'localhost:9092', topic = 'media', type = 'source', format = 'json');
CREATE TABLE clicks (id TEXT, media TEXT)
  WITH (connector = 'kafka', bootstrap_servers = 'localhost:9092', topic = 'clicks', type = 'source', format = 'json');
CREATE TABLE out (id TEXT, n BIGINT, vector FLOAT[])
  WITH (connector = 'single_file', path = 'out.jsonl', type = 'sink', format = 'json');

INSERT INTO out SELECT id, n FROM media;
INSERT INTO out SELECT ids, n, NULL FROM media;
INSERT INTO out SELECT id, lenght(url), NULL FROM media;
INSERT INTO out SELECT id, n, NULL FROM medai;
INSERT INTO outt SELECT id, m, NULL FROM media;
INSERT INTO out (id, numbr) SELECT id, n FROM media;
INSERT INTO out SELECT id, n, url FROM media;
INSERT INTO out SELECT id, count(*), NULL FROM media GROUP BY id;
INSERT INTO out SELECT media.id, n, NULL FROM media JOIN clicks ON clicks.media = media.id;
INSERT INTO out SELECT id, n, NULL FROM media ORDER BY n;
SELECT row_number() OVER (ORDER BY n) FROM media;
SELECT embed(url, 1, 2) FROM media;
