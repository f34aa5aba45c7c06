"""From a revision and data to subject, HTML and text, in processes that can be killed."""
