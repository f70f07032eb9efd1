-- Files that not everybody may read by their mode alone. Usually few: counting what somebody may see is then the counters of
-- the directories, less those of these that they may not.
create index file_guarded on file(dir_id) where kind = 0 and (acl_id is not null or mode & 292 <> 292);   -- 292: r--r--r--
