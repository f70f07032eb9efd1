-- Care: copies are read back within a period, bad ones are made anew from good ones. What the server orders by itself has
-- requests that never end, one a kind ('mend', 'look') and one an element ('scrub 3').
alter table request add column standing text collate "C";
create unique index request_standing on request(standing) where standing is not null;
alter table element add column scrub_days int not null default 0;    -- 0: never
create table scrub(
  se_id int primary key, request_id bigint not null,
  plan jsonb not null default '{}',                            -- how far this round is
  looked bigint not null default 0, began bigint not null, ended bigint,       -- copies of this round; the end of the last one
  due bigint not null default 0);                              -- of its next piece
-- Files that have a bad copy, or had none that is good, to be seen to once `due` has come. There may be several rows of one.
create table mend(
  id bigint generated always as identity primary key, file_id bigint not null, due bigint not null
) with (autovacuum_vacuum_scale_factor = 0.02);
create index mend_due on mend(due, id);
