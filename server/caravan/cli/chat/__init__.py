"""`caravan chat`: a conversation in the terminal, over the server's HTTP interface."""
