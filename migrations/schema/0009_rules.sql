-- Rules: standing wishes, such as "2 copies on type=disk". Each has a request of its own, which its copies are made by.
create table rule(
  id bigint generated always as identity primary key,
  user_id int not null, scopes jsonb not null,                 -- whose, and with what they may do
  selection jsonb not null,
  top text collate "C" not null,                               -- what is below it may be wished for: '/' for a data set
  wants jsonb not null,                                        -- [{copies, to}]
  until bigint, grace bigint not null, note text not null default '',
  request_id bigint not null,
  created bigint not null,
  due bigint not null default 0, lease bigint not null default 0,              -- of the next look at all its files
  plan jsonb not null default '{}', counting jsonb not null default '{}',      -- how far the look under way is
  counts jsonb not null default '{}', checked bigint, error text               -- what the last whole one found
) with (fillfactor = 50);
create index rule_user on rule(user_id, id);
alter table request add column rule_id bigint;
-- Files that rules have to look at, once `due` has come: whoever adds files or changes copies puts them here while there is any
-- rule. There may be several rows of one file.
create table rule_file(
  id bigint generated always as identity primary key, file_id bigint not null, due bigint not null
) with (autovacuum_vacuum_scale_factor = 0.02);
create index rule_file_due on rule_file(due, id);
-- Copies that no rule needs, though one is about their place: dropped when their grace is over.
create table surplus(file_id bigint not null, se_id int not null, since bigint not null, primary key(file_id, se_id));
drop index queued_request;
create index queued_request on queued(request_id, file_id);
create index failure_file on failure(request_id, file_id) where file_id is not null;
