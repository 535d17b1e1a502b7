-- The store of assay, schema version 2 (PRAGMA user_version). docs/store.md has example queries.
--
-- Content and volatility: two equal evaluations leave equal content. What differs from one start of
-- the program to the next lives in the table `sessions` and in columns named `volatile_...`.
-- Row numbers are not content. Text columns hold TEXT where the bytes are UTF-8 without NUL, and
-- BLOB where they are not (prompts and generations may hold anything).
-- Units: log-probabilities in nats, times in milliseconds or Unix seconds, scores as fractions.

-- Checkpoints.
CREATE TABLE models (
  id INTEGER PRIMARY KEY,           -- row number
  name TEXT NOT NULL,               -- directory name
  architecture TEXT NOT NULL,       -- "deepseek_v3"
  weights_digest TEXT NOT NULL,     -- SHA-256 over names, dtypes, shapes and bytes of the tensors
  config_digest TEXT NOT NULL,      -- SHA-256 of config.json
  tokenizer_digest TEXT NOT NULL,   -- SHA-256 of tokenizer.json
  parameters INTEGER NOT NULL,      -- total, without MTP; 0: unknown
  active_parameters INTEGER NOT NULL, -- per token; 0: unknown
  training_step INTEGER,            -- NULL: unknown
  training_tokens INTEGER,          -- NULL: unknown
  details TEXT NOT NULL DEFAULT '{}', -- JSON object: whatever else was found out
  UNIQUE (name, weights_digest, config_digest, tokenizer_digest)
) STRICT;

-- One checkpoint under one identity. Tasks may be added by later starts of the program.
CREATE TABLE runs (
  id INTEGER PRIMARY KEY,           -- row number
  model_id INTEGER NOT NULL REFERENCES models (id), -- the checkpoint
  label TEXT NOT NULL,              -- what people call it
  numerics TEXT NOT NULL,           -- "bf16"
  kernel_profile TEXT NOT NULL,     -- "cpu-avx2/bf16"; equal profiles give equal bits
  engine_version TEXT NOT NULL,     -- version of the program
  seed INTEGER NOT NULL,            -- of sampling; 0 for greedy runs as well
  settings TEXT NOT NULL DEFAULT '{}', -- JSON object: further settings that can change a result
  identity TEXT NOT NULL UNIQUE,    -- SHA-256 over the model and all columns above
  status TEXT NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'finished')) -- whether everything planned is there
) STRICT;

-- Starts of the program on a run. Not content.
CREATE TABLE sessions (
  id INTEGER PRIMARY KEY,           -- row number
  run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE, -- the run it belongs to
  command_line TEXT NOT NULL,       -- as typed
  host TEXT NOT NULL DEFAULT '{}',  -- JSON object: processor, threads, memory, operating system; when finished, MTP drafts
  started_at INTEGER NOT NULL,      -- Unix seconds
  finished_at INTEGER               -- NULL: was interrupted or still runs
) STRICT;
CREATE INDEX sessions_of_run ON sessions (run_id);

-- One task of a run.
CREATE TABLE evaluations (
  id INTEGER PRIMARY KEY,           -- row number
  run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE, -- the run it belongs to
  task TEXT NOT NULL,               -- "mmlu"
  variant TEXT NOT NULL,            -- "ds"
  shots INTEGER NOT NULL,           -- exemplars asked for
  task_digest TEXT NOT NULL,        -- identity of template, exemplars, extraction, aggregation
  data_digest TEXT NOT NULL,        -- SHA-256 over the source files
  document_limit INTEGER NOT NULL,  -- documents asked for; 0: all
  max_length INTEGER NOT NULL,      -- context budget in tokens; 0: the model's own
  boundary_policy TEXT NOT NULL,    -- "joint" or "split"
  sandbox_level TEXT NOT NULL,      -- isolation asked for; '' where nothing is executed
  samples INTEGER NOT NULL,         -- generations a document
  settings TEXT NOT NULL DEFAULT '{}', -- JSON object: further settings that can change a result
  identity TEXT NOT NULL,           -- SHA-256 over all columns above except id and run_id
  title TEXT NOT NULL,              -- "MMLU"
  category TEXT NOT NULL,           -- "English", "Code", "Math", "Chinese", "Multilingual"
  kind TEXT NOT NULL,               -- "choice", "partial", "whole", "rolling", "generate"
  primary_metric TEXT NOT NULL,     -- "acc"
  higher_is_better INTEGER NOT NULL CHECK (higher_is_better IN (0, 1)), -- 0 for losses and bits per byte
  unit TEXT NOT NULL,               -- "percent", "bpb", "raw"
  aggregation TEXT NOT NULL,        -- name of the headline aggregate: "micro", "macro", ...
  documents INTEGER NOT NULL,       -- planned
  population INTEGER NOT NULL,      -- documents of the full split; 0: unknown
  deviations TEXT NOT NULL DEFAULT '[]', -- JSON list of sentences
  status TEXT NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'finished')), -- whether everything planned is there
  UNIQUE (run_id, identity)
) STRICT;

