"""Files: images, whole files by rename, npz, the cache of prepared sets."""
