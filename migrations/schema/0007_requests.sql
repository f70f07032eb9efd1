-- Requests: orders about many files, carried out in the background. A transfer (one file to one element, or one copy to look
-- at) is a row of `queued` until a worker takes it, then of `active`; each try leaves a row of `attempt`. Moving between small
-- tables keeps the head of the queue free of dead rows (measured: a state column slows leasing as the queue empties).
create table request(
  id bigint generated always as identity primary key,
  kind text not null, user_id int not null,
  selection jsonb not null,                                    -- as it was asked; a list of LFNs is in request_item
  target text not null default '', source text not null default '',            -- element expressions
  copies int not null default 1, options jsonb not null default '{}',
  activity text collate "C" not null, group_id int not null, priority smallint not null default 0,
  state text not null default 'planning',                      -- planning, running, paused, done, cancelled, failed
  error text,
  plan jsonb not null default '{}',                            -- how far the planner is: where it goes on
  planned bool not null default false,
  settled bool not null default true,                          -- false: rows of `queued` are yet to follow the state
  lease bigint not null default 0,                             -- until then one planner is at it
  files bigint not null default 0, bytes numeric not null default 0,           -- transfers made so far
  done bigint not null default 0, done_bytes numeric not null default 0,
  failed bigint not null default 0, skipped bigint not null default 0, cancelled bigint not null default 0,
  created bigint not null, finished bigint
) with (fillfactor = 50);
create index request_state on request(state, id) where state in ('planning', 'running', 'paused');
create index request_user on request(user_id, id);
create index request_unsettled on request(id) where not settled or (not planned and state = 'planning');
create table request_item(
  request_id bigint not null references request on delete cascade, number int not null, lfn text collate "C" not null,
  primary key(request_id, number));

-- What shares a link and its turn: transfers of one activity and one group between two elements. A lane is taken away when it
-- is found empty, unless somebody has touched it since.
create table lane(
  id int generated always as identity primary key,
  source int not null, target int not null, activity text collate "C" not null, group_id int not null,
  touched bigint not null default 0,
  constraint lane_key unique(source, target, activity, group_id)
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
create sequence transfer_id;
create table queued(
  id bigint primary key,
  lane_id int not null,                                        -- negative: it waits until `not_before`
  priority smallint not null, request_id bigint not null, file_id bigint not null, bytes bigint not null,
  attempts smallint not null default 0, deaths smallint not null default 0,
  not_before bigint not null default 0
) with (autovacuum_vacuum_scale_factor = 0.02);
create index queued_ready on queued(lane_id, priority desc, id) where lane_id > 0;
create index queued_waiting on queued(not_before) where lane_id < 0;
create index queued_request on queued(request_id);
create table active(
  id bigint primary key,
  lane_id int not null,
  source int not null, target int not null, activity text collate "C" not null, group_id int not null,
  priority smallint not null, request_id bigint not null, file_id bigint not null, bytes bigint not null,
  attempts smallint not null, deaths smallint not null,
  worker int not null, started bigint not null
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
create table worker(
  id int generated always as identity primary key,
  host text not null, pid int not null, settings jsonb not null default '{}', started bigint not null, beat bigint not null);

-- One row a try. By day, so that old days go at once.
create table attempt(
  at bigint not null, request_id bigint not null, transfer_id bigint not null, file_id bigint not null,
  source int not null, target int not null,
  result smallint not null,                                    -- position in lading.model.request.RESULTS
  way text, bytes bigint not null, micros bigint not null, worker int not null,
  error text
) partition by range (at);
create index attempt_request on attempt(request_id, result, at);
create index attempt_at on attempt using brin(at);

-- What ended in failure, one row a transfer, or a file that no transfer could be made of: to be shown, and to be tried again.
create table failure(
  id bigint generated always as identity primary key,
  request_id bigint not null references request on delete cascade,
  file_id bigint,                                              -- null: there is no such file
  lfn text collate "C",                                        -- as it was asked for, where no file is known
  source int, target int, bytes bigint not null default 0, error text not null, at bigint not null);
create index failure_request on failure(request_id, id);

-- What operators set: shares of activities and groups, limits of links. What has no row has weight 1 and no limit of its own.
create table share(
  kind "char" not null check (kind in ('a', 'g')), name text collate "C" not null,
  weight float8 not null default 1 check (weight > 0), most int check (most >= 0),
  primary key(kind, name));
create table link(
  source int not null, target int not null,
  most int check (most >= 0),                                  -- transfers at once; null: as the window says
  "window" float8 not null default 4,                          -- transfers at once that went well of late
  rate float8 not null default 0, looked bigint not null default 0,
  primary key(source, target));
create table link_decision(
  source int not null, target int not null, at bigint not null,
  before float8 not null, after float8 not null, rate float8 not null, done int not null, failed int not null, why text not null);
create index link_decision_at on link_decision(source, target, at);
