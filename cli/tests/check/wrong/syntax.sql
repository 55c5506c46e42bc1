-- Each statement is wrong in another way, and each is told.
CREATE TABLE media (id TEXT, url TEXT,)
  WITH (connector = 'single_file', path = 'in.jsonl', type = 'source', format = 'json');

CREATE TABLE copies (id TEXT, url TEXT)
  WITH (connector = 'single_file' path = 'out.jsonl', type = 'sink', format = 'json');

DROP TABLE media;

SELECT 1 AS one
INSERT INTO copies SELECT id, url FROM media;

CREATE TABLE bare (id TEXT);

CREATE TABLE typed (id TEXTT, n BIGINT DEFAULT 1)
  WITH (connector = 'stdout');

SELECT id, FROM media WHERE;
