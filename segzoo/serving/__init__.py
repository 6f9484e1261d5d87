"""Models over HTTP: images in, masks out."""
