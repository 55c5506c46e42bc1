SET sightstream.modle = 'x';
SET sightstream.max_batch_tokens = 'many';
SET sightstream.epoch_delay = 5;
SET timezone = 'UTC';
SELECT 1 AS one;
