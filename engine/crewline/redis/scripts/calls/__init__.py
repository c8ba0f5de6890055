"""One typed Python call for each script, by the folder it is in."""
