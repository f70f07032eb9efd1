"""The query language. No I/O and no SQL.

parse.parse(text), dirac.from_dirac(query)  -> tree of Test       unparse.unparse(tree) -> text
bind.bind(tree, fields)                     -> tree of Bound      evaluate.evaluate(bound, record) -> bool
"""
