"""Where networks come from, a file for each kind of place. Only here is known what is special to one of them."""
