"""The data station: labelled rows from any source, cleaned, divided and described."""
