"""Reports: `python -m llmbench.report RUN [RUN …]` writes one HTML file that needs no network."""
