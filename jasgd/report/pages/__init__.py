"""One page of HTML that reports a saved folder: a run, a comparison or a spectrum."""
