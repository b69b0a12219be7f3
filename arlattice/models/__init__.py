"""Models: normalised distributions over occupations. One file a family, and the encodings they share."""