-- Every distinct byte string once. Long prompts share their exemplars: the whole text is the
-- content of prefix_id (if there is one) followed by content. The view `full_texts` joins them.
CREATE TABLE texts (
  id INTEGER PRIMARY KEY,           -- row number
  digest BLOB NOT NULL UNIQUE,      -- SHA-256 of the whole text
  prefix_id INTEGER REFERENCES texts (id), -- a text without a prefix of its own
  content ANY NOT NULL              -- TEXT, or BLOB where the bytes are not UTF-8 or hold NUL
) STRICT;

-- Documents of the benchmarks, shared by all evaluations that asked them.
CREATE TABLE documents (
  id INTEGER PRIMARY KEY,           -- row number
  digest BLOB NOT NULL UNIQUE,      -- SHA-256 over the columns below
  item_id TEXT NOT NULL,            -- "mmlu:test:anatomy:17"
  content_hash TEXT NOT NULL,       -- SHA-256 of the document's fields; pairs runs with item_id
  group_name TEXT NOT NULL,         -- subject, language ...; '' where there is none
  cluster TEXT NOT NULL,            -- documents that share a passage or problem; '': independent
  gold ANY NOT NULL                 -- for people: "B", the answer, a JSON list of answers
) STRICT;

-- A document as an evaluation asked it, and its verdict.
CREATE TABLE items (
  evaluation_id INTEGER NOT NULL REFERENCES evaluations (id) ON DELETE CASCADE, -- the evaluation it belongs to
  position INTEGER NOT NULL,        -- 0-based place in the evaluated list
  document_id INTEGER NOT NULL REFERENCES documents (id), -- what was asked
  context_id INTEGER REFERENCES texts (id), -- the prompt; NULL where every option has its own
  shots_used INTEGER NOT NULL,      -- fewer than asked where the context was too short
  truncated INTEGER NOT NULL,       -- 1: the query itself was cut
  graded INTEGER NOT NULL DEFAULT 0, -- 1: metrics or an error are there
  tie INTEGER NOT NULL DEFAULT 0,   -- 1: the best option was not alone
  predicted ANY,                    -- for people: the option or the extracted answer
  stratum INTEGER,                  -- of the headline aggregate: 0 in a micro mean, the subject's
                                    -- number in a macro mean; NULL: not in it, or not finished
  error TEXT,                       -- why it could not be judged; NULL: it was judged
  PRIMARY KEY (evaluation_id, position)
) STRICT, WITHOUT ROWID;

-- What was measured about each option (choice, partial, whole), window (rolling), or reference
-- answer (generate).
CREATE TABLE options (
  evaluation_id INTEGER NOT NULL REFERENCES evaluations (id) ON DELETE CASCADE, -- the evaluation it belongs to
  position INTEGER NOT NULL,        -- of the document
  option INTEGER NOT NULL,          -- 0-based
  context_id INTEGER REFERENCES texts (id), -- NULL: the item's
  continuation_id INTEGER NOT NULL REFERENCES texts (id), -- the scored text
  logprob REAL,                     -- S: sum over the continuation
  tokens INTEGER NOT NULL,          -- T: scored tokens
  bytes INTEGER NOT NULL,           -- B: of the option's text without its leading space
  characters INTEGER NOT NULL,      -- C: code points of the same
  greedy INTEGER NOT NULL,          -- 1: every scored token is the arg-max
  boundary_merge INTEGER NOT NULL,  -- 1: a token straddles context and continuation
  uncond_logprob REAL,              -- U: the same sum under the unconditional context
  whole_loss REAL,                  -- L: mean loss over a complete string
  whole_tokens INTEGER,             -- tokens of that string
  PRIMARY KEY (evaluation_id, position, option)
) STRICT, WITHOUT ROWID;

