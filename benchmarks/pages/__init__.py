"""The generated parts of the pages, a module a page; `benchmarks/report.py` puts them there."""
