"""Rules: standing wishes about the copies of files, kept up in the background.

`needs` decides file by file, `matching` knows which rules are about a file, `keeper` carries out, `service` is for
people.
"""
