"""Workers and server of a run as actors of Ray: the server has an ordinary run, the workers the ordinary loop."""
