CREATE TABLE media (id TEXT, n DOUBLE) WITH (connector = 'single_file', path = '/tmp/{{ HOST }}.jsonl', format = 'json');
SELECT id, row_number() OVER (PARTITION BY id ORDER BY n) FROM media;
SELECT CAST(n AS TEXT) || 'é', date_trunc('hour', now()), sha256(id), arrow_cast(n, 'Int8') FROM media;