-- Generated texts.
CREATE TABLE generations (
  evaluation_id INTEGER NOT NULL REFERENCES evaluations (id) ON DELETE CASCADE, -- the evaluation it belongs to
  position INTEGER NOT NULL,        -- of the document
  sample INTEGER NOT NULL,          -- 0-based
  text ANY NOT NULL,                -- up to the stop string
  tokens BLOB NOT NULL,             -- token ids, 32-bit little-endian
  finish TEXT NOT NULL,             -- "stop", "eos", "length"
  logprob REAL NOT NULL,            -- sum over tokens under temperature 1
  extracted ANY NOT NULL DEFAULT '', -- what the extractor found
  PRIMARY KEY (evaluation_id, position, sample)
) STRICT, WITHOUT ROWID;

-- Programs that were executed to judge a generation.
CREATE TABLE executions (
  evaluation_id INTEGER NOT NULL REFERENCES evaluations (id) ON DELETE CASCADE, -- the evaluation it belongs to
  position INTEGER NOT NULL,        -- of the document
  sample INTEGER NOT NULL,          -- 0-based
  execution INTEGER NOT NULL,       -- 0-based number of the program of this sample
  verdict TEXT NOT NULL,            -- "passed", "wrong_answer", "timeout", ...
  reason ANY NOT NULL,              -- one line for people
  level TEXT NOT NULL,              -- isolation that held
  volatile_wall_ms REAL NOT NULL,   -- from start to end
  volatile_cpu_ms REAL NOT NULL,    -- user and system
  volatile_memory_bytes INTEGER NOT NULL, -- peak
  volatile_record ANY NOT NULL,     -- bounded JSON: everything else that was observed
  PRIMARY KEY (evaluation_id, position, sample, execution)
) STRICT, WITHOUT ROWID;

-- Names of metrics, so that metrics stay small.
CREATE TABLE metric_names (
  id INTEGER PRIMARY KEY,           -- row number
  name TEXT NOT NULL UNIQUE         -- "acc", "acc_char", "p_correct", "gold_bpb", "em", "f1", ...
) STRICT;

-- Metrics of each document.
CREATE TABLE metrics (
  evaluation_id INTEGER NOT NULL REFERENCES evaluations (id) ON DELETE CASCADE, -- the evaluation it belongs to
  metric_id INTEGER NOT NULL REFERENCES metric_names (id), -- which metric
  position INTEGER NOT NULL,        -- of the document
  value REAL NOT NULL,              -- of the metric
  weight REAL NOT NULL,             -- in a micro mean; 1, or bytes for bits per byte
  PRIMARY KEY (evaluation_id, metric_id, position)
) STRICT, WITHOUT ROWID;

-- Scores with 95 % intervals, computed when an evaluation finishes.
CREATE TABLE aggregates (
  evaluation_id INTEGER NOT NULL REFERENCES evaluations (id) ON DELETE CASCADE, -- the evaluation it belongs to
  metric TEXT NOT NULL,             -- name of the metric
  name TEXT NOT NULL,               -- "micro", "macro", "group:anatomy", "category:STEM", ...
  strata INTEGER NOT NULL,          -- means that were averaged: 1 for micro
  value REAL NOT NULL,              -- of the metric
  standard_error REAL,              -- NULL: not defined (one document, one cluster)
  low REAL,                         -- of the 95 % interval
  high REAL,                        -- of the 95 % interval
  interval TEXT NOT NULL,           -- how it was made: "wilson", "student", "clustered", ...
  n INTEGER NOT NULL,               -- documents in it
  clusters INTEGER NOT NULL,        -- independent units in it
  errors INTEGER NOT NULL,          -- documents that could not be judged, not in n
  PRIMARY KEY (evaluation_id, metric, name)
) STRICT, WITHOUT ROWID;

