"""The Visual Turing Test: people see a photograph and a colouring of it, and say which is true.

`create` makes a study, `app` serves it and keeps the answers in `storage`, `analysis` scores them
with `statistics`, and `presentation` and `report_text` show the report.
"""
