-- Large objects that transfers write in parts: what a try that broke off had written is not written again. One row a place,
-- until the object shows, or nobody has gone on for a day.
create table parted(
  se_id int not null, pfn text collate "C" not null,
  token text not null,                                         -- the storage's name of the upload
  bytes_key text not null,                                     -- which bytes: size and checksums; others begin anew
  part_size bigint not null,
  parts jsonb not null default '{}',                           -- {number: tag}: complete ones
  touched bigint not null,
  primary key(se_id, pfn));
create index parted_touched on parted(touched);
