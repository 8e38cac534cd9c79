"""The benchmark: a grid of runs, each a notebook, on one computer or a cluster.

:mod:`grid` says which cells there are, :mod:`fingerprint` what decides each one's result, :mod:`plan` which are to run
and why. :mod:`cell` runs one, with limits and retries, and is the only one that writes into a cell's folder; whoever
starts it, the pool of :mod:`local`, Snakemake or Kubernetes, needs to know nothing of results.
"""
