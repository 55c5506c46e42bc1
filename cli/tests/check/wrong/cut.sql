CREATE TABLE media (id TEXT, url TEXT)
  WITH (connector = 'single_file', path = 'in.jsonl', typ = 'source', format = 'json');
SELECT id FROM media WHERE url = 'not closed;
SELECT url FROM media;
