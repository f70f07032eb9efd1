"""Everything that can be wrong with a foreign row: its code, what is done about it, and what may be done instead.

The actions: `import` as it is · `fix` what is wrong, the original kept beside it · `placeholder` for somebody or something
unknown · `skip` the row, counted · `quarantine` the row, kept whole in `import_issue` · `fail` write nothing at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lading.model.errors import InvalidRequest

ACTIONS = ("import", "fix", "placeholder", "skip", "quarantine", "fail")
VERDICTS = {"import": 0, "fix": 0, "placeholder": 0, "skip": 1, "quarantine": 2, "fail": 3}
_AS_IS = ("import", "skip", "quarantine", "fail")
_FIX = ("fix", "skip", "quarantine", "fail")
_PLACE = ("placeholder", "skip", "quarantine", "fail")
_OUT = ("quarantine", "skip", "fail")


@dataclass(frozen=True, slots=True)
class Anomaly:
    """`kind` is the record it is found on: entry, replica, comment, link, user, group. `what` includes what `fix` does."""

    code: str
    kind: str
    allowed: tuple[str, ...]
    what: str

    @property
    def default(self) -> str:
        return self.allowed[0]


def _table(kind: str, allowed: tuple[str, ...], text: str) -> Iterable[Anomaly]:
    for line in text.strip().splitlines():
        code, what = line.split(None, 1)
        yield Anomaly(code, kind, allowed, what)


ALL: dict[str, Anomaly] = {
    a.code: a
    for part in (
        _table(
            "entry",
            _AS_IS,
            """
name_utf8_in_latin1   the name is UTF-8 text kept as bytes in a latin1 column
name_single_quote     a single quote in the name
name_double_quote     a double quote in the name
name_backslash        a backslash in the name
name_backslash_zero   the two characters backslash and zero in the name
name_sql_like         the name looks like SQL
name_edge_space       a blank at the start or end of the name
name_glob_chars       wildcard characters in the name
name_255_bytes        the name is exactly 255 bytes long
name_url_chars        characters in the name that URLs need quoted
name_case_siblings    two names in a directory differ by case alone
name_nfc_siblings     two names in a directory are the same after Unicode normalisation
zero_size             the size is 0
size_huge_valid       the size is above 2^53: readers of JSON in floating point lose digits
file_status_migrated  the status is 'm', migrated: kept as the file's status
file_status_unknown   the status is none of '-', 'm', 'D'
file_without_replica  no replica row names the file
deep_path             more than 64 levels deep
path_over_1023        the path is longer than the LFC's own limit
empty_dir             nothing is in the directory
nlink_wrong           the directory's nlink is not the number of its entries
symlink_broken        nothing is where the link points
symlink_loop          the link leads to itself
dup_sfn_two_files     two files claim one and the same SFN
xattr_kept_aside      extended attributes, kept with the legacy id
""",
        ),
        _table(
            "entry",
            _FIX,
            """
name_latin1           the name is not UTF-8: read as Windows-1252
name_cp1252_undefined bytes in the name that are no text at all: written as %81 and so on
name_newline          a line break in the name: written as %0A
name_tab_or_ctrl      a control character in the name: written as %09 and so on
name_escaped          the name holds control characters beside its other oddities: written as %XX
size_minus_one        the size is 2^64-1, a -1 once: imported as unknown
size_over_int63       the size is 2^63 or more: imported as unknown
size_null             the size is NULL: imported as unknown
guid_malformed        the GUID is none: a new one is given
guid_empty            the file has no GUID: a new one is given
guid_taken            the GUID belongs to another file of this catalogue already: a new one is given
dup_guid_exact        two files have one GUID: the first keeps it
dup_guid_case         two files have one GUID but for case: the first keeps it
csum_ad_short         adler32 without its leading zeros: filled up
csum_ad_upper         adler32 in upper case
csum_ad_0x            adler32 with 0x before it
csum_type_lower       the checksum's type is in lower case
csum_type_no_value    a checksum type without a value: dropped
csum_value_no_type    a checksum without a type: dropped
csum_not_hex          the checksum is no number: dropped
csum_type_mismatch    the checksum is as long as another type's: dropped
csum_type_unknown     nobody knows this type of checksum: dropped
time_zero             a time is 0: taken from the entry's other times
time_future           a time is in the future: taken from the entry's other times
time_negative         a time is before 1970: taken from the entry's other times
mode_no_type          the mode does not say file or directory: taken as a file
acl_malformed         the ACL can't be read: dropped, the mode stays
target_escaped        the link's target holds control characters: written as %XX
""",
        ),
        _table(
            "entry",
            _PLACE,
            """
