SET sightstream.epoch_rows = 12;
CREATE TABLE media (id TEXT, url TEXT) WITH (connector = 'kafka', bootstrap_servers = '{{ HOST }}:9092', topic = 'a', type = 'source', format = 'json');
CREATE TABLE names (id TEXT, name TEXT) WITH (connector = 'single_file', path = '/tmp/{{ HOST }}.jsonl', format = 'json');
SELECT m.id, n.name, CASE WHEN n.name IS NULL THEN NULL ELSE embed(m.url) END FROM media m JOIN names n ON m.id = n.id
WHERE m.id IN (SELECT id FROM names);
