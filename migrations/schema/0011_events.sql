-- The audit trail is an outbox, too. `xid` gives an order in which nothing comes late: rows of transactions that are all over.
alter table audit add column xid bigint not null default 0;
alter table audit alter column xid set default pg_current_xact_id()::text::bigint;
create index audit_xid on audit(xid, id);
create table webhook(
  id int generated always as identity primary key,
  user_id int not null, url text not null, secret bytea not null, actions text[] not null, under text collate "C" not null,
  xid bigint not null, row_id bigint not null default 0,       -- what was delivered last
  lease bigint not null default 0, next_try bigint not null default 0,
  failures int not null default 0, error text, delivered bigint not null default 0, at bigint, created bigint not null);
create index webhook_due on webhook(next_try);