owner_uid_missing     nobody has this uid
gid_missing           no group has this gid
acl_unknown_id        the ACL names a uid or gid that nobody has
""",
        ),
        _table(
            "entry",
            ("fix", "fail"),
            """
dup_replica_same_se   two replicas of the file on one host: one is kept, the other SFN noted with it
dup_replica_row_exact the same file and SFN twice: one is kept
dup_replica_same_element two replicas on hosts that are one element: one is kept, the other SFN noted with it
""",
        ),
        _table(
            "entry",
            _OUT,
            """
dangling_parent_file  the entry's directory does not exist
dangling_parent_dir   the directory's parent does not exist
parent_cycle          the directory lies in itself, over some steps
self_parent           the directory is its own parent
parent_is_file        the entry's parent is no directory
null_parent           the entry has no parent
second_root           another entry with parent 0 beside the root
below_unreachable     it lies below a directory that can't be reached
name_has_slash        a slash in the name
name_empty            the name is empty
name_dot              the name is '.' or '..'
name_too_long         the name is longer than 255 bytes of UTF-8
name_collision        its name here is the name of another entry
path_too_long         the path is longer than this catalogue takes
mode_unknown_type     the mode says neither file, directory nor link
symlink_missing_row   no row tells where the link points
dup_row_id            another row has this id
row_malformed         the row lacks an id, a name or a number
conflict_existing     something else has this LFN in lading already
""",
        ),
        _table(
            "entry",
            ("skip", "import", "quarantine", "fail"),
            """
file_status_deleted   the status is 'D', deleted
""",
        ),
        _table(
            "entry",
            ("skip",),
            """
removed_in_lading     imported before, and removed in lading since
parent_not_imported   a directory above it was not imported; goes the same way
""",
        ),
        _table(
            "replica",
            _AS_IS,
            """
replica_status_pending   status 'P', being written or (DIRAC) problematic: imported as suspect
replica_status_deleting  status 'D', to be deleted: imported as deleting
replica_host_is_se_name  the host column holds the name of a storage element
replica_sfn_blank        a blank or a byte above ASCII in the SFN that is not in the LFN
""",
        ),
        _table(
            "replica",
            _FIX,
            """
replica_host_mismatch    the host column and the SFN name different hosts: the SFN's is taken
replica_host_empty       no host but the SFN's
replica_sfn_trailing_nul a NUL byte ends the SFN: taken away
replica_sfn_upper_host   the host is in upper case
replica_sfn_escaped      control characters in the SFN: written as %XX
""",
        ),
        _table(
            "replica",
            _PLACE,
            """
replica_unknown_se       a host that no map knows and hardly any replica uses
replica_host_unmapped    a host that no map knows
""",
        ),
        _table(
            "replica",
            _OUT,
            """
replica_status_unknown   the status is none of '-', 'U', 'P', 'D'
replica_sfn_no_scheme    the SFN is no URL
replica_sfn_refused      the SFN is empty, holds '..' or is longer than a PFN may be
orphan_replica           no entry has this fileid
replica_of_no_file       the entry with this fileid is no file
""",
        ),
        _table("replica", ("skip",), "entry_not_imported       its file was not imported; goes the same way"),
        _table("comment", _OUT, "orphan_comment           no entry has this fileid"),
        _table("link", _OUT, "orphan_symlink_row       no link has this fileid"),
        _table("comment", _FIX, "comment_escaped          NUL bytes in the comment: written as %00"),
    )
    for a in part
}


def policies(choices: Iterable[str]) -> dict[str, str]:
    """The action of every code: the defaults, with `CODE=ACTION` choices over them. Raises InvalidRequest."""
    actions = {a.code: a.default for a in ALL.values()}
    for choice in choices:
        code, equals, action = choice.partition("=")
        known = ALL.get(code)
        if known is None or not equals:
            raise InvalidRequest(
                f"--policy {choice!a}: write CODE=ACTION; the codes are in 'lading-server import policies'",
                policy=choice,
            )
        if action not in known.allowed:
            raise InvalidRequest(f"--policy {choice!a}: {code} allows {', '.join(known.allowed)}", policy=choice)
        actions[code] = action
    return actions
