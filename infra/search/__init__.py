"""The engines that search: embedded (tantivy) and Elasticsearch, by the port of `emporium.application.search`."""
