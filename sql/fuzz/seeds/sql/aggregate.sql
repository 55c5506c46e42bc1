CREATE TABLE names (id TEXT, name TEXT, n INT) WITH (connector = 'single_file', path = '/tmp/{{ HOST }}.jsonl', format = 'json');
SELECT name, count(*), avg(n) AS mean FROM names GROUP BY name HAVING count(*) > 1 ORDER BY 2 DESC LIMIT 3;
SELECT id FROM names UNION ALL SELECT DISTINCT name FROM names;
