"""Pages for people: the catalogue, the form of a pipeline, and the page of a job."""
