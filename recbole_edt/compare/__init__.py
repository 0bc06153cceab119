"""Models side by side: rows x seeds in processes of their own, tuning, tables and tests.

Public:

- `recbole_edt.compare.run_comparison.compare` and `recbole_edt.compare.tune_model.tune`: the
  commands, from keys and flags to an exit status;
- `recbole_edt.compare.report.write_report`: the report of a folder that ``compare`` has written;
- `recbole_edt.compare.results.load_results`: its rows, cells and runs as objects.

Nothing is imported here: every cell of a comparison is a process that imports this package.
"""
