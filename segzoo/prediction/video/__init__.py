"""Videos: frames in, a mask for each frame, a video out."""
