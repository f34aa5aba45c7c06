"""The watcher: publishes the source folder as its files change."""
