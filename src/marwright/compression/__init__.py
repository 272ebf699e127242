"""The compression station: the student's weights in the precision of each device."""
