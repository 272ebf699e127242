"""A served archive on its worst day: killed workers, overload, hours of load, hostile requests, killed builds."""
