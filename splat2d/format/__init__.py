"""The file: header, sections, fields, edits."""
