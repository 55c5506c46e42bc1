CREATE TABLE media (id TEXT, urls TEXT) WITH (connector = 'kafka', bootstrap_servers = '{{ HOST }}:9092', topic = 'a', type = 'source', format = 'json');
WITH parts AS (SELECT id, unnest(string_to_array(urls, chr(10))) AS url FROM media)
SELECT id, url, vector_bytes(embed(url, NULL)) FROM parts; -- the end
/* a comment */