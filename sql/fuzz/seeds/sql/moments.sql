CREATE TABLE media (id TEXT, url TEXT) WITH (connector = 'kafka', bootstrap_servers = '{{ HOST }}:9092', topic = 'a', type = 'source', format = 'json');
CREATE VIEW parts AS SELECT id, unnest(string_to_array(segments(url), chr(10))) AS part FROM media;
SELECT id, part_of(part), part_start(part) AS "start", part_end(part) AS "end", part_page(part), embed(part) FROM parts;