-- How often each routed expert was chosen.
CREATE TABLE expert_load (
  evaluation_id INTEGER NOT NULL REFERENCES evaluations (id) ON DELETE CASCADE, -- the evaluation it belongs to
  layer INTEGER NOT NULL,           -- model layer
  expert INTEGER NOT NULL,          -- 0-based routed expert
  tokens INTEGER NOT NULL,          -- times chosen
  weight REAL NOT NULL,             -- sum of combine weights
  PRIMARY KEY (evaluation_id, layer, expert)
) STRICT, WITHOUT ROWID;

-- Views: the documented way to the content from plain SQL and data frames.

-- The bytes of every text.
CREATE VIEW full_texts AS
  SELECT t.id AS id, CASE WHEN t.prefix_id IS NULL THEN t.content
                          ELSE p.content || t.content END AS text
    FROM texts t LEFT JOIN texts p ON p.id = t.prefix_id;

-- One line a run and task: the headline score with its interval.
CREATE VIEW scores AS
  SELECT r.id AS run, r.label AS label, m.name AS model, m.training_step AS training_step,
         m.training_tokens AS training_tokens, r.numerics AS numerics,
         e.id AS evaluation, e.task AS task, e.variant AS variant, e.shots AS shots,
         e.document_limit AS document_limit, a.metric AS metric, a.name AS aggregate,
         a.value AS value, a.standard_error AS standard_error, a.low AS low, a.high AS high,
         a.n AS n, a.errors AS errors, e.status AS status
    FROM evaluations e
    JOIN runs r ON r.id = e.run_id
    JOIN models m ON m.id = r.model_id
    JOIN aggregates a ON a.evaluation_id = e.id AND a.metric = e.primary_metric
                     AND a.name = e.aggregation;

-- One line a document and metric.
CREATE VIEW document_metrics AS
  SELECT e.run_id AS run, e.id AS evaluation, e.task AS task, e.variant AS variant,
         i.position AS position, d.item_id AS item_id, d.content_hash AS content_hash,
         d.group_name AS group_name, d.cluster AS cluster, n.name AS metric, x.value AS value,
         x.weight AS weight
    FROM metrics x
    JOIN metric_names n ON n.id = x.metric_id
    JOIN evaluations e ON e.id = x.evaluation_id
    JOIN items i ON i.evaluation_id = x.evaluation_id AND i.position = x.position
    JOIN documents d ON d.id = i.document_id;

-- One line a scored option, with its texts.
CREATE VIEW option_scores AS
  SELECT e.run_id AS run, e.id AS evaluation, e.task AS task, i.position AS position,
         d.item_id AS item_id, o.option AS option, c.text AS context, k.text AS continuation,
         o.logprob AS logprob, o.tokens AS tokens, o.bytes AS bytes, o.characters AS characters,
         o.greedy AS greedy, o.boundary_merge AS boundary_merge,
         o.uncond_logprob AS uncond_logprob, o.whole_loss AS whole_loss
    FROM options o
    JOIN evaluations e ON e.id = o.evaluation_id
    JOIN items i ON i.evaluation_id = o.evaluation_id AND i.position = o.position
    JOIN documents d ON d.id = i.document_id
    JOIN full_texts k ON k.id = o.continuation_id
    LEFT JOIN full_texts c ON c.id = coalesce(o.context_id, i.context_id);

-- One line a generated text, with its prompt and verdict.
CREATE VIEW generated_texts AS
  SELECT e.run_id AS run, e.id AS evaluation, e.task AS task, i.position AS position,
         d.item_id AS item_id, g.sample AS sample, c.text AS prompt, g.text AS text,
         g.extracted AS extracted, d.gold AS gold, g.finish AS finish, g.logprob AS logprob,
         x.verdict AS verdict, x.reason AS reason
    FROM generations g
    JOIN evaluations e ON e.id = g.evaluation_id
    JOIN items i ON i.evaluation_id = g.evaluation_id AND i.position = g.position
    JOIN documents d ON d.id = i.document_id
    LEFT JOIN full_texts c ON c.id = i.context_id
    LEFT JOIN executions x ON x.evaluation_id = g.evaluation_id AND x.position = g.position
                          AND x.sample = g.sample AND x.execution = 0;
