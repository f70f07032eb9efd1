-- An element that fails again and again is out until it answers once more: `fault` says why, since `fault_at`. `fault_reads`:
-- it can't be read either. `next_try` is when somebody is to look at it next.
alter table element add column fault text, add column fault_reads bool not null default false, add column fault_at bigint,
  add column next_try bigint;
-- Bytes a second that a process moves to or from it at most.
alter table element add column max_rate bigint;
