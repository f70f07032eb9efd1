-- Imports of other catalogues: which runs there were, what became of every row that was not taken as it came, and which
-- entry each foreign id is. What a run stages lies in a schema of its own (import_<run>) and goes with the run.
create table import_source(
  id int generated always as identity primary key,
  name text collate "C" not null unique,                       -- 'lfc' unless told otherwise
  kind text not null, ctime bigint not null);
create table import_run(
  id int generated always as identity primary key,
  source_id int not null references import_source on delete cascade,
  fingerprint text not null,                                   -- of the dump, the maps and the policies
  stage text not null default 'staging',                       -- staging, staged, planned, loading, done, failed
  dry_run bool not null default false,
  started bigint not null, finished bigint,
  info jsonb not null default '{}',                            -- what the reader learned: needed again to resume
  report jsonb);
create index import_run_source on import_run(source_id, id);
-- A chunk is in the catalogue, whole: written in the chunk's own transaction.
create table import_chunk(
  run_id int not null references import_run on delete cascade, chunk int not null,
  counts jsonb not null,
  primary key(run_id, chunk));
-- The searchable legacy id. No foreign key to file: an entry removed in lading stays known, and is not brought back.
create table import_entry(
  source_id int not null, legacy_id bigint not null, entry_id bigint not null,
  atime bigint,                                                -- as the source had it, microseconds
  original jsonb,                                              -- what was changed on the way, as it came
  primary key(source_id, legacy_id));
create index import_entry_id on import_entry(entry_id);
create table import_principal(
  source_id int not null, kind "char" not null, legacy_id bigint not null, principal_id int not null,
  primary key(source_id, kind, legacy_id));
-- The quarantine, and the record of everything put right on the way. Replaced whole by each run of the source.
create table import_issue(
  id bigint generated always as identity primary key,
  source_id int not null references import_source on delete cascade,
  source_table text not null, legacy_id bigint not null,       -- fileid, or the row's own id where it has one
  code text not null, action text not null,
  value text,                                                  -- the offending value, control characters escaped
  raw jsonb);                                                  -- the whole row, when it did not get in
create index import_issue_code on import_issue(source_id, code, legacy_id);
create index import_issue_row on import_issue(source_id, source_table, legacy_id);
