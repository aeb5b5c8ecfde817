"""What tasks hold: slots of pools, a host, published paths, temporary outputs."""
