"""Care: every copy is read back within its element's period, and bad copies are made anew from good ones."""
