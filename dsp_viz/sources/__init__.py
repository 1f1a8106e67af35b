"""Where networks come from: a file for each kind of source, which keeps to itself what is special there."""
