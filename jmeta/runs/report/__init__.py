"""`jmeta report`: what came of a run, or of several, as one page that opens in any browser."""
