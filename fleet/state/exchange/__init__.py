"""Files into the books and out of them: CSV in, CSV and NDJSON out.

`table` reads a file into checked lines and `cells` its cells; both are pure. `importing` enters lines, all or none, in
one transaction and a few statements, whatever they are of; `models`, `kits`, `components` and `placements` say how each
kind is examined and entered. `exports` is the list of what can be taken out, `writing` how it is written.
"""
