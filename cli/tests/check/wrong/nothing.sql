CREATE TABLE media (id TEXT, url TEXT)
  WITH (connector = 'single_file', path = 'in.jsonl', type = 'source', format = 'json');